#include "fingerprint.h"

static inline uint64_t rotated(uint64_t word, unsigned bits)
{
	return (word << bits) | (word >> (64 - bits));
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotated(v[1], 13) ^ v[0];
	v[0] = rotated(v[0], 32);
	v[2] += v[3];
	v[3] = rotated(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotated(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotated(v[1], 17) ^ v[2];
	v[2] = rotated(v[2], 32);
}

static inline void absorb(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
}

uint64_t fingerprint(const uint64_t secret[2], uint64_t first, uint64_t second, uint64_t third)
{
	uint64_t v[4] = {
	    secret[0] ^ 0x736f6d6570736575U,
	    secret[1] ^ 0x646f72616e646f6dU,
	    secret[0] ^ 0x6c7967656e657261U,
	    secret[1] ^ 0x7465646279746573U,
	};

	absorb(v, first);
	absorb(v, second);
	absorb(v, third);
	absorb(v, (uint64_t)24 << 56);
	v[2] ^= 0xff;
	sip_round(v);
	sip_round(v);
	sip_round(v);
	uint64_t hash = v[0] ^ v[1] ^ v[2] ^ v[3];
	return hash != 0 ? hash : 1;
}
