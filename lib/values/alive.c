#include "values/alive.h"

#include "values/text.h"

#include <string.h>
#include <time.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434 /* the same on every architecture */
#endif

enum {
	STAT_BYTES = 512, /* enough for the fields up to the start time (proc_pid_stat(5)), with the longest name */
	A_SECOND = 100,	  /* USER_HZ, the unit of times in /proc: the same on all of our architectures */
	SLACK = 3,	  /* ticks by which one of the clocks may be behind the other */
	STATE = 3,
	FLAGS = 9,
	THREADS = 20,
	BEGAN = 22,    /* fields, counted from 1 */
	EXITING = 0x4, /* PF_EXITING in the kernel's sched.h: it is closing, or has closed, its descriptors */
};

/* Finds the n-th field of a process's line in /proc, and reads the number in it, 0 if it is none. NULL if there is no such
 * field. */
static const char *field(const char *line, size_t length, int n, uint64_t *number)
{
	const char *end = line + length;
	const char *at = memrchr(line, ')', length); /* after the name, which may contain anything */
	int reached = STATE - 1;

	*number = 0;
	for (; at != NULL && at < end && reached < n; at++)
		reached += *at == ' ' ? 1 : 0;
	if (at == NULL || reached < n || at >= end)
		return NULL;
	for (const char *digit = at; digit < end && *digit >= '0' && *digit <= '9'; digit++)
		*number = *number * 10 + (uint64_t)(*digit - '0');
	return at;
}

int process_open(uint32_t pid, const char *file)
{
	char name[32];
	struct text path = text_begin(name, sizeof(name));

	text_add(&path, "/proc/");
	text_add_number(&path, pid);
	text_add(&path, file);
	return door_open(name, O_RDONLY | O_CLOEXEC);
}

static uint32_t age_of(uint64_t began)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	uint64_t ticks = (uint64_t)now.tv_sec * A_SECOND + (uint64_t)now.tv_nsec / (1000000000 / A_SECOND);
	uint64_t age = ticks > began ? ticks - began : 0;
	return age < UINT32_MAX ? (uint32_t)age : UINT32_MAX;
}

/* Reads from /proc when the process started and whether it lives. If a leader exits before its threads, it is a zombie and its
 * process still lives. False if /proc does not say. */
static __attribute__((noinline)) bool read_stat(struct process_seen *seen)
{
	char line[STAT_BYTES];
	uint64_t threads;
	uint64_t flags;
	uint64_t began;
	uint64_t none;

	int descriptor = process_open(seen->pid, "/stat");
	if (descriptor < 0)
		return false;
	ssize_t length = door_read(descriptor, line, sizeof(line));
	door_close(descriptor);
	const char *state = length > 0 ? field(line, (size_t)length, STATE, &none) : NULL;
	if (state == NULL || field(line, (size_t)length, FLAGS, &flags) == NULL ||
	    field(line, (size_t)length, THREADS, &threads) == NULL || field(line, (size_t)length, BEGAN, &began) == NULL)
		return false;
	seen->lives = *state != 'X' && ((*state != 'Z' && (flags & EXITING) == 0) || threads > 1);
	seen->age = age_of(began);
	return true;
}

/* The pidfd is opened first and polled last: if the process has not ended by then, its pid was not reused in between. */
static void look(struct process_seen *seen)
{
	int pidfd = door_may_close() ? (int)door(SYS_pidfd_open, seen->pid, 0, 0, 0, 0, 0) : -1;

	*seen = (struct process_seen){.pid = seen->pid, .age = UINT32_MAX};
	if (pidfd < 0 && (errno == ESRCH || errno == EINVAL))
		return; /* there is none, or it is the id of a thread */
	bool read = read_stat(seen);
	if (pidfd < 0)
		return;
	struct pollfd ended = {.fd = pidfd, .events = POLLIN};
	int polled = door_poll(&ended, 1);
	door_close(pidfd);
	if (!read)
		seen->lives = polled == 0;
	else if (polled > 0)
		seen->lives = false;
}

bool process_holds_seen(struct process_seen *seen, uint32_t pid, uint32_t since)
{
	int kept = errno;
	struct timespec now;

	if (pid == 0 || pid > INT32_MAX)
		return false;
	if (seen->pid != pid) {
		*seen = (struct process_seen){.pid = pid, .age = UINT32_MAX, .lives = true};
		if (pid != process_self())
			look(seen);
	}
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	uint32_t held = (uint32_t)now.tv_sec * A_SECOND + (uint32_t)(now.tv_nsec / (1000000000 / A_SECOND)) - since;
	errno = kept;
	return seen->lives && (seen->age >= UINT32_MAX - SLACK || seen->age + SLACK >= held);
}

bool process_holds(uint32_t pid, uint32_t since)
{
	struct process_seen seen = {0};

	return process_holds_seen(&seen, pid, since);
}
