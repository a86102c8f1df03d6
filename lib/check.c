#include "check.h"

#include "alive.h"
#include "clients.h"
#include "clock.h"
#include "confined.h"
#include "kernel.h"
#include "point.h"
#include "records.h"
#include "total.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum {
	CHECKED_MOST = 1024, /* records of one client asked about in one check; the next one goes on behind them */
	COST_FACTOR = 50,    /* a fruitless check may be repeated after so many times its own length: 2 % of the time */
	TABLE_FACTOR = 100,  /* the same for the checks of all clients together, with room for those that do not wait */
	WAIT_MOST = 60000,   /* ms that one fruitless check adds at most */
	/* What a check may take, for itself and for each record that it asks about; and slots looked over in a microsecond. */
	COST_MOST_US = 200,
	COST_EACH_US = 20,
	SLOTS_US = 500,
	LOOKS = 3,	    /* before a count is mended: others get this often the chance to end what they are at */
	UNKNOWN_TRIES = 64, /* times that the total is counted anew when others change it meanwhile */
};

/* Takes a slot out of the hands of a dead claimer, or of one that left its client's name on a free slot, and frees it. First
 * the slot is claimed, so that of several who find it one acts, and nobody is given it meanwhile. */
static void clear_slot(struct table *table, uint32_t slot, uint64_t state)
{
	uint64_t claimed = record_state(record_generation(state) + 1, RECORD_CLAIMED, table->pid & RECORD_PID);

	if (atomic_compare_exchange_strong(&table->record[slot].state, &state, claimed))
		record_unclaim(table, slot, claimed);
}

/* Slots that owner[] gives to a client, or to any, on the way freeing those whose claimer died. */
static uint32_t count_slots(struct table *table, uint32_t entry)
{
	uint32_t extent = record_extent(table);
	uint32_t slots = 0;

	for (uint32_t slot = record_next(table, entry, 0, extent); slot < extent;
	     slot = record_next(table, entry, slot + 1, extent)) {
		uint64_t state = atomic_load(&table->record[slot].state);

		if (record_kind(state) == RECORD_FREE ||
		    (record_kind(state) == RECORD_CLAIMED && !process_alive((uint32_t)(state & RECORD_PID))))
			clear_slot(table, slot, state);
		else
			slots++;
	}
	return slots;
}

/* A count can exceed the slots because an admission or a release is between its two steps, or because one died there. The first
 * is over in less than the looks below take, unless it was stopped; so at first we only look. Then the count is mended as
 * layout.h says, which is right whoever is under way. True if the count fell, by us or by others. */
static bool mend(struct table *table, _Atomic uint64_t *word, uint32_t entry)
{
	uint64_t seen = atomic_load(word);

	for (int look = 0; look < LOOKS; look++) {
		uint32_t slots = count_slots(table, entry);

		if (slots >= (seen & CLIENT_COUNT))
			return false;
		uint64_t now = atomic_load(word);
		if (now != seen)
			return (now & CLIENT_COUNT) < (seen & CLIENT_COUNT);
	}
	uint64_t marked =
	    (client_generation(seen) + CLIENT_GENERATION) | (seen & (CLIENT_COUNT | CLIENT_TENTATIVE)) | CLIENT_MENDING;
	if (left_out(ORDERING_RAISE_THEN_COUNT))
		marked = seen;
	if (!atomic_compare_exchange_strong(word, &seen, marked))
		return (seen & CLIENT_COUNT) < (marked & CLIENT_COUNT);
	point_reached(POINT_MEND_MARKED);
	uint32_t slots = count_slots(table, entry);
	point_reached(POINT_MEND_COUNTED);
	if (slots >= (marked & CLIENT_COUNT))
		return false;
	uint64_t mended = (client_generation(marked) + CLIENT_GENERATION) | (marked & CLIENT_TENTATIVE) | slots;
	uint64_t expected = marked;
	if (!atomic_compare_exchange_strong(word, &expected, mended))
		return (expected & CLIENT_COUNT) < (marked & CLIENT_COUNT);
	atomic_fetch_add_explicit(&table->header->repaired, 1, memory_order_relaxed);
	return true;
}

bool check_count(struct table *table, uint32_t entry)
{
	_Atomic uint64_t *word = &table->entry[entry].word;

	return (atomic_load(word) & CLIENT_TENTATIVE) == 0 && mend(table, word, entry);
}

bool check_total_unknown(struct table *table)
{
	for (int attempt = 0; attempt < UNKNOWN_TRIES && total_is_unknown(table); attempt++)
		mend(table, &table->header->total, ANY_CLIENT);
	return !total_is_unknown(table);
}

/* What a check goes by, and what it has come to know. */
enum { GUESSES = 4 };
struct inquiry {
	struct connection *control;    /* known to be open; NULL for an onlooker, who answers for the kernel himself */
	struct address guess[GUESSES]; /* addresses at which the client's connections arrived */
	unsigned guesses;
	int left;	     /* records that may still be asked about */
	uint32_t unresolved; /* those of which nothing can be said, as it is not known where they arrived */
};

struct batch {
	struct question question[QUESTIONS_MOST];
	uint32_t slot[QUESTIONS_MOST];
	uint64_t state[QUESTIONS_MOST];
	bool unplaced[QUESTIONS_MOST]; /* recorded without its local address */
	size_t number;
};

/* Whether the kernel that answers is one that knows these connections: it found one of them open. Mostly that is the control;
 * but a client that resets at once must not keep us from seeing who is gone. Unix connections need none, kernel_ask has its own
 * for them. */
static bool proves(const struct batch *batch)
{
	for (size_t i = 0; i < batch->number; i++)
		if (batch->question[i].answer == ANSWER_OPEN && !connection_is_unix(&batch->question[i].connection))
			return true;
	return false;
}

static void learn_guesses(struct inquiry *inquiry, const struct batch *batch)
{
	for (size_t i = 0; i < batch->number && inquiry->guesses < GUESSES; i++) {
		const struct connection *connection = &batch->question[i].connection;
		bool known = connection_is_unix(connection) || !connection_is_whole(connection);

		for (unsigned g = 0; g < inquiry->guesses && !known; g++)
			known = memcmp(&inquiry->guess[g], &connection->local.address, sizeof(inquiry->guess[g])) == 0;
		if (!known)
			inquiry->guess[inquiry->guesses++] = connection->local.address;
	}
}

/* Whether another question is about that connection: a client can have one port at several of our addresses. */
static bool is_others(const struct batch *batch, const struct connection *connection, const struct address *address)
{
	for (size_t i = 0; i < batch->number; i++) {
		const struct connection *other = &batch->question[i].connection;

		if (other != connection && other->peer.port == connection->peer.port &&
		    other->local.port == connection->local.port &&
		    memcmp(&other->peer.address, &connection->peer.address, sizeof(other->peer.address)) == 0 &&
		    memcmp(&other->local.address, address, sizeof(*address)) == 0)
			return true;
	}
	return false;
}

/* Puts those that are not found yet at an address, NULL for none. Returns how many. */
static uint32_t place_at(struct batch *batch, const struct address *address)
{
	uint32_t placed = 0;

	for (size_t i = 0; i < batch->number; i++) {
		struct question *question = &batch->question[i];

		if (!batch->unplaced[i] || question->answer == ANSWER_OPEN)
			continue;
		question->answer = ANSWER_NONE;
		question->connection.local.address = (struct address){0};
		if (address != NULL && (address_is_ipv4(address) != address_is_ipv4(&question->connection.peer.address) ||
					is_others(batch, &question->connection, address)))
			continue;
		if (address != NULL)
			question->connection.local.address = *address;
		placed++;
	}
	return placed;
}

static void read_arrived(const struct table *table, unsigned place, struct address *address)
{
	uint64_t words[2];

	for (int i = 0; i < 2; i++)
		words[i] = atomic_load_explicit(&table->header->arrived[place % ARRIVED].word[i], memory_order_relaxed);
	memcpy(address->bytes, words, sizeof(words));
}

/* Asks about all of a batch. Where a connection arrived is mostly where others of the client did, or of all clients: those that
 * were recorded without their address are asked about under these, each a look-up. */
static bool ask(const struct table *table, struct batch *batch, struct inquiry *inquiry)
{
	bool by_guess = kernel_way() != KERNEL_PROC;

	learn_guesses(inquiry, batch);
	place_at(batch, inquiry->guesses > 0 && by_guess ? &inquiry->guess[0] : NULL);
	bool answered = kernel_ask(batch->question, batch->number);
	for (unsigned g = 1; g < inquiry->guesses + ARRIVED && kernel_way() == KERNEL_SOCK_DIAG; g++) {
		struct address guess;

		if (g < inquiry->guesses)
			guess = inquiry->guess[g];
		else
			read_arrived(table, g - inquiry->guesses, &guess);
		if (!address_is_unspecified(&guess) && place_at(batch, &guess))
			answered |= kernel_ask(batch->question, batch->number);
	}
	inquiry->unresolved += place_at(batch, NULL);
	return answered;
}

/* Asks about a batch whose first question may be a control. Returns the records dropped, or -1 if the answers prove nothing. */
static int ask_and_drop(struct table *table, struct batch *batch, struct inquiry *inquiry)
{
	bool controlled = inquiry->control != NULL;
	int dropped = 0;

	bool answered = ask(table, batch, inquiry);
	/* An onlooker's questions, which have no control, say nothing of how the daemon may ask. */
	if (controlled)
		atomic_fetch_add_explicit(&table->header->asked[kernel_way() % ASKED_WAYS], 1, memory_order_relaxed);
	if (!answered)
		return -1;
	bool proven = !controlled || proves(batch);
	for (size_t i = controlled ? 1 : 0; i < batch->number; i++)
		if (batch->question[i].answer == ANSWER_GONE &&
		    (proven || connection_is_unix(&batch->question[i].connection)) &&
		    record_release(table, batch->slot[i], batch->state[i]))
			dropped++;
	atomic_fetch_add_explicit(&table->header->check_gone, (uint64_t)dropped, memory_order_relaxed);
	return dropped == 0 && !proven && !connection_is_unix(&batch->question[0].connection) ? -1 : dropped;
}

static bool same_end(const struct endpoint *a, const struct endpoint *b)
{
	return a->port == b->port && memcmp(&a->address, &b->address, sizeof(a->address)) == 0;
}

/* Whether a record has the very addresses and ports of the connection that is to be decided on, and so has no record yet: that
 * one can be open only since the recorded one is gone. The client has come back from the same port. */
static bool came_back(const struct connection *recorded, const struct connection *control)
{
	return connection_is_whole(control) && !connection_is_unix(control) && same_end(&recorded->peer, &control->peer) &&
	       same_end(&recorded->local, &control->local) && recorded->peer.interface == control->peer.interface;
}

static bool add_to_batch(const struct table *table, struct batch *batch, uint32_t slot, const struct connection *control)
{
	size_t i = batch->number;

	if (!record_read(table, slot, &batch->state[i], &batch->question[i].connection))
		return false;
	bool gone = control != NULL && came_back(&batch->question[i].connection, control);
	batch->question[i].answer = gone ? ANSWER_GONE : ANSWER_NONE;
	batch->unplaced[i] = connection_lacks_address(&batch->question[i].connection);
	batch->slot[i] = slot;
	batch->number++;
	return true;
}

/* A batch behind a control, whose local address is wanted now. If the kernel does not tell it, it does not find it either, and
 * nothing is concluded. */
static void begin_batch(struct table *table, struct batch *batch, struct connection *control)
{
	connection_ask_local(table, control);
	batch->question[0] = (struct question){.connection = *control};
	batch->unplaced[0] = false;
	batch->number = 1;
}

/* One pass over the client's slots in [from, end), at most inquiry->left of them. */
static int check_range(struct table *table, uint32_t entry, struct inquiry *inquiry, uint32_t from, uint32_t end,
		       uint32_t *reached)
{
	struct batch batch;
	uint32_t slot = record_next(table, entry, from, end);

	while (slot < end && inquiry->left > 0) {
		begin_batch(table, &batch, inquiry->control);
		for (; slot < end && batch.number < QUESTIONS_MOST && inquiry->left > 0;
		     slot = record_next(table, entry, slot + 1, end))
			if (add_to_batch(table, &batch, slot, inquiry->control))
				inquiry->left--;
		*reached = slot;
		int dropped = ask_and_drop(table, &batch, inquiry);
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

/* ---- searches ---- */

/* Memory for one, mapped for as long as it lasts. */
struct sought {
	unsigned char port[65536 / 8]; /* of peers that something is sought of */
	struct question *question;
	uint64_t *state;
	uint32_t *slot;
	uint32_t *order;
	uint32_t number;
};

static size_t bytes_sought(uint32_t extent)
{
	struct sought sought;

	return sizeof(sought) +
	       extent * (sizeof(*sought.question) + sizeof(*sought.state) + sizeof(*sought.slot) + sizeof(*sought.order));
}

static void add_sought(const struct table *table, struct sought *sought, uint32_t slot, bool unplaced)
{
	struct question *question = &sought->question[sought->number];
	unsigned char *ports = sought->port;

	if (!record_read(table, slot, &sought->state[sought->number], &question->connection) ||
	    connection_is_unix(&question->connection))
		return;
	unsigned port = question->connection.peer.port;
	bool wanted = unplaced ? connection_lacks_address(&question->connection)
			       : connection_is_whole(&question->connection) && (ports[port / 8] & 1U << port % 8) != 0;
	if (!wanted)
		return;
	ports[port / 8] |= (unsigned char)(1U << port % 8);
	question->answer = unplaced ? ANSWER_NONE : ANSWER_OPEN;
	sought->slot[sought->number++] = slot;
}

/* Searches for all that was recorded without its address, whoever's it is, as it costs little more than to search for one:
 * behind a worker that died, that is one search and not one for each of its clients. Those that have their address are left out
 * but for the ones from the same port of a client, so that none of them is taken for another. Returns how many of `entry` were
 * dropped, -1 if nothing can be said. */
static int64_t search(struct table *table, uint32_t entry, const struct connection *proof, int64_t *dropped)
{
	uint32_t extent = record_extent(table);
	size_t size = bytes_sought(extent);
	int64_t own = 0;

	*dropped = 0;
	if (!may_call(SYS_mmap, 0, size, PROT_READ | PROT_WRITE) || !may_call(SYS_munmap, 0, 0, 0))
		return -1;
	struct sought *sought = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (sought == MAP_FAILED)
		return -1;
	sought->state = (uint64_t *)(sought + 1);
	sought->question = (struct question *)(sought->state + extent);
	sought->slot = (uint32_t *)(sought->question + extent);
	sought->order = sought->slot + extent;
	for (int pass = 0; pass < 2; pass++)
		for (uint32_t slot = record_next(table, ANY_CLIENT, 0, extent); slot < extent && sought->number < extent;
		     slot = record_next(table, ANY_CLIENT, slot + 1, extent))
			add_sought(table, sought, slot, pass == 0);
	bool steered = atomic_load_explicit(&table->header->steered, memory_order_relaxed) != 0;
	bool answered = kernel_search(sought->question, sought->number, proof, steered, sought->order);
	for (uint32_t i = 0; i < sought->number && answered; i++) {
		const struct question *question = &sought->question[i];
		uint32_t slot = sought->slot[i];
		uint32_t owner = atomic_load_explicit(&table->owner[slot], memory_order_relaxed);

		if (question->answer == ANSWER_GONE && record_release(table, slot, sought->state[i])) {
			(*dropped)++;
			own += entry == ANY_CLIENT || owner == entry + 1 ? 1 : 0;
		} else if (question->answer == ANSWER_OPEN) {
			connection_arrived_at(table, &question->connection.local.address);
		}
	}
	munmap(sought, size);
	atomic_fetch_add_explicit(&table->header->check_gone, (uint64_t)*dropped, memory_order_relaxed);
	return answered ? own : -1;
}

/* The same, before a refusal: paid for like a check, though not by the client, and little if it found something. As what is
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
	int64_t own = search(table, entry, control, &dropped);
	uint64_t cost = clock_cpu_us() - began;
	atomic_fetch_add_explicit(&table->header->check_us, cost, memory_order_relaxed);
	back_off(pace, (uint32_t)clock_ms(), SEARCH_AHEAD, dropped > 0 ? cost / FRUITFUL : cost);
	return own > 0 ? own : 0;
}

/* ---- checks ---- */

/* One client's records, or any's, and the count of them in `word`. */
static enum checked check_some(struct table *table, uint32_t entry, _Atomic uint64_t *word, struct check_pace *pace,
			       struct connection *control)
{
	struct inquiry inquiry = {.control = control, .left = CHECKED_MOST};
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
	uint64_t mending = clock_cpu_us();
	bool mended = mend(table, word, entry);
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
	struct inquiry inquiry = {.control = control};
	uint32_t hint = atomic_load_explicit(place, memory_order_acquire);
	struct batch batch;

	if (hint == 0 || hint > table->capacity)
		return false;
	uint32_t owner = atomic_load_explicit(&table->owner[hint - 1], memory_order_relaxed);
	if (owner != 0 && owner != entry + 1)
		return false; /* another client's */
	begin_batch(table, &batch, control);
	bool freed = owner != 0 && add_to_batch(table, &batch, hint - 1, control)
			 ? ask_and_drop(table, &batch, &inquiry) > 0
			 : mend(table, &table->entry[entry].word, entry);
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
			clear_slot(table, slot, state);
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
				clear_slot(table, slot, state);
			else if (record_kind(state) == RECORD_OPEN && add_to_batch(table, &batch, slot, NULL) &&
				 batch.unplaced[batch.number - 1]) {
				batch.number--;
				inquiry.unresolved++;
			}
		}
		int dropped = batch.number > 0 ? ask_and_drop(table, &batch, &inquiry) : 0;
		if (dropped < 0) {
			blind = true;
			break;
		}
		freed += dropped;
	}
	if (blind || (inquiry.unresolved > 0 && search(table, ANY_CLIENT, NULL, &searched) < 0))
		return -1;
	freed += searched;
	mend_all(table);
	if ((atomic_load(&table->header->total) & TOTAL_COUNTING) != 0)
		mend(table, &table->header->total, ANY_CLIENT);
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
	for (uint32_t slot = record_next(table, entry, 0, extent); slot < extent;) {
		batch.number = 0;
		for (; slot < extent && batch.number < QUESTIONS_MOST; slot = record_next(table, entry, slot + 1, extent))
			add_to_batch(table, &batch, slot, NULL);
		int dropped = batch.number > 0 ? ask_and_drop(table, &batch, &inquiry) : 0;
		if (dropped < 0 && inquiry.unresolved == 0)
			return freed;
		freed += dropped > 0 ? (uint32_t)dropped : 0;
	}
	int64_t searched = 0;
	if (inquiry.unresolved > 0 && search(table, entry, NULL, &searched) > 0)
		freed += (uint32_t)searched;
	check_count(table, entry);
	return freed;
}
