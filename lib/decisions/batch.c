#include "decisions/batch.h"

#include "table/arrived.h"
#include "table/records.h"

#include <string.h>

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

		if (other != connection && other->local.port == connection->local.port &&
		    endpoint_same(&other->peer, &connection->peer) &&
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

int batch_drop_gone(struct table *table, struct batch *batch, struct inquiry *inquiry)
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

/* Whether a record has the very addresses and ports of the connection that is to be decided on, and so has no record yet: that
 * one can be open only since the recorded one is gone. The client has come back from the same port. */
static bool came_back(const struct connection *recorded, const struct connection *control)
{
	return connection_is_whole(control) && !connection_is_unix(control) && endpoint_same(&recorded->peer, &control->peer) &&
	       endpoint_same(&recorded->local, &control->local) && recorded->peer.interface == control->peer.interface;
}

bool batch_add(const struct table *table, struct batch *batch, uint32_t slot, const struct connection *control)
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

/* If the kernel does not tell the control's local address, it does not find it either, and nothing is concluded. */
void batch_begin(struct table *table, struct batch *batch, struct connection *control)
{
	connection_ask_local(table, control);
	batch->question[0] = (struct question){.connection = *control};
	batch->unplaced[0] = false;
	batch->number = 1;
}
