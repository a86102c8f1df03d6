/* Which of this process's descriptors holds which record: a map from descriptor to record, private to the process.
 *
 * An entry is entered by accept, with the token under which it was accepted (sole.h), and leaves with the descriptor. What else
 * leads to the connection (a copy, what was received, what a child inherited and then got anew) has none: the record is
 * doubtful by then, and closing it decides nothing.
 *
 * Grows by chunks as descriptors are used, up to any number (RLIMIT_NOFILE may be infinite), and never shrinks. An entry's
 * record is one word, changed by one atomic instruction, so that it is whole at any moment: in a signal handler, in another
 * thread, and in the copy that fork makes; its token is written before. All functions are thread-safe and async-signal-safe. */
#ifndef CONNLIMIT_DESCRIPTORS_H
#define CONNLIMIT_DESCRIPTORS_H

#include "table/table.h"

enum { CHUNK_BITS = 12, CHUNK = 1 << CHUNK_BITS, CHUNKS = 1 << (30 - CHUNK_BITS) };
enum { CHUNKS_NEAR = 16 }; /* as many chunks are found in the page of what a fork copies anyway (near.h) */

struct descriptor {
	_Atomic reference held;
	_Atomic uint64_t token;
};
typedef struct descriptor descriptor_chunk[CHUNK];

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
	return atomic_load_explicit(&(*descriptor_chunk_of((unsigned)descriptor))[descriptor].held, memory_order_relaxed);
}

/* A mark stands in the map for a descriptor that we want to know again, and names no record: its slot is beyond any table's. */
static inline bool descriptor_is_mark(reference held)
{
	return (uint32_t)held >= UINT32_MAX - 2;
}

/* Stands in an entry while its descriptor is being closed: no slot is so high. */
#define DESCRIPTOR_CLOSING (UINT64_C(1) << 30)

/* Enters what was just accepted under this number, and its token. Without memory for the map nothing is entered, and the record
 * is doubtful. */
void descriptor_enter(int descriptor, reference held, uint64_t token);

/* To be called when a number was just given to us: what stands there is of a descriptor that was closed behind our back. */
void descriptor_stale_slowly(int descriptor);

static inline void descriptor_stale(int descriptor)
{
	if (__builtin_expect(descriptor_held(descriptor) != 0, 0))
		descriptor_stale_slowly(descriptor);
}

/* Puts a mark, and takes it away: false if it is not there any more. */
void descriptor_mark(int descriptor, reference mark);
bool descriptor_unmark(int descriptor, reference mark);

/* Around a call that closes the descriptor. The entry stays until it is decided what the close means, so that a copy made
 * meanwhile is still noted. */
struct closing {
	struct descriptor *entry; /* NULL: nothing of ours */
	reference held;
	uint64_t token;
	uint32_t holder; /* of the record, when the close began */
};
void closing_begins(struct closing *closing, int descriptor);
void closing_ends(const struct closing *closing, bool closed);

/* Before a call by which another descriptor may come to lead to the same connection. True: where other threads are, one of them
 * may close the number meanwhile and another accept under it, and then it is that connection which is copied; so no token is
 * good that was taken before the call has ended, and copying_ends is to be called behind it. */
bool copying_begins_slowly(int descriptor);
void copying_ends_slowly(void);

static inline bool copying_begins(int descriptor)
{
	return __builtin_expect(descriptor_held(descriptor) != 0, 0) && copying_begins_slowly(descriptor);
}

static inline void copying_ends(bool began)
{
	if (__builtin_expect(began, 0))
		copying_ends_slowly();
}

/* Around a call that closes all in a range: what is there is left to the kernel, and so is what comes meanwhile. */
void range_closing_begins(unsigned first, unsigned last);
void range_closing_ends(unsigned first, unsigned last);

/* To be called for what was accepted while the descriptors were copied, or a range of them closed. */
void descriptor_came_between(reference held);

/* This process does not hold it any more, or may not, as far as we can know: the kernel is to decide. */
void descriptor_let_go(reference held);

/* Calls `visit` for each descriptor in [first, last] that has an entry. */
void descriptor_each(unsigned first, unsigned last, void (*visit)(int descriptor, reference held));

#endif
