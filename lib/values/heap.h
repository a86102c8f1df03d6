/* Heapsort: in place, without allocation, and without a bad worst case. If another process writes to what is sorted in shared
 * memory, the number of steps is still bounded. Async-signal-safe. For lib's own use. */
#ifndef CONNLIMIT_HEAP_H
#define CONNLIMIT_HEAP_H

#include <stdbool.h>
#include <stddef.h>

/* What is sorted, by places 0..number-1. */
struct heap {
	bool (*before)(const void *items, size_t a, size_t b); /* whether what is in place a goes before what is in place b */
	void (*swap)(void *items, size_t a, size_t b);
	void *items;
};

void heap_sort(const struct heap *heap, size_t number);

#endif
