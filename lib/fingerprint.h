/* A keyed 64-bit hash of up to 24 bytes: SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012), so that
 * nobody outside can choose addresses that fall into one bucket. Async-signal-safe. */
#ifndef CONNLIMIT_FINGERPRINT_H
#define CONNLIMIT_FINGERPRINT_H

#include <stdint.h>

/* Hashes three words under a secret of two. Never 0, which the table keeps for "no one". */
uint64_t fingerprint(const uint64_t secret[2], uint64_t first, uint64_t second, uint64_t third);

#endif
