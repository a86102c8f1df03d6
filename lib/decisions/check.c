#include "decisions/check.h"

#include "values/alive.h"
#include "decisions/batch.h"
#include "table/clients.h"
#include "values/clock.h"
#include "kernel/kernel.h"
#include "decisions/mend.h"
#include "table/records.h"
#include "decisions/search.h"
#include "table/total.h"

#include <errno.h>
#include <stdlib.h>

enum {
	CHECKED_MOST = 1024, /* records of one client asked about in one check; the next one goes on behind them */
	COST_FACTOR = 50,    /* a fruitless check may be repeated after so many times its own length: 2 % of the time */
	TABLE_FACTOR = 100,  /* the same for the checks of all clients together, with room for those that do not wait */
	WAIT_MOST = 60000,   /* ms that one fruitless check adds at most */
	/* What a check may take, for itself and for each record that it asks about; and slots looked over in a microsecond. */
	COST_MOST_US = 200,
	COST_EACH_US = 20,
	SLOTS_US = 500,
	UNKNOWN_TRIES = 64, /* times that the total is counted anew when others change it meanwhile */
};

bool check_count(struct table *table, uint32_t entry)
{
	_Atomic uint64_t *word = &table->entry[entry].word;

	return (atomic_load(word) & CLIENT_TENTATIVE) == 0 && mend_count(table, word, entry);
}

bool check_total_unknown(struct table *table)
{
	for (int attempt = 0; attempt < UNKNOWN_TRIES && total_is_unknown(table); attempt++)
		mend_count(table, &table->header->total, ANY_CLIENT);
	return !total_is_unknown(table);
}

/* One pass over the client's slots in [from, end), at most inquiry->left of them. */
static int check_range(struct table *table, uint32_t entry, struct inquiry *inquiry, uint32_t from, uint32_t end,
		       uint32_t *reached)
{
	struct batch batch;
	uint32_t slot = record_next(table, entry, from, end);

	while (slot < end && inquiry->left > 0) {
		batch_begin(table, &batch, inquiry->control);
		for (; slot < end && batch.number < QUESTIONS_MOST && inquiry->left > 0;
		     slot = record_next(table, entry, slot + 1, end))
			if (batch_add(table, &batch, slot, inquiry->control))
				inquiry->left--;
		*reached = slot;
		int dropped = batch_drop_gone(table, &batch, inquiry);
		if (dropped != 0)
			return dropped;
	}
	*reached = slot;
	return 0;
}

/* The word is shared and its clock wraps every 49 days: a wait longer than any that is set here is no wait. */
static bool too_soon(const struct check_pace *pace, uint32_t now, uint32_t ahead)
{
	uint32_t after = atomic_load_explicit(&pace->after, memory_order_relaxed);
	uint32_t left = after - ahead - now;

	return after != 0 && left != 0 && left <= WAIT_MOST;
}

static void back_off(struct check_pace *pace, uint32_t now, uint32_t ahead, uint64_t cost_us)
{
	uint32_t after = atomic_load_explicit(&pace->after, memory_order_relaxed);
	uint64_t wait = cost_us * COST_FACTOR / 1000;

	wait = wait < CHECK_WAIT ? CHECK_WAIT : wait < WAIT_MOST ? wait : WAIT_MOST;
	if (after == 0 || after - now > ahead + WAIT_MOST)
		after = now; /* what was to be waited for is over */
	after += (uint32_t)wait;
	atomic_store_explicit(&pace->after, after != 0 ? after : 1, memory_order_relaxed);
}

/* Many clients, each at its limit and each within its own pace, would still have the kernel asked all the time. So all clients'
 * checks together pay for their time as one client's do, TABLE_FACTOR for one, up to AHEAD_US in advance. Three get theirs even
 * so: the first check of a client, which had to open its connections for it; one after a check that found something; and one
 * whose client was put off for OVERDUE_MS, so that nobody is refused for longer because of connections that are gone. Where so
 * many clients are overdue that these alone would be too much, they are put off for LONG_OVERDUE_MS. */
enum { AHEAD_US = 1000000, DEBT_MOST_US = 5000000, OVERDUE_MS = 15000, LONG_OVERDUE_MS = 60000 };

static bool must_wait(const struct table *table, const struct check_pace *pace, uint64_t now_us, uint32_t now)
{
	uint64_t paid = atomic_load_explicit(&table->header->check_paid, memory_order_relaxed);
	uint32_t after = atomic_load_explicit(&pace->after, memory_order_relaxed);

	if (paid <= now_us + AHEAD_US || paid > now_us + AHEAD_US + DEBT_MOST_US)
		return false;
	uint32_t overdue = paid > now_us + AHEAD_US + DEBT_MOST_US / 2 ? LONG_OVERDUE_MS : OVERDUE_MS;
	return after != 0 && now - (after - CHECK_AHEAD) < overdue;
}

static void pay(struct table *table, uint64_t now_us, uint64_t cost_us)
{
	_Atomic uint64_t *paid = &table->header->check_paid;
	uint64_t seen = atomic_load_explicit(paid, memory_order_relaxed);
	uint64_t most = now_us + AHEAD_US + DEBT_MOST_US;
	uint64_t next = (seen > now_us && seen <= most ? seen : now_us) + cost_us * TABLE_FACTOR;

	/* If another one pays at the same moment, one of the two goes free. */
	atomic_compare_exchange_strong(paid, &seen, next < most ? next : most);
}

/* More than it may take was not the check's: the kernel receives others' packets at the expense of whoever it interrupts, and a
 * busy host's time may be in it. Nobody's next check is to wait for that. Reading /proc takes as long as it takes. */
static uint64_t capped(uint64_t cost_us, const struct inquiry *inquiry, uint32_t slots)
{
	uint64_t most = COST_MOST_US + (uint64_t)COST_EACH_US * (unsigned)(CHECKED_MOST - inquiry->left) + slots / SLOTS_US;

	return cost_us < most || kernel_way() != KERNEL_SOCK_DIAG ? cost_us : most;
}

/* A search before a refusal: paid for like a check, though not by the client, and little if it found something. As what is
 * found open is looked up there from then on, there is hardly a reason for the next search but that something is gone: so there
 * may be a debt of SEARCH_AHEAD ms before one is put off. */
enum { FRUITFUL = COST_FACTOR / 4, SEARCH_AHEAD = 20000 };
static int64_t search_in_time(struct table *table, uint32_t entry, const struct connection *control)
{
	struct check_pace *pace = &table->header->search_pace;
	int64_t dropped;

	if (!connection_is_whole(control) || too_soon(pace, (uint32_t)clock_ms(), SEARCH_AHEAD))
		return 0;
	uint64_t began = clock_cpu_us();
	int64_t own = search_unplaced(table, entry, control, &dropped);
	uint64_t cost = clock_cpu_us() - began;
	atomic_fetch_add_explicit(&table->header->check_us, cost, memory_order_relaxed);
	back_off(pace, (uint32_t)clock_ms(), SEARCH_AHEAD, dropped > 0 ? cost / FRUITFUL : cost);
	return own > 0 ? own : 0;
}

/* One client's records, or any's, and the count of them in `word`. */
static enum checked check_some(struct table *table, uint32_t entry, _Atomic uint64_t *word, struct check_pace *pace,
			       struct connection *control)
{
	struct inquiry inquiry = {.control = control, .client = inquiry_client(entry), .left = CHECKED_MOST};
	uint32_t extent = record_extent(table);

	if (too_soon(pace, (uint32_t)clock_ms(), CHECK_AHEAD))
		return CHECK_BACKED_OFF;
	uint64_t now = clock_us();
	if (entry != ANY_CLIENT && must_wait(table, pace, now, (uint32_t)clock_ms()))
		return CHECK_BACKED_OFF;
	uint64_t began = clock_cpu_us();
	atomic_fetch_add_explicit(&table->header->checks, 1, memory_order_relaxed);
	uint32_t from = atomic_load_explicit(&pace->from, memory_order_relaxed);
	if (from >= extent)
		from = 0;
	uint32_t reached = from;
	int dropped = check_range(table, entry, &inquiry, from, extent, &reached);
	if (dropped == 0 && reached >= extent && from > 0)
		dropped = check_range(table, entry, &inquiry, 0, from, &reached);
	atomic_store_explicit(&pace->from, reached < extent ? reached : 0, memory_order_relaxed);
	uint64_t cost = clock_cpu_us() - began;
	if (dropped == 0 && inquiry.unresolved > 0)
		dropped = (int)search_in_time(table, entry, control);
	inquiry_end(&inquiry);
	uint64_t mending = clock_cpu_us();
	bool mended = mend_count(table, word, entry);
	cost += clock_cpu_us() - mending;
	atomic_fetch_add_explicit(&table->header->check_us, cost, memory_order_relaxed);
	cost = capped(cost, &inquiry, extent);
	if (dropped > 0 || mended) {
		atomic_store_explicit(&pace->after, 0, memory_order_relaxed);
		return CHECK_FREED;
	}
	back_off(pace, (uint32_t)clock_ms(), CHECK_AHEAD, cost);
	pay(table, now, cost);
	return dropped < 0 ? CHECK_BLIND : CHECK_NOTHING;
}

/* Whether a connection of the client that is just being closed is gone. One question, asked only in that moment, so it needs no
 * pace. A hint that helped nobody is taken away: its closer may be dead. */
static bool check_closing(struct table *table, uint32_t entry, struct connection *control)
{
	_Atomic uint32_t *place = &table->header->closing[entry % CLOSING].slot;
	struct inquiry inquiry = {.control = control, .client = inquiry_client(entry)};
	uint32_t hint = atomic_load_explicit(place, memory_order_acquire);
	struct batch batch;

	if (hint == 0 || hint > table->capacity)
		return false;
	uint32_t owner = atomic_load_explicit(&table->owner[hint - 1], memory_order_relaxed);
	if (owner != 0 && owner != entry + 1)
		return false; /* another client's */
	batch_begin(table, &batch, control);
	bool freed = owner != 0 && batch_add(table, &batch, hint - 1, control)
			 ? batch_drop_gone(table, &batch, &inquiry) > 0
			 : mend_count(table, &table->entry[entry].word, entry);
	inquiry_end(&inquiry);
	if (!freed)
		atomic_compare_exchange_strong(place, &hint, 0);
	return freed;
}

enum checked check_client(struct table *table, uint32_t entry, struct connection *control)
{
	enum checked checked = check_some(table, entry, &table->entry[entry].word, &table->notes[entry].pace, control);

	return checked == CHECK_BACKED_OFF && check_closing(table, entry, control) ? CHECK_FREED : checked;
}

enum checked check_total(struct table *table, struct connection *control)
{
	return check_some(table, ANY_CLIENT, &table->header->total, &table->header->total_pace, control);
}

/* Frees slots that were claimed by a process which died before it gave them a client, or after it took that away. */
static int free_claimed_by_dead(struct table *table, uint32_t from, uint32_t end)
{
	int freed = 0;

	for (uint32_t slot = from; slot < end; slot++) {
		uint64_t state = atomic_load_explicit(&table->record[slot].state, memory_order_relaxed);

		if (record_kind(state) == RECORD_CLAIMED && !process_alive((uint32_t)(state & RECORD_PID))) {
			mend_slot(table, slot, state);
			freed++;
		}
	}
	return freed;
}

enum checked check_room(struct table *table, struct connection *control)
{
	struct check_pace *pace = &table->header->room_pace;
	uint32_t extent = record_extent(table);
	struct inquiry inquiry = {.control = control, .left = CHECKED_MOST};

	if (too_soon(pace, (uint32_t)clock_ms(), CHECK_AHEAD))
		return CHECK_BACKED_OFF;
	uint64_t began = clock_cpu_us();
	atomic_fetch_add_explicit(&table->header->checks, 1, memory_order_relaxed);
	uint32_t from = atomic_load_explicit(&pace->from, memory_order_relaxed);
	if (from >= extent)
		from = 0;
	uint32_t reached = from;
	int dropped = check_range(table, ANY_CLIENT, &inquiry, from, extent, &reached);
	int claimed = free_claimed_by_dead(table, from, reached);
	atomic_store_explicit(&pace->from, reached < extent ? reached : 0, memory_order_relaxed);
	uint64_t cost = clock_cpu_us() - began;
	atomic_fetch_add_explicit(&table->header->check_us, cost, memory_order_relaxed);
	if (dropped == 0 && inquiry.unresolved > 0)
		dropped = (int)search_in_time(table, ANY_CLIENT, control);
	inquiry_end(&inquiry);
	if (dropped > 0 || claimed > 0) {
		atomic_store_explicit(&pace->after, 0, memory_order_relaxed);
		return CHECK_FREED;
	}
	back_off(pace, (uint32_t)clock_ms(), CHECK_AHEAD, capped(cost, &inquiry, extent));
	return dropped < 0 ? CHECK_BLIND : CHECK_NOTHING;
}

/* Mends the counts that stand above the slots. One pass finds the slots of all: a pass for each client would take as long as
 * there are clients. What is found so is no more than a hint; check_count looks again. */
static void mend_all(struct table *table)
{
	uint32_t extent = record_extent(table);
	uint32_t *slots = calloc(table->entries, sizeof(*slots));

	for (uint32_t slot = 0; slot < extent && slots != NULL; slot++) {
		uint32_t owner = atomic_load_explicit(&table->owner[slot], memory_order_relaxed);
		if (owner != 0 && owner <= table->entries &&
		    record_kind(atomic_load_explicit(&table->record[slot].state, memory_order_relaxed)) != RECORD_FREE)
			slots[owner - 1]++;
	}
	for (uint32_t entry = 0; entry < table->entries; entry++) {
		uint64_t count = atomic_load_explicit(&table->entry[entry].word, memory_order_relaxed) & CLIENT_COUNT;
		if (count != 0 && (slots == NULL || count > slots[entry]))
			check_count(table, entry);
	}
	free(slots);
}

int64_t check_all(struct table *table)
{
	struct inquiry inquiry = {.control = NULL};
	struct batch batch;
	uint32_t extent = record_extent(table);
	int64_t freed = 0;
	bool blind = false;
	int64_t searched = 0;
	uint32_t slot = 0;

	while (slot < extent) {
		batch.number = 0;
		for (; slot < extent && batch.number < QUESTIONS_MOST; slot++) {
			uint64_t state = atomic_load(&table->record[slot].state);

			if (record_kind(state) == RECORD_CLAIMED && !process_alive((uint32_t)(state & RECORD_PID)))
				mend_slot(table, slot, state);
			else if (record_kind(state) == RECORD_OPEN && batch_add(table, &batch, slot, NULL) &&
				 batch.unplaced[batch.number - 1]) {
				batch.number--;
				inquiry.unresolved++;
			}
		}
		int dropped = batch.number > 0 ? batch_drop_gone(table, &batch, &inquiry) : 0;
		if (dropped < 0) {
			blind = true;
			break;
		}
		freed += dropped;
	}
	inquiry_end(&inquiry);
	if (blind || (inquiry.unresolved > 0 && search_unplaced(table, ANY_CLIENT, NULL, &searched) < 0))
		return -1;
	freed += searched;
	mend_all(table);
	if ((atomic_load(&table->header->total) & TOTAL_COUNTING) != 0)
		mend_count(table, &table->header->total, ANY_CLIENT);
	return freed;
}

uint32_t check_address(struct table *table, const struct address *address)
{
	uint32_t extent = record_extent(table);
	struct inquiry inquiry = {.control = NULL};
	struct limits limits;
	struct batch batch;
	uint32_t freed = 0;
	uint32_t entry;
	uint64_t word;

	limits_read(table, &limits);
	struct network network = limits_client(&limits, address);
	if (!client_find(table, client_fingerprint(table, &network), &entry, &word))
		return 0;
	inquiry.client = inquiry_client(entry);
	for (uint32_t slot = record_next(table, entry, 0, extent); slot < extent;) {
		batch.number = 0;
		for (; slot < extent && batch.number < QUESTIONS_MOST; slot = record_next(table, entry, slot + 1, extent))
			batch_add(table, &batch, slot, NULL);
		int dropped = batch.number > 0 ? batch_drop_gone(table, &batch, &inquiry) : 0;
		if (dropped < 0 && inquiry.unresolved == 0)
			break;
		freed += dropped > 0 ? (uint32_t)dropped : 0;
	}
	inquiry_end(&inquiry);
	int64_t searched = 0;
	if (inquiry.unresolved > 0 && search_unplaced(table, entry, NULL, &searched) > 0)
		freed += (uint32_t)searched;
	check_count(table, entry);
	return freed;
}
