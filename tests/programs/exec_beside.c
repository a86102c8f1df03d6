/* Executes itself again and again while its threads accept: exec_beside PORT TIMES. Its descriptors are closed by exec; another
 * process has the table meanwhile. Says "ready" after the last time, and then holds no connection. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

static int listener;
static struct sockaddr_in address = {.sin_family = AF_INET};

static void *accept_all(void *nothing)
{
	for (;;)
		accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	return nothing;
}

static void *connect_and_reset(void *nothing)
{
	struct linger reset = {.l_onoff = 1};

	for (;;) {
		int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		if (connect(client, (struct sockaddr *)&address, sizeof(address)) != 0)
			usleep(100);
		close(client);
	}
	return nothing;
}

static int listen_anew(const char *port)
{
	int one = 1;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	address.sin_port = htons((uint16_t)atoi(port));
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	return bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(listener, 128) == 0;
}

int main(int number, char **words)
{
	pthread_t thread;
	char left[16];

	if (number < 3 || !listen_anew(words[1]))
		return 2;
	int times = atoi(words[2]);
	if (times == 0) {
		puts("ready");
		fflush(stdout);
		pause();
	}
	if (number == 3 && fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(listener);
		pause();
		_exit(0);
	}
	for (int i = 0; i < 5; i++)
		if (pthread_create(&thread, NULL, i < 3 ? accept_all : connect_and_reset, NULL) != 0)
			return 1;
	usleep(20000);
	snprintf(left, sizeof(left), "%d", times - 1);
	execl("/proc/self/exe", words[0], words[1], left, "again", (char *)NULL);
	return 1;
}
