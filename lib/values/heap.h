/* Sorting by heap: in place, without allocation, and without bad cases. Whatever another process writes meanwhile into what is
 * sorted in shared memory, the steps are counted by us. Async-signal-safe. For lib's own use. */
#ifndef CONNLIMIT_HEAP_H
#define CONNLIMIT_HEAP_H

#include <stdbool.h>
#include <stddef.h>

/* What is sorted, by its places 0..number-1. */
struct heap {
	bool (*before)(const void *items, size_t a, size_t b); /* whether what is in place a goes before what is in b */
	void (*swap)(void *items, size_t a, size_t b);
	void *items;
};

void heap_sort(const struct heap *heap, size_t number);

#endif
