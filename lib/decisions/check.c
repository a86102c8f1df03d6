#include "decisions/check.h"

#include "values/alive.h"
#include "values/budget.h"
#include "decisions/batch.h"
#include "table/clients.h"
#include "values/clock.h"
#include "kernel/kernel.h"
#include "decisions/mend.h"
#include "decisions/pace.h"
#include "table/records.h"
#include "decisions/search.h"
#include "table/total.h"

#include <errno.h>
#include <stdlib.h>

enum {
	CHECKED_MOST = 1024, /* records of one client per check; the next check continues after them */
	ENOUGH = 64,	     /* connections found to be gone, then a check stops */
	PEAK_MOST = 16,	     /* records before a new peak, in addition to the one marked last */
	OVERDUE_US = 15000000,
	/* The cost charged for a check is capped: a base, an amount per record asked about, and one for walking over slots. */
	COST_MOST_US = 200,
	COST_EACH_US = 20,
	SLOTS_US = 500,
	UNKNOWN_TRIES = 64, /* times that the total is counted again because others changed it meanwhile */
};

/* All that is asked is paid for, found or not. Checks take 2 % of a CPU at most, one client's as well as all together, beside
 * those that are never put off: a client's first one, for which it had to open its connections, and one that was put off for
 * OVERDUE_US. A client may be CHECK_AHEAD in debt before it has to wait, and one that finds nothing is not repeated for
 * CHECK_WAIT. */
static const struct pace_rule one_client = {
    .factor = 50, .fruitless_us = CHECK_WAIT * 1000, .most_us = 60000000, .ahead_us = CHECK_AHEAD * 1000};
static const struct pace_rule all_clients = {.factor = 50, .most_us = 5000000, .ahead_us = 1000000};
bool check_count(struct table *table, uint32_t entry)
{
	_Atomic uint64_t *word = &table->entry[entry].word;

	return (atomic_load(word) & CLIENT_TENTATIVE) == 0 && mend_count(table, word, entry);
}

bool check_total_unknown(struct table *table)
{
	for (int attempt = 0; attempt < UNKNOWN_TRIES && total_is_unknown(table) && budget_has(walk_ns(record_extent(table)));
	     attempt++)
		mend_count(table, &table->header->total, ANY_CLIENT);
	return !total_is_unknown(table);
}

static bool can_ask(const struct inquiry *inquiry)
{
	return budget_has(ASKED_NS + inquiry_reserve(inquiry));
}

/* Goes once over the client's slots in [from, end), and asks about at most inquiry->left of them. */
static int check_range(struct table *table, uint32_t entry, struct inquiry *inquiry, uint32_t from, uint32_t end,
		       uint32_t *reached)
{
	struct batch batch;
	uint32_t slot = record_next(table, entry, from, end);
	int all = 0;

	/* Continue as long as each batch finds some that are gone, as after a fork: a new check would cost a new socket. */
	while (slot < end && inquiry->left > 0 && all < ENOUGH) {
		batch_begin(table, &batch, inquiry->control);
		for (; slot < end && batch.number < QUESTIONS_MOST && inquiry->left > 0 && can_ask(inquiry);
		     slot = record_next(table, entry, slot + 1, end))
			if (batch_add(table, &batch, slot, inquiry->control))
				inquiry->left--;
		*reached = slot;
		int dropped = batch_drop_gone(table, &batch, inquiry);
		if (dropped < 0)
			return all > 0 ? all : dropped;
		all += dropped;
		if (all > 0 && dropped == 0)
			return all;
		if (!can_ask(inquiry))
			inquiry->left = 0;
	}
	*reached = slot;
	return all;
}

/* Whether a check of this client has to wait, by its own pace or by the common one. */
static bool must_wait(const struct table *table, const struct pace *pace, uint64_t now)
{
	if (pace_overdue(pace, &one_client, now, OVERDUE_US))
		return false;
	return !pace_allows(pace, &one_client, now) || !pace_allows(&table->header->all_pace, &all_clients, now);
}

/* One check, from its first question until its cost is charged. */
struct check {
	struct inquiry inquiry;
	struct pace *pace;
	uint32_t entry; /* whose records: a client, or ANY_CLIENT */
	uint32_t most;	/* questions it may ask */
	uint64_t began;
	uint64_t searched; /* CPU time of a search, which is charged separately */
	bool for_peak;	   /* it is optional: half of the allowance stays for checks before a refusal */
	bool low;	   /* of credit: where one is gone more are looked for, since most of a check's cost is its socket */
};

static void check_begin(struct table *table, struct check *check, uint32_t entry, struct pace *pace, struct connection *control,
			bool for_peak)
{
	*check =
	    (struct check){.pace = pace, .entry = entry, .most = CHECKED_MOST, .began = clock_cpu_us(), .for_peak = for_peak};
	uint32_t records = entry != ANY_CLIENT
			       ? atomic_load_explicit(&table->entry[entry].word, memory_order_relaxed) & CLIENT_COUNT
			       : record_extent(table);
	check->inquiry.too_many = !budget_has(walk_ns(record_extent(table)) + (int64_t)records * ASKED_NS);
	check->inquiry.may_search = search_is_allowed(table, for_peak);
	check->inquiry.control = control;
	check->inquiry.client = inquiry_client(entry);
	check->inquiry.left = CHECKED_MOST;
	uint64_t now = clock_us();
	check->low =
	    !pace_allows_more(pace, &one_client, now) || !pace_allows_more(&table->header->all_pace, &all_clients, now);
	atomic_fetch_add_explicit(&table->header->checks, 1, memory_order_relaxed);
}

/* Time beyond the cap was not the check's own: the kernel may have handled packets for others in an interrupt, or the host was
 * busy. Nobody's next check should wait for that. Reading /proc is charged in full. */
static uint64_t capped(uint64_t cost_us, const struct check *check, uint32_t slots)
{
	uint64_t most = COST_MOST_US + (uint64_t)COST_EACH_US * (check->most - check->inquiry.left) + slots / SLOTS_US;

	return cost_us < most || kernel_way() != KERNEL_SOCK_DIAG ? cost_us : most;
}

static void check_end(struct table *table, struct check *check, bool fruitless)
{
	inquiry_end(&check->inquiry);
	uint64_t cost = clock_cpu_us() - check->began - check->searched;
	uint64_t now = clock_us();

	atomic_fetch_add_explicit(&table->header->check_us, cost, memory_order_relaxed);
	cost = capped(cost, check, record_extent(table));
	pace_pay(check->pace, &one_client, now, cost, fruitless);
	if (check->entry != ANY_CLIENT)
		pace_pay(&table->header->all_pace, &all_clients, now, cost, false);
}

/* For what cannot be asked about one by one, or is too much for that. */
static int64_t search_for_rest(struct table *table, struct check *check)
{
	enum sought what = check->inquiry.left > 0 ? SEARCH_UNPLACED : SEARCH_ALL;
	int64_t own = search_in_time(table, &check->inquiry, what, check->for_peak, &check->searched);

	atomic_fetch_add_explicit(&table->header->check_us, check->searched, memory_order_relaxed);
	return own;
}

/* Goes over the records of a client, or of all, starting where the last check stopped. Asks about at most inquiry->left of
 * them, and stops when a batch finds none or when ENOUGH are found. Returns how many were dropped, or -1. */
static int check_in_rotation(struct table *table, struct check *check)
{
	uint32_t extent = record_extent(table);
	uint32_t from = pace_from(check->pace);

	if (from >= extent)
		from = 0;
	uint32_t reached = from;
	/* A table that is too large for one decision is walked over in several, alternating with the mending of counts. */
	uint32_t most = budget_slots();
	if (extent > most && atomic_load_explicit(&table->header->checks, memory_order_relaxed) % 2 != 0)
		return 0;
	uint32_t end = extent - from > most ? from + most : extent;
	budget_spend(walk_ns(extent < most ? extent : most));
	int dropped = check_range(table, check->entry, &check->inquiry, from, end, &reached);
	most -= end - from;
	if ((dropped == 0 || (dropped > 0 && check->low)) && reached >= extent && from > 0) {
		int more = check_range(table, check->entry, &check->inquiry, 0, from < most ? from : most, &reached);
		dropped = more > 0 ? dropped + more : dropped;
	}
	pace_go_on_at(check->pace, reached < extent ? reached : 0);
	return dropped;
}

/* Checks the records of one client, or of all, and the count in `word`. */
static enum checked check_some(struct table *table, uint32_t entry, _Atomic uint64_t *word, struct pace *pace,
			       struct connection *control)
{
	struct check check;

	if (must_wait(table, pace, clock_us()))
		return CHECK_PUT_OFF;
	check_begin(table, &check, entry, pace, control, false);
	int dropped = check_in_rotation(table, &check);
	if (dropped == 0 && (check.inquiry.unresolved > 0 || check.inquiry.left == 0))
		dropped = (int)search_for_rest(table, &check);
	bool found = mend_count(table, word, entry) || dropped > 0;
	check_end(table, &check, !found);
	if (found)
		return CHECK_FREED;
	return kernel_way() == KERNEL_UNREACHABLE ? CHECK_BLIND : CHECK_NOTHING;
}

enum checked check_client(struct table *table, uint32_t entry, struct connection *control)
{
	return check_some(table, entry, &table->entry[entry].word, &client_noted(table, entry)->pace, control);
}

enum checked check_total(struct table *table, struct connection *control)
{
	return check_some(table, ANY_CLIENT, &table->header->total, &table->header->total_pace, control);
}

/* Whether one of the client's first records is doubtful. True if it has more records than are looked at. */
static bool any_doubtful(const struct table *table, uint32_t entry)
{
	uint32_t extent = record_extent(table);

	if (!budget_spend(walk_ns(extent)))
		return true;
	uint32_t slot = record_next(table, entry, 0, extent);
	for (int looked = 0; slot < extent; looked++, slot = record_next(table, entry, slot + 1, extent))
		if (looked == PEAK_MOST ||
		    record_kind(atomic_load_explicit(&table->record[slot].state, memory_order_relaxed)) == RECORD_DOUBTFUL)
			return true;
	return false;
}

bool check_before_peak(struct table *table, uint32_t entry, struct connection *control)
{
	struct pace *pace = &client_noted(table, entry)->pace;
	struct check check;
	uint64_t now = clock_us();

	if (!pace_allows_more(pace, &one_client, now) || !pace_allows_more(&table->header->all_pace, &all_clients, now))
		return false;
	check_begin(table, &check, entry, pace, control, true);
	check.most = 1 + PEAK_MOST;
	check.inquiry.left = 1;
	int dropped = check_in_rotation(table, &check);
	check.inquiry.left = PEAK_MOST;
	if (dropped == 0)
		dropped = check_in_rotation(table, &check);
	/* Without netlink, records are not asked about one by one. */
	if (dropped == 0 && check.inquiry.asking.netlink < 0)
		dropped = (int)search_for_rest(table, &check);
	client_unmark(table, entry, MARK_DOUBTFUL);
	atomic_thread_fence(memory_order_seq_cst); /* as in mend.c: a record that is marked after this sets it again */
	if (any_doubtful(table, entry))
		client_mark(table, entry, MARK_DOUBTFUL);
	check_end(table, &check, false);
	return dropped > 0;
}

/* Frees slots whose process died after it claimed them and before it set the client, or after it cleared the client. */
static int free_claimed_by_dead(struct table *table, uint32_t from, uint32_t end)
{
	int freed = 0;

	for (uint32_t slot = from; slot < end && budget_spend(RECORD_NS); slot++)
		freed +=
		    mend_claimed_by_dead(table, slot, atomic_load_explicit(&table->record[slot].state, memory_order_relaxed));
	return freed;
}

enum checked check_room(struct table *table, struct connection *control)
{
	struct pace *pace = &table->header->room_pace;
	struct check check;

	if (!budget_has(ASKED_NS) || !pace_allows(pace, &one_client, clock_us()))
		return CHECK_PUT_OFF;
	check_begin(table, &check, ANY_CLIENT, pace, control, false);
	uint32_t from = pace_from(pace);
	int dropped = check_in_rotation(table, &check);
	uint32_t reached = pace_from(pace);
	int claimed = free_claimed_by_dead(table, from < reached ? from : 0, reached > from ? reached : record_extent(table));
	if (dropped == 0 && (check.inquiry.unresolved > 0 || check.inquiry.left == 0))
		dropped = (int)search_for_rest(table, &check);
	bool found = dropped > 0 || claimed > 0;
	check_end(table, &check, !found);
	return found ? CHECK_FREED : CHECK_NOTHING;
}

uint32_t check_certain(const struct table *table, uint32_t entry)
{
	uint32_t extent = record_extent(table);
	uint32_t certain = 0;
	uint32_t dead = 0;
	uint32_t alive = 0;

	for (uint32_t slot = record_next(table, entry, 0, extent); slot < extent;
	     slot = record_next(table, entry, slot + 1, extent)) {
		const struct record *record = &table->record[slot];
		uint64_t state = atomic_load_explicit(&record->state, memory_order_relaxed);
		uint32_t holder = atomic_load_explicit(&record->holder, memory_order_relaxed);

		if (!budget_spend(RECORD_NS))
			break;
		if (record_kind(state) != RECORD_OPEN || holder == 0 || holder == dead)
			continue;
		if (holder != alive)
			budget_spend(PROCESS_NS);
		if (holder != alive && !process_alive(holder)) {
			dead = holder;
			continue;
		}
		alive = holder;
		certain++;
	}
	return certain;
}

/* Mends the counts that are higher than the number of slots. The slots of all clients are counted in one pass, as one pass per
 * client would be quadratic. The result is only a hint: check_count looks again. */
static void mend_all(struct table *table)
{
	uint32_t extent = record_extent(table);
	bool networks = networks_are_named(table);
	uint32_t entries = networks ? table->entries * 2 : table->entries;
	uint32_t *slots = calloc(entries, sizeof(*slots));

	for (uint32_t slot = 0; slot < extent && slots != NULL; slot++) {
		uint32_t owner = atomic_load_explicit(&table->owner[slot], memory_order_relaxed);
		uint32_t network = networks ? network_of_record(table, slot) : NO_NETWORK;
		if (record_kind(atomic_load_explicit(&table->record[slot].state, memory_order_relaxed)) == RECORD_FREE)
			continue;
		if (owner != 0 && owner <= table->entries)
			slots[owner - 1]++;
		if (network != NO_NETWORK)
			slots[network]++;
	}
	for (uint32_t entry = 0; entry < entries; entry++) {
		uint64_t count = atomic_load_explicit(&table->entry[entry].word, memory_order_relaxed) & CLIENT_COUNT;
		if (count != 0 && (slots == NULL || count > slots[entry]))
			check_count(table, entry);
	}
	free(slots);
}

/* All records, in batches. False if the kernel did not answer. By itself: its batch lies on no stack while there is a search.
 */
static __attribute__((noinline)) bool check_batches(struct table *table, struct inquiry *inquiry, int64_t *freed)
{
	struct batch batch;
	uint32_t extent = record_extent(table);
	uint32_t slot = 0;

	while (slot < extent) {
		batch.number = 0;
		for (; slot < extent && batch.number < QUESTIONS_MOST; slot++) {
			uint64_t state = atomic_load(&table->record[slot].state);

			mend_claimed_by_dead(table, slot, state);
			if (record_is_held(state) && batch_add(table, &batch, slot, NULL) && batch.unplaced[batch.number - 1]) {
				batch.number--;
				inquiry->unresolved++;
			}
		}
		int dropped = batch.number > 0 ? batch_drop_gone(table, &batch, inquiry) : 0;
		if (dropped < 0)
			return false;
		*freed += dropped;
	}
	return true;
}

int64_t check_all(struct table *table)
{
	struct inquiry inquiry = {.control = NULL};
	int64_t freed = 0;
	int64_t searched = 0;
	bool blind = !check_batches(table, &inquiry, &freed);

	inquiry_end(&inquiry);
	if (blind || (inquiry.unresolved > 0 && search_unplaced(table, ANY_CLIENT, &searched) < 0))
		return -1;
	freed += searched;
	mend_all(table);
	if ((atomic_load(&table->header->total) & TOTAL_COUNTING) != 0)
		mend_count(table, &table->header->total, ANY_CLIENT);
	return freed;
}

static bool find_client_of(const struct table *table, const struct address *address, uint32_t *entry)
{
	const struct connection connection = {.peer.address = *address};
	uint64_t word;

	return table_find_client(table, &connection, entry, &word);
}

bool check_is_in_doubt(const struct table *table, const struct address *address)
{
	uint32_t entry;

	return find_client_of(table, address, &entry) && (client_marks(table, entry) & MARK_DOUBTFUL) != 0;
}

/* One client's records, likewise. */
static __attribute__((noinline)) uint32_t check_batches_of(struct table *table, uint32_t entry, struct inquiry *inquiry)
{
	struct batch batch;
	uint32_t extent = record_extent(table);
	uint32_t freed = 0;

	for (uint32_t slot = record_next(table, entry, 0, extent); slot < extent;) {
		batch.number = 0;
		for (; slot < extent && batch.number < QUESTIONS_MOST; slot = record_next(table, entry, slot + 1, extent))
			batch_add(table, &batch, slot, NULL);
		int dropped = batch.number > 0 ? batch_drop_gone(table, &batch, inquiry) : 0;
		if (dropped < 0 && inquiry->unresolved == 0)
			break;
		freed += dropped > 0 ? (uint32_t)dropped : 0;
	}
	return freed;
}

uint32_t check_address(struct table *table, const struct address *address)
{
	struct inquiry inquiry = {.control = NULL};
	uint32_t entry;

	if (!find_client_of(table, address, &entry))
		return 0;
	inquiry.client = inquiry_client(entry);
	uint32_t freed = check_batches_of(table, entry, &inquiry);
	inquiry_end(&inquiry);
	int64_t searched = 0;
	if (inquiry.unresolved > 0 && search_unplaced(table, entry, &searched) > 0)
		freed += (uint32_t)searched;
	check_count(table, entry);
	return freed;
}
