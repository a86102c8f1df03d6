/* Admission and release: what the interposed calls and the C library do with a connection. */
#include "decisions/check.h"
#include "decisions/pace.h"
#include "kernel/kernel.h"
#include "table/arrived.h"
#include "table/bans.h"
#include "values/budget.h"
#include "table/clients.h"
#include "table/events.h"
#include "values/clock.h"
#include "values/point.h"
#include "table/rate.h"
#include "table/records.h"
#include "decisions/regroup.h"
#include "table/remote.h"
#include "table/total.h"

#include <errno.h>
#include <string.h>

enum {
	TRIES = 16, /* times that an admission starts again because others changed the client meanwhile */
	CHECKS = 8, /* times that the kernel is asked for one decision: each frees at least one place, which others may take */
};

static uint32_t slot_of(reference held)
{
	return (uint32_t)held - 1;
}

static uint32_t generation_of(reference held)
{
	return (uint32_t)(held >> 32);
}

/* The network that the connection is to be counted for as well. */
struct in_network {
	uint32_t entry; /* NO_NETWORK: it is not counted for one */
	uint32_t limit; /* what is enforced, as the client's below */
	uint32_t doubtful;
	bool peak_checked;
	uint64_t word;
	uint64_t generation; /* that it was counted under */
	uint32_t count;	     /* with it */
	uint32_t of_client;  /* the client's count with it */
	uint64_t fingerprint;
	struct network network;
	struct applied applied; /* by the limits in force */
};

/* One attempt to admit, and how far it got. */
struct attempt {
	struct connection *connection;
	struct limits limits;
	struct network network;
	uint64_t fingerprint;
	struct applied applied; /* by the limits in force */
	uint32_t limit;		/* the part of it that is enforced; LIMIT_NONE once the refusal was only observed */
	uint32_t total;
	struct in_network in; /* where connections are counted for networks */
	uint32_t fleet;	      /* what the fleet's limit leaves for this machine; LIMIT_NONE if there is none */
	uint32_t doubtful; /* how many of the client's connections do not count, because the kernel cannot say whether they are
		       open */
	uint32_t doubtful_of_all; /* the same for the total */
	bool unverified;
	bool observed; /* would have been refused; continues without limits */
	bool paid;     /* a token of the rate was taken */
	uint32_t entry;
	uint32_t banned; /* seconds */
	enum refusal_reason reason;
};

/* What a decision consists of is compiled twice: with `networks`, and without for when connections are not counted for them. */
#define INLINE static inline __attribute__((always_inline))

INLINE bool is_in_network(const struct attempt *attempt, bool networks)
{
	return networks && attempt->in.entry != NO_NETWORK;
}

/* Takes back what an attempt was counted for, but for the total. */
INLINE void uncount(struct table *table, const struct attempt *attempt, uint64_t generation, bool networks)
{
	client_uncount(table, attempt->entry, generation);
	if (is_in_network(attempt, networks))
		client_uncount(table, attempt->in.entry, attempt->in.generation);
}

static enum refusal_reason reason_of_limit(const struct attempt *attempt)
{
	if (connection_is_unix(attempt->connection))
		return REFUSED_PER_UID;
	return attempt->applied.by_rule ? REFUSED_RULE : REFUSED_PER_IP;
}

/* Gives the slot back, and what it counts for. What it counts for no more, as it was regrouped, is not ours to lower. */
static COLD void take_back(struct table *table, const struct attempt *attempt, uint64_t generation, uint64_t total,
			   uint32_t slot, uint64_t state, bool networks)
{
	struct freed freed;

	if (!record_free(table, slot, state, &freed))
		return;
	if (freed.owner == attempt->entry + 1)
		client_uncount(table, attempt->entry, generation);
	if (is_in_network(attempt, networks) && freed.within == attempt->in.entry + 1)
		client_uncount(table, attempt->in.entry, attempt->in.generation);
	total_uncount(table, total);
}

/* Takes a slot for a connection that was counted. False: start again. *held stays 0 if there is no slot for a record, or if the
 * addresses for it cannot be learned. */
INLINE bool record_counted(struct table *table, const struct attempt *attempt, uint64_t generation, uint64_t total,
			   reference *held, bool networks)
{
	uint32_t entry = attempt->entry;
	uint64_t claimed;
	uint32_t slot;

	if ((connection_lacks_port(attempt->connection) && !connection_ask_local(table, attempt->connection)) ||
	    (!record_claim(table, &slot, &claimed) &&
	     (check_room(table, attempt->connection) != CHECK_FREED || !record_claim(table, &slot, &claimed)))) {
		uncount(table, attempt, generation, networks);
		total_uncount(table, total);
		return true;
	}
	if (is_in_network(attempt, networks))
		atomic_store_explicit(&table->within[slot], attempt->in.entry + 1, memory_order_relaxed);
	if (!record_publish(table, slot, claimed, entry, attempt->connection, held))
		return false;
	/* If a count was mended between our two steps, the new count may not include us: give the slot back and try again. A
	 * count that was not mended still includes us, and is lowered. The same if the limits were replaced meanwhile: others
	 * may have been counted under the new ones, which leave no room for us. */
	bool client_stands = client_generation(atomic_load(&table->entry[entry].word)) == generation;
	bool total_stands = total_generation(table) == total;
	if (is_in_network(attempt, networks))
		client_stands &=
		    client_generation(atomic_load(&table->entry[attempt->in.entry].word)) == attempt->in.generation;
	if (left_out(ORDERING_PUBLISH_THEN_LOOK))
		return true;
	if (client_stands && total_stands && atomic_load(&table->header->current) == attempt->limits.version)
		return true;
	take_back(table, attempt, generation, total, slot, record_state(record_generation(claimed), RECORD_OPEN, 0), networks);
	*held = 0;
	return false;
}

/* Whether it is worth a system call to learn the local address. With it the kernel can be asked about the connection before the
 * client is refused. Nobody usually asks about a client's first connections, up to half of its limit; if somebody does, they
 * are found in another way (batch.c, search.c). */
INLINE bool wants_local(const struct table *table, const struct attempt *attempt, uint32_t count, uint32_t limit, bool networks)
{
	const struct connection *connection = attempt->connection;

	if (!connection->unasked)
		return false;
	if (!connection->port_known || count >= limit / 2)
		return true;
	if (is_in_network(attempt, networks) && (uint32_t)(attempt->in.word & CLIENT_COUNT) >= attempt->in.limit / 2)
		return true;
	uint32_t total = (uint32_t)(atomic_load_explicit(&table->header->total, memory_order_relaxed) & CLIENT_COUNT);
	return attempt->total != LIMIT_NONE && total >= attempt->total / 2;
}

/* A limit, raised by the connections that do not count against it. */
static uint32_t raised(uint32_t limit, uint32_t by)
{
	return limit < LIMIT_MOST - by ? limit + by : limit;
}

static uint32_t client_limit(const struct attempt *attempt)
{
	return raised(attempt->fleet < attempt->limit ? attempt->fleet : attempt->limit, attempt->doubtful);
}

static uint32_t network_limit(const struct attempt *attempt)
{
	return raised(attempt->in.limit, attempt->in.doubtful);
}

static enum counted count_for_network(struct table *table, struct attempt *attempt)
{
	struct in_network *in = &attempt->in;
	enum counted counted =
	    client_raise(table, in->entry, in->fingerprint, in->word, network_limit(attempt), &in->generation, &in->count);

	if (counted == COUNT_FULL)
		attempt->reason = REFUSED_PER_NETWORK;
	if (counted == COUNTED)
		point_reached(POINT_NETWORK_COUNTED);
	return counted;
}

/* Counts and records. COUNT_LOST: start again. COUNT_FULL: attempt->reason says which limit was reached. */
INLINE enum counted try_admit(struct table *table, struct attempt *attempt, uint64_t word, reference *held, bool networks)
{
	uint64_t generation;
	uint64_t total;

	*held = 0;
	attempt->reason = REFUSED_NOT;
	uint32_t limit = client_limit(attempt);
	/* The system call is made before counting, to keep the two steps close together. */
	uint32_t count = (uint32_t)(word & CLIENT_COUNT);
	if (count < limit && wants_local(table, attempt, count, limit, networks) &&
	    !connection_ask_local(table, attempt->connection) && !attempt->connection->port_known)
		return COUNTED;
	enum counted counted =
	    is_in_network(attempt, networks)
		? client_raise(table, attempt->entry, attempt->fingerprint, word, limit, &generation, &attempt->in.of_client)
		: client_count(table, attempt->entry, attempt->fingerprint, word, limit, &generation);
	if (counted == COUNT_FULL)
		attempt->reason = attempt->fleet < attempt->limit ? REFUSED_FLEET : reason_of_limit(attempt);
	if (counted != COUNTED)
		return counted;
	point_reached(POINT_COUNTED);
	if (is_in_network(attempt, networks) && (counted = count_for_network(table, attempt)) != COUNTED) {
		client_uncount(table, attempt->entry, generation);
		return counted;
	}
	enum counted among_all = total_count(table, raised(attempt->total, attempt->doubtful_of_all), &total);
	if (among_all != COUNTED) {
		uncount(table, attempt, generation, networks);
		attempt->reason = REFUSED_TOTAL;
		return among_all;
	}
	if (attempt->applied.rate.every_us != 0 && !attempt->paid) {
		if (!rate_take(&client_noted(table, attempt->entry)->tokens, &attempt->applied.rate, clock_us())) {
			uncount(table, attempt, generation, networks);
			total_uncount(table, total);
			attempt->reason = REFUSED_RATE;
			return COUNT_FULL;
		}
		attempt->paid = true;
	}
	if (!record_counted(table, attempt, generation, total, held, networks))
		return COUNT_LOST;
	if (is_in_network(attempt, networks)) {
		client_note_peak(table, attempt->entry, attempt->in.of_client);
		client_note_peak(table, attempt->in.entry, attempt->in.count);
	}
	return COUNTED;
}

/* Before a refusal: is the limit reached only because of connections that are gone? */
static COLD enum checked check_reason(struct table *table, const struct attempt *attempt)
{
	if (attempt->reason == REFUSED_RATE || (attempt->reason == REFUSED_FLEET && attempt->fleet == 0) ||
	    (attempt->reason == REFUSED_RULE && attempt->limit == LIMIT_DENY))
		return CHECK_NOTHING;
	if (attempt->reason == REFUSED_TOTAL)
		return check_total(table, attempt->connection);
	return check_client(table, attempt->reason == REFUSED_PER_NETWORK ? attempt->in.entry : attempt->entry,
			    attempt->connection);
}

/* After a check: whether there is room now. Another process may have removed the dead connections, or a connection may have
 * ended. */
static COLD bool has_room(const struct table *table, const struct attempt *attempt)
{
	bool of_network = attempt->reason == REFUSED_PER_NETWORK;
	const struct client_entry *entry = &table->entry[of_network ? attempt->in.entry : attempt->entry];
	uint64_t fingerprint = of_network ? attempt->in.fingerprint : attempt->fingerprint;

	if (attempt->reason == REFUSED_RATE)
		return false;
	if (attempt->reason == REFUSED_TOTAL)
		return (atomic_load(&table->header->total) & CLIENT_COUNT) < raised(attempt->total, attempt->doubtful_of_all);
	uint64_t word = atomic_load(&entry->word);
	return atomic_load(&entry->fingerprint) != fingerprint ||
	       (word & CLIENT_COUNT) < (of_network ? network_limit(attempt) : client_limit(attempt));
}

/* If the kernel cannot be asked in any way, only connections that are certainly open count; doubtful ones refuse nobody. */
static COLD bool leave_out_doubtful(const struct table *table, struct attempt *attempt)
{
	bool total = attempt->reason == REFUSED_TOTAL;
	bool of_network = attempt->reason == REFUSED_PER_NETWORK;
	uint32_t entry = of_network ? attempt->in.entry : attempt->entry;
	uint32_t certain = check_certain(table, total ? ANY_CLIENT : entry);
	uint64_t word = atomic_load(total ? &table->header->total : &table->entry[entry].word);
	uint32_t count = (uint32_t)(word & CLIENT_COUNT);

	*(total	       ? &attempt->doubtful_of_all
	  : of_network ? &attempt->in.doubtful
		       : &attempt->doubtful) = count > certain ? count - certain : 0;
	attempt->unverified = true;
	return has_room(table, attempt);
}

/* Of a client that is marked: whether it is refused for a ban. In mode observe it goes on without one. */
static COLD bool is_banned(struct table *table, struct attempt *attempt)
{
	if (attempt->observed || (client_marks(table, attempt->entry) & MARK_BANNED) == 0)
		return false;
	attempt->banned = ban_look(table, attempt->entry, attempt->fingerprint);
	if (attempt->banned == 0 || applied_exempts(&attempt->applied))
		return false;
	limits_note(table, attempt->entry, &attempt->applied);
	attempt->reason = REFUSED_BAN;
	return true;
}

/* A refusal counts towards a ban, if it is for something that the client did. For how long that bans it; 0: not. */
static COLD uint32_t count_towards_ban(struct table *table, const struct attempt *attempt)
{
	if (attempt->reason == REFUSED_TOTAL || attempt->reason == REFUSED_PER_NETWORK ||
	    connection_is_unix(attempt->connection) || applied_exempts(&attempt->applied))
		return 0;
	struct ban ban = limits_ban(table, &attempt->limits);
	return ban.seconds != 0 ? ban_count(table, attempt->entry, attempt->fingerprint, &ban) : 0;
}

/* 0 where the reason has none (refusal_has_limit). */
static uint32_t limit_reached(const struct attempt *attempt)
{
	switch (attempt->reason) {
	case REFUSED_TOTAL: return attempt->total;
	case REFUSED_FLEET: return attempt->limits.cluster_per_ip;
	case REFUSED_PER_NETWORK: return attempt->in.limit;
	default: return refusal_has_limit(attempt->reason) ? attempt->limit : 0;
	}
}

static void count_refusal(struct client_notes *notes, const struct refusal *refusal)
{
	atomic_fetch_add_explicit(refusal->observed ? &notes->observed : &notes->refused, 1, memory_order_relaxed);
}

static COLD void note_refusal(struct table *table, const struct attempt *attempt, struct refusal *refusal)
{
	struct table_header *header = table->header;

	refusal->reason = attempt->reason;
	refusal->client = attempt->network;
	refusal->entry = attempt->entry;
	refusal->limit = limit_reached(attempt);
	refusal->how = attempt->limits.refuse;
	refusal->log = attempt->limits.log;
	refusal->observed = attempt->limits.mode == MODE_OBSERVE;
	refusal->spent = (uint16_t)((DECISION_NS - budget_left) / 1000);
	atomic_fetch_add_explicit(refusal->observed ? &header->observed : &header->refused, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&header->refused_for[attempt->reason], 1, memory_order_relaxed);
	count_refusal(client_noted(table, attempt->entry), refusal);
	if (attempt->reason == REFUSED_PER_NETWORK)
		count_refusal(client_noted(table, attempt->in.entry), refusal);
	refusal->banned = attempt->reason == REFUSED_BAN ? attempt->banned : count_towards_ban(table, attempt);
	refusal_note_event(table, refusal, attempt->connection);
}

static __attribute__((noinline)) void begin_network(const struct table *table, struct attempt *attempt)
{
	attempt->in.entry = NO_NETWORK;
	if (connection_is_unix(attempt->connection))
		return;
	attempt->in.network = limits_network(&attempt->limits, connection_client(attempt->connection));
	attempt->in.fingerprint = client_fingerprint(table, &attempt->in.network);
	attempt->in.applied = limits_for_network(table, &attempt->limits, attempt->connection);
	attempt->in.limit = attempt->in.applied.limit;
	attempt->in.doubtful = 0;
	attempt->in.peak_checked = false;
	attempt->in.entry = 0; /* it will be found (enter_network) */
}

static inline void begin(struct table *table, struct attempt *attempt, struct connection *connection)
{
	attempt->connection = connection;
	attempt->paid = false;
	attempt->observed = false;
	attempt->unverified = false;
	attempt->doubtful = 0;
	attempt->doubtful_of_all = 0;
	attempt->applied = limits_apply(table, &attempt->limits, connection);
	/* A rule may go by the local port. */
	if (__builtin_expect(attempt->limits.rules != 0 && connection_lacks_port(connection), 0) &&
	    connection_ask_local(table, connection))
		attempt->applied = limits_apply(table, &attempt->limits, connection);
	attempt->limit = attempt->applied.limit;
	regroup_look(table, &attempt->limits);
	attempt->total = attempt->limits.total;
	attempt->network = limits_client_of(&attempt->limits, connection);
	attempt->fingerprint = client_fingerprint(table, &attempt->network);
	if (limits_count_networks(&attempt->limits))
		begin_network(table, attempt);
}

/* Has the next check of a count not wait for those before. */
static void forgive(struct table *table, const struct attempt *attempt, bool networks)
{
	uint32_t entry;
	uint64_t word;

	if (client_find(table, attempt->fingerprint, &entry, &word))
		pace_forgive(&client_noted(table, entry)->pace);
	if (is_in_network(attempt, networks) && network_find(table, attempt->in.fingerprint, &entry, &word))
		pace_forgive(&client_noted(table, entry)->pace);
	pace_forgive(&table->header->total_pace);
}

/* After a mend or a reload came between. What we took back may have been counted by a mend all the same, or by who regrouped
 * it, so the counts are to be compared with the slots again before they refuse anyone, us for one. */
static COLD void start_anew(struct table *table, struct attempt *attempt, bool under_new_limits, bool networks)
{
	uint64_t current = atomic_load(&table->header->current);

	if (under_new_limits && attempt->limits.version != current) {
		attempt->in.entry = NO_NETWORK;
		begin(table, attempt, attempt->connection);
		networks = true;
	} else {
		attempt->limits.version = current;
	}
	forgive(table, attempt, networks);
}

/* Whether one more would be a new peak while some of the client's connections may be gone. A client at its limit is checked
 * anyway, and more thoroughly. */
static inline bool peaks_in_doubt(const struct table *table, uint32_t entry, uint64_t word, uint32_t limit)
{
	const struct client_entry *client = &table->entry[entry];
	uint32_t count = (uint32_t)(word & CLIENT_COUNT);

	return (client_marks(table, entry) & MARK_DOUBTFUL) != 0 &&
	       count >= (atomic_load_explicit(&client->peak, memory_order_relaxed) & PEAK_COUNT) && count < limit;
}

/* Finds the network that the connection is to be counted for. COUNT_FULL: there is no room for it. COUNT_LOST: a connection was
 * found gone before a new peak, so start anew. */
static enum counted enter_network(struct table *table, struct attempt *attempt)
{
	struct in_network *in = &attempt->in;

	if (!network_find_or_add(table, in->fingerprint, &in->network, &in->entry, &in->word)) {
		in->entry = NO_NETWORK;
		return COUNT_FULL;
	}
	if (!in->peak_checked && peaks_in_doubt(table, in->entry, in->word, in->limit)) {
		in->peak_checked = true;
		if (check_before_peak(table, in->entry, attempt->connection))
			return COUNT_LOST;
	}
	return COUNTED;
}

/* Whether anything of the client is to be looked at before it is admitted. */
static inline bool is_marked(const struct table *table, const struct attempt *attempt)
{
	return (client_marks(table, attempt->entry) & (MARK_DOUBTFUL | MARK_BANNED)) != 0;
}

static void note_unverified(struct table *table, const struct attempt *attempt, struct refusal *refusal)
{
	if (__builtin_expect(!attempt->unverified, 1))
		return;
	refusal->unverified = true;
	event_note_degraded(table, EVENT_UNVERIFIED);
	atomic_fetch_add_explicit(&table->header->unverified, 1, memory_order_relaxed);
}

/* True if the connection is refused. In mode observe it is counted all the same, without limits, so that what would be refused
 * next is known. */
static COLD bool refuse(struct table *table, struct attempt *attempt, struct refusal *refusal)
{
	note_refusal(table, attempt, refusal);
	if (!refusal->observed) {
		/* An earlier attempt took the token and then had to start again. */
		if (attempt->paid && attempt->applied.rate.every_us != 0)
			rate_give_back(&client_noted(table, attempt->entry)->tokens, &attempt->applied.rate);
		return true;
	}
	attempt->limit = LIMIT_NONE;
	attempt->in.limit = LIMIT_NONE;
	attempt->observed = true;
	attempt->total = attempt->total == LIMIT_NONE ? LIMIT_NONE : LIMIT_MOST;
	attempt->paid = true;
	return false;
}

static enum verdict decide_in_network(struct table *table, struct attempt *attempt, reference *held, struct refusal *refusal);

INLINE enum verdict decide(struct table *table, struct attempt *attempt, reference *held, struct refusal *refusal,
			   bool networks)
{
	bool peak_checked = false;
	int checks = 0;

	if (attempt->limits.mode == MODE_OFF)
		return VERDICT_UNCOUNTED;
	for (int tries = 0; tries < TRIES; tries++) {
		enum checked checked = CHECK_PUT_OFF;
		uint64_t word;

		if (!client_find_or_add(table, attempt->fingerprint, &attempt->network, &attempt->entry, &word))
			break;
		if (__builtin_expect(is_marked(table, attempt), 0)) {
			if (is_banned(table, attempt)) {
				if (refuse(table, attempt, refusal))
					return VERDICT_REFUSED;
				tries = 0;
				continue;
			}
			if (!peak_checked && peaks_in_doubt(table, attempt->entry, word, attempt->limit)) {
				peak_checked = true;
				if (check_before_peak(table, attempt->entry, attempt->connection))
					continue;
			}
		}
		if (is_in_network(attempt, networks)) {
			enum counted entered = enter_network(table, attempt);
			if (entered == COUNT_FULL)
				break;
			if (entered == COUNT_LOST)
				continue;
		}
		attempt->fleet = attempt->observed ? LIMIT_NONE
						   : remote_leaves(table, &attempt->limits, attempt->connection,
								   &attempt->applied, attempt->entry);
		enum counted counted = try_admit(table, attempt, word, held, networks);
		if (counted != COUNT_LOST)
			limits_note(table, attempt->entry, &attempt->applied);
		if (is_in_network(attempt, networks) && counted != COUNT_LOST)
			limits_note(table, attempt->in.entry, &attempt->in.applied);
		if (counted == COUNTED) {
			note_unverified(table, attempt, refusal);
			if (*held != 0)
				return VERDICT_ADMITTED;
			break;
		}
		if (counted == COUNT_LOST) {
			start_anew(table, attempt, refusal->reason == REFUSED_NOT, networks);
			if (!networks && limits_count_networks(&attempt->limits))
				return decide_in_network(table, attempt, held, refusal);
			continue;
		}
		if (attempt->reason == REFUSED_TOTAL && total_is_unknown(table)) {
			if (!check_total_unknown(table))
				break;
			continue;
		}
		if (checks++ < CHECKS && budget_has(ASKED_NS)) {
			checked = check_reason(table, attempt);
			/* A check that is only put off says nothing about whether the kernel can be asked. */
			if (checked == CHECK_PUT_OFF && kernel_way() == KERNEL_UNREACHABLE)
				checked = CHECK_BLIND;
			if (checked == CHECK_FREED || has_room(table, attempt) ||
			    (checked == CHECK_BLIND && leave_out_doubtful(table, attempt))) {
				tries = 0;
				continue;
			}
		}
		/* Without limits none can be reached, except by a count that somebody else has written. */
		if (attempt->observed)
			break;
		note_unverified(table, attempt, refusal);
		if (refuse(table, attempt, refusal))
			return VERDICT_REFUSED;
		tries = 0;
	}
	refusal->uncounted = true;
	atomic_fetch_add_explicit(&table->header->uncounted, 1, memory_order_relaxed);
	return VERDICT_UNCOUNTED;
}

static __attribute__((noinline)) enum verdict decide_in_network(struct table *table, struct attempt *attempt, reference *held,
								struct refusal *refusal)
{
	return decide(table, attempt, held, refusal, true);
}

HOT enum verdict table_decide_arrival(struct table *table, struct connection *connection, reference *held,
				      struct refusal *refusal)
{
	struct attempt attempt;
	int64_t outer = budget_set(DECISION_NS);
	enum verdict verdict;

	*held = 0;
	*refusal = (struct refusal){0};
	begin(table, &attempt, connection);
	if (limits_count_networks(&attempt.limits))
		verdict = decide_in_network(table, &attempt, held, refusal);
	else
		verdict = decide(table, &attempt, held, refusal, false);
	budget_set(outer);
	return verdict;
}

enum verdict table_decide(struct table *table, const struct connection *connection, reference *held, struct refusal *refusal)
{
	struct connection copy = *connection;

	return table_decide_arrival(table, &copy, held, refusal);
}

enum verdict table_admit(struct table *table, const struct connection *connection, reference *held)
{
	struct refusal refusal;

	return table_decide(table, connection, held, &refusal);
}

/* The slot of a record that still exists, else the table's capacity. */
static inline uint32_t slot_held(const struct table *table, reference held)
{
	uint32_t slot = slot_of(held);

	return held != 0 && slot < table->capacity &&
		       record_generation(atomic_load_explicit(&table->record[slot].state, memory_order_relaxed)) ==
			   generation_of(held)
		   ? slot
		   : table->capacity;
}

HOT uint32_t table_closing(struct table *table, reference held)
{
	uint32_t slot = slot_held(table, held);

	if (slot == table->capacity)
		return UINT32_MAX;
	/* It is about to be released, and then its client's count falls: in a large table that is a cache miss, so start it
	 * early. */
	uint32_t owner = atomic_load_explicit(&table->owner[slot], memory_order_relaxed);
	__builtin_prefetch(&table->entry[owner - 1]);
	uint32_t holder = atomic_load_explicit(&table->record[slot].holder, memory_order_relaxed);
	if (holder != 0 && holder == table->pid)
		atomic_store_explicit(&table->record[slot].holder, 0, memory_order_relaxed);
	return holder;
}

void table_holds_on(struct table *table, reference held, uint32_t from, uint32_t to)
{
	uint32_t slot = slot_held(table, held);

	if (slot < table->capacity)
		atomic_compare_exchange_strong(&table->record[slot].holder, &from, to);
}

HOT void table_release(struct table *table, reference held)
{
	uint32_t slot = slot_held(table, held);

	point_reached(POINT_SWAP);
	if (slot < table->capacity)
		record_release(table, slot, record_state(generation_of(held), RECORD_OPEN, 0));
}

/* The next check of this client begins with the connection that was let go last. The first one begins anywhere: most clients
 * have none, and so need no notes. */
static void check_next(struct table *table, uint32_t entry, uint32_t slot)
{
	if ((client_marks(table, entry) & MARK_NOTED) != 0)
		pace_go_on_at(&client_noted(table, entry)->pace, slot);
}

void table_doubt(struct table *table, reference held)
{
	uint32_t slot = slot_held(table, held);

	if (slot == table->capacity)
		return;
	record_doubt(table, slot, generation_of(held));
	uint32_t owner = atomic_load_explicit(&table->owner[slot], memory_order_relaxed);
	if (owner != 0 && owner <= table->entries)
		check_next(table, owner - 1, slot);
	uint32_t network = networks_are_named(table) ? network_of_record(table, slot) : NO_NETWORK;
	if (network != NO_NETWORK)
		check_next(table, network, slot);
}

static uint32_t count_of(const struct table *table, const struct connection *connection)
{
	uint32_t entry;
	uint64_t word;

	return table_find_client(table, connection, &entry, &word) ? (uint32_t)(word & CLIENT_COUNT) : 0;
}

uint32_t table_count(const struct table *table, const struct address *address)
{
	struct connection connection = {.peer.address = *address};

	return count_of(table, &connection);
}

uint32_t table_count_user(const struct table *table, uint32_t uid)
{
	struct connection connection = connection_of_unix(uid, 0, 0);

	return count_of(table, &connection);
}

uint32_t table_count_network(const struct table *table, const struct address *address)
{
	struct limits limits;
	uint32_t entry;
	uint64_t word;

	limits_read(table, &limits);
	if (!limits_count_networks(&limits))
		return 0;
	struct network network = limits_network(&limits, address);
	if (!network_find(table, client_fingerprint(table, &network), &entry, &word))
		return 0;
	return (uint32_t)(word & CLIENT_COUNT);
}

bool table_client(const struct table *table, uint32_t entry, struct client_facts *facts)
{
	uint64_t word = atomic_load(&table->entry[entry].word);
	uint64_t fingerprint = atomic_load(&table->entry[entry].fingerprint);
	if (fingerprint == 0 || (word & CLIENT_TENTATIVE) != 0)
		return false;
	uint32_t marks = client_marks(table, entry);
	const struct client_notes *notes = client_notes(table, entry);
	facts->open = (uint32_t)(word & CLIENT_COUNT);
	facts->limit = (marks & MARKS_LIMIT) - 1;
	facts->by_rule = (marks & MARK_BY_RULE) != 0;
	facts->peak = atomic_load_explicit(&table->entry[entry].peak, memory_order_relaxed) & PEAK_COUNT;
	facts->refused = atomic_load_explicit(&notes->refused, memory_order_relaxed);
	facts->observed = atomic_load_explicit(&notes->observed, memory_order_relaxed);
	facts->banned = ban_left(table, entry, fingerprint);
	facts->entry = entry;
	return client_network(table, entry, fingerprint, &facts->network);
}
