/* A table under load by threads of several processes at once. */
#ifndef CONNLIMIT_TESTS_HAMMER_H
#define CONNLIMIT_TESTS_HAMMER_H

#include "table/table.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HAMMERS_MOST = 4, HAMMER_THREADS = 3 };

/* Runs `hammer` in three threads of each of so many processes; it gets its seed, an unsigned. Meanwhile `meanwhile` is called
 * here, if it is not NULL. Returns when all have ended well. For tests with cmocka. */
static inline void hammer_in_processes_and_threads(struct table *table, int processes, void *(*hammer)(void *seed),
						   void (*meanwhile)(void))
{
	pid_t child[HAMMERS_MOST];

	assert_true(processes <= HAMMERS_MOST);
	for (int p = 0; p < processes; p++) {
		child[p] = fork();
		if (child[p] != 0)
			continue;
		pthread_t thread[HAMMER_THREADS];
		unsigned seed[HAMMER_THREADS];
		table->pid = (uint32_t)getpid();
		for (int t = 0; t < HAMMER_THREADS; t++) {
			seed[t] = (unsigned)(p * 100 + t);
			pthread_create(&thread[t], NULL, hammer, &seed[t]);
		}
		for (int t = 0; t < HAMMER_THREADS; t++)
			pthread_join(thread[t], NULL);
		_exit(0);
	}
	if (meanwhile != NULL)
		meanwhile();
	for (int p = 0; p < processes; p++) {
		int status;
		assert_int_equal(waitpid(child[p], &status, 0), child[p]);
		assert_int_equal(status, 0);
	}
}

#endif
