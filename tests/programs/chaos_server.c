/* A server for chaos: its processes may be killed and stopped at any moment, and are replaced.
 *
 *     chaos_server PORT fork      accepts, and forks a child for each connection
 *     chaos_server PORT threads   three workers of four threads each accept on one listener; a worker that ends is replaced
 *
 * A connection is sent one byte, and held until its client closes. On SIGTERM everything ends, and it prints "crashed N": how
 * many processes ended in another way than by SIGKILL, SIGTERM or with status 0. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS = 3, THREADS = 4, HELD_MOST = 256 };

static int listener;
static volatile sig_atomic_t stopping;
static int crashed;

static void stop(int signal)
{
	(void)signal;
	stopping = 1;
}

static void note_end(pid_t pid, int status)
{
	bool meant =
	    WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGTERM : WEXITSTATUS(status) == 0;

	if (meant)
		return;
	crashed++;
	fprintf(stderr, "chaos_server: %d ended with %x\n", (int)pid, (unsigned)status);
}

/* Reads and throws away. False when the client is done. */
static bool still_there(int descriptor)
{
	char bytes[512];
	ssize_t length = recv(descriptor, bytes, sizeof(bytes), MSG_DONTWAIT);

	return length > 0 || (length < 0 && (errno == EAGAIN || errno == EINTR));
}

/* ---- a child for each connection ---- */

static void serve_one(int descriptor)
{
	struct pollfd ready = {.fd = descriptor, .events = POLLIN};

	signal(SIGTERM, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (send(descriptor, "+", 1, MSG_NOSIGNAL) == 1)
		do
			poll(&ready, 1, -1);
		while (still_there(descriptor));
	exit(0);
}

static void serve_by_forking(void)
{
	pid_t pid;
	int status;

	setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_usec = 100000}, sizeof(struct timeval));
	while (!stopping) {
		int descriptor = accept(listener, NULL, NULL);
		while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
			note_end(pid, status);
		if (descriptor < 0)
			continue;
		pid = fork();
		if (pid == 0) {
			close(listener);
			serve_one(descriptor);
		}
		close(descriptor);
	}
}

/* ---- threads ---- */

static void *serve(void *nothing)
{
	struct pollfd ready[HELD_MOST + 1];
	int number = 0;

	for (;;) {
		ready[0] = (struct pollfd){.fd = number < HELD_MOST ? listener : -1, .events = POLLIN};
		if (poll(ready, (nfds_t)number + 1, -1) <= 0)
			continue;
		for (int i = number; i > 0; i--)
			if (ready[i].revents != 0 && !still_there(ready[i].fd)) {
				close(ready[i].fd);
				ready[i] = ready[number--];
			}
		if ((ready[0].revents & POLLIN) == 0)
			continue;
		int descriptor = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
		if (descriptor < 0)
			continue;
		ready[++number] = (struct pollfd){.fd = descriptor, .events = POLLIN};
		send(descriptor, "+", 1, MSG_NOSIGNAL);
	}
	return nothing;
}

static void work(void)
{
	pthread_t thread;

	signal(SIGTERM, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 1; i < THREADS; i++)
		pthread_create(&thread, NULL, serve, NULL);
	serve(NULL);
}

static void serve_by_threads(void)
{
	pid_t worker[WORKERS] = {0};
	int status;

	fcntl(listener, F_SETFL, O_NONBLOCK);
	while (!stopping) {
		for (int i = 0; i < WORKERS; i++) {
			if (worker[i] != 0 && waitpid(worker[i], &status, WNOHANG) == 0)
				continue;
			if (worker[i] != 0)
				note_end(worker[i], status);
			worker[i] = fork();
			if (worker[i] == 0)
				work();
		}
		usleep(20000);
	}
	for (int i = 0; i < WORKERS; i++)
		kill(worker[i], SIGTERM);
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sigaction action = {.sa_handler = stop};
	int on = 1;
	int status;
	pid_t pid;

	if (argc != 3)
		return 2;
	address.sin_port = htons((in_port_t)atoi(argv[1]));
	listener = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(listener, 1024) != 0) {
		perror("chaos_server");
		return 1;
	}
	sigaction(SIGTERM, &action, NULL);
	setpgid(0, 0); /* so that it can end all of its children, and nobody else */
	if (strcmp(argv[2], "fork") == 0)
		serve_by_forking();
	else
		serve_by_threads();
	close(listener);
	signal(SIGTERM, SIG_IGN);
	kill(0, SIGTERM);
	while ((pid = wait(&status)) > 0)
		note_end(pid, status);
	printf("crashed %d\n", crashed);
	return crashed != 0;
}
