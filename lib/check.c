#include "check.h"

#include "clients.h"
#include "clock.h"
#include "kernel.h"
#include "records.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>

enum {
	CHECKED_MOST = 1024, /* records of one client asked about in one check; the next one goes on behind them */
	COST_FACTOR = 50,    /* a fruitless check may be repeated after so many times its own length: 2 % of the time */
	LOOKS = 3,	     /* before a count is mended: others get this often the chance to end what they are at */
};

static bool exists(uint32_t pid)
{
	return kill((pid_t)pid, 0) == 0 || errno != ESRCH;
}

/* Slots that a client's owner[] entries name, on the way freeing those whose claimer died. */
static uint32_t count_slots(struct table *table, uint32_t entry)
{
	uint32_t extent = record_extent(table);
	uint32_t slots = 0;

	for (uint32_t slot = record_next(table, entry, 0, extent); slot < extent; slot = record_next(table, entry, slot + 1, extent)) {
		uint64_t state = atomic_load(&table->record[slot].state);

		if (record_kind(state) == RECORD_CLAIMED && !exists((uint32_t)(state & RECORD_PID))) {
			record_unclaim(table, slot, state);
			continue;
		}
		/* FREE with an owner: a claimer that was thrown out, or a hostile write. It counts for nothing. */
		if (record_kind(state) == RECORD_FREE) {
			uint32_t owner = entry + 1;
			atomic_compare_exchange_strong(&table->owner[slot], &owner, 0);
			continue;
		}
		slots++;
	}
	return slots;
}

/* The count can exceed the slots because an admission or a release is between its two steps, or because one died there. The first
 * is over in less than the looks below take, unless it was stopped; lowering the count raises the generation, by which the one that
 * was stopped notices and starts anew (client_uncount, table_admit). So the mend is right in every case, and waiting only spares
 * work. */
bool check_count(struct table *table, uint32_t entry)
{
	_Atomic uint64_t *word = &table->entry[entry].word;
	uint64_t seen = atomic_load(word);

	for (int look = 0;; look++) {
		uint32_t slots = count_slots(table, entry);

		if ((seen & CLIENT_TENTATIVE) != 0 || slots >= (seen & CLIENT_COUNT))
			return false;
		if (look == LOOKS) {
			uint64_t mended = client_generation(seen) + CLIENT_GENERATION + slots;
			if (!atomic_compare_exchange_strong(word, &seen, mended))
				return false;
			atomic_fetch_add_explicit(&table->header->repaired, 1, memory_order_relaxed);
			return true;
		}
		sched_yield();
		uint64_t now = atomic_load(word);
		if (now != seen)
			return (now & CLIENT_COUNT) < (seen & CLIENT_COUNT);
	}
}

/* Drops a record that the kernel knows no more, if nobody changed it since we asked. */
static bool drop_gone(struct table *table, uint32_t slot, uint64_t state)
{
	uint32_t owner = atomic_load_explicit(&table->owner[slot], memory_order_relaxed);
	uint32_t entry;

	if (owner == 0 || owner > table->entries)
		return false;
	uint64_t generation = client_generation(atomic_load(&table->entry[owner - 1].word));
	if (!record_free(table, slot, state, &entry))
		return false;
	if (entry == owner - 1)
		client_uncount(table, entry, generation);
	return true;
}

struct batch {
	struct question question[QUESTIONS_MOST];
	uint32_t slot[QUESTIONS_MOST];
	uint64_t state[QUESTIONS_MOST];
	size_t number;
};

/* Asks about a batch whose first question may be a control. Returns the records dropped, or -1 if the answers prove nothing. */
static int ask_and_drop(struct table *table, struct batch *batch, bool controlled)
{
	int dropped = 0;

	if (!kernel_ask(batch->question, batch->number))
		return -1;
	if (controlled && batch->question[0].answer != ANSWER_OPEN)
		return -1;
	for (size_t i = controlled ? 1 : 0; i < batch->number; i++)
		if (batch->question[i].answer == ANSWER_GONE && drop_gone(table, batch->slot[i], batch->state[i]))
			dropped++;
	atomic_fetch_add_explicit(&table->header->check_gone, (uint64_t)dropped, memory_order_relaxed);
	return dropped;
}

static bool add_to_batch(const struct table *table, struct batch *batch, uint32_t slot)
{
	size_t i = batch->number;

	if (!record_read(table, slot, &batch->state[i], &batch->question[i].connection))
		return false;
	batch->slot[i] = slot;
	batch->number++;
	return true;
}

/* One pass over the client's slots in [from, end), at most `most` of them. */
static int check_range(struct table *table, uint32_t entry, const struct connection *control, uint32_t from, uint32_t end, int *most,
		       uint32_t *reached)
{
	struct batch batch;
	uint32_t slot = record_next(table, entry, from, end);

	while (slot < end && *most > 0) {
		batch.question[0].connection = *control;
		batch.number = 1;
		for (; slot < end && batch.number < QUESTIONS_MOST && *most > 0; slot = record_next(table, entry, slot + 1, end))
			if (add_to_batch(table, &batch, slot))
				(*most)--;
		*reached = slot;
		int dropped = ask_and_drop(table, &batch, true);
		if (dropped != 0)
			return dropped;
	}
	*reached = slot;
	return 0;
}

static bool too_soon(const struct client_notes *notes, uint32_t now)
{
	uint32_t after = atomic_load_explicit(&notes->check_after, memory_order_relaxed);
	uint32_t left = after - now;

	/* The word is shared and its clock wraps every 49 days: a wait longer than any that is set here is no wait. */
	return after != 0 && left != 0 && left <= 60000;
}

static void back_off(struct client_notes *notes, uint32_t now, uint64_t cost_us)
{
	uint32_t wait = atomic_load_explicit(&notes->check_wait, memory_order_relaxed);
	uint64_t least = cost_us * COST_FACTOR / 1000;

	wait = wait == 0 ? 1 : wait < CHECK_WAIT_MOST / 2 ? wait * 2 : CHECK_WAIT_MOST;
	atomic_store_explicit(&notes->check_wait, wait, memory_order_relaxed);
	if (wait < least)
		wait = least < 60000 ? (uint32_t)least : 60000;
	uint32_t after = now + wait;
	atomic_store_explicit(&notes->check_after, after != 0 ? after : 1, memory_order_relaxed);
}

enum checked check_client(struct table *table, uint32_t entry, const struct connection *control)
{
	struct client_notes *notes = &table->notes[entry];
	uint32_t extent = record_extent(table);
	int most = CHECKED_MOST;

	if (too_soon(notes, (uint32_t)clock_ms()))
		return CHECK_BACKED_OFF;
	uint64_t began = clock_us();
	atomic_fetch_add_explicit(&table->header->checks, 1, memory_order_relaxed);
	uint32_t from = atomic_load_explicit(&notes->check_from, memory_order_relaxed);
	if (from >= extent)
		from = 0;
	uint32_t reached = from;
	int dropped = check_range(table, entry, control, from, extent, &most, &reached);
	if (dropped == 0 && reached >= extent && from > 0)
		dropped = check_range(table, entry, control, 0, from, &most, &reached);
	atomic_store_explicit(&notes->check_from, reached < extent ? reached : 0, memory_order_relaxed);
	bool mended = check_count(table, entry);
	uint64_t cost = clock_us() - began;
	atomic_fetch_add_explicit(&table->header->check_us, cost, memory_order_relaxed);
	if (dropped > 0 || mended) {
		atomic_store_explicit(&notes->check_wait, 0, memory_order_relaxed);
		return CHECK_FREED;
	}
	back_off(notes, (uint32_t)clock_ms(), cost);
	return dropped < 0 ? CHECK_BLIND : CHECK_NOTHING;
}

uint32_t check_all(struct table *table)
{
	struct batch batch;
	uint32_t extent = record_extent(table);
	uint32_t freed = 0;
	uint32_t slot = 0;

	while (slot < extent) {
		batch.number = 0;
		for (; slot < extent && batch.number < QUESTIONS_MOST; slot++) {
			uint64_t state = atomic_load(&table->record[slot].state);

			if (record_kind(state) == RECORD_CLAIMED && !exists((uint32_t)(state & RECORD_PID)))
				record_unclaim(table, slot, state);
			else if (record_kind(state) == RECORD_OPEN)
				add_to_batch(table, &batch, slot);
		}
		int dropped = batch.number > 0 ? ask_and_drop(table, &batch, false) : 0;
		if (dropped < 0)
			return freed;
		freed += (uint32_t)dropped;
	}
	for (uint32_t entry = 0; entry < table->entries; entry++)
		if ((atomic_load_explicit(&table->entry[entry].word, memory_order_relaxed) & CLIENT_COUNT) != 0)
			check_count(table, entry);
	return freed;
}
