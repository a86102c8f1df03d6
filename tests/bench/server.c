/* A daemon as plain as can be, for what is measured around it: server close|reset|answer PORT
 *
 * close: accepts and closes, as a daemon that refuses by itself; reset: the same with a reset, which leaves no TIME_WAIT.
 * answer: answers each connection with one byte when it sends one, and keeps those open that send nothing, but closes those
 * from the network, a /16, in REFUSE. On SIGTERM it prints the microseconds of CPU that it used, and how many connections it
 * got. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static volatile sig_atomic_t ended;

static void end(int signal)
{
	(void)signal;
	ended = 1;
}

static void serve(int events, int descriptor)
{
	char bytes[256];
	ssize_t length = recv(descriptor, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (length > 0)
		send(descriptor, "k", 1, MSG_NOSIGNAL);
	if (length != 0 && !(length < 0 && errno != EAGAIN))
		return;
	epoll_ctl(events, EPOLL_CTL_DEL, descriptor, NULL);
	close(descriptor);
}

static struct in_addr refused; /* the network, a /16, whose connections it closes itself */

static int is_refused(struct in_addr peer)
{
	return refused.s_addr != 0 && ((peer.s_addr ^ refused.s_addr) & htonl(0xffff0000)) == 0;
}

static long accept_all(int events, int listener, int closes, int resets)
{
	long number = 0;

	for (;;) {
		struct sockaddr_in peer = {0};
		socklen_t length = sizeof(peer);
		int descriptor = accept4(listener, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct epoll_event event = {.events = EPOLLIN, .data.fd = descriptor};
		struct linger at_once = {.l_onoff = 1, .l_linger = 0};

		if (descriptor < 0)
			return number;
		number++;
		if (closes || is_refused(peer.sin_addr)) {
			if (resets)
				setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
			close(descriptor);
		} else {
			epoll_ctl(events, EPOLL_CTL_ADD, descriptor, &event);
		}
	}
}

int main(int count, char **arguments)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	struct sigaction action = {.sa_handler = end};
	struct epoll_event happened[64];
	struct rusage used;
	int one = 1;
	long number = 0;

	if (count < 3)
		return 2;
	if (getenv("REFUSE") != NULL)
		refused.s_addr = inet_addr(getenv("REFUSE"));
	int closes = strcmp(arguments[1], "answer") != 0;
	int resets = strcmp(arguments[1], "close") != 0;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	address.sin_port = htons((uint16_t)atoi(arguments[2]));
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(listener, 4096) != 0) {
		perror("listen");
		return 1;
	}
	sigaction(SIGTERM, &action, NULL);
	int events = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
	epoll_ctl(events, EPOLL_CTL_ADD, listener, &event);
	while (!ended) {
		int ready = epoll_wait(events, happened, 64, -1);
		for (int i = 0; i < ready; i++) {
			if (happened[i].data.fd == listener)
				number += accept_all(events, listener, closes, resets);
			else
				serve(events, happened[i].data.fd);
		}
	}
	getrusage(RUSAGE_SELF, &used);
	printf("%ld %ld\n",
	       (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000 + used.ru_utime.tv_usec + used.ru_stime.tv_usec, number);
	return 0;
}
