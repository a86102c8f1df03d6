/* Interposed calls that do not concern us, timed: calls. Prints "name nanoseconds" a line, each the least of many rounds; a
 * call fails at once in the kernel (EBADF) where it can, so that what is in front of it shows. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { CALLS = 5000, ROUNDS = 400, NOBODY = 900 };

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static struct msghdr message;

static void close_untracked(void)
{
	close(NOBODY);
}

static void send_message(void)
{
	sendmsg(NOBODY, &message, 0);
}

static void receive_message(void)
{
	recvmsg(NOBODY, &message, 0);
}

static void read_nothing(void)
{
	char byte;

	(void)!read(NOBODY, &byte, 1);
}

static void get_flags(void)
{
	fcntl(NOBODY, F_GETFL);
}

static void duplicate(void)
{
	dup(NOBODY);
}

static void duplicate_to(void)
{
	dup2(NOBODY, NOBODY + 1);
}

static void raw(void)
{
	syscall(SYS_getppid);
}

static void ask_disposition(void)
{
	struct sigaction old;

	sigaction(SIGUSR1, NULL, &old);
}

static void bare(void)
{
	getppid();
}

static const struct {
	const char *name;
	void (*call)(void);
} calls[] = {
    {"close", close_untracked},	    {"sendmsg", send_message}, {"recvmsg", receive_message}, {"read", read_nothing},
    {"fcntl", get_flags},	    {"dup", duplicate},	       {"dup2", duplicate_to},	     {"syscall", raw},
    {"sigaction", ask_disposition}, {"getppid", bare},
};

enum { NUMBER = sizeof(calls) / sizeof(calls[0]) };

int main(void)
{
	double least[NUMBER];

	/* A daemon: the table is open. */
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	listen(listener, 1);
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < NUMBER; i++) {
			double began = now();
			for (int call = 0; call < CALLS; call++)
				calls[i].call();
			double each = (now() - began) / CALLS;
			if (round == 0 || each < least[i])
				least[i] = each;
		}
	}
	for (int i = 0; i < NUMBER; i++)
		printf("%s %.2f\n", calls[i].name, least[i]);
	return 0;
}
