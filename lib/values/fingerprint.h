/* A keyed 64-bit hash of 17 bytes: SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012), so that
 * nobody outside can choose addresses that fall into one bucket. In a header because every admission makes one.
 * Async-signal-safe. */
#ifndef CONNLIMIT_FINGERPRINT_H
#define CONNLIMIT_FINGERPRINT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>

static inline uint64_t fingerprint_rotated(uint64_t word, unsigned bits)
{
	return (word << bits) | (word >> (64 - bits));
}

static inline void fingerprint_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = fingerprint_rotated(v[1], 13) ^ v[0];
	v[0] = fingerprint_rotated(v[0], 32);
	v[2] += v[3];
	v[3] = fingerprint_rotated(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = fingerprint_rotated(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = fingerprint_rotated(v[1], 17) ^ v[2];
	v[2] = fingerprint_rotated(v[2], 32);
}

static inline void fingerprint_absorb(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	fingerprint_round(v);
	v[0] ^= word;
}

/* Hashes two words and a byte under a secret of two words. Never 0, which the table keeps for "no one". */
static inline uint64_t fingerprint(const uint64_t secret[2], uint64_t first, uint64_t second, uint8_t third)
{
	uint64_t v[4] = {
	    secret[0] ^ 0x736f6d6570736575U,
	    secret[1] ^ 0x646f72616e646f6dU,
	    secret[0] ^ 0x6c7967656e657261U,
	    secret[1] ^ 0x7465646279746573U,
	};

	fingerprint_absorb(v, first);
	fingerprint_absorb(v, second);
	fingerprint_absorb(v, (uint64_t)17 << 56 | third);
	v[2] ^= 0xff;
	fingerprint_round(v);
	fingerprint_round(v);
	fingerprint_round(v);
	uint64_t hash = v[0] ^ v[1] ^ v[2] ^ v[3];
	return hash != 0 ? hash : 1;
}

/* A hash of what nobody else knows without a system call: AT_RANDOM, 16 bytes that the kernel gave this program at exec
 * (getauxval(3)). libc makes its canary of them, so they are given away only hashed. Without them it is one of the words. */
static inline uint64_t fingerprint_of_program(uint64_t first, uint64_t second)
{
	const void *given = (const void *)getauxval(AT_RANDOM); // NOLINT(performance-no-int-to-ptr)
	uint64_t key[2] = {0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9};

	if (given != NULL)
		memcpy(key, given, sizeof(key)); /* it may lie anywhere */
	return fingerprint(key, first, second, 0);
}

#endif
