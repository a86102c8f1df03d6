#include "table/remote.h"

#include "table/clients.h"
#include "values/clock.h"

enum { LEASE_MOST = 3600 * 1000 /* shared memory is not trusted: nothing is valid for longer than an hour */ };

static bool is_current(const struct table *table)
{
	uint64_t until = atomic_load_explicit(&table->header->remote_until, memory_order_relaxed);

	if (until == 0)
		return false;
	uint64_t now = clock_ms();
	return now < until && until - now <= LEASE_MOST;
}

COLD uint32_t remote_leaves_limited(const struct table *table, const struct limits *limits, const struct connection *connection,
				    const struct applied *applied, uint32_t entry)
{
	if (connection_is_unix(connection))
		return LIMIT_NONE;
	if (applied_exempts(applied))
		return LIMIT_NONE;
	uint32_t remote =
	    is_current(table) ? atomic_load_explicit(&client_notes(table, entry)->remote, memory_order_relaxed) : 0;
	return remote < limits->cluster_per_ip ? limits->cluster_per_ip - remote : 0;
}

static void set(struct table *table, uint32_t entry, uint32_t connections)
{
	if (atomic_load(&client_notes(table, entry)->remote) != connections)
		atomic_store(&client_noted(table, entry)->remote, connections);
}

bool remote_set(struct table *table, const struct network *network, uint32_t connections)
{
	uint64_t fingerprint = client_fingerprint(table, network);
	uint32_t entry;
	uint64_t word;

	if (connections == 0 ? !client_find(table, fingerprint, &entry, &word)
			     : !client_find_or_add(table, fingerprint, network, &entry, &word))
		return connections == 0;
	set(table, entry, connections);
	/* Meanwhile the entry may have been given to another client, about whom the fleet has said nothing. */
	if (atomic_load(&table->entry[entry].fingerprint) != fingerprint)
		set(table, entry, 0);
	return true;
}

void remote_heard(struct table *table, uint64_t when, uint32_t lease_ms, uint64_t mended, bool evicting)
{
	atomic_store_explicit(&table->header->remote_until, when + (lease_ms < LEASE_MOST ? lease_ms : LEASE_MOST),
			      memory_order_relaxed);
	atomic_store_explicit(&table->header->remote_heard, when, memory_order_relaxed);
	atomic_store_explicit(&table->header->remote_sidecar, table->pid, memory_order_relaxed);
	atomic_store_explicit(&table->header->remote_evicting, evicting, memory_order_relaxed);
	if (mended != 0)
		atomic_fetch_add_explicit(&table->header->remote_mended, mended, memory_order_relaxed);
}

uint32_t remote_sidecar(const struct table *table)
{
	return is_current(table) ? atomic_load_explicit(&table->header->remote_sidecar, memory_order_relaxed) : 0;
}

void remote_forget(struct table *table)
{
	atomic_store_explicit(&table->header->remote_until, 0, memory_order_relaxed);
	for (uint32_t entry = 0; entry < table->entries; entry++)
		set(table, entry, 0);
}
