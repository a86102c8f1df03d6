/* A map from this process's descriptors to records, private to the process.
 *
 * accept makes an entry, with the token under which the connection was accepted (sole.h). The entry is removed when the
 * descriptor is closed. Other descriptors of the same connection (copies, or descriptors that were received) have no entry: by
 * then the record is doubtful, and closing such a descriptor releases nothing.
 *
 * The map grows by chunks as descriptors are used, up to any number (RLIMIT_NOFILE may be infinite), and never shrinks. An
 * entry's record is one word that is changed by one atomic instruction, so it is consistent at any moment: in a signal handler,
 * in another thread, and in the copy that fork makes. Its token is written first. All functions are thread-safe and
 * async-signal-safe. */
#ifndef CONNLIMIT_DESCRIPTORS_H
#define CONNLIMIT_DESCRIPTORS_H

#include "table/table.h"

enum { CHUNK_BITS = 12, CHUNK = 1 << CHUNK_BITS, CHUNKS = 1 << (30 - CHUNK_BITS) };
enum { CHUNKS_NEAR = 16 }; /* pointers to so many chunks lie in a page that a fork copies anyway (near.h) */

struct descriptor {
	_Atomic reference held;
	_Atomic uint64_t token;
};
typedef struct descriptor descriptor_chunk[CHUNK];

/* The first chunk is enough for most daemons. It always exists, and is found by one load. The first CHUNKS_NEAR places of
 * descriptor_chunks are not used. */
extern descriptor_chunk *_Atomic descriptor_near[CHUNKS_NEAR];
extern descriptor_chunk *_Atomic descriptor_chunks[CHUNKS];

/* Where the pointer to a chunk lies; `index` is below CHUNKS. */
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

/* The record of a descriptor; 0 if it has no entry. Two loads. */
static inline reference descriptor_held(int descriptor)
{
	if (__builtin_expect((unsigned)descriptor >= CHUNK, 0))
		return descriptor_held_above(descriptor);
	return atomic_load_explicit(&(*descriptor_chunk_of((unsigned)descriptor))[descriptor].held, memory_order_relaxed);
}

/* A mark in the map identifies a descriptor that we want to recognise later. It names no record: its slot is beyond any
 * table's. */
static inline bool descriptor_is_mark(reference held)
{
	return (uint32_t)held >= UINT32_MAX - 2;
}

/* Set in an entry while its descriptor is being closed. No slot is so high. */
#define DESCRIPTOR_CLOSING (UINT64_C(1) << 30)

/* Adds an entry for a connection that was just accepted, with its token. Without memory for the map no entry is made, and the
 * record becomes doubtful. */
void descriptor_enter(int descriptor, reference held, uint64_t token);

/* Call this when the kernel has just returned a new descriptor. An entry under its number belongs to a descriptor whose close
 * we did not see. */
void descriptor_stale_slowly(int descriptor);

static inline void descriptor_stale(int descriptor)
{
	if (__builtin_expect(descriptor_held(descriptor) != 0, 0))
		descriptor_stale_slowly(descriptor);
}

/* Sets a mark, and removes it; false if it is not there any more. */
void descriptor_mark(int descriptor, reference mark);
bool descriptor_unmark(int descriptor, reference mark);

/* Called before and after a call that closes the descriptor. The entry stays until it is decided what the close means, so that
 * a copy that is made meanwhile is still noticed. */
struct closing {
	struct descriptor *entry; /* NULL: nothing of ours */
	reference held;
	uint64_t token;
	uint32_t holder; /* of the record, when the close began */
};
void closing_begins(struct closing *closing, int descriptor);
void closing_ends(const struct closing *closing, bool closed);

/* Called before a call that may make another descriptor for the same connection. Returns true if copying_ends must be called
 * after it: another thread may close the descriptor meanwhile, and a third may accept a connection under its number. Then that
 * connection is the one that is copied. So tokens that were taken before the call has ended are no longer valid. */
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

/* Called before and after a call that closes a range. Records of descriptors in the range, including those accepted meanwhile,
 * become doubtful, so the kernel is asked about them. */
void range_closing_begins(unsigned first, unsigned last);
void range_closing_ends(unsigned first, unsigned last);

/* The connection that this process was made for; 0 if none. Written by children.c. */
extern reference descriptor_made_for;

/* Called before this process executes another program, which does not know of its connections: all are let go, those that other
 * threads accept meanwhile too. If the exec fails, sole_may_begin_again is called. */
void descriptors_let_go_begins(void);

/* Called for a connection that was accepted while descriptors were copied, a range was closed or all were let go. */
void descriptor_came_between(reference held);

/* It is not known any more whether this process has the connection open: from now on the kernel is asked. */
void descriptor_let_go(reference held);

/* Calls `visit` for each descriptor in [first, last] that has an entry. */
void descriptor_each(unsigned first, unsigned last, void (*visit)(int descriptor, reference held));

#endif
