/* The bans that a fleet shares (connlimit sync --bans): whom a table of this machine or of another one has banned, and whose
 * ban was lifted.
 *
 * Of each client only the last word holds: banned until then, or lifted. The script in Redis numbers these words ("turn"), so
 * that they may come late, twice, or again after keys were lost: the higher turn holds everywhere. How long a ban lasts is
 * told as the time left.
 *
 * What stands in a table is anybody's who can write to it. So of the daemons of each user at most BANS_SHARE bans in force are
 * told, and as many that were lifted, and BANS_RATE such words in a second, BANS_BURST at once. Who is unlimited by a rule of
 * a table is never banned in it. */
#ifndef CONNLIMIT_COMMAND_MACHINE_BANS_H
#define CONNLIMIT_COMMAND_MACHINE_BANS_H

#include "command/fleet/fleet.h"

#include "table/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { BANS_SHARE = 1000, BANS_RATE = 100, BANS_BURST = 200 };

/* What a user's daemons have told. */
struct ban_share {
	uid_t owner;
	uint32_t number[2];	 /* bans in force, and lifted ones */
	_Atomic uint64_t tokens; /* bucket of words (rate.h) */
	bool said;		 /* that it is too many */
};
enum { BAN_SHARES = 128 };

struct ban_known; /* a client's last word */

struct bans {
	bool shared; /* --bans */
	struct ban_known *known;
	struct ban_share share[BAN_SHARES];
	size_t shares;
	size_t strangers; /* of those known, heard from others */
	bool news;	  /* something was not told yet */
	bool to_place;	  /* something was not written into the tables yet */
	uint64_t again;	  /* ms of clock_ms when it is looked next what is to be told again */
	struct fleet_ban *telling;
};

struct ban_there; /* a ban that stands in a table */

/* The bans in one table, as they were when it was last looked at. */
struct bans_there {
	struct ban_there *there;
	bool looked;  /* once: what is found later has begun since */
	bool met;     /* all that is known was written into it once, */
	bool placed;  /* and what is in force since its limits changed */
	bool crowded; /* some had no room */
	uint64_t limits_version;
};

/* The table that is looked at. */
struct bans_of {
	struct bans_there *there;
	struct table *table;
	const struct limits *limits;
	const char *name;
	uid_t owner;
};

/* A marked entry of the table was found. */
void bans_look_at(struct bans *bans, const struct bans_of *of, uint32_t entry);

/* All of its entries were. Finds what was lifted. */
void bans_looked(struct bans *bans, const struct bans_of *of);

/* Its prefixes were changed, or it is left: what stands in it says nothing any more. */
void bans_forget_there(struct bans_there *there);

/* Writes into a table what is new. With `all`, also what had no room before. After all tables, bans_placed. */
void bans_place(struct bans *bans, const struct bans_of *of, bool all);
void bans_placed(struct bans *bans);

/* What has to be told now, at most BANS_TELL_MOST: words that are new, and each of ours again in each round. They count as told
 * after bans_told. */
enum { BANS_TELL_MOST = 500 };
size_t bans_to_tell(struct bans *bans);
void bans_told(struct bans *bans, size_t number);

/* Redis may have lost everything: all of ours is told again. */
void bans_begin(struct bans *bans);

/* What was heard. */
void bans_hear(struct bans *bans, const struct fleet_ban *ban);

/* Forgets what is over. */
void bans_tidy(struct bans *bans);

#endif
