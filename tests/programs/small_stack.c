/* Accepts and serves in a thread with the smallest stack there is, and reloads on the smallest signal stack: small_stack PORT
 *
 * Sends one byte to each client and holds the connection. */
#include <arpa/inet.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <unistd.h>

static int listener;

static void *serve(void *nothing)
{
	for (;;) {
		int descriptor = accept(listener, NULL, NULL);

		if (descriptor >= 0)
			send(descriptor, "+", 1, MSG_NOSIGNAL);
	}
	return nothing;
}

static void nothing_more(int signal)
{
	(void)signal;
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sigaction action = {.sa_handler = nothing_more, .sa_flags = SA_ONSTACK};
	size_t size = 8192; /* SIGSTKSZ as it was before it grew with the processor's registers */
	stack_t stack = {.ss_sp = malloc(size), .ss_size = size};
	pthread_attr_t attributes;
	pthread_t thread;
	int on = 1;

	if (argc != 2)
		return 2;
	address.sin_port = htons((in_port_t)atoi(argv[1]));
	sigaltstack(&stack, NULL);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(listener, 64) != 0)
		return 1;
	sigaction(SIGHUP, &action, NULL);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN);
	if (pthread_create(&thread, &attributes, serve, NULL) != 0)
		return 1;
	for (;;)
		pause();
}
