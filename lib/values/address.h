/* Addresses, and which part of an address is "one client".
 *
 * Every address is kept in the 16-byte form of RFC 4291, IPv4 as ::ffff:a.b.c.d, so that a peer seen through an IPv4 socket
 * and the same peer seen through a dual-stack IPv6 socket are one client.
 *
 * All functions here are async-signal-safe and thread-safe: they touch only their arguments. */
#ifndef CONNLIMIT_ADDRESS_H
#define CONNLIMIT_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

struct address {
	uint8_t bytes[16];
};

/* One end of a connection. */
struct endpoint {
	struct address address;
	uint16_t port;	    /* host byte order */
	uint32_t interface; /* scope of a link-local address, else 0 */
};

/* The same address and port; the interface is not compared. */
static inline bool endpoint_same(const struct endpoint *a, const struct endpoint *b)
{
	return a->port == b->port && memcmp(&a->address, &b->address, sizeof(a->address)) == 0;
}

/* A network: the address's first `prefix` bits, 0..128; an IPv4 prefix of n is 96 + n here. */
struct network {
	struct address address;
	uint8_t prefix;
};

/* A local user instead of a network: `prefix` is this value, and the first four bytes of the address are the user id, in host
 * byte order. */
enum { NETWORK_UID = 255 };

/* Longest text that address_format and network_format write, with the NUL. */
enum { ADDRESS_TEXT = INET6_ADDRSTRLEN, NETWORK_TEXT = INET6_ADDRSTRLEN + 4 };

static inline bool address_is_ipv4(const struct address *address)
{
	static const uint8_t mapped[4] = {[2] = 0xff, [3] = 0xff};
	uint64_t zeros;

	memcpy(&zeros, address->bytes, sizeof(zeros));
	return zeros == 0 && memcmp(address->bytes + sizeof(zeros), mapped, sizeof(mapped)) == 0;
}

/* Whether it is no address at all, "::". */
static inline bool address_is_unspecified(const struct address *address)
{
	uint64_t words[2];

	memcpy(words, address->bytes, sizeof(words));
	return (words[0] | words[1]) == 0;
}

/* Reads the endpoint out of what accept, getpeername or getsockname wrote. False if it is not an internet address
 * (Unix sockets, or a length too short to hold one). */
bool endpoint_from_sockaddr(struct endpoint *endpoint, const struct sockaddr *address, socklen_t length);

/* Keeps the first `prefix` bits (0..128) and clears the rest. */
static inline struct address address_masked(struct address address, unsigned prefix)
{
	if (prefix >= 128)
		return address;
	unsigned whole = prefix / 8;
	if (prefix % 8 != 0) {
		address.bytes[whole] &= (uint8_t)(0xff00U >> (prefix % 8));
		whole++;
	}
	memset(address.bytes + whole, 0, 16 - whole);
	return address;
}

/* Whether `address` lies in `network`. IPv4 addresses are in no network that is written as IPv6's: not in ::/0, nor in ::/64.
 */
bool network_contains(const struct network *network, const struct address *address);

/* Writes "192.0.2.1", or "2001:db8::1" in the one form of RFC 5952; no brackets, no port. `text` holds at least ADDRESS_TEXT
 * bytes. */
void address_format(char *text, const struct address *address);

/* As address_format, with "/n" appended unless the network is one address; IPv4 prefixes are written 0..32. A local user is
 * written "uid 1000". `text` holds at least NETWORK_TEXT bytes. */
void network_format(char *text, const struct network *network);

/* Reads "192.0.2.1", "192.0.2.0/24", "2001:db8::/32", "::ffff:192.0.2.1" (which is 192.0.2.1) or "[2001:db8::1]/64" from
 * exactly `length` bytes. Host bits after the prefix are an error, as in 10.0.0.1/8, since that is usually a typing mistake.
 * Returns true, or false with *error pointing to a constant sentence and *position at the offending byte (`length` if the text
 * is too short). If *error is network_has_more_bits, *network is the one that was probably meant. */
bool network_parse(struct network *network, const char *text, size_t length, const char **error, size_t *position);

extern const char network_has_more_bits[];

#endif
