/* accept and close of connections, timed in batches: connections [BATCHES]
 *
 * A child connects 64 at a time; we accept them all, then close them all. Prints, in nanoseconds a call, the medians over the
 * batches:
 *
 *     accept close getppid            (getppid: the machine's bare system call, for a unit that holds on any machine) */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, BATCHES_MOST = 100000 };

static double accepts[BATCHES_MOST];
static double closes[BATCHES_MOST];
static double bares[BATCHES_MOST];

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void must(int good, const char *what)
{
	if (!good) {
		perror(what);
		exit(1);
	}
}

static void connect_batches(const struct sockaddr_in *address, int go, int ready)
{
	int sockets[BATCH];
	struct linger at_once = {.l_onoff = 1, .l_linger = 0};
	char byte;

	while (read(go, &byte, 1) == 1) {
		for (int i = 0; i < BATCH; i++) {
			sockets[i] = socket(AF_INET, SOCK_STREAM, 0);
			must(connect(sockets[i], (const struct sockaddr *)address, sizeof(*address)) == 0, "connect");
			setsockopt(sockets[i], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		}
		must(write(ready, &byte, 1) == 1, "write");
		must(read(go, &byte, 1) == 1, "read");
		for (int i = 0; i < BATCH; i++)
			close(sockets[i]);
		must(write(ready, &byte, 1) == 1, "write");
	}
	_exit(0);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *values, int number)
{
	qsort(values, (size_t)number, sizeof(*values), by_size);
	return values[number / 2];
}

static void one_batch(int listener, int go, int ready, int batch)
{
	int descriptors[BATCH];
	char byte = 0;

	must(write(go, &byte, 1) == 1 && read(ready, &byte, 1) == 1, "client");
	double began = now();
	for (int i = 0; i < BATCH; i++) {
		struct sockaddr_storage peer;
		socklen_t length = sizeof(peer);

		descriptors[i] = accept4(listener, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
	}
	double accepted = now();
	for (int i = 0; i < BATCH; i++)
		close(descriptors[i]);
	double closed = now();
	for (int i = 0; i < BATCH; i++)
		getppid();
	bares[batch] = (now() - closed) / BATCH;
	accepts[batch] = (accepted - began) / BATCH;
	closes[batch] = (closed - accepted) / BATCH;
	must(descriptors[BATCH - 1] >= 0, "accept");
	must(write(go, &byte, 1) == 1 && read(ready, &byte, 1) == 1, "client");
}

int main(int count, char **arguments)
{
	int batches = count > 1 ? atoi(arguments[1]) : 200;
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	int go[2];
	int ready[2];

	if (getenv("WILDCARD") != NULL)
		address.sin_addr.s_addr = htonl(INADDR_ANY);
	must(batches > 0 && batches <= BATCHES_MOST, "batches");
	must(bind(listener, (struct sockaddr *)&address, length) == 0, "bind");
	must(getsockname(listener, (struct sockaddr *)&address, &length) == 0, "getsockname");
	must(listen(listener, 2 * BATCH) == 0, "listen");
	must(pipe(go) == 0 && pipe(ready) == 0, "pipe");
	if (fork() == 0) {
		close(go[1]);
		connect_batches(&address, go[0], ready[1]);
	}
	for (int batch = 0; batch < batches; batch++)
		one_batch(listener, go[1], ready[0], batch);
	printf("%.1f %.1f %.1f\n", median(accepts, batches), median(closes, batches), median(bares, batches));
	return 0;
}
