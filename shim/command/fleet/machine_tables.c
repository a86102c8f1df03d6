#include "command/fleet/machine.h"

#include "decisions/check.h"
#include "table/clients.h"
#include "table/remote.h"
#include "table/segment.h"
#include "values/alive.h"
#include "values/clock.h"
#include "values/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <unistd.h>

enum {
	PASSED_BY = 256,      /* segments remembered as not ours */
	LOOK_AGAIN_MS = 1000, /* time until those are looked at again: a reload may set a fleet limit */
	LOOKS_OVER = 20,      /* times in a row, before a table is reported that claims more than it can hold */
};

/* The state of an entry when it was last looked at. */
struct seen {
	struct client *client;
	uint64_t fingerprint;
	uint64_t word;
	uint32_t counted;
};

struct joined {
	int id;
	uid_t owner;
	char name[TABLE_NAME_MOST + 1]; /* made printable */
	struct table table;
	struct limits limits; /* in force the last time */
	struct seen *seen;
	struct bans_there bans;
	uint64_t counted; /* of all entries; at most the capacity */
	unsigned over;	  /* times in a row that it claimed more */
	bool found;	  /* seen this time */
	bool crowded;	  /* as reported last */
	bool unproven;	  /* remote counts were not checked since it was joined, or since its prefixes changed */
};

static uint32_t count_in(uint64_t word)
{
	return (word & CLIENT_TENTATIVE) == 0 ? (uint32_t)(word & CLIENT_COUNT) : 0;
}

/* Takes over an entry's count. Any process of the daemon can write to a table, and could claim that anybody holds any number of
 * connections. So the counts of a table are bounded by its capacity. */
static bool count(struct machine *machine, struct joined *joined, struct seen *seen, struct client *client, uint32_t number)
{
	uint64_t room = joined->table.capacity - (joined->counted - seen->counted);
	uint32_t counted = client == NULL ? 0 : number < room ? number : (uint32_t)room;

	joined->counted += counted;
	joined->counted -= seen->counted;
	if (client == seen->client) {
		machine_adjust(machine, client, (int64_t)counted - seen->counted);
	} else {
		machine_adjust(machine, seen->client, -(int64_t)seen->counted);
		machine_adjust(machine, client, counted);
	}
	seen->counted = counted;
	return client == NULL || counted == number;
}

static void refer(struct machine *machine, struct seen *seen, struct client *client)
{
	if (seen->client != NULL)
		seen->client->entries--;
	if (client != NULL)
		client->entries++;
	/* A new entry in this table has no remote count yet. */
	if (client != NULL && client != seen->client && client->total != 0)
		machine_add_to_apply(machine, client);
	seen->client = client;
}

/* The client that has the entry now; NULL if it holds nothing or does not concern the fleet. */
static struct client *client_in(struct machine *machine, const struct table *table, uint32_t entry, uint64_t word, bool *known)
{
	struct client_facts facts;
	unsigned char key[CLIENT_KEY];

	*known = true;
	if (count_in(word) == 0)
		return NULL;
	*known = table_client(table, entry, &facts);
	if (!*known || facts.network.prefix > 128)
		return NULL;
	key_of(key, &facts.network);
	return machine_client(machine, key, true);
}

static struct bans_of bans_of(struct joined *joined)
{
	return (struct bans_of){&joined->bans, &joined->table, &joined->limits, joined->name, joined->owner};
}

/* Takes over what changed in one table since the last time. */
static void look_at(struct machine *machine, struct joined *joined)
{
	const struct bans_of bans = bans_of(joined);
	struct table *table = &joined->table;
	bool over = false;

	for (uint32_t entry = 0; entry < table->entries; entry++) {
		struct seen *seen = &joined->seen[entry];
		uint64_t word = atomic_load_explicit(&table->entry[entry].word, memory_order_acquire);
		bool known = true;

		if (machine->bans.shared && (client_marks(table, entry) & MARK_BANNED) != 0)
			bans_look_at(&machine->bans, &bans, entry);
		if (word == seen->word)
			continue;
		uint64_t fingerprint = atomic_load_explicit(&table->entry[entry].fingerprint, memory_order_acquire);
		bool same = seen->client != NULL && fingerprint == seen->fingerprint;
		struct client *client = same ? seen->client : client_in(machine, table, entry, word, &known);
		if (count_in(word) == 0)
			client = NULL;
		bool whole = count(machine, joined, seen, client, count_in(word));
		refer(machine, seen, client);
		seen->fingerprint = fingerprint;
		/* If the client is not known yet (the entry is being made), or was not counted fully, look again next time. */
		seen->word = known && whole ? word : CLIENT_TENTATIVE;
		over = over || !whole;
	}
	if (machine->bans.shared)
		bans_looked(&machine->bans, &bans);
	joined->over = over ? joined->over + 1 : 0;
	if (joined->over == LOOKS_OVER)
		fprintf(stderr,
			"connlimit sync: table %s of user %u says that it holds more than its capacity, %u connections: "
			"what is more is not told to the fleet\n",
			joined->name, (unsigned)joined->owner, joined->table.capacity);
}

static void leave_table(struct machine *machine, size_t which, bool forget)
{
	struct joined *joined = machine->joined[which];

	for (uint32_t entry = 0; entry < joined->table.entries; entry++) {
		count(machine, joined, &joined->seen[entry], NULL, 0);
		refer(machine, &joined->seen[entry], NULL);
	}
	if (forget)
		remote_forget(&joined->table);
	bans_forget_there(&joined->bans);
	table_leave(&joined->table);
	free(joined->seen);
	free(joined);
	machine->joined[which] = machine->joined[--machine->tables];
}

/* Two sidecars for one table would overwrite each other's counts. */
static bool is_taken(const struct table *table)
{
	static uint32_t told_of;
	char name[TABLE_NAME_MOST + 1];
	uint32_t pid = remote_sidecar(table);
	bool taken = pid != 0 && pid != table->pid && process_alive(pid);

	if (taken && pid != told_of) {
		text_escape(name, sizeof(name), table->header->name, sizeof(table->header->name));
		fprintf(stderr, "connlimit sync: table %s is already joined by another sidecar, pid %u\n", name, pid);
		told_of = pid;
	}
	return taken;
}

static bool is_asked_for(const struct machine *machine, const struct table *table)
{
	for (size_t i = 0; i < machine->only_so_many; i++)
		if (strncmp(table->header->name, machine->only[i], sizeof(table->header->name)) == 0)
			return true;
	return machine->only_so_many == 0;
}

/* Whether it belongs to root, to our own user, or to a user that was named. */
static bool is_of_known_user(const struct machine *machine, uid_t owner)
{
	if (owner == 0 || owner == geteuid())
		return true;
	for (size_t i = 0; i < machine->users; i++)
		if (machine->user[i] == owner)
			return true;
	return false;
}

/* The maker counts too: an owner can give a segment away. */
static bool is_made_by_known_user(const struct machine *machine, int id, uid_t *owner)
{
	struct shmid_ds facts;

	if (shmctl(id, IPC_STAT, &facts) != 0)
		return false;
	*owner = facts.shm_perm.uid;
	return is_of_known_user(machine, facts.shm_perm.uid) && is_of_known_user(machine, facts.shm_perm.cuid);
}

static bool belongs(const struct machine *machine, const struct table *table, struct limits *limits)
{
	if (!is_asked_for(machine, table))
		return false;
	limits_read(table, limits);
	return limits->cluster_per_ip != LIMIT_NONE && !is_taken(table);
}

/* Remembers segments that are not ours, to avoid attaching them ten times a second. */
static struct passed_by {
	int id;
	uint64_t until;
} passed_by[PASSED_BY];
static unsigned passing;

static bool was_passed_by(int id, uint64_t now)
{
	for (unsigned i = 0; i < PASSED_BY; i++)
		if (passed_by[i].until > now && passed_by[i].id == id)
			return true;
	return false;
}

/* Nothing of a segment is touched before it is known who made it, and that to touch it cannot end us. */
static bool open_table(const struct machine *machine, struct joined *joined, int id)
{
	struct segment segment;

	if (!segment_attach_id(&segment, id, false))
		return false;
	if (!is_made_by_known_user(machine, id, &joined->owner) || segment_is_huge(&segment) ||
	    !table_look_at(&joined->table, segment.base, segment.size)) {
		segment_detach(&segment);
		return false;
	}
	joined->table.segment = segment;
	return true;
}

static void join_table(struct machine *machine, int id)
{
	uint64_t now = clock_ms();
	struct joined *joined;

	if (machine->tables == TABLES_MOST || was_passed_by(id, now) || (joined = calloc(1, sizeof(*joined))) == NULL)
		return;
	if (open_table(machine, joined, id)) {
		if (belongs(machine, &joined->table, &joined->limits) &&
		    (joined->seen = calloc(joined->table.entries, sizeof(*joined->seen))) != NULL) {
			joined->id = id;
			text_escape(joined->name, sizeof(joined->name), joined->table.header->name,
				    sizeof(joined->table.header->name));
			joined->found = true;
			joined->unproven = true;
			machine->joined[machine->tables++] = joined;
			return;
		}
		table_leave(&joined->table);
	}
	free(joined);
	passed_by[passing++ % PASSED_BY] = (struct passed_by){.id = id, .until = now + LOOK_AGAIN_MS};
}

static bool visit(const struct segment_facts *facts, void *with)
{
	struct machine *machine = with;

	for (size_t i = 0; i < machine->tables; i++) {
		struct joined *joined = machine->joined[i];
		struct limits before = joined->limits;
		if (joined->id != facts->id)
			continue;
		/* One of the attachments is ours; another one means that the daemon lives. */
		joined->found = facts->attached > 1 && belongs(machine, &joined->table, &joined->limits);
		if (before.ipv4_prefix != joined->limits.ipv4_prefix || before.ipv6_prefix != joined->limits.ipv6_prefix) {
			joined->unproven = true;
			bans_forget_there(&joined->bans);
		}
		return true;
	}
	if (facts->attached > 0 && facts->readable && is_of_known_user(machine, facts->owner))
		join_table(machine, facts->id);
	return true;
}

void machine_look(struct machine *machine)
{
	uint32_t smallest = LIMIT_MOST;

	for (size_t i = 0; i < machine->tables; i++)
		machine->joined[i]->found = false;
	segment_list(visit, machine);
	for (size_t i = machine->tables; i-- > 0;)
		if (!machine->joined[i]->found)
			leave_table(machine, i, !is_taken(&machine->joined[i]->table));
	for (size_t i = 0; i < machine->tables; i++)
		if (machine->joined[i]->limits.cluster_per_ip < smallest)
			smallest = machine->joined[i]->limits.cluster_per_ip;
	machine->threshold = (smallest + 1) / 2;
	for (size_t i = 0; i < machine->tables; i++)
		look_at(machine, machine->joined[i]);
}

void machine_leave(struct machine *machine)
{
	while (machine->tables > 0)
		leave_table(machine, machine->tables - 1, true);
}

/* Whether the table counts networks of this prefix length. */
static bool counts_by(const struct joined *joined, const struct network *network)
{
	return limits_client(&joined->limits, &network->address).prefix == network->prefix;
}

/* A table is told about connections on other machines, and those to other daemons on this machine. */
static void apply(struct machine *machine, const struct client *client)
{
	static bool warned;
	uint32_t elsewhere = client->total > client->told ? client->total - client->told : 0;
	struct network network = network_of(client->key);

	for (size_t i = 0; i < machine->tables; i++) {
		struct joined *joined = machine->joined[i];
		uint32_t beside = 0;
		if (!counts_by(joined, &network)) {
			if (client->total != 0 && !warned)
				fprintf(stderr,
					"connlimit sync: other machines take another prefix for one client than table %s: "
					"such clients are counted apart\n",
					joined->name);
			warned = warned || client->total != 0;
			continue;
		}
		if (client->total != 0 && machine->tables > 1) {
			uint32_t own = table_count(&joined->table, &network.address);
			beside = client->local > own ? client->local - own : 0;
		}
		remote_set(&joined->table, &network, elsewhere + beside);
	}
}

/* Removes remote counts left by an earlier sidecar, or belonging to an entry's former client. */
static void prove(struct machine *machine, struct joined *joined)
{
	struct table *table = &joined->table;

	for (uint32_t entry = 0; entry < table->entries; entry++) {
		unsigned char key[CLIENT_KEY];
		struct client_facts facts;
		if (!table_client(table, entry, &facts))
			continue;
		key_of(key, &facts.network);
		struct client *client = machine_client(machine, key, false);
		if (client == NULL || client->total == 0)
			remote_set(table, &facts.network, 0);
	}
	joined->unproven = false;
}

void machine_begin(struct machine *machine)
{
	machine->telling = true;
	for (size_t i = 0; i < machine->tables; i++)
		machine->joined[i]->unproven = true;
}

/* Those that have no place push each other out, and are back with the next call only. */
static void report_crowded(struct joined *joined, uint32_t near)
{
	bool crowded = near > joined->table.entries;

	if (crowded && !joined->crowded)
		fprintf(
		    stderr,
		    "connlimit sync: table %s has no room for all of the %u clients near the fleet's limit, and admits some of "
		    "them as if others held nothing: it needs a larger CONNLIMIT_CAPACITY\n",
		    joined->name, near);
	joined->crowded = crowded;
}

void machine_apply(struct machine *machine, bool all)
{
	struct client *client;
	struct client *next;

	while ((client = machine->to_apply) != NULL) {
		machine->to_apply = client->next_to_apply;
		client->waiting = false;
		apply(machine, client);
	}
	for (size_t i = 0; i < machine->tables; i++) {
		all = all || machine->joined[i]->unproven;
		if (machine->joined[i]->unproven)
			prove(machine, machine->joined[i]);
		const struct bans_of bans = bans_of(machine->joined[i]);
		if (machine->bans.shared)
			bans_place(&machine->bans, &bans, all);
	}
	bans_placed(&machine->bans);
	if (!all)
		return;
	uint32_t near = 0;
	HASH_ITER(hh, machine->clients, client, next)
	{
		if (client->total != 0) {
			near++;
			apply(machine, client);
		}
	}
	for (size_t i = 0; i < machine->tables; i++)
		report_crowded(machine->joined[i], near);
}

void machine_heard(struct machine *machine, uint64_t when, int lease_ms, unsigned long mended, bool evicting)
{
	for (size_t i = 0; i < machine->tables; i++)
		remote_heard(&machine->joined[i]->table, when, (uint32_t)lease_ms, mended, evicting);
}

void machine_verify(struct machine *machine, int work_ms)
{
	static size_t from; /* where the last call stopped */
	uint64_t network = network_namespace();
	uint64_t until = clock_us() + (uint64_t)work_ms * 1000;
	struct client *client;
	struct client *next;
	size_t number = 0;

	HASH_ITER(hh, machine->clients, client, next)
	{
		struct address address;

		if (client->local == 0 || number++ < from)
			continue;
		memcpy(address.bytes, client->key, 16);
		for (size_t i = 0; i < machine->tables; i++) {
			struct joined *joined = machine->joined[i];
			uint64_t made_in = atomic_load_explicit(&joined->table.header->network, memory_order_relaxed);
			bool asked =
			    client->total >= joined->limits.cluster_per_ip || check_is_in_doubt(&joined->table, &address);
			if (asked && network != 0 && made_in == network)
				check_address(&joined->table, &address);
		}
		if (clock_us() >= until) {
			from = number;
			return;
		}
	}
	from = 0;
}
