/* Clients. Their server is at 127.0.0.1 if nothing else is given.
 *
 *     load flood FROM PORT N [AT_ONCE]  N connections from one address, one after the other or so many at once, each closed
 *                                       when the server closed it
 *     load attack FIRST ATTACKERS SERVER PORT N HELD [REQUEST]
 *                                       as many addresses from FIRST on, each holding so many; after a line on standard input N
 *                                       connections, one from each at once, which send the request, read what comes and close;
 *                                       prints "ready", and then the microseconds of CPU
 *     load spread HELD ADDRESSES PORT N as many addresses (127.1.0.0 and on), each holding so many, one more each, and after a
 *                                       line on standard input N more from them in turn; prints "ready", and the microseconds
 *     load hold FIRST ADDRESSES PORT    as many addresses from the FIRSTth on, each holding one, until killed; says "held"
 *     load ask FROM PORT N [SERVER]     N connections that send a byte and wait for one; prints the p50 and p99 in microseconds
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { AT_ONCE_MOST = 1024 };

static struct sockaddr_in server = {.sin_family = AF_INET};

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static int connected(uint32_t from, int port)
{
	struct sockaddr_in mine = {.sin_family = AF_INET, .sin_addr = {htonl(from)}};
	struct linger at_once = {.l_onoff = 1, .l_linger = 0};
	struct timeval patience = {.tv_sec = 10};
	int one = 1;
	int descriptor = socket(AF_INET, SOCK_STREAM, 0);

	server.sin_port = htons((uint16_t)port);
	setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(descriptor, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	if (bind(descriptor, (struct sockaddr *)&mine, sizeof(mine)) != 0 ||
	    (connect(descriptor, (struct sockaddr *)&server, sizeof(server)) != 0 && errno != ECONNRESET)) {
		perror("connect");
		exit(1);
	}
	return descriptor;
}

static void all_until_closed(uint32_t from, int port, long number)
{
	int descriptor[AT_ONCE_MOST];
	char byte;

	for (long i = 0; i < number; i++)
		descriptor[i] = connected(from, port);
	for (long i = 0; i < number; i++) {
		(void)!read(descriptor[i], &byte, 1);
		close(descriptor[i]);
	}
}

static void until_closed(uint32_t from, int port)
{
	all_until_closed(from, port, 1);
}

static double cpu(void)
{
	struct rusage used;

	getrusage(RUSAGE_SELF, &used);
	return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 +
	       (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

/* As clients end a connection that the server has closed: without a reset. */
static void attack(uint32_t first, long attackers, int port, long number, const char *request)
{
	struct linger none = {0};
	int descriptor[AT_ONCE_MOST];
	char bytes[512];

	for (long done = 0; done < number; done += attackers) {
		for (long i = 0; i < attackers; i++) {
			descriptor[i] = connected(first + (uint32_t)i, port);
			setsockopt(descriptor[i], SOL_SOCKET, SO_LINGER, &none, sizeof(none));
			if (request[0] != '\0')
				(void)!send(descriptor[i], request, strlen(request), MSG_NOSIGNAL);
		}
		for (long i = 0; i < attackers; i++) {
			while (read(descriptor[i], bytes, sizeof(bytes)) > 0)
				;
			close(descriptor[i]);
		}
	}
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void ask(uint32_t from, int port, long number)
{
	double *took = calloc((size_t)number, sizeof(*took));
	char byte = 'q';

	for (long i = 0; i < number; i++) {
		double began = now();
		int descriptor = connected(from, port);
		(void)!write(descriptor, &byte, 1);
		if (read(descriptor, &byte, 1) != 1) {
			fprintf(stderr, "no answer\n");
			exit(1);
		}
		took[i] = now() - began;
		close(descriptor);
		usleep(200);
	}
	qsort(took, (size_t)number, sizeof(*took), by_size);
	printf("%.1f %.1f\n", took[number / 2], took[number * 99 / 100]);
}

int main(int count, char **arguments)
{
	struct rlimit most;

	getrlimit(RLIMIT_NOFILE, &most);
	most.rlim_cur = most.rlim_max;
	setrlimit(RLIMIT_NOFILE, &most);
	server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if ((count == 8 || count == 9) && strcmp(arguments[1], "attack") == 0) {
		uint32_t first = ntohl(inet_addr(arguments[2]));
		long attackers = atol(arguments[3]);
		server.sin_addr.s_addr = inet_addr(arguments[4]);
		for (long i = 0; i < attackers * atol(arguments[7]); i++)
			connected(first + (uint32_t)(i % attackers), atoi(arguments[5]));
		puts("ready");
		fflush(stdout);
		getchar();
		double used = cpu();
		if (attackers >= 1 && attackers <= AT_ONCE_MOST)
			attack(first, attackers, atoi(arguments[5]), atol(arguments[6]), count == 9 ? arguments[8] : "");
		printf("%.0f\n", cpu() - used);
		fflush(stdout);
	} else if ((count == 5 || count == 6) && strcmp(arguments[1], "flood") == 0) {
		long at_once = count == 6 ? atol(arguments[5]) : 1;
		for (long i = atol(arguments[4]); i > 0 && at_once >= 1 && at_once <= AT_ONCE_MOST; i -= at_once)
			all_until_closed(ntohl(inet_addr(arguments[2])), atoi(arguments[3]), at_once);
	} else if (count == 6 && strcmp(arguments[1], "spread") == 0) {
		uint32_t addresses = (uint32_t)atol(arguments[3]);
		uint32_t first = 0x7f010001;
		for (uint32_t i = 0; i < addresses * (uint32_t)atol(arguments[2]); i++)
			connected(first + i % addresses, atoi(arguments[4]));
		for (uint32_t i = 0; i < addresses; i++)
			until_closed(first + i, atoi(arguments[4]));
		puts("ready");
		fflush(stdout);
		getchar();
		double began = now();
		for (long i = 0; i < atol(arguments[5]); i++)
			until_closed(first + (uint32_t)i % addresses, atoi(arguments[4]));
		printf("%.0f\n", now() - began);
		fflush(stdout);
	} else if (count == 5 && strcmp(arguments[1], "hold") == 0) {
		for (uint32_t i = 0; i < (uint32_t)atol(arguments[3]); i++)
			connected(0x7f010001 + (uint32_t)atol(arguments[2]) + i, atoi(arguments[4]));
		puts("held");
		fflush(stdout);
		pause();
	} else if ((count == 5 || count == 6) && strcmp(arguments[1], "ask") == 0) {
		if (count == 6)
			server.sin_addr.s_addr = inet_addr(arguments[5]);
		ask(ntohl(inet_addr(arguments[2])), atoi(arguments[3]), atol(arguments[4]));
	} else {
		return 2;
	}
	return 0;
}
