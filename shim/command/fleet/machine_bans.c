#include "command/fleet/machine_bans.h"
#include "command/fleet/machine.h"

#include "table/bans.h"
#include "table/clients.h"
#include "table/rate.h"
#include "values/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	KNOWN_MOST = 1 << 16, /* of other machines */
	ROUND_MS = 8000,      /* each word of ours is told again so often */
	LOOK_AGAIN_MS = 250,
	SAME_MS = 2500,			   /* ends of one ban differ by less, rounded to seconds at each table */
	LIFTED_MOST_MS = 24 * 3600 * 1000, /* so long it is known that a ban was lifted */
};
#define FOREVER UINT64_MAX

struct ban_known {
	unsigned char key[CLIENT_KEY];
	bool lifted;
	bool own;	/* of a table of this machine */
	bool fresh;	/* not told yet */
	bool place;	/* to be written into the tables */
	uint32_t share; /* of whom, if it is own */
	uint64_t until; /* ms of clock_ms, or FOREVER. If it was lifted: so long that is remembered */
	uint64_t again; /* when to tell it again */
	uint64_t turn;
	UT_hash_handle hh;
};

struct ban_there {
	uint32_t entry;
	uint64_t fingerprint;
	uint64_t until;
	unsigned char key[CLIENT_KEY];
	UT_hash_handle hh;
};

/* ---- time ---- */

static uint64_t end_of(uint32_t seconds, uint64_t now)
{
	return seconds > BAN_MOST ? FOREVER : now + (uint64_t)seconds * 1000;
}

static uint32_t seconds_to(uint64_t until, uint64_t now)
{
	if (until == FOREVER)
		return BAN_FOREVER;
	return until > now ? (uint32_t)((until - now + 999) / 1000) : 0;
}

static bool is_same_end(uint64_t one, uint64_t other)
{
	return (one > other ? one - other : other - one) < SAME_MS;
}

/* ---- shares ---- */

static struct ban_share *share_of(struct bans *bans, uid_t owner)
{
	size_t i = 0;

	while (i < bans->shares && bans->share[i].owner != owner)
		i++;
	if (i == BAN_SHARES)
		return NULL;
	struct ban_share *share = &bans->share[i];
	if (i == bans->shares) {
		*share = (struct ban_share){.owner = owner};
		bans->shares++;
	}
	return share;
}

static void give_up(struct bans *bans, struct ban_known *known)
{
	if (known->own)
		bans->share[known->share].number[known->lifted]--;
	else
		bans->strangers--;
}

static void drop(struct bans *bans, struct ban_known *known)
{
	give_up(bans, known);
#ifndef __clang_analyzer__ /* which believes that uthash frees a full table here */
	HASH_DEL(bans->known, known);
	free(known);
#endif
}

static struct ban_known *find(struct bans *bans, const unsigned char *key)
{
	struct ban_known *known;

	HASH_FIND(hh, bans->known, key, CLIENT_KEY, known);
	return known;
}

static struct ban_known *find_or_add(struct bans *bans, const unsigned char *key)
{
	struct ban_known *known = find(bans, key);

	if (known == NULL && (known = calloc(1, sizeof(*known))) != NULL) {
		memcpy(known->key, key, CLIENT_KEY);
		HASH_ADD(hh, bans->known, key, CLIENT_KEY, known);
		bans->strangers++;
	}
	return known;
}

/* Takes over what a table says of a client now. False if that is more than its owner's share. */
static bool take(struct bans *bans, const struct bans_of *of, const unsigned char *key, bool lifted, uint64_t until, bool fresh)
{
	static const struct rate words = {.every_us = 1000000 / BANS_RATE, .burst = BANS_BURST};
	struct ban_share *share = share_of(bans, of->owner);
	struct ban_known *known = find(bans, key);

	if (share == NULL)
		return false;
	bool counted = known != NULL && known->own && &bans->share[known->share] == share && known->lifted == lifted;
	if (!counted && share->number[lifted] >= BANS_SHARE) {
		if (!share->said)
			fprintf(stderr,
				"connlimit sync: the daemons of user %u, table %s among them, have more than %d bans that %s: "
				"what is more is not told to the fleet\n",
				(unsigned)of->owner, of->name, BANS_SHARE, lifted ? "were lifted" : "are in force");
		share->said = true;
		return false;
	}
	if (!rate_take(&share->tokens, &words, clock_us()) && fresh)
		return false;
	if (known == NULL && (known = find_or_add(bans, key)) == NULL)
		return false;
	give_up(bans, known);
	share->number[lifted]++;
	known->own = true;
	known->share = (uint32_t)(share - bans->share);
	known->lifted = lifted;
	known->until = until;
	known->fresh = fresh;
	known->again = 0;
	known->place = true;
	bans->news = bans->to_place = true;
	return true;
}

/* ---- looking at a table ---- */

static bool key_in(unsigned char key[CLIENT_KEY], const struct bans_of *of, uint32_t entry)
{
	struct client_facts facts;

	if (!table_client(of->table, entry, &facts) || facts.network.prefix > 128 ||
	    limits_client(of->limits, &facts.network.address).prefix != facts.network.prefix)
		return false;
	key_of(key, &facts.network);
	return true;
}

/* Notes what stands in an entry. False if there is no memory for it. */
static bool note_there(const struct bans_of *of, uint32_t entry, uint64_t fingerprint, uint64_t until,
		       const unsigned char key[CLIENT_KEY])
{
	struct ban_there *there;

	HASH_FIND(hh, of->there->there, &entry, sizeof(entry), there);
	if (there == NULL) {
		if ((there = calloc(1, sizeof(*there))) == NULL)
			return false;
		there->entry = entry;
		HASH_ADD(hh, of->there->there, entry, sizeof(entry), there);
	}
	there->fingerprint = fingerprint;
	there->until = until;
	memcpy(there->key, key, CLIENT_KEY);
	return true;
}

static void forget_there(struct bans_there *from, struct ban_there *there)
{
#ifndef __clang_analyzer__ /* as above */
	HASH_DEL(from->there, there);
	free(there);
#else
	(void)from;
	(void)there;
#endif
}

void bans_look_at(struct bans *bans, const struct bans_of *of, uint32_t entry)
{
	uint64_t fingerprint = atomic_load_explicit(&of->table->entry[entry].fingerprint, memory_order_acquire);
	uint32_t seconds = ban_left(of->table, entry, fingerprint);
	uint64_t until = end_of(seconds, clock_ms());
	struct ban_there *there;

	if (seconds == 0)
		return;
	HASH_FIND(hh, of->there->there, &entry, sizeof(entry), there);
	if (there != NULL && there->fingerprint == fingerprint && is_same_end(there->until, until))
		return;
	unsigned char key[CLIENT_KEY];
	if (!key_in(key, of, entry))
		return;
	const struct ban_known *known = find(bans, key);
	bool as_known = known != NULL && !known->lifted && is_same_end(known->until, until);
	/* What stood there before we came is no news to whom knows better. */
	if (!as_known && (of->there->looked || known == NULL) && !take(bans, of, key, false, until, of->there->looked))
		return; /* and again at the next look */
	note_there(of, entry, fingerprint, until, key);
}

/* The ban of a client that has none any more there. True if that is dealt with. */
static bool lift(struct bans *bans, const struct bans_of *of, const struct ban_there *there, uint64_t now)
{
	struct ban_known *known = find(bans, there->key);
	struct limits limits;

	if (known == NULL || known->lifted)
		return true;
	limits_read(of->table, &limits);
	if (limits.ipv4_prefix != of->limits->ipv4_prefix || limits.ipv6_prefix != of->limits->ipv6_prefix)
		return true;
	/* Another client has the entry now: the ban was not lifted, it is lost. */
	if (atomic_load_explicit(&of->table->entry[there->entry].fingerprint, memory_order_acquire) != there->fingerprint) {
		known->place = bans->to_place = true;
		return true;
	}
	uint64_t most = now + LIFTED_MOST_MS;
	return take(bans, of, there->key, true, known->until < most ? known->until : most, true);
}

void bans_looked(struct bans *bans, const struct bans_of *of)
{
	struct ban_there *there;
	struct ban_there *next;
	uint64_t now = clock_ms();

	HASH_ITER(hh, of->there->there, there, next)
	{
		if (ban_left(of->table, there->entry, there->fingerprint) != 0 &&
		    atomic_load_explicit(&of->table->entry[there->entry].fingerprint, memory_order_acquire) ==
			there->fingerprint)
			continue;
		bool over = there->until != FOREVER && now + SAME_MS / 2 >= there->until;
		if (over || lift(bans, of, there, now))
			forget_there(of->there, there);
	}
	of->there->looked = true;
	if (of->there->limits_version != of->limits->version)
		of->there->placed = false;
	of->there->limits_version = of->limits->version;
}

void bans_forget_there(struct bans_there *there)
{
	struct ban_there *each;
	struct ban_there *next;

	HASH_ITER(hh, there->there, each, next)
	{
		forget_there(there, each);
	}
	*there = (struct bans_there){0};
}

/* ---- writing into a table ---- */

/* The ban was ended there by us: what begins there from now on is a new one. */
static void take_away(const struct bans_of *of, const struct network *client)
{
	uint64_t fingerprint = client_fingerprint(of->table, client);
	struct ban_there *there = NULL;
	uint32_t entry;
	uint64_t word;

	ban_end(of->table, client);
	if (client_find(of->table, fingerprint, &entry, &word))
		HASH_FIND(hh, of->there->there, &entry, sizeof(entry), there);
	if (there != NULL && there->fingerprint == fingerprint)
		forget_there(of->there, there);
}

/* What we write is noted at once: or who lifts it before the next look would have lifted it there alone. */
static bool note_placed(const struct bans_of *of, const struct network *client, const struct ban_known *known)
{
	uint64_t fingerprint = client_fingerprint(of->table, client);
	uint32_t entry;
	uint64_t word;

	return client_find(of->table, fingerprint, &entry, &word) &&
	       note_there(of, entry, fingerprint, known->until, known->key);
}

/* False if there is no room for it now. */
static bool place(const struct bans_of *of, const struct ban_known *known, uint64_t now)
{
	struct network client = network_of(known->key);
	uint32_t left = seconds_to(known->until, now);

	if (limits_client(of->limits, &client.address).prefix != client.prefix)
		return true;
	uint32_t there = ban_of(of->table, &client);
	if (known->lifted) {
		if (there != 0)
			take_away(of, &client);
		return true;
	}
	if (left == 0 || (there != 0 && is_same_end(end_of(there, now), known->until)))
		return true;
	enum ban_begun begun = ban_address(of->table, &client.address, left);
	return begun == BAN_EXEMPT || (begun == BAN_BEGUN && note_placed(of, &client, known));
}

void bans_place(struct bans *bans, const struct bans_of *of, bool all)
{
	struct bans_there *there = of->there;
	struct ban_known *known;
	struct ban_known *next;
	uint64_t now = clock_ms();

	if (all && there->crowded)
		there->placed = false;
	if (!bans->to_place && there->met && there->placed)
		return;
	if (!there->placed)
		there->crowded = false; /* all is tried again */
	HASH_ITER(hh, bans->known, known, next)
	{
		bool due = known->place || !there->met || (!there->placed && !known->lifted);
		if (due && !place(of, known, now))
			there->crowded = true;
	}
	there->met = there->placed = true;
}

void bans_placed(struct bans *bans)
{
	struct ban_known *known;
	struct ban_known *next;

	if (!bans->to_place)
		return;
	bans->to_place = false;
	HASH_ITER(hh, bans->known, known, next)
	{
		known->place = false;
	}
}

/* ---- telling and hearing ---- */

size_t bans_to_tell(struct bans *bans)
{
	struct ban_known *known;
	struct ban_known *next;
	uint64_t now = clock_ms();
	size_t number = 0;

	if (!bans->news && now < bans->again)
		return 0;
	if (bans->telling == NULL && (bans->telling = calloc(BANS_TELL_MOST, sizeof(*bans->telling))) == NULL)
		return 0;
	HASH_ITER(hh, bans->known, known, next)
	{
		uint32_t left = seconds_to(known->until, now);
		if (!known->own || left == 0 || (!known->fresh && now < known->again))
			continue;
		if (number == BANS_TELL_MOST)
			return number;
		struct fleet_ban *ban = &bans->telling[number++];
		*ban = (struct fleet_ban){.lifted = known->lifted, .seconds = left};
		ban->turn = known->fresh ? FLEET_TURN_NEW : known->turn;
		memcpy(ban->key, known->key, CLIENT_KEY);
	}
	bans->news = false;
	bans->again = now + LOOK_AGAIN_MS;
	return number;
}

void bans_told(struct bans *bans, size_t number)
{
	uint64_t now = clock_ms();

	for (size_t i = 0; i < number; i++) {
		struct ban_known *known = find(bans, bans->telling[i].key);
		if (known == NULL)
			continue;
		known->fresh = false;
		known->again = now + ROUND_MS / 2 + (uint64_t)random() % (ROUND_MS / 2);
	}
}

void bans_begin(struct bans *bans)
{
	struct ban_known *known;
	struct ban_known *next;

	HASH_ITER(hh, bans->known, known, next)
	{
		known->again = 0;
	}
	bans->news = true;
}

void bans_hear(struct bans *bans, const struct fleet_ban *ban)
{
	struct ban_known *known = find(bans, ban->key);
	uint64_t until = end_of(ban->seconds, clock_ms());

	if (ban->key[16] > 128 || ban->seconds == 0)
		return;
	/* What we have not told yet will be a later word. */
	if (known != NULL && (known->fresh || ban->turn <= known->turn))
		return;
	if (known == NULL && (bans->strangers >= KNOWN_MOST || (known = find_or_add(bans, ban->key)) == NULL))
		return;
	known->turn = ban->turn;
	if (known->own && known->lifted == ban->lifted && is_same_end(known->until, until))
		return; /* our own word has come back */
	give_up(bans, known);
	bans->strangers++;
	known->own = false;
	known->lifted = ban->lifted;
	known->until = until;
	known->place = bans->to_place = true;
}

void bans_tidy(struct bans *bans)
{
	struct ban_known *known;
	struct ban_known *next;
	uint64_t now = clock_ms();

	HASH_ITER(hh, bans->known, known, next)
	{
		if (known->until <= now)
			drop(bans, known);
	}
}
