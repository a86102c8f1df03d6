/* libFuzzer: a table full of what the fuzzer says, checked, read and used. Bounds are what matters; the sanitizers judge. */
#include "decisions/check.h"
#include "decisions/regroup.h"
#include "table/remote.h"
#include "table/table.h"

#include <string.h>

static struct settings settings;
static struct settings copy;

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* The input is a list of (place, word): eight bytes for each place and word, the place within one of the table's parts. */
static void fill(const struct table *table, const unsigned char *data, size_t size)
{
	struct {
		char *at;
		size_t size;
	} part[] = {
	    {(char *)table->header, sizeof(*table->header)},
	    {(char *)table->blocks, 4096},
	    {(char *)table->blocks, sizeof(*table->blocks) * (LIMIT_BLOCKS + 1)},
	    {(char *)table->entry, sizeof(*table->entry) * table->entries * 2},
	    {(char *)table->notes, sizeof(*table->notes) * table->entries * 2},
	    {(char *)table->owner, sizeof(*table->owner) * table->capacity},
	    {(char *)table->within, sizeof(*table->within) * table->capacity},
	    {(char *)table->named, sizeof(*table->named) * table->capacity},
	    {(char *)table->record, sizeof(*table->record) * table->capacity},
	};

	for (; size >= 13; data += 13, size -= 13) {
		unsigned which = data[0] % (sizeof(part) / sizeof(part[0]));
		unsigned place;
		memcpy(&place, data + 1, sizeof(place));
		memcpy(part[which].at + place % (part[which].size / 8) * 8, data + 5, 8);
	}
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct connection connection = {.peer = {.port = 1, .address.bytes = {[10] = 0xff, 0xff, 10, 0, 0, 1}},
					.local = {.port = 80, .address.bytes = {[10] = 0xff, 0xff, 127, 0, 0, 1}}};
	struct client_facts facts;
	struct table table;
	reference held[4];

	settings_default(&settings);
	settings.per_ip = 2;
	settings.per_network = size % 2 != 0 ? 3 : LIMIT_NONE;
	settings.capacity = 64;
	if (!table_open_anonymous(&table, "fuzz", &settings))
		return 0;
	for (int i = 0; i < 2; i++, connection.peer.port++)
		table_admit(&table, &connection, &held[i]);
	fill(&table, data, size);
	for (int i = 2; i < 4; i++, connection.peer.port++)
		table_admit(&table, &connection, &held[i]);
	table_doubt(&table, held[0]);
	remote_set(&table, &(struct network){.address = connection.peer.address, .prefix = 128}, 3);
	for (uint32_t entry = 0; entry < table.entries * 2; entry++)
		table_client(&table, entry, &facts);
	limits_copy(&table, &copy);
	limits_start(&table, &copy);
	check_all(&table);
	for (int i = 0; i < 4; i++)
		table_release(&table, held[i]);
	regroup_publish(&table, limits_turn(&table), &settings);
	table_leave(&table);
	return 0;
}
