/* Opens and closes connections at random from many addresses: stress_client PORT ADDRESSES MOST SECONDS SEED
 *
 * Four threads, each with its share of the addresses 127.0.0.1 and up, hold up to MOST connections for each address. At the end
 * all are closed. Prints "served N, refused M"; fails if a connection was neither (no answer in twenty seconds, or an error
 * that is no refusal). */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 4, ADDRESSES_MOST = 250, HELD_MOST = 64 };

static in_port_t port;
static int addresses;
static int most;
static time_t end;
static _Atomic long served;
static _Atomic long refused;
static _Atomic long neither;

static int open_from(unsigned who)
{
	struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + who)};
	struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval wait = {.tv_sec = 20};
	int on = 1;
	char byte;
	int s = socket(AF_INET, SOCK_STREAM, 0);

	setsockopt(s, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (s < 0 || bind(s, (struct sockaddr *)&own, sizeof(own)) != 0) {
		perror("stress_client");
		exit(1);
	}
	if (connect(s, (struct sockaddr *)&server, sizeof(server)) == 0) {
		ssize_t got = recv(s, &byte, 1, 0);
		if (got == 1) {
			served++;
			return s;
		}
		if (got == 0 || errno == ECONNRESET)
			refused++;
		else
			neither++;
	} else if (errno == ECONNRESET) {
		refused++;
	} else {
		neither++;
	}
	close(s);
	return -1;
}

static void *run(void *with)
{
	static int held[ADDRESSES_MOST][HELD_MOST];
	static int number[ADDRESSES_MOST];
	unsigned seed = *(unsigned *)with;
	unsigned share = seed % THREADS;

	while (time(NULL) < end) {
		unsigned who = (unsigned)rand_r(&seed) % (unsigned)addresses;
		who -= who % THREADS;
		who += share;
		if (who >= (unsigned)addresses)
			continue;
		if (number[who] < most && rand_r(&seed) % 5 < 3) {
			int s = open_from(who);
			if (s >= 0)
				held[who][number[who]++] = s;
		} else if (number[who] > 0) {
			/* In order, not by a reset: a connection that was reset is gone for the kernel at once, and may be
			 * replaced while the server, which counts descriptors, has not looked yet. */
			close(held[who][--number[who]]);
		}
	}
	for (unsigned who = share; who < (unsigned)addresses; who += THREADS)
		while (number[who] > 0)
			close(held[who][--number[who]]);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread[THREADS];
	unsigned seed[THREADS];

	if (argc != 6)
		return 2;
	port = htons((uint16_t)atoi(argv[1]));
	addresses = atoi(argv[2]) < ADDRESSES_MOST ? atoi(argv[2]) : ADDRESSES_MOST;
	most = atoi(argv[3]) < HELD_MOST ? atoi(argv[3]) : HELD_MOST;
	end = time(NULL) + atoi(argv[4]);
	for (unsigned i = 0; i < THREADS; i++) {
		seed[i] = (unsigned)strtoul(argv[5], NULL, 10) * THREADS + i;
		pthread_create(&thread[i], NULL, run, &seed[i]);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	printf("served %ld, refused %ld\n", (long)served, (long)refused);
	if (neither != 0)
		fprintf(stderr, "stress_client: %ld connections were neither served nor refused\n", (long)neither);
	return neither != 0;
}
