/* A server for stress: processes x threads that accept on one listener, serve one byte and hold the connection until the client
 * closes.
 *
 *     stress_server PORT PROCESSES THREADS LIMIT nonblocking|blocking|plain
 *
 * The listener is polled and non-blocking, polled and blocking, or blocking and not polled: then all threads sleep in accept.
 *
 * A part of the connections is held by a duplicate of the descriptor that accept returned.
 *
 * For each address of 127.0.0.0/24 it counts, in memory that its processes share, what it has open: raised right after accept
 * returned, lowered right before close. A count over LIMIT means that a connection over the limit was handed to it. On SIGTERM
 * it ends and prints "served N, most open M, over O, left L". */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HELD_MOST = 512 };

struct tally {
	_Atomic int open[256];
	_Atomic int most;
	_Atomic long served;
	_Atomic long over;
};

static struct tally *tally;
static _Atomic int stopping; /* a signal's handler and all threads; lock-free, so both may */
static int listener;
static int limit;
static int blocking;
static int polled;

static void stop(int signal)
{
	(void)signal;
	stopping = 1;
}

struct held {
	int descriptor;
	unsigned who;
};

static void let_go(struct held *held)
{
	atomic_fetch_sub(&tally->open[held->who], 1);
	close(held->descriptor);
}

/* A connection that was reset already, as a refused one is, is none. */
static int is_alive(int descriptor)
{
	struct sockaddr_in peer;
	socklen_t length = sizeof(peer);

	return getpeername(descriptor, (struct sockaddr *)&peer, &length) == 0;
}

static int take(struct held *held)
{
	struct sockaddr_in peer;
	socklen_t length = sizeof(peer);
	int descriptor = accept4(listener, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK);

	if (descriptor < 0)
		return 0;
	unsigned who = ntohl(peer.sin_addr.s_addr) & 255;
	if (!is_alive(descriptor)) {
		close(descriptor);
		return 0;
	}
	int open = atomic_fetch_add(&tally->open[who], 1) + 1;
	if (open > limit)
		atomic_fetch_add(&tally->over, 1);
	int most = atomic_load(&tally->most);
	while (most < open && !atomic_compare_exchange_weak(&tally->most, &most, open))
		;
	/* Some go on under another number, as daemons have it that dup() onto one, or close what they duplicated. */
	int another = descriptor % 4 == 0 ? fcntl(descriptor, F_DUPFD, 0) : -1;
	if (another >= 0) {
		close(descriptor);
		descriptor = another;
	}
	*held = (struct held){descriptor, who};
	if (send(descriptor, "+", 1, MSG_NOSIGNAL) == 1)
		atomic_fetch_add(&tally->served, 1);
	return 1;
}

static void *serve(void *unused)
{
	struct held held[HELD_MOST];
	struct pollfd ready[HELD_MOST + 1];
	int number = 0;

	(void)unused;
	while (!stopping) {
		ready[0] = (struct pollfd){.fd = polled && number < HELD_MOST ? listener : -1, .events = POLLIN};
		for (int i = 0; i < number; i++)
			ready[i + 1] = (struct pollfd){.fd = held[i].descriptor, .events = POLLIN};
		if (poll(ready, (nfds_t)number + 1, polled ? 100 : 0) <= 0 && polled)
			continue;
		for (int i = number - 1; i >= 0; i--) {
			char byte;
			if (ready[i + 1].revents == 0 || (recv(held[i].descriptor, &byte, 1, 0) < 0 && errno == EAGAIN))
				continue;
			let_go(&held[i]);
			held[i] = held[--number];
		}
		if ((!polled || (ready[0].revents & POLLIN) != 0) && number < HELD_MOST && take(&held[number]))
			number++;
	}
	while (number > 0)
		let_go(&held[--number]);
	return NULL;
}

static void serve_with_threads(int threads)
{
	pthread_t thread[64];

	for (int i = 0; i < threads; i++)
		pthread_create(&thread[i], NULL, serve, NULL);
	for (int i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	exit(0);
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sigaction action = {.sa_handler = stop};
	int on = 1;
	long left = 0;

	if (argc != 6)
		return 2;
	int processes = atoi(argv[2]);
	limit = atoi(argv[4]);
	blocking = strcmp(argv[5], "nonblocking") != 0;
	polled = strcmp(argv[5], "plain") != 0;
	tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	address.sin_port = htons((uint16_t)atoi(argv[1]));
	listener = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(listener, 1024) != 0)
		return 1;
	if (!blocking)
		fcntl(listener, F_SETFL, O_NONBLOCK);
	else /* a thread that sleeps in accept must come back to its connections, and to see that it is to stop */
		setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_usec = polled ? 100000 : 10000},
			   sizeof(struct timeval));
	sigaction(SIGTERM, &action, NULL);
	pid_t child[64];
	for (int i = 0; i < processes; i++) {
		child[i] = fork();
		if (child[i] == 0)
			serve_with_threads(atoi(argv[3]));
	}
	while (!stopping)
		pause();
	for (int i = 0; i < processes; i++)
		kill(child[i], SIGTERM);
	for (int i = 0; i < processes; i++)
		waitpid(child[i], NULL, 0);
	for (int i = 0; i < 256; i++)
		left += tally->open[i];
	printf("served %ld, most open %d, over %ld, left %ld\n", tally->served, tally->most, tally->over, left);
	return tally->over != 0;
}
