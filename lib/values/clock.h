/* The table's time: the same clock in every process, not changed by settimeofday or network time. */
#ifndef CONNLIMIT_CLOCK_H
#define CONNLIMIT_CLOCK_H

#include "values/door.h"

#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>

/* Milliseconds of CLOCK_MONOTONIC, at the resolution of a kernel tick (1..10 ms); a few nanoseconds to read. Async-signal-safe.
 */
static inline uint64_t clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The same in hundredths of a second, the unit in which the kernel gives a process's start time. Wraps after 497 days. */
static inline uint32_t clock_since(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint32_t)now.tv_sec * 100 + (uint32_t)(now.tv_nsec / 10000000);
}

/* Microseconds of the same clock, exactly. Async-signal-safe. */
static inline uint64_t clock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Seconds since 1970, by the clock that shmctl(2) goes by. Unlike time(3) it is not chosen by a function when we are loaded. */
static inline time_t clock_wall(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return now.tv_sec;
}

/* Microseconds of CPU that this thread has used, without the time that it waited for a CPU. A system call. Async-signal-safe.
 */
static inline uint64_t clock_cpu_us(void)
{
	struct timespec used;

	if (door(SYS_clock_gettime, CLOCK_THREAD_CPUTIME_ID, (long)&used, 0, 0, 0, 0) != 0)
		return clock_us();
	return (uint64_t)used.tv_sec * 1000000 + (uint64_t)used.tv_nsec / 1000;
}

#endif
