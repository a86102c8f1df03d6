#include "process/descriptors.h"

#include "calls/fork.h"
#include "process/limiter.h"
#include "process/near.h"
#include "process/snapshots.h"

#include "values/confined.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* Nothing is ever written to the first: it is what a process without tracked descriptors has. */
static _Alignas(64) descriptor_chunk empty;
static _Alignas(64) descriptor_chunk first_chunk;

NEAREST descriptor_chunk *_Atomic descriptor_near[CHUNKS_NEAR] = {&empty};
NEAR static _Atomic bool first_taken; /* first_chunk is in use, or was before a fork */

descriptor_chunk *_Atomic descriptor_chunks[CHUNKS];

/* Descriptors from this one on never held anything: bounds the walks. */
NEAREST static _Atomic unsigned beyond;

/* Begins a line, for all of this file that every accept looks at. */
NEAREST static _Alignas(64) _Atomic int watched;
NEAR static _Atomic bool disturbed;

static void note_change(void)
{
	if (__builtin_expect(atomic_load_explicit(&watched, memory_order_relaxed) != 0, 0))
		atomic_store(&disturbed, true);
}

/* The chunk, to enter something: it is made if it is not there. NULL without memory. */
static COLD descriptor_chunk *make_chunk(unsigned index)
{
	descriptor_chunk *_Atomic *place = descriptor_place_of(index);
	descriptor_chunk *before = index == 0 ? &empty : NULL;
	bool ours = index == 0 && !atomic_exchange(&first_taken, true);
	if (!ours && !may_call(SYS_mmap, 0, sizeof(descriptor_chunk), PROT_READ | PROT_WRITE))
		return NULL;
	int kept = errno;
	void *made = ours ? (void *)&first_chunk
			  : mmap(NULL, sizeof(descriptor_chunk), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	errno = kept;
	if (made == MAP_FAILED)
		return NULL;
	if (atomic_compare_exchange_strong(place, &before, made))
		return made;
	if (!ours)
		munmap(made, sizeof(descriptor_chunk));
	return before;
}

static COLD void reach(unsigned descriptor)
{
	unsigned seen = atomic_load(&beyond);

	while (seen <= descriptor && !atomic_compare_exchange_weak(&beyond, &seen, descriptor + 1))
		;
}

reference descriptor_held_above(int descriptor)
{
	descriptor_chunk *chunk = descriptor_chunk_of((unsigned)descriptor);

	return chunk == NULL ? 0 : atomic_load_explicit(&(*chunk)[(unsigned)descriptor % CHUNK], memory_order_relaxed);
}

HOT reference descriptor_take(int descriptor)
{
	if (descriptor_held(descriptor) == 0)
		return 0;
	fork_look();
	note_change();
	return atomic_exchange(&(*descriptor_chunk_of((unsigned)descriptor))[(unsigned)descriptor % CHUNK], 0);
}

static COLD void put_nowhere(reference held)
{
	table_drop(limiter_table(), held);
	atomic_fetch_add(&limiter_table()->header->uncounted, 1);
}

HOT void descriptor_put(int descriptor, reference held)
{
	unsigned number = (unsigned)descriptor;

	if (held == 0)
		return;
	note_change();
	descriptor_chunk *chunk = descriptor_chunk_of(number);
	if (__builtin_expect(chunk == NULL || chunk == &empty, 0)) {
		chunk = number < (unsigned)CHUNKS << CHUNK_BITS ? make_chunk(number >> CHUNK_BITS) : NULL;
		if (chunk == NULL) {
			put_nowhere(held);
			return;
		}
	}
	/* Before it can be found to hold something. */
	if (__builtin_expect(number >= atomic_load_explicit(&beyond, memory_order_relaxed), 0))
		reach(number);
	/* Nobody else enters something for a number that the kernel just gave to us, so an empty place needs no exchange. */
	_Atomic reference *place = &(*chunk)[number % CHUNK];
	if (__builtin_expect(atomic_load_explicit(place, memory_order_relaxed) == 0, 1)) {
		atomic_store_explicit(place, held, memory_order_release);
		return;
	}
	reference stale = atomic_exchange(place, held);
	if (stale != 0)
		snapshot_let_go(stale);
}

/* The next descriptor from `from` on that holds something, below `end`; `end` if there is none. */
static unsigned next_held(unsigned from, unsigned end, reference *held)
{
	while (from < end) {
		descriptor_chunk *chunk = descriptor_chunk_of(from);
		unsigned chunk_end = (from | (CHUNK - 1)) + 1 < end ? (from | (CHUNK - 1)) + 1 : end;

		for (; chunk != NULL && from < chunk_end; from++) {
			*held = atomic_load_explicit(&(*chunk)[from % CHUNK], memory_order_relaxed);
			if (*held != 0)
				return from;
		}
		from = chunk_end;
	}
	return end;
}

void descriptor_each(unsigned first, unsigned last, void (*visit)(int descriptor, reference held))
{
	reference held;

	fork_look();
	unsigned end = atomic_load(&beyond);
	if (last < end)
		end = last + 1;
	for (unsigned i = next_held(first, end, &held); i < end; i = next_held(i + 1, end, &held))
		visit((int)i, held);
}

unsigned descriptor_number(unsigned most)
{
	unsigned end = atomic_load(&beyond);
	unsigned number = 0;
	reference held;

	for (unsigned i = next_held(0, end, &held); i < end && number < most; i = next_held(i + 1, end, &held))
		number++;
	return number;
}

/* In a child, for whom each page written is a page copied. So chunks are not emptied but given up, and not even unmapped. */
HOT void descriptor_forget(void)
{
	unsigned chunks = (atomic_load(&beyond) + CHUNK - 1) >> CHUNK_BITS;

	for (unsigned c = 1; c < chunks; c++)
		if (atomic_load_explicit(descriptor_place_of(c), memory_order_relaxed) != NULL)
			atomic_store_explicit(descriptor_place_of(c), NULL, memory_order_relaxed);
	atomic_store(&descriptor_near[0], &empty);
	atomic_store(&beyond, 0);
}

HOT void descriptor_watch(void)
{
	atomic_store(&disturbed, false);
	atomic_fetch_add(&watched, 1);
}

HOT bool descriptor_disturbed(void)
{
	return atomic_load(&disturbed);
}

HOT void descriptor_unwatch(void)
{
	atomic_fetch_sub(&watched, 1);
}
