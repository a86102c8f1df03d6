/* A token bucket in one word.
 *
 * The word is the time at which the bucket will be full again. Taking a token moves this time forward by `every_us`. A token is
 * available while the time is less than burst * every_us ahead. (This is the generic cell rate algorithm of ITU-T I.371 with
 * its theoretical arrival time.) It takes one load and one swap, needs no refilling, and an unused bucket is 0. */
#ifndef CONNLIMIT_RATE_H
#define CONNLIMIT_RATE_H

#include "settings/settings.h"

#include <stdatomic.h>

/* Takes a token out of `bucket` at `now` (clock_us). False if there is none. Lock-free, async-signal-safe. If the word is
 * further ahead than a full burst plus one second, the rate was changed or the word is garbage. Then the bucket counts as
 * empty, so the longest wait is one interval plus one second. The second allows for callers that were delayed after they read
 * the clock. */
bool rate_take(_Atomic uint64_t *bucket, const struct rate *rate, uint64_t now);

/* Gives one back. */
void rate_give_back(_Atomic uint64_t *bucket, const struct rate *rate);

#endif
