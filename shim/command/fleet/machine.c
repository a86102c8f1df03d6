#include "command/fleet/machine.h"

#include "settings/settings.h"

#include <stdlib.h>
#include <string.h>

enum { STRANGERS_MOST = 1 << 20 };

struct client *machine_client(struct machine *machine, const unsigned char *key, bool make)
{
	struct client *client;

	HASH_FIND(hh, machine->clients, key, CLIENT_KEY, client);
	if (client == NULL && make && (client = calloc(1, sizeof(*client))) != NULL) {
		struct client **bucket = &machine->bucket[fleet_bucket(key)];
		memcpy(client->key, key, CLIENT_KEY);
		HASH_ADD(hh, machine->clients, key, CLIENT_KEY, client);
		client->next_in_bucket = *bucket;
		if (*bucket != NULL)
			(*bucket)->previous_in_bucket = client;
		*bucket = client;
	}
	return client;
}

/* The sum over many tables can exceed the largest limit. */
static uint32_t tellable(const struct client *client)
{
	return client->local < LIMIT_MOST ? client->local : LIMIT_MOST;
}

static void set_told(struct machine *machine, struct client *client, uint32_t told)
{
	struct fleet_bucket *bucket = &machine->told[fleet_bucket(client->key)];

	bucket->clients += (told != 0) - (client->told != 0);
	bucket->sum += (uint64_t)told - client->told;
	client->told = told;
}

static void add_change(struct machine *machine, struct client *client)
{
	if (client->changed || !machine->telling)
		return;
	if (machine->changes == machine->change_room) {
		size_t room = machine->change_room != 0 ? machine->change_room * 2 : 1024;
		struct fleet_change *larger = realloc(machine->change, room * sizeof(*larger));

		if (larger == NULL)
			return; /* it is told when it changes again, or when the node joins again */
		machine->change = larger;
		machine->change_room = room;
	}
	client->changed = true;
	memcpy(machine->change[machine->changes++].key, client->key, CLIENT_KEY);
}

void machine_add_to_apply(struct machine *machine, struct client *client)
{
	if (client->waiting)
		return;
	client->waiting = true;
	client->next_to_apply = machine->to_apply;
	machine->to_apply = client;
}

void machine_adjust(struct machine *machine, struct client *client, int64_t step)
{
	if (client == NULL || step == 0)
		return;
	int64_t local = (int64_t)client->local + step;
	client->local = local > 0 ? (uint32_t)local : 0;
	add_change(machine, client);
}

size_t machine_take_changes(struct machine *machine)
{
	size_t number = machine->changes;

	for (size_t i = 0; i < number; i++) {
		struct client *client = machine_client(machine, machine->change[i].key, false);
		machine->change[i].number = client != NULL ? tellable(client) : 0;
		if (client == NULL)
			continue;
		client->changed = false;
		set_told(machine, client, tellable(client)); /* set before the answers arrive, as they include it */
		if (client->total != 0)
			machine_add_to_apply(machine, client);
	}
	machine->changes = 0;
	return number;
}

void machine_take_bucket(struct machine *machine, unsigned bucket, struct fleet_whole *whole)
{
	struct client *client;
	uint32_t clients = 0;

	for (client = machine->bucket[bucket]; client != NULL; client = client->next_in_bucket)
		clients += client->local != 0;
	fleet_whole_bucket(whole, bucket, clients);
	for (client = machine->bucket[bucket]; client != NULL; client = client->next_in_bucket) {
		if (client->local != 0)
			fleet_whole_client(whole, client->key, tellable(client));
		set_told(machine, client, tellable(client));
		if (client->total != 0)
			machine_add_to_apply(machine, client);
	}
}

void machine_pause(struct machine *machine)
{
	struct client *client;
	struct client *next;

	machine->telling = false;
	machine->changes = 0;
	HASH_ITER(hh, machine->clients, client, next)
	{
		client->changed = false;
	}
}

void machine_forget(struct machine *machine)
{
	struct client *client;
	struct client *next;

	HASH_ITER(hh, machine->clients, client, next)
	{
		client->total = 0;
		set_told(machine, client, 0);
	}
	machine_tidy(machine);
}

static void take_out_of_bucket(struct machine *machine, struct client *client)
{
	if (client->previous_in_bucket != NULL)
		client->previous_in_bucket->next_in_bucket = client->next_in_bucket;
	else
		machine->bucket[fleet_bucket(client->key)] = client->next_in_bucket;
	if (client->next_in_bucket != NULL)
		client->next_in_bucket->previous_in_bucket = client->previous_in_bucket;
}

void machine_tidy(struct machine *machine)
{
	struct client *client;
	struct client *next;

	machine->strangers = 0;
	HASH_ITER(hh, machine->clients, client, next)
	{
		bool unheld = client->entries == 0 && client->local == 0;
		if (unheld && client->total != 0)
			machine->strangers++;
		if (unheld && client->total == 0 && client->told == 0 && !client->waiting && !client->changed) {
			take_out_of_bucket(machine, client);
#ifndef __clang_analyzer__ /* which believes that uthash frees a full table here */
			HASH_DEL(machine->clients, client);
			free(client);
#endif
		}
	}
}

/* ---- what is heard ---- */

void machine_hear(struct machine *machine, const unsigned char *key, uint32_t total)
{
	uint32_t noted = total >= machine->threshold ? total : 0;
	struct client *client = machine_client(machine, key, false);

	if (key[16] > 128)
		return;
	if (client == NULL) {
		if (noted == 0 || machine->strangers >= STRANGERS_MOST || (client = machine_client(machine, key, true)) == NULL)
			return;
		machine->strangers++;
	}
	client->named = true;
	if (client->total == noted)
		return;
	client->total = noted;
	machine_add_to_apply(machine, client);
}

void machine_snapshot_begins(struct machine *machine)
{
	struct client *client;
	struct client *next;

	HASH_ITER(hh, machine->clients, client, next)
	{
		client->named = false;
	}
}

void machine_snapshot_ends(struct machine *machine)
{
	struct client *client;
	struct client *next;

	HASH_ITER(hh, machine->clients, client, next)
	{
		if (!client->named && client->total != 0) {
			client->total = 0;
			machine_add_to_apply(machine, client);
		}
	}
}
