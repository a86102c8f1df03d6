#include "decisions/search.h"

#include "decisions/check.h"
#include "decisions/pace.h"
#include "kernel/kernel.h"
#include "table/arrived.h"
#include "table/records.h"
#include "values/budget.h"
#include "values/clock.h"
#include "values/door.h"

/* Memory for a search, mapped while it runs. */
struct room {
	unsigned char port[65536 / 8]; /* ports of the peers that are searched for, one bit each */
	struct question *question;
	uint64_t *state;
	uint32_t *slot;
	uint32_t *place;
	uint32_t most;	 /* room for so many records */
	uint32_t looked; /* records looked at in this pass */
	uint32_t number;
	uint32_t sought; /* the first of these, the ones to be answered */
};

static size_t bytes_of(uint32_t most)
{
	struct room room;

	return sizeof(room) + most * (sizeof(*room.question) + sizeof(*room.state) + sizeof(*room.slot)) +
	       search_places(most) * sizeof(*room.place);
}

/* If there are more records than the kernel has sockets, the surplus must be gone. So many are enough for one search. This
 * bounds a search by the length of the kernel's list, whatever is in the table. */
enum { GONE_AT_ONCE = 1024 };

static uint32_t most_of(const struct table *table, const struct inquiry *inquiry)
{
	uint32_t extent = record_extent(table);
	uint32_t sockets = inquiry->control != NULL ? kernel_sockets() : UINT32_MAX;

	return sockets < extent && extent - sockets > GONE_AT_ONCE ? sockets + GONE_AT_ONCE : extent;
}

static void add(const struct table *table, struct room *room, uint32_t slot, enum sought what, bool sought)
{
	struct question *question = &room->question[room->number];
	unsigned char *ports = room->port;

	if (!record_read(table, slot, &room->state[room->number], &question->connection) ||
	    connection_is_unix(&question->connection) || question->connection.mptcp != 0)
		return;
	if (arrived_unsure(table, table->record[slot].since))
		question->connection.local.address = (struct address){0};
	unsigned port = question->connection.peer.port;
	bool whole = connection_is_whole(&question->connection);
	bool wanted = sought ? connection_lacks_address(&question->connection) || (what == SEARCH_ALL && whole)
			     : whole && (ports[port / 8] & 1U << port % 8) != 0;
	if (!wanted)
		return;
	ports[port / 8] |= (unsigned char)(1U << port % 8);
	question->answer = sought ? ANSWER_NONE : ANSWER_OPEN;
	room->slot[room->number++] = slot;
}

/* A pass goes over the slots of the inquiry's client, of the others, or of all. */
enum whose { ITS_OWN, OTHERS, ALL };

static void fill_pass(const struct table *table, struct room *room, uint32_t client, enum whose whose, enum sought what,
		      bool sought)
{
	uint32_t entry = whose == ITS_OWN ? client - 1 : ANY_CLIENT;
	uint32_t extent = record_extent(table);

	for (uint32_t slot = record_next(table, entry, 0, extent);
	     slot < extent && room->number < room->most && room->looked / 2 < room->most;
	     slot = record_next(table, entry, slot + 1, extent))
		if (whose != OTHERS || !record_belongs(table, slot, client - 1)) {
			room->looked++;
			add(table, room, slot, what, sought);
		}
}

static void fill(const struct table *table, struct room *room, uint32_t client, enum sought what)
{
	if (client != 0)
		fill_pass(table, room, client, ITS_OWN, what, true);
	fill_pass(table, room, client, client != 0 ? OTHERS : ALL, what, true);
	room->sought = room->number;
	room->looked = 0;
	if (what != SEARCH_ALL)
		fill_pass(table, room, client, ALL, what, false);
}

/* The list contains sockets of all interfaces, so a proof holds for the whole namespace. */
static void prove(struct inquiry *inquiry, uint32_t network)
{
	inquiry_prove(inquiry, &(struct kind){.network = network, .interface = ANY_INTERFACE});
}

static void learn_proofs(struct inquiry *inquiry, const struct room *room, const struct kernel_search *search)
{
	if (search->proof != NULL) {
		inquiry_note_control(inquiry, search->proven);
		if (search->proven)
			prove(inquiry, search->proof->network);
	}
	if (search->listened && inquiry->asking.network != 0)
		prove(inquiry, inquiry->asking.network);
	for (uint32_t i = 0; i < room->sought; i++) {
		const struct question *question = &room->question[i];

		if ((question->answer == ANSWER_OPEN && record_kind(room->state[i]) == RECORD_OPEN) ||
		    (question->answer == ANSWER_REMAINS && inquiry->asking.network != 0 &&
		     inquiry->asking.network == question->connection.network))
			prove(inquiry, question->connection.network);
	}
}

/* The control, if the list can contain it. */
static const struct connection *proof_of(struct table *table, struct inquiry *inquiry)
{
	struct connection *control = inquiry->control;

	return control != NULL && !connection_is_unix(control) && control->mptcp == 0 && connection_ask_local(table, control) &&
		       asking_reaches(&inquiry->asking, control)
		   ? control
		   : NULL;
}

static int64_t drop_gone(struct table *table, struct inquiry *inquiry, const struct room *room, int64_t *dropped)
{
	int64_t own = 0;

	for (uint32_t i = 0; i < room->number; i++) {
		const struct question *question = &room->question[i];
		uint32_t slot = room->slot[i];
		bool of_client = inquiry->client == 0 || record_belongs(table, slot, inquiry->client - 1);

		if (question->answer == ANSWER_OPEN)
			arrived_at(table, &question->connection.local.address);
		if (!answer_is_gone(question->answer))
			continue;
		if (!inquiry_believes(inquiry, &question->connection)) {
			inquiry->unproven++;
		} else if (inquiry_release(table, inquiry, slot, room->state[i])) {
			(*dropped)++;
			own += of_client ? 1 : 0;
		}
	}
	return own;
}

static int64_t search(struct table *table, struct inquiry *inquiry, enum sought what, int64_t *dropped)
{
	uint32_t most = most_of(table, inquiry);
	size_t size = bytes_of(most);
	int64_t own = -1;

	if (!kernel_begin(&inquiry->asking))
		what = SEARCH_ALL;
	struct room *room = door_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	if (room == MAP_FAILED) {
		if (inquiry->asking.netlink < 0)
			kernel_went(KERNEL_UNREACHABLE);
		return -1;
	}
	room->most = most;
	room->state = (uint64_t *)(room + 1);
	room->question = (struct question *)(room->state + most);
	room->slot = (uint32_t *)(room->question + most);
	room->place = room->slot + most;
	fill(table, room, inquiry->client, what);
	struct kernel_search search = {
	    .question = room->question,
	    .number = room->number,
	    .proof = proof_of(table, inquiry),
	    .any_port = atomic_load_explicit(&table->header->steered, memory_order_relaxed) != 0,
	    .place = room->place,
	    .places = search_places(room->number),
	};
	if (kernel_search(&inquiry->asking, &search)) {
		learn_proofs(inquiry, room, &search);
		own = drop_gone(table, inquiry, room, dropped);
	}
	door_munmap(room, size);
	if (inquiry->control != NULL && inquiry->asking.netlink < 0)
		atomic_fetch_add_explicit(&table->header->asked[kernel_way() % ASKED_WAYS], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&table->header->check_gone, (uint64_t)*dropped, memory_order_relaxed);
	return own;
}

/* A search is paid for by all clients: it frees whatever is gone, and as what it finds open is then looked up where it was
 * found, there is hardly a reason for the next one but that something is gone. */
static const struct pace_rule searches = {
    .factor = 50, .fruitless_us = CHECK_WAIT * 1000, .most_us = 60000000, .ahead_us = 20000000};

bool search_is_allowed(const struct table *table, bool can_wait)
{
	const struct pace *pace = &table->header->search_pace;
	uint64_t now = clock_us();

	return (can_wait ? pace_allows_more(pace, &searches, now) : pace_allows(pace, &searches, now)) &&
	       pace_allows(&table->own_searches, &searches, now);
}

int64_t search_in_time(struct table *table, struct inquiry *inquiry, enum sought what, bool can_wait, uint64_t *us)
{
	int64_t dropped = 0;

	*us = 0;
	if (!budget_has(SEARCH_LEAST_NS) || !search_is_allowed(table, can_wait))
		return 0;
	inquiry->may_search = false; /* once is enough */
	uint64_t began = clock_cpu_us();
	int64_t outer = budget_set(SEARCH_NS);
	int64_t own = search(table, inquiry, what, &dropped);
	budget_set(outer);
	budget_searched();
	*us = clock_cpu_us() - began;
	pace_pay(&table->own_searches, &searches, clock_us(), *us, false);
	pace_pay(&table->header->search_pace, &searches, clock_us(), *us, dropped <= 0);
	return own;
}

int64_t search_unplaced(struct table *table, uint32_t entry, int64_t *dropped)
{
	struct inquiry inquiry = {.client = inquiry_client(entry)};

	*dropped = 0;
	int64_t own = search(table, &inquiry, SEARCH_UNPLACED, dropped);
	inquiry_end(&inquiry);
	return own;
}
