/* A daemon for test_bounded.c: accepts what comes, and closes it. It contains the preload object, so that what a search takes
 * can be told from the rest of a call.
 *
 * Prints its port; at the end of its standard input how many calls of accept there were, how many of them took 1 ms of CPU or
 * more without their searches, the worst of them in us, and the most searches of one call. */
#include "kernel/kernel.h"
#include "values/clock.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { OVER_US = 1000 };

static uint64_t searches;
static uint64_t searched_us;
bool __real_kernel_search(struct asking *asking, struct kernel_search *search);
bool __wrap_kernel_search(struct asking *asking, struct kernel_search *search);
bool __wrap_kernel_search(struct asking *asking, struct kernel_search *search)
{
	uint64_t began = clock_cpu_us();
	bool searched = __real_kernel_search(asking, search);

	searches++;
	searched_us += clock_cpu_us() - began;
	return searched;
}

int main(void)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(name);
	unsigned long calls = 0;
	unsigned long over = 0;
	uint64_t worst = 0;
	uint64_t most_searches = 0;

	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (bind(listener, (struct sockaddr *)&name, length) != 0 || listen(listener, 1024) != 0 ||
	    getsockname(listener, (struct sockaddr *)&name, &length) != 0)
		return 1;
	printf("%u\n", ntohs(name.sin_port));
	fflush(stdout);
	struct pollfd ends[2] = {{.fd = listener, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
	while (poll(ends, 2, -1) > 0 && ends[1].revents == 0) {
		uint64_t before = searches;

		searched_us = 0;
		uint64_t began = clock_cpu_us();
		int accepted = accept4(listener, NULL, NULL, 0);
		uint64_t took = clock_cpu_us() - began - searched_us;
		calls++;
		over += took >= OVER_US ? 1 : 0;
		worst = took > worst ? took : worst;
		most_searches = searches - before > most_searches ? searches - before : most_searches;
		if (accepted >= 0)
			close(accepted);
	}
	printf("%lu %lu %lu %lu\n", calls, over, (unsigned long)worst, (unsigned long)most_searches);
	return 0;
}
