/* A rate as a token bucket in one word.
 *
 * The bucket is kept as the time at which it will be full again: taking a token moves that time on by `every_us`, and a token
 * is there as long as the time lies less than burst * every_us ahead. (It is the generic cell rate algorithm of ITU-T I.371
 * with its theoretical arrival time.) One load and one swap, nothing to refill, and a bucket of nobody is simply 0. */
#ifndef CONNLIMIT_RATE_H
#define CONNLIMIT_RATE_H

#include "settings/settings.h"

#include <stdatomic.h>

/* Takes a token out of `bucket` at `now` (clock_us). False if there is none. Lock-free, async-signal-safe. A word that lies
 * further ahead than a full burst and a second (the rate was changed, or it was written by a stranger) counts as an empty
 * bucket, so that the longest wait is one interval and a second; the second is for callers that were held up after they read
 * the clock. */
bool rate_take(_Atomic uint64_t *bucket, const struct rate *rate, uint64_t now);

/* Gives one back. */
void rate_give_back(_Atomic uint64_t *bucket, const struct rate *rate);

#endif
