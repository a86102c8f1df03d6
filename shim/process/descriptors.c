#include "process/descriptors.h"

#include "process/limiter.h"
#include "process/sole.h"

#include "values/door.h"
#include "values/near.h"
#include "values/point.h"

#include <errno.h>
#include <sys/single_threaded.h>

/* A chunk to which nothing is ever written, for a process without tracked descriptors. */
static _Alignas(64) descriptor_chunk empty;
static _Alignas(64) descriptor_chunk first_chunk;

NEAREST descriptor_chunk *_Atomic descriptor_near[CHUNKS_NEAR] = {&empty};
NEAR reference descriptor_made_for;
NEAR static _Atomic bool first_taken; /* first_chunk is in use, or was before a fork */

descriptor_chunk *_Atomic descriptor_chunks[CHUNKS];

/* first_chunk is in use, or was before a fork */
NEAREST static _Alignas(64) _Atomic unsigned beyond;

/* The chunk of an index, allocated if necessary. NULL without memory. */
static COLD descriptor_chunk *make_chunk(unsigned index)
{
	descriptor_chunk *_Atomic *place = descriptor_place_of(index);
	descriptor_chunk *before = index == 0 ? &empty : NULL;
	bool ours = index == 0 && !atomic_exchange(&first_taken, true);
	int kept = errno;
	void *made = ours ? (void *)&first_chunk
			  : door_mmap(NULL, sizeof(descriptor_chunk), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	errno = kept;
	if (made == MAP_FAILED)
		return NULL;
	if (atomic_compare_exchange_strong(place, &before, made))
		return made;
	if (!ours)
		door_munmap(made, sizeof(descriptor_chunk));
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

	return chunk == NULL ? 0 : atomic_load_explicit(&(*chunk)[(unsigned)descriptor % CHUNK].held, memory_order_relaxed);
}

/* The entry of a descriptor, allocated if necessary. NULL without memory. */
static inline struct descriptor *entry_of(int descriptor)
{
	unsigned number = (unsigned)descriptor;
	descriptor_chunk *chunk = descriptor_chunk_of(number);

	if (__builtin_expect(chunk == NULL || chunk == &empty, 0)) {
		chunk = number < (unsigned)CHUNKS << CHUNK_BITS ? make_chunk(number >> CHUNK_BITS) : NULL;
		if (chunk == NULL)
			return NULL;
	}
	/* This has to happen before the entry can be found to hold something. */
	if (__builtin_expect(number >= atomic_load_explicit(&beyond, memory_order_relaxed), 0))
		reach(number);
	return &(*chunk)[number % CHUNK];
}

/* If a parent accepted the connection and holds it, the parent decides. */
static void doubt_own(reference held, uint32_t holder)
{
	if (holder == limiter_table()->pid || holder == 0)
		table_doubt(limiter_table(), held);
}

void descriptor_let_go(reference held)
{
	held &= ~DESCRIPTOR_CLOSING;
	doubt_own(held, table_closing(limiter_table(), held));
}

/* `stale` was held under a number that is now another connection's. So it was closed without our knowledge, unless a close of
 * it is about to decide. */
static COLD void doubt_stale(reference stale)
{
	if (stale == 0 || descriptor_is_mark(stale) || (stale & DESCRIPTOR_CLOSING) != 0)
		return;
	point_reached(POINT_STALE_TAKEN);
	descriptor_let_go(stale);
}

HOT void descriptor_enter(int descriptor, reference held, uint64_t token)
{
	struct descriptor *entry = entry_of(descriptor);

	if (__builtin_expect(entry == NULL, 0)) {
		table_doubt(limiter_table(), held);
		return;
	}
	atomic_store_explicit(&entry->token, token, memory_order_relaxed);
	point_reached(POINT_ENTRY_TOKEN);
	/* If a thread has its own descriptor table, another thread may have entered a connection under the same number. */
	reference before = atomic_exchange(&entry->held, held);
	if (__builtin_expect(before != 0, 0))
		doubt_stale(before);
}

COLD void descriptor_stale_slowly(int descriptor)
{
	struct descriptor *entry = entry_of(descriptor);

	if (entry != NULL)
		doubt_stale(atomic_exchange(&entry->held, 0));
}

void descriptor_mark(int descriptor, reference mark)
{
	struct descriptor *entry = entry_of(descriptor);

	if (entry != NULL)
		doubt_stale(atomic_exchange(&entry->held, mark));
}

bool descriptor_unmark(int descriptor, reference mark)
{
	return descriptor_held(descriptor) == mark &&
	       atomic_compare_exchange_strong(&(*descriptor_chunk_of((unsigned)descriptor))[(unsigned)descriptor % CHUNK].held,
					      &mark, 0);
}

HOT void closing_begins(struct closing *closing, int descriptor)
{
	reference held = descriptor_held(descriptor);
	bool mark = descriptor_is_mark(held);

	closing->entry = NULL;
	if (held == 0 || (!mark && (held & DESCRIPTOR_CLOSING) != 0))
		return; /* or another thread is closing it already */
	struct descriptor *entry = &(*descriptor_chunk_of((unsigned)descriptor))[(unsigned)descriptor % CHUNK];
	closing->token = atomic_load_explicit(&entry->token, memory_order_relaxed);
	closing->held = held;
	point_reached(POINT_CLOSING_SEEN);
	if (!mark && !atomic_compare_exchange_strong(&entry->held, &held, held | DESCRIPTOR_CLOSING))
		return;
	closing->entry = entry;
	closing->holder = mark ? 0 : table_closing(limiter_table(), held);
	if (left_out(ORDERING_CLOSE_THEN_COMPARE) && !sole_still(closing->token))
		closing->token = 0;
}

static inline bool closed_solely(const struct closing *closing)
{
	return left_out(ORDERING_CLOSE_THEN_COMPARE) ? closing->token != 0 : sole_still(closing->token);
}

HOT void closing_ends(const struct closing *closing, bool closed)
{
	struct table *table = limiter_table();
	reference expected;

	if (closing->entry == NULL)
		return;
	if (descriptor_is_mark(closing->held)) {
		expected = closing->held;
	} else {
		expected = closing->held | DESCRIPTOR_CLOSING;
		bool solely = closed && closed_solely(closing);
		point_reached(POINT_CLOSE_COMPARED);
		if (!closed)
			table_holds_on(table, closing->held, 0, closing->holder);
		else if (solely)
			table_release(table, closing->held);
		else
			doubt_own(closing->held, closing->holder);
		point_reached(POINT_CLOSE_DECIDED);
	}
	if (closed || expected != closing->held)
		atomic_compare_exchange_strong(&closing->entry->held, &expected, closed ? 0 : closing->held);
}

static COLD void descriptor_copied(int descriptor, reference held)
{
	point_reached(POINT_COPY_SEEN);
	table_doubt(limiter_table(), held & ~DESCRIPTOR_CLOSING);
	/* If a process that was made for this connection copies it, for example to standard input, it serves the connection
	 * until it exits. */
	if (held == descriptor_made_for)
		atomic_compare_exchange_strong(&entry_of(descriptor)->held, &held, 0);
}

COLD bool copying_begins_slowly(int descriptor)
{
	reference held = descriptor_held(descriptor);
	bool alone = __libc_single_threaded != 0;

	if (held == 0 || descriptor_is_mark(held) || left_out(ORDERING_MARK_THEN_COPY))
		return false;
	if (!alone)
		sole_ends();
	descriptor_copied(descriptor, held);
	return !alone;
}

COLD void copying_ends_slowly(void)
{
	sole_may_begin_again();
}

/* The next descriptor in [from, end) that holds something; `end` if there is none. */
static unsigned next_held(unsigned from, unsigned end, reference *held)
{
	while (from < end) {
		descriptor_chunk *chunk = descriptor_chunk_of(from);
		unsigned chunk_end = (from | (CHUNK - 1)) + 1 < end ? (from | (CHUNK - 1)) + 1 : end;

		for (; chunk != NULL && from < chunk_end; from++) {
			*held = atomic_load_explicit(&(*chunk)[from % CHUNK].held, memory_order_relaxed);
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

	unsigned end = atomic_load(&beyond);
	if (last < end)
		end = last + 1;
	for (unsigned i = next_held(first, end, &held); i < end; i = next_held(i + 1, end, &held))
		visit((int)i, held);
}

/* Whether descriptors were ever let go, a range of them or all. */
NEAR static _Atomic bool let_go_before;

static void close_in_range(int descriptor, reference held)
{
	if (descriptor_is_mark(held)) {
		descriptor_unmark(descriptor, held);
		return;
	}
	descriptor_copied(descriptor, held);
	table_closing(limiter_table(), held & ~DESCRIPTOR_CLOSING);
}

COLD void range_closing_begins(unsigned first, unsigned last)
{
	atomic_store(&let_go_before, true);
	sole_ends();
	descriptor_each(first, last, close_in_range);
}

/* Done before and after the call: another thread's entry may not have been visible before, or that thread may not have seen our
 * mark. */
COLD void range_closing_ends(unsigned first, unsigned last)
{
	descriptor_each(first, last, close_in_range);
	sole_may_begin_again();
}

static void let_go(int descriptor, reference held)
{
	(void)descriptor;
	if (!descriptor_is_mark(held))
		descriptor_let_go(held);
}

COLD void descriptors_let_go_begins(void)
{
	atomic_store(&let_go_before, true);
	sole_ends();
	if (sole_has_accepted())
		descriptor_each(0, ~0U, let_go);
}

COLD void descriptor_came_between(reference held)
{
	if (atomic_load(&let_go_before))
		descriptor_let_go(held);
	else
		table_doubt(limiter_table(), held);
}
