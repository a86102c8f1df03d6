#include "decisions/batch.h"

#include "table/arrived.h"
#include "table/records.h"

#include <string.h>

void inquiry_end(struct inquiry *inquiry)
{
	kernel_end(&inquiry->asking);
}

static bool covers(const struct kind *proven, const struct kind *kind)
{
	return proven->network == kind->network && proven->mptcp == kind->mptcp &&
	       (proven->interface == kind->interface || proven->interface == ANY_INTERFACE);
}

void inquiry_prove(struct inquiry *inquiry, const struct kind *kind)
{
	for (unsigned i = 0; i < inquiry->proofs; i++)
		if (covers(&inquiry->proven[i], kind))
			return;
	if (inquiry->proofs < PROOFS)
		inquiry->proven[inquiry->proofs++] = *kind;
}

/* If the control was reset before it was asked about, it proves nothing in either direction. */
void inquiry_note_control(struct inquiry *inquiry, bool found)
{
	const struct connection *control = inquiry->control;
	struct kind kind = kind_of(control);

	inquiry->asked_control = true;
	if (found)
		inquiry_prove(inquiry, &kind);
	else
		inquiry->doubted = control->descriptor == 0 || !kernel_has_ended(control->descriptor - 1);
}

bool inquiry_believes(const struct inquiry *inquiry, const struct connection *connection)
{
	struct kind kind = kind_of(connection);

	if (connection_is_unix(connection))
		return true; /* kernel_ask_unix has its own proof */
	if (inquiry->control != NULL && inquiry->doubted) {
		struct kind doubted = kind_of(inquiry->control);
		if (covers(&doubted, &kind))
			return false;
	}
	for (unsigned i = 0; i < inquiry->proofs; i++)
		if (covers(&inquiry->proven[i], &kind))
			return true;
	return false;
}

bool inquiry_release(struct table *table, struct inquiry *inquiry, uint32_t slot, uint64_t state)
{
	const struct record *record = &table->record[slot];
	uint32_t holder = atomic_load_explicit(&record->holder, memory_order_relaxed);

	bool looks = holder != 0 && holder != inquiry->seen.pid && holder != table->pid;
	if (looks && !budget_has(HOLDER_NS + inquiry_reserve(inquiry)))
		return false;
	/* A process outside the table's pid namespace cannot see whether a holder lives, and leaves such records to those who
	 * can. A Unix socket that the kernel no longer knows is held by nobody. */
	if (holder != 0 && record->interface != INTERFACE_UNIX &&
	    (table->pid == 0 || process_holds_seen(&inquiry->seen, holder, record->since))) {
		budget_spend(looks ? HOLDER_NS : 0);
		return false;
	}
	budget_spend(looks ? PROCESS_NS : 0);
	return record_release(table, slot, state);
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

/* Whether another question is about that very connection: a client can use the same port with several of our addresses. */
static bool is_others(const struct batch *batch, const struct connection *connection, const struct address *address)
{
	for (size_t i = 0; i < batch->number; i++) {
		const struct connection *other = &batch->question[i].connection;

		if (other != connection && other->local.port == connection->local.port &&
		    endpoint_same(&other->peer, &connection->peer) &&
		    memcmp(&other->local.address, address, sizeof(*address)) == 0)
			return true;
	}
	return false;
}

/* Fills in a local address (NULL: none) for those that are not found yet. Returns how many. */
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

/* Asks about a whole batch. A connection recorded without its local address most likely arrived at the same address as others
 * of the client, or of all clients. So it is looked up under each of these. */
static bool ask(const struct table *table, struct batch *batch, struct inquiry *inquiry)
{
	learn_guesses(inquiry, batch);
	place_at(batch, inquiry->guesses > 0 ? &inquiry->guess[0] : NULL);
	budget_spend((int64_t)batch->number * ASKED_NS);
	bool answered = kernel_ask(&inquiry->asking, batch->question, batch->number);
	for (unsigned g = 1; g < inquiry->guesses + ARRIVED && kernel_way() == KERNEL_SOCK_DIAG && budget_has(ASKED_NS); g++) {
		struct address guess;
		uint32_t placed;

		if (g < inquiry->guesses)
			guess = inquiry->guess[g];
		else
			read_arrived(table, g - inquiry->guesses, &guess);
		if (!address_is_unspecified(&guess) && (placed = place_at(batch, &guess)) != 0) {
			if (inquiry->may_search && !budget_has((int64_t)placed * ASKED_NS + SEARCH_LEAST_NS))
				break;
			budget_spend((int64_t)placed * ASKED_NS);
			answered |= kernel_ask(&inquiry->asking, batch->question, batch->number);
		}
	}
	inquiry->unresolved += place_at(batch, NULL);
	return answered;
}

static void learn_proofs(struct inquiry *inquiry, const struct batch *batch)
{
	for (size_t i = 0; i < batch->number; i++) {
		const struct question *question = &batch->question[i];
		struct kind kind = kind_of(&question->connection);
		bool of_control = inquiry->control != NULL && i == 0;

		if (connection_is_unix(&question->connection))
			continue;
		if (of_control) {
			if (!inquiry->asked_control)
				inquiry_note_control(inquiry, question->answer == ANSWER_OPEN);
		} else if ((question->answer == ANSWER_OPEN && record_kind(batch->state[i]) == RECORD_OPEN) ||
			   (question->answer == ANSWER_REMAINS && inquiry->asking.network != 0 &&
			    inquiry->asking.network == kind.network)) {
			inquiry_prove(inquiry, &kind);
		}
	}
}

/* Connections in another namespace are never found. If the control is not found itself, others of its kind are not found
 * either. */
static void note_unverifiable(struct table *table, const struct inquiry *inquiry, const struct batch *batch)
{
	for (size_t i = 0; i < batch->number; i++) {
		const struct connection *connection = &batch->question[i].connection;
		bool elsewhere =
		    connection->network != 0 && inquiry->asking.network != 0 && connection->network != inquiry->asking.network;

		if (!connection_is_unix(connection) && (elsewhere || (i == 0 && inquiry->control != NULL && inquiry->doubted)))
			unverifiable_at(table, &connection->local);
	}
}

/* A record with the control's own addresses and ports is known to be gone without asking, unless its namespace is unknown. */
static bool is_gone(const struct inquiry *inquiry, const struct batch *batch, size_t i)
{
	const struct connection *connection = &batch->question[i].connection;

	return (batch->came_back[i] && connection->network != 0) || inquiry_believes(inquiry, connection);
}

static int drop_unfound(struct table *table, const struct batch *batch, struct inquiry *inquiry)
{
	int dropped = 0;

	for (size_t i = inquiry->control != NULL ? 1 : 0; i < batch->number; i++) {
		if (!answer_is_gone(batch->question[i].answer))
			continue;
		if (!is_gone(inquiry, batch, i))
			inquiry->unproven++;
		else if (inquiry_release(table, inquiry, batch->slot[i], batch->state[i]))
			dropped++;
	}
	return dropped;
}

/* Those that cannot be looked up, and have to be searched for. */
static uint32_t unplaced_by_proc(const struct batch *batch)
{
	uint32_t number = 0;

	for (size_t i = 0; i < batch->number; i++)
		if (batch->question[i].answer == ANSWER_NONE && !connection_is_unix(&batch->question[i].connection))
			number++;
	return number;
}

int batch_drop_gone(struct table *table, struct batch *batch, struct inquiry *inquiry)
{
	bool controlled = inquiry->control != NULL;
	bool answered = true;

	if (controlled && inquiry->asked_control)
		batch->question[0].answer = ANSWER_GONE; /* it was asked about once already */
	if (kernel_begin(&inquiry->asking)) {
		answered = ask(table, batch, inquiry);
		learn_proofs(inquiry, batch);
		if (controlled)
			note_unverifiable(table, inquiry, batch);
		/* Questions without a control come from an onlooker, and do not show how the daemon can ask. */
		if (controlled)
			atomic_fetch_add_explicit(&table->header->asked[kernel_way() % ASKED_WAYS], 1, memory_order_relaxed);
	} else {
		inquiry->unresolved += unplaced_by_proc(batch);
	}
	int dropped = drop_unfound(table, batch, inquiry);
	atomic_fetch_add_explicit(&table->header->check_gone, (uint64_t)dropped, memory_order_relaxed);
	return dropped > 0 || answered ? dropped : -1;
}

/* Whether a record has the same addresses and ports as the connection that is to be decided on. Both cannot be open at once, so
 * the recorded one is gone: the client has come back from the same port. */
static bool came_back(const struct connection *recorded, const struct connection *control)
{
	return connection_is_whole(control) && !connection_is_unix(control) && endpoint_same(&recorded->peer, &control->peer) &&
	       endpoint_same(&recorded->local, &control->local) && recorded->peer.interface == control->peer.interface &&
	       recorded->network == control->network && control->network != NETWORK_OTHER && recorded->mptcp == 0 &&
	       control->mptcp == 0;
}

bool batch_add(const struct table *table, struct batch *batch, uint32_t slot, const struct connection *control)
{
	size_t i = batch->number;

	budget_spend(RECORD_NS);
	if (!record_read(table, slot, &batch->state[i], &batch->question[i].connection))
		return false;
	if (arrived_unsure(table, table->record[slot].since) && !connection_is_unix(&batch->question[i].connection))
		batch->question[i].connection.local.address = (struct address){0};
	batch->came_back[i] = control != NULL && came_back(&batch->question[i].connection, control);
	batch->question[i].answer = batch->came_back[i] ? ANSWER_GONE : ANSWER_NONE;
	batch->unplaced[i] = connection_lacks_address(&batch->question[i].connection);
	batch->slot[i] = slot;
	batch->number++;
	return true;
}

/* If the control's local address cannot be learned, the kernel does not find the control, and nothing is concluded. */
void batch_begin(struct table *table, struct batch *batch, struct connection *control)
{
	connection_ask_local(table, control);
	batch->question[0] = (struct question){.connection = *control};
	batch->unplaced[0] = false;
	batch->came_back[0] = false;
	batch->number = 1;
}
