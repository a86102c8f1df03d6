/* The word of a ban (layout.h, `ban` of struct client_notes): until when, and whose it is. */
#ifndef CONNLIMIT_BAN_WORD_H
#define CONNLIMIT_BAN_WORD_H

#include "settings/settings.h"
#include "values/clock.h"

#include <stdint.h>

#define BAN_FOREVER UINT32_MAX /* as long as the table is there */

enum { BAN_TAG_BITS = 24 };
#define BAN_UNTIL_FOREVER (UINT64_MAX >> BAN_TAG_BITS)

/* Of the client's whole fingerprint: those that may share an entry have many of its bits in common. */
static inline uint64_t ban_tag(uint64_t fingerprint)
{
	return fingerprint * UINT64_C(0x9e3779b97f4a7c15) >> (64 - BAN_TAG_BITS);
}

/* `until` is in ms of clock_ms, or BAN_UNTIL_FOREVER. */
static inline uint64_t ban_word(uint64_t fingerprint, uint64_t until)
{
	return until << BAN_TAG_BITS | ban_tag(fingerprint);
}

/* For how many seconds, rounded up, that client is still banned; 0 if it is not, or BAN_FOREVER. Of a word that nobody can have
 * written as a ban, 0. */
static inline uint32_t ban_word_left(uint64_t word, uint64_t fingerprint)
{
	uint64_t until = word >> BAN_TAG_BITS;

	if (until == 0 || ban_tag(fingerprint) != (word & (UINT64_MAX >> (64 - BAN_TAG_BITS))))
		return 0;
	if (until == BAN_UNTIL_FOREVER)
		return BAN_FOREVER;
	uint64_t now = clock_ms();
	uint64_t left = until > now ? (until - now + 999) / 1000 : 0;
	return left <= BAN_MOST + 1 ? (uint32_t)left : 0;
}

#endif
