/* One thing, so many times, for counting its instructions: repeat FUNCTION N
 *
 * connection: a client of this same process connects, is accepted, and both ends are closed. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NOBODY = 900 };

static struct sockaddr_in address = {.sin_family = AF_INET};
static int listener;

static __attribute__((noinline)) void connection(void)
{
	struct sockaddr_storage peer;
	socklen_t length = sizeof(peer);
	struct linger at_once = {.l_onoff = 1, .l_linger = 0};
	int client = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(client, (struct sockaddr *)&address, sizeof(address)) != 0) {
		perror("connect");
		exit(1);
	}
	setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	int descriptor = accept4(listener, (struct sockaddr *)&peer, &length, SOCK_CLOEXEC);
	if (descriptor < 0) {
		perror("accept");
		exit(1);
	}
	close(descriptor);
	close(client);
}

static __attribute__((noinline)) void untracked(void)
{
	close(NOBODY);
}

static __attribute__((noinline)) void send_message(void)
{
	struct msghdr message = {0};

	sendmsg(NOBODY, &message, 0);
}

static __attribute__((noinline)) void receive_message(void)
{
	struct msghdr message = {0};

	recvmsg(NOBODY, &message, 0);
}

static __attribute__((noinline)) void read_nothing(void)
{
	char byte;

	if (read(NOBODY, &byte, 1) >= 0)
		exit(1);
}

static __attribute__((noinline)) void get_flags(void)
{
	fcntl(NOBODY, F_GETFL);
}

static __attribute__((noinline)) void duplicate(void)
{
	if (dup(NOBODY) >= 0)
		exit(1);
}

static __attribute__((noinline)) void raw(void)
{
	syscall(SYS_getppid);
}

static const struct {
	const char *name;
	void (*once)(void);
} things[] = {
#define THING(function)                                                                                                        \
	{                                                                                                                      \
#function, function                                                                                            \
	}
    THING(connection),	 THING(untracked), THING(send_message), THING(receive_message),
    THING(read_nothing), THING(get_flags), THING(duplicate),	THING(raw),
};

int main(int count, char **arguments)
{
	socklen_t length = sizeof(address);

	if (count < 3)
		return 2;
	address.sin_addr.s_addr = htonl(getenv("WILDCARD") != NULL ? INADDR_ANY : INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (struct sockaddr *)&address, length) != 0 || listen(listener, 16) != 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &length) != 0) {
		perror("listen");
		return 1;
	}
	for (size_t i = 0; i < sizeof(things) / sizeof(things[0]); i++)
		for (long n = strcmp(arguments[1], things[i].name) == 0 ? atol(arguments[2]) : 0; n > 0; n--)
			things[i].once();
	return 0;
}
