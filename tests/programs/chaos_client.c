/* Clients for chaos: chaos_client PORT ADDRESSES LIMIT SECONDS SEED [REQUEST]
 *
 * Four threads open and close connections from the addresses 127.0.0.1 and up, always trying for more than LIMIT, while the
 * server's processes are killed and stopped: a connection may be served (a byte comes), refused, or get no answer. After each
 * that is served: no more than LIMIT of this address may be alive. Then, told by lines on standard input:
 *
 *     (at the end of the load)  says "held", and holds what it has
 *     close                     closes all; says "closed"
 *     check                     every address must be able to open LIMIT connections, each at the first attempt, and not one
 *                               more; says "checked", and ends
 *
 * Fails if an address was over its limit, or the check found one that could not open its limit or opened more. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 4, ADDRESSES_MOST = 240, HELD_MOST = 32, IMPATIENT_MS = 250, PATIENT_MS = 20000 };

static in_port_t port;
static unsigned addresses;
static int limit;
static time_t end;
static const char *request = "";
static int held[ADDRESSES_MOST][HELD_MOST];
static int number[ADDRESSES_MOST];
static _Atomic long served;
static _Atomic long refused;
static _Atomic long silent;
static _Atomic long over;

enum outcome { SERVED, REFUSED, SILENT };

static bool comes(int s, short what, int ms)
{
	struct pollfd ready = {.fd = s, .events = what};

	return poll(&ready, 1, ms) == 1;
}

static enum outcome attempt(unsigned who, int ms, int *opened)
{
	struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + who)};
	struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	char bytes[4096];
	int on = 1;
	int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	setsockopt(s, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (s < 0 || bind(s, (struct sockaddr *)&own, sizeof(own)) != 0) {
		perror("chaos_client");
		exit(2);
	}
	if (connect(s, (struct sockaddr *)&server, sizeof(server)) != 0 && errno == EINPROGRESS)
		comes(s, POLLOUT, ms);
	if (request[0] != '\0')
		send(s, request, strlen(request), MSG_NOSIGNAL);
	if (!comes(s, POLLIN, ms)) {
		close(s);
		return SILENT;
	}
	if (recv(s, bytes, sizeof(bytes), 0) > 0) {
		*opened = s;
		return SERVED;
	}
	close(s);
	return REFUSED;
}

static bool alive(int s)
{
	char byte;

	return recv(s, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0 && errno != ECONNRESET;
}

/* Forgets those that the server's deaths have closed. */
static void forget_dead(unsigned who)
{
	for (int i = number[who] - 1; i >= 0; i--) {
		errno = 0;
		if (alive(held[who][i]))
			continue;
		close(held[who][i]);
		held[who][i] = held[who][--number[who]];
	}
}

static void let_go(unsigned who, int i, bool by_reset)
{
	struct linger at_once = {.l_onoff = 1};

	if (by_reset)
		setsockopt(held[who][i], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(held[who][i]);
	held[who][i] = held[who][--number[who]];
}

static void open_one(unsigned who)
{
	int s;

	switch (attempt(who, IMPATIENT_MS, &s)) {
	case REFUSED: refused++; return;
	case SILENT: silent++; return;
	default: served++; break;
	}
	held[who][number[who]++] = s;
	forget_dead(who);
	/* What the kernel tells of an end may come after the byte of the one that took its place: look again. */
	for (int i = 0; i < 20 && number[who] > limit; i++) {
		usleep(50000);
		forget_dead(who);
	}
	if (number[who] > limit) {
		over++;
		fprintf(stderr, "chaos_client: 127.0.0.%u has %d\n", who + 1, number[who]);
	}
}

static void *load(void *with)
{
	unsigned seed = *(unsigned *)with;
	unsigned share = seed % THREADS;

	while (time(NULL) < end) {
		unsigned who = (unsigned)rand_r(&seed) % addresses / THREADS * THREADS + share;
		unsigned dice = (unsigned)rand_r(&seed) % 8;
		if (who >= addresses)
			continue;
		if (dice < 5 && number[who] < HELD_MOST - 1)
			open_one(who);
		else if (number[who] > 0)
			let_go(who, (int)((unsigned)rand_r(&seed) % (unsigned)number[who]), dice == 7);
	}
	for (unsigned who = share; who < addresses; who += THREADS)
		forget_dead(who);
	return NULL;
}

static long check(void)
{
	long wrong = 0;

	for (unsigned who = 0; who < addresses; who++) {
		int s;
		enum outcome outcome;
		for (int i = 0; i < limit; i++) {
			outcome = attempt(who, PATIENT_MS, &s);
			if (outcome == SERVED) {
				held[who][number[who]++] = s;
				continue;
			}
			wrong++;
			fprintf(stderr, "chaos_client: 127.0.0.%u: %s with %d open\n", who + 1,
				outcome == REFUSED ? "refused" : "no answer", i);
		}
		outcome = attempt(who, PATIENT_MS, &s);
		if (outcome == SERVED)
			close(s);
		if (outcome != REFUSED) {
			wrong++;
			fprintf(stderr, "chaos_client: 127.0.0.%u: one over the limit was %s\n", who + 1,
				outcome == SERVED ? "served" : "not answered");
		}
	}
	return wrong;
}

static void close_all(void)
{
	for (unsigned who = 0; who < addresses; who++)
		while (number[who] > 0)
			let_go(who, 0, false);
}

static bool told(const char *word)
{
	char line[64];

	return fgets(line, sizeof(line), stdin) != NULL && strncmp(line, word, strlen(word)) == 0;
}

int main(int argc, char **argv)
{
	pthread_t thread[THREADS];
	unsigned seed[THREADS];
	long wrong = 0;

	if (argc < 6)
		return 2;
	port = htons((in_port_t)atoi(argv[1]));
	addresses = (unsigned)atoi(argv[2]) < ADDRESSES_MOST ? (unsigned)atoi(argv[2]) : ADDRESSES_MOST;
	limit = atoi(argv[3]);
	end = time(NULL) + atoi(argv[4]);
	if (argc > 6)
		request = argv[6];
	for (unsigned i = 0; i < THREADS; i++) {
		seed[i] = (unsigned)strtoul(argv[5], NULL, 10) * THREADS + i;
		pthread_create(&thread[i], NULL, load, &seed[i]);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	printf("held: served %ld, refused %ld, no answer %ld, over %ld\n", (long)served, (long)refused, (long)silent,
	       (long)over);
	fflush(stdout);
	if (told("close")) {
		close_all();
		printf("closed\n");
		fflush(stdout);
	}
	if (told("check")) {
		wrong = check();
		close_all();
		printf("checked: wrong %ld\n", wrong);
		fflush(stdout);
	}
	return over != 0 || wrong != 0;
}
