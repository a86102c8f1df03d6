/* What a preload costs at start: start PRELOAD ("" for none). Prints the median of microseconds for spawning /bin/true and
 * waiting for it. */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STARTS = 301 };

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return x < y ? -1 : x > y;
}

int main(int count, char **arguments)
{
	char variable[4096];
	char limit[] = "CONNLIMIT_PER_IP=10";
	char *environment[] = {limit, NULL, NULL};
	char name[] = "true";
	char *command[] = {name, NULL};
	double took[STARTS];

	if (count > 1 && arguments[1][0] != 0) {
		snprintf(variable, sizeof(variable), "LD_PRELOAD=%s", arguments[1]);
		environment[1] = variable;
	}
	for (int i = 0; i < STARTS; i++) {
		pid_t child;
		double began = now();
		if (posix_spawn(&child, "/bin/true", NULL, NULL, command, environment) != 0)
			return 1;
		waitpid(child, NULL, 0);
		took[i] = now() - began;
	}
	qsort(took, STARTS, sizeof(took[0]), by_size);
	printf("%.1f\n", took[STARTS / 2]);
	return 0;
}
