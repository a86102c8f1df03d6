#include "command/fleet/resolve.h"

#include "command/fleet/wire.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* The child's result, of a fixed size below PIPE_BUF, so that it arrives in one piece. */
struct answer {
	int failure; /* result of getaddrinfo */
	int number;
	struct resolved_address address[ADDRESSES_MOST];
};
_Static_assert(sizeof(struct answer) <= 4096, "written at once");

static void look_up(struct answer *answer, const char *host, const char *port, int flags)
{
	struct addrinfo wanted = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};
	struct addrinfo *found = NULL;

	answer->number = 0;
	answer->failure = getaddrinfo(host, port, &wanted, &found);
	if (answer->failure != 0)
		return;
	for (struct addrinfo *one = found; one != NULL && answer->number < ADDRESSES_MOST; one = one->ai_next) {
		struct resolved_address *address = &answer->address[answer->number++];
		memset(address, 0, sizeof(*address));
		memcpy(&address->address, one->ai_addr, one->ai_addrlen);
		address->length = one->ai_addrlen;
	}
	freeaddrinfo(found);
}

/* Looks up a name in a child. False if it did not finish by the deadline. */
static bool look_up_apart(struct answer *answer, const char *host, const char *port, uint64_t deadline)
{
	pid_t us = getpid();
	int end[2];

	if (pipe(end) != 0)
		return false;
	pid_t child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != us)
			_exit(1);
		look_up(answer, host, port, AI_ADDRCONFIG);
		/* AI_ADDRCONFIG finds nothing on machines that have only the loopback interface. */
		if (answer->failure == EAI_NONAME || answer->failure == EAI_ADDRFAMILY)
			look_up(answer, host, port, 0);
		_exit(write(end[1], answer, sizeof(*answer)) == (ssize_t)sizeof(*answer) ? 0 : 1);
	}
	close(end[1]);
	bool done = child > 0 && wire_wait(end[0], POLLIN, deadline) &&
		    read(end[0], answer, sizeof(*answer)) == (ssize_t)sizeof(*answer);
	close(end[0]);
	if (child > 0) {
		kill(child, SIGKILL);
		while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
			;
	}
	return done;
}

int resolve(struct resolved_address *found, const char *host, const char *port, uint64_t deadline, char *error)
{
	struct answer answer;

	look_up(&answer, host, port, AI_NUMERICHOST);
	if (answer.failure != 0 && !look_up_apart(&answer, host, port, deadline)) {
		snprintf(error, WIRE_ERROR, "%.120s: no answer from the name servers in time", host);
		return 0;
	}
	if (answer.failure != 0) {
		snprintf(error, WIRE_ERROR, "%.120s: %.100s", host, gai_strerror(answer.failure));
		return 0;
	}
	memcpy(found, answer.address, (size_t)answer.number * sizeof(*found));
	return answer.number;
}
