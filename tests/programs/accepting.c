/* A server with no library but what is linked into it: accepting PORT WAY [SIGNALS] greets each client and holds its connection
 * until the client ends it.
 *
 * WAY      blocking: accept waits, a thread for each connection; threads: eight threads wait in accept; forks: a process for
 * each connection; polling: a listener that does not block SIGNALS  restart: a handler with SA_RESTART is called 2000 times a
 * second; interrupt: one without
 *
 * What accept gives that is no connection, or is an error that accept(2) would not give here, is told on standard error. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *way;

static void nothing(int signal)
{
	(void)signal;
}

static void serve(int connection)
{
	static const char greeting[] = "hello\n";
	char unread[256];

	if (write(connection, greeting, sizeof(greeting) - 1) < 0)
		return;
	while (read(connection, unread, sizeof(unread)) > 0 || errno == EINTR)
		errno = 0;
	close(connection);
}

static void *serve_in_thread(void *connection)
{
	serve((int)(intptr_t)connection);
	return NULL;
}

static void hand_on(int connection, int listener)
{
	pthread_attr_t small;
	pthread_t thread;

	if (strcmp(way, "forks") == 0) {
		pid_t child = fork();
		if (child == 0) {
			close(listener);
			serve(connection);
			_exit(0);
		}
		close(connection);
		return;
	}
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 65536);
	pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &small, serve_in_thread, (void *)(intptr_t)connection) != 0)
		close(connection);
}

static void accept_one(int listener)
{
	struct sockaddr_in peer = {0};
	struct sockaddr_in same = {0};
	socklen_t length = sizeof(peer);
	socklen_t same_length = sizeof(same);
	struct pollfd ready = {.fd = listener, .events = POLLIN};

	if (strcmp(way, "polling") == 0 && poll(&ready, 1, -1) != 1)
		return;
	int connection = accept(listener, (struct sockaddr *)&peer, &length);
	if (connection < 0) {
		if (errno != EINTR && errno != EAGAIN)
			fprintf(stderr, "accept: %s\n", strerror(errno));
		return;
	}
	/* One that was refused is as good as reset by its client. */
	if (getpeername(connection, (struct sockaddr *)&same, &same_length) != 0 && errno != ENOTCONN)
		fprintf(stderr, "accept: %d is no connection: %s\n", connection, strerror(errno));
	else if (length != sizeof(peer) || (same.sin_port != 0 && same.sin_port != peer.sin_port))
		fprintf(stderr, "accept: not the peer's address\n");
	hand_on(connection, listener);
}

static void *accept_all(void *listener)
{
	for (;;)
		accept_one((int)(intptr_t)listener);
	return NULL;
}

static void begin_signals(const char *which)
{
	struct itimerval often = {.it_interval.tv_usec = 500, .it_value.tv_usec = 500};
	struct sigaction action = {.sa_handler = nothing, .sa_flags = strcmp(which, "restart") == 0 ? SA_RESTART : 0};

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
}

int main(int number, char **words)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	pthread_t thread;
	int one = 1;

	if (number < 3)
		return 2;
	way = words[2];
	address.sin_port = htons((uint16_t)atoi(words[1]));
	int listener = socket(AF_INET, SOCK_STREAM | (strcmp(way, "polling") == 0 ? SOCK_NONBLOCK : 0), 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(listener, 128) != 0) {
		perror("listen");
		return 1;
	}
	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	if (number > 3)
		begin_signals(words[3]);
	for (int i = 0; i < 7 && strcmp(way, "threads") == 0; i++)
		if (pthread_create(&thread, NULL, accept_all, (void *)(intptr_t)listener) != 0)
			return 1;
	accept_all((void *)(intptr_t)listener);
}
