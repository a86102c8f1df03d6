#include "values/address.h"

#include "values/hot.h"
#include "values/text.h"

#include <arpa/inet.h>
#include <string.h>

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

static bool is_link_local(const struct address *address)
{
	return address->bytes[0] == 0xfe && (address->bytes[1] & 0xc0) == 0x80;
}

HOT bool endpoint_from_sockaddr(struct endpoint *endpoint, const struct sockaddr *address, socklen_t length)
{
	if (length >= sizeof(struct sockaddr_in) && address->sa_family == AF_INET) {
		struct sockaddr_in ipv4;

		memcpy(&ipv4, address, sizeof(ipv4));
		memcpy(endpoint->address.bytes, mapped, sizeof(mapped));
		memcpy(endpoint->address.bytes + sizeof(mapped), &ipv4.sin_addr, 4);
		endpoint->port = ntohs(ipv4.sin_port);
		endpoint->interface = 0;
		return true;
	}
	if (length >= sizeof(struct sockaddr_in6) && address->sa_family == AF_INET6) {
		struct sockaddr_in6 ipv6;

		memcpy(&ipv6, address, sizeof(ipv6));
		memcpy(endpoint->address.bytes, &ipv6.sin6_addr, 16);
		endpoint->port = ntohs(ipv6.sin6_port);
		endpoint->interface = is_link_local(&endpoint->address) ? ipv6.sin6_scope_id : 0;
		return true;
	}
	return false;
}

bool network_contains(const struct network *network, const struct address *address)
{
	struct address masked = address_masked(*address, network->prefix);

	/* IPv4 addresses are not in ::/0 and the like: they are only stored as IPv6 ones. */
	if (network->prefix < 96 && address_is_ipv4(address))
		return false;
	return memcmp(&masked, &network->address, sizeof(masked)) == 0;
}

/* ---- writing ---- */

static char *add_decimal(char *at, uint32_t number)
{
	char digits[10];
	size_t n = 0;

	do {
		digits[n++] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	while (n > 0)
		*at++ = digits[--n];
	return at;
}

/* Hexadecimal, lower case, without leading zeros (RFC 5952, 4.1 and 4.3). */
static char *add_group(char *at, unsigned group)
{
	static const char hex[] = "0123456789abcdef";
	int shift = 12;

	while (shift > 0 && group >> shift == 0)
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		*at++ = hex[group >> shift & 15];
	return at;
}

/* RFC 5952, 4.2: "::" for the longest run of two or more zero groups, the first of equals. */
static char *add_ipv6(char *at, const uint8_t bytes[16])
{
	unsigned group[8];
	int gap = -1;
	int gap_length = 1;

	for (int i = 0; i < 8; i++)
		group[i] = (unsigned)bytes[2 * (size_t)i] << 8 | bytes[2 * (size_t)i + 1];
	for (int i = 0; i < 8; i++) {
		int zeros = 0;

		while (i + zeros < 8 && group[i + zeros] == 0)
			zeros++;
		if (zeros > gap_length) {
			gap = i;
			gap_length = zeros;
		}
		i += zeros;
	}
	for (int i = 0; i < 8; i++) {
		if (i == gap) {
			*at++ = ':';
			*at++ = ':';
			i += gap_length - 1;
			continue;
		}
		if (i > 0 && (gap < 0 || i != gap + gap_length))
			*at++ = ':';
		at = add_group(at, group[i]);
	}
	return at;
}

/* Does not use inet_ntop(3): refusals are logged from within accept, possibly in a signal handler, and inet_ntop is not
 * async-signal-safe (in glibc it calls sprintf). */
void address_format(char *text, const struct address *address)
{
	char *at = text;

	if (address_is_ipv4(address)) {
		for (int i = 12; i < 16; i++) {
			at = add_decimal(at, address->bytes[i]);
			if (i < 15)
				*at++ = '.';
		}
	} else {
		at = add_ipv6(at, address->bytes);
	}
	*at = '\0';
}

static void format_uid(char *text, const struct address *address)
{
	uint32_t uid;

	memcpy(&uid, address->bytes, sizeof(uid));
	memcpy(text, "uid ", 4);
	*add_decimal(text + 4, uid) = '\0';
}

void network_format(char *text, const struct network *network)
{
	bool ipv4 = address_is_ipv4(&network->address) && network->prefix >= 96;
	char *at = text;

	if (network->prefix == NETWORK_UID) {
		format_uid(text, &network->address);
		return;
	}
	address_format(text, &network->address);
	if (network->prefix >= 128)
		return;
	at += strlen(text);
	*at++ = '/';
	*add_decimal(at, network->prefix - (ipv4 ? 96U : 0U)) = '\0';
}

/* ---- reading ---- */

static bool parse_ipv4(uint8_t bytes[4], const char *text, size_t length, size_t *bad)
{
	size_t at = 0;

	for (int part = 0; part < 4; part++) {
		unsigned value = 0;
		size_t digits = 0;

		if (part > 0) {
			*bad = at;
			if (at == length || text[at] != '.')
				return false;
			at++;
		}
		for (; at < length && text[at] >= '0' && text[at] <= '9' && digits < 4; at++, digits++)
			value = value * 10 + (unsigned)(text[at] - '0');
		/* Others read a leading 0 as octal (inet_aton(3)). It is an error, so that nobody is limited by mistake. */
		if (digits == 0 || value > 255 || (digits > 1 && text[at - digits] == '0')) {
			*bad = at - digits;
			return false;
		}
		bytes[part] = (uint8_t)value;
	}
	*bad = at;
	return at == length;
}

/* RFC 4291, 2.2: up to eight groups, "::" once for the zeros between, an IPv4 tail allowed. */
static bool parse_ipv6(uint8_t bytes[16], const char *text, size_t length, size_t *bad)
{
	uint8_t read[16] = {0};
	size_t filled = 0;
	size_t gap = 17; /* where "::" stood */
	size_t at = 0;

	if (length >= 2 && text[0] == ':' && text[1] == ':') {
		gap = 0;
		at = 2;
	}
	while (at < length) {
		size_t start = at;
		unsigned value = 0;

		for (; at < length && text_hex_digit(text[at]) >= 0 && at - start < 5; at++)
			value = value << 4 | (unsigned)text_hex_digit(text[at]);
		*bad = start;
		if (at < length && text[at] == '.' && filled <= 12) {
			size_t bad_tail = 0;
			if (!parse_ipv4(read + filled, text + start, length - start, &bad_tail)) {
				*bad = start + bad_tail;
				return false;
			}
			filled += 4;
			at = length;
			break;
		}
		if (at == start || at - start > 4 || filled > 14)
			return false;
		read[filled++] = (uint8_t)(value >> 8);
		read[filled++] = (uint8_t)value;
		if (at == length)
			break;
		*bad = at;
		if (text[at++] != ':')
			return false;
		if (at < length && text[at] == ':') {
			if (gap != 17)
				return false;
			gap = filled;
			at++;
		} else if (at == length) {
			return false;
		}
	}
	*bad = at;
	if (gap == 17 ? filled != 16 : filled > 14)
		return false;
	if (gap == 17)
		gap = filled;
	memset(bytes, 0, 16);
	memcpy(bytes, read, gap);
	memcpy(bytes + 16 - (filled - gap), read + gap, filled - gap);
	return true;
}

static bool parse_prefix(unsigned *prefix, unsigned most, const char *text, size_t length)
{
	unsigned value = 0;

	if (length == 0 || length > 3 || (length > 1 && text[0] == '0'))
		return false;
	for (size_t i = 0; i < length; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (unsigned)(text[i] - '0');
	}
	*prefix = value;
	return value <= most;
}

const char network_has_more_bits[] = "has bits set after its prefix";

bool network_parse(struct network *network, const char *text, size_t length, const char **error, size_t *position)
{
	const char *slash = memchr(text, '/', length);
	size_t host = slash != NULL ? (size_t)(slash - text) : length;
	size_t start = 0;
	bool ipv6 = memchr(text, ':', host) != NULL;
	size_t bad = 0;
	unsigned prefix;

	*position = 0;
	if (host >= 2 && text[0] == '[' && text[host - 1] == ']') {
		start = 1;
		host--;
		ipv6 = true;
	}
	struct network read;
	if (ipv6) {
		if (!parse_ipv6(read.address.bytes, text + start, host - start, &bad)) {
			*error = "is not an IPv6 address";
			*position = start + bad;
			return false;
		}
	} else {
		memcpy(read.address.bytes, mapped, sizeof(mapped));
		if (!parse_ipv4(read.address.bytes + 12, text, host, &bad)) {
			*error = "is not an IPv4 address (four numbers 0 to 255 with dots, no leading zeros)";
			*position = bad;
			return false;
		}
	}
	bool short_form = !ipv6;
	prefix = short_form ? 32 : 128;
	if (slash != NULL) {
		size_t at = (size_t)(slash - text) + 1;
		if (!parse_prefix(&prefix, short_form ? 32 : 128, text + at, length - at)) {
			*error = short_form ? "has no prefix length from 0 to 32 after '/'"
					    : "has no prefix length from 0 to 128 after '/'";
			*position = at;
			return false;
		}
	}
	read.prefix = (uint8_t)(short_form ? prefix + 96 : prefix);
	struct address masked = address_masked(read.address, read.prefix);
	if (memcmp(&masked, &read.address, sizeof(masked)) != 0) {
		*error = network_has_more_bits;
		*position = 0;
		/* "::ffff:10.0.0.0/8" is read as IPv4 notation. */
		if (address_is_ipv4(&read.address) && read.prefix <= 32)
			read.prefix += 96;
		read.address = address_masked(read.address, read.prefix);
		*network = read;
		return false;
	}
	*network = read;
	return true;
}
