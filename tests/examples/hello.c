/* A small HTTP server limited by libconnlimit: hello PORT PER_IP
 *
 * One thread a connection; a client over its limit gets a 429. SIGUSR1 doubles the limit while it runs. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L /* sigaction(2), where the compiler is asked for bare C */
#endif

#include <connlimit.h>

#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static connlimit *limiter;
static volatile sig_atomic_t doubled;

static void on_usr1(int signal)
{
	(void)signal;
	doubled = 1;
}

struct visit {
	int fd;
	connlimit_handle handle;
};

/* First the connection, then its count: or another could be admitted while this one is still open. */
static void end(struct visit *visit)
{
	close(visit->fd);
	connlimit_free(limiter, &visit->handle);
	free(visit);
}

static void *serve(void *with)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n";
	struct visit *visit = with;
	char request[4096];

	while (recv(visit->fd, request, sizeof(request), 0) > 0)
		if (send(visit->fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL) < 0)
			break;
	end(visit);
	return NULL;
}

static void double_limit(void)
{
	connlimit_config *config = connlimit_get_config(limiter);
	char number[32];

	if (config == NULL)
		return;
	connlimit_config_get(config, "PER_IP", number, sizeof(number));
	snprintf(number, sizeof(number), "%ld", strtol(number, NULL, 10) * 2);
	connlimit_config_set(config, "PER_IP", number);
	connlimit_set_config(limiter, config);
	connlimit_config_delete(config);
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sigaction action = {.sa_handler = on_usr1};
	connlimit_config *config = connlimit_config_new();
	int on = 1;

	if (argc != 3 || config == NULL)
		return 2;
	if (connlimit_config_set(config, "PER_IP", argv[2]) != 0) {
		fprintf(stderr, "hello: %s\n", connlimit_config_error(config));
		return 2;
	}
	limiter = connlimit_open(config);
	connlimit_config_delete(config);
	if (limiter == NULL) {
		perror("hello");
		return 1;
	}
	sigaction(SIGUSR1, &action, NULL);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	address.sin_port = htons((in_port_t)atoi(argv[1]));
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(listener, 128) != 0) {
		perror("hello");
		return 1;
	}
	for (;;) {
		struct visit *visit = malloc(sizeof(*visit));
		pthread_t thread;

		if (visit == NULL)
			return 1;
		visit->fd = accept(listener, NULL, NULL);
		if (doubled) {
			doubled = 0;
			double_limit();
		}
		/* Over the limit it has been answered and closed; -1: the client is gone already, and the descriptor ours. */
		int verdict = visit->fd < 0
				  ? CONNLIMIT_REFUSED
				  : connlimit_http_state(limiter, visit->fd, CONNLIMIT_HTTP_NEW, &visit->handle, NULL, NULL);
		if (verdict == CONNLIMIT_REFUSED)
			free(visit);
		else if (verdict < 0 || pthread_create(&thread, NULL, serve, visit) != 0)
			end(visit);
		else
			pthread_detach(thread);
	}
}
