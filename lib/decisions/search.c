#include "decisions/search.h"

#include "values/door.h"
#include "kernel/kernel.h"
#include "table/arrived.h"
#include "table/records.h"

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

int64_t search_unplaced(struct table *table, uint32_t entry, const struct connection *proof, int64_t *dropped)
{
	uint32_t extent = record_extent(table);
	size_t size = bytes_sought(extent);
	int64_t own = 0;

	*dropped = 0;
	struct sought *sought = door_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
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
			arrived_at(table, &question->connection.local.address);
		}
	}
	door_munmap(sought, size);
	atomic_fetch_add_explicit(&table->header->check_gone, (uint64_t)*dropped, memory_order_relaxed);
	return answered ? own : -1;
}
