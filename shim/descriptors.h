/* Which of this process's descriptors hold which record: a map from descriptor to reference, private to the process.
 *
 * Grows by chunks as descriptors are used, up to any number (RLIMIT_NOFILE may be infinite), and never shrinks. Each entry is
 * one word, changed by one atomic instruction, so that it is whole at any moment: in a signal handler, in another thread, and
 * in the copy that fork makes. All functions are thread-safe and async-signal-safe. */
#ifndef CONNLIMIT_DESCRIPTORS_H
#define CONNLIMIT_DESCRIPTORS_H

#include "../lib/table.h"

enum { CHUNK_BITS = 12, CHUNK = 1 << CHUNK_BITS, CHUNKS = 1 << (30 - CHUNK_BITS) };

typedef _Atomic reference descriptor_chunk[CHUNK];

extern descriptor_chunk *_Atomic descriptor_chunks[CHUNKS];

/* What the descriptor holds; 0 if it is not ours. Two loads. */
static inline reference descriptor_held(int descriptor)
{
	if (__builtin_expect((unsigned)descriptor >= (unsigned)CHUNKS << CHUNK_BITS, 0))
		return 0;
	descriptor_chunk *chunk =
	    atomic_load_explicit(&descriptor_chunks[(unsigned)descriptor >> CHUNK_BITS], memory_order_acquire);
	if (chunk == NULL)
		return 0;
	return atomic_load_explicit(&(*chunk)[(unsigned)descriptor % CHUNK], memory_order_relaxed);
}

/* A mark stands in the map for a descriptor that we want to know again, and names no record: its slot is beyond any table's. */
static inline bool descriptor_is_mark(reference held)
{
	return (uint32_t)held >= UINT32_MAX - 2;
}

/* Takes what the descriptor holds out of the map; the caller then drops it or puts it back. */
reference descriptor_take(int descriptor);

/* Enters what the descriptor now holds. If something was there, the descriptor was closed behind our back, and that is dropped.
 * When there is no memory for the map, the reference is dropped: the connection goes on uncounted. */
void descriptor_put(int descriptor, reference held);

/* Calls `visit` for each descriptor in [first, last] that holds something. */
void descriptor_each(unsigned first, unsigned last, void (*visit)(int descriptor, reference held));

/* How many descriptors hold something, counted up to `most`. */
unsigned descriptor_number(unsigned most);

/* Forgets everything, dropping nothing. */
void descriptor_forget(void);

/* Between these two the map is watched: descriptor_disturbed tells whether it changed, so that a fork can tell whether the
 * child's copy is what the parent shared out. */
void descriptor_watch(void);
bool descriptor_disturbed(void);
void descriptor_unwatch(void);

#endif
