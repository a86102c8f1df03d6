/* Which of this process's descriptors hold which record: a map from descriptor to reference, private to the process.
 *
 * Grows by chunks as descriptors are used, up to any number (RLIMIT_NOFILE may be infinite), and never shrinks. Each entry is
 * one word, changed by one atomic instruction, so that it is whole at any moment: in a signal handler, in another thread, and
 * in the copy that fork makes. All functions are thread-safe and async-signal-safe. */
#ifndef CONNLIMIT_DESCRIPTORS_H
#define CONNLIMIT_DESCRIPTORS_H

#include "table/table.h"

enum { CHUNK_BITS = 12, CHUNK = 1 << CHUNK_BITS, CHUNKS = 1 << (30 - CHUNK_BITS) };
enum { CHUNKS_NEAR = 16 }; /* as many chunks are found in the page of what a fork copies anyway (near.h) */

typedef _Atomic reference descriptor_chunk[CHUNK];

/* The first chunk, which most daemons stay in, is always there, and found by one load. The first CHUNKS_NEAR of the last are
 * not used. */
extern descriptor_chunk *_Atomic descriptor_near[CHUNKS_NEAR];
extern descriptor_chunk *_Atomic descriptor_chunks[CHUNKS];

/* Where the chunk of so high an index is found, below CHUNKS. */
static inline descriptor_chunk *_Atomic *descriptor_place_of(unsigned index)
{
	return index < CHUNKS_NEAR ? &descriptor_near[index] : &descriptor_chunks[index];
}

static inline descriptor_chunk *descriptor_chunk_of(unsigned descriptor)
{
	if (__builtin_expect(descriptor < CHUNK, 1))
		return atomic_load_explicit(&descriptor_near[0], memory_order_acquire);
	if (descriptor >= (unsigned)CHUNKS << CHUNK_BITS)
		return NULL;
	return atomic_load_explicit(descriptor_place_of(descriptor >> CHUNK_BITS), memory_order_acquire);
}

reference descriptor_held_above(int descriptor);

/* What the descriptor holds; 0 if it is not ours. Two loads. */
static inline reference descriptor_held(int descriptor)
{
	if (__builtin_expect((unsigned)descriptor >= CHUNK, 0))
		return descriptor_held_above(descriptor);
	return atomic_load_explicit(&(*descriptor_chunk_of((unsigned)descriptor))[descriptor], memory_order_relaxed);
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
