#include "values/proxy_header.h"

/* ---- version 1: "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n" ---- */

static const char first_word[] = "PROXY ";

/* The text up to the next blank, or to the end. */
struct word {
	const char *text;
	size_t length;
};

static struct word next_word(const char **at, const char *end)
{
	const char *blank = memchr(*at, ' ', (size_t)(end - *at));
	const char *stop = blank != NULL ? blank : end;
	struct word word = {.text = *at, .length = (size_t)(stop - *at)};

	*at = blank != NULL ? blank + 1 : end;
	return word;
}

static bool is(const struct word *word, const char *text)
{
	return word->length == strlen(text) && memcmp(word->text, text, word->length) == 0;
}

static bool is_address(const struct word *word, bool ipv6, struct address *address)
{
	struct network network;
	const char *error;
	size_t position;

	if (memchr(word->text, '/', word->length) != NULL || memchr(word->text, '[', word->length) != NULL ||
	    (memchr(word->text, ':', word->length) != NULL) != ipv6 ||
	    !network_parse(&network, word->text, word->length, &error, &position))
		return false;
	*address = network.address;
	return true;
}

static bool is_port(const struct word *word)
{
	unsigned value = 0;

	for (size_t i = 0; i < word->length && i < 6; i++) {
		if (word->text[i] < '0' || word->text[i] > '9')
			return false;
		value = value * 10 + (unsigned)(word->text[i] - '0');
	}
	return word->length >= 1 && word->length <= 5 && value <= UINT16_MAX;
}

static enum proxy_header read_line(const char *at, const char *end, struct address *client)
{
	struct address from;
	struct address to;
	struct word family = next_word(&at, end);
	bool ipv6 = is(&family, "TCP6");

	if (is(&family, "UNKNOWN"))
		return PROXY_OWN;
	if (!ipv6 && !is(&family, "TCP4"))
		return PROXY_NONE;
	struct word word[4];
	for (int i = 0; i < 4; i++)
		word[i] = next_word(&at, end);
	if (at != end || !is_address(&word[0], ipv6, &from) || !is_address(&word[1], ipv6, &to) || !is_port(&word[2]) ||
	    !is_port(&word[3]) || end[-1] == ' ' || address_is_unspecified(&from))
		return PROXY_NONE;
	*client = from;
	return PROXY_CLIENT;
}

static enum proxy_header read_version_1(const char *bytes, size_t length, struct address *client)
{
	size_t seen = length < PROXY_HEADER_MOST ? length : PROXY_HEADER_MOST;
	const char *end = memchr(bytes, '\r', seen);

	if (end == NULL || end + 1 == bytes + seen)
		return seen < PROXY_HEADER_MOST ? PROXY_UNDECIDED : PROXY_NONE;
	return end[1] == '\n' ? read_line(bytes + sizeof(first_word) - 1, end, client) : PROXY_NONE;
}

/* ---- version 2: a signature, version and command, family and transport, the length of what follows, addresses, more ---- */

static const unsigned char signature[12] = {'\r', '\n', '\r', '\n', '\0', '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};

enum {
	COMMAND_AT = sizeof(signature),
	FAMILY_AT,
	LENGTH_AT,
	ADDRESSES_AT = LENGTH_AT + 2,
	VERSION = 0x20,
	LOCAL = 0,
	PROXY = 1,
	FAMILY_INET = 1,
	FAMILY_INET6 = 2,
	FAMILY_UNIX = 3,
	STREAM = 1,
	DATAGRAM = 2,
};

/* Bytes that the addresses of each family take: two of them, and for internet addresses two ports. */
static const size_t addresses_size[] = {[FAMILY_INET] = 12, [FAMILY_INET6] = 36, [FAMILY_UNIX] = 216};

static enum proxy_header read_version_2(const unsigned char *bytes, size_t length, struct address *client)
{
	if (length > COMMAND_AT && bytes[COMMAND_AT] != (VERSION | LOCAL) && bytes[COMMAND_AT] != (VERSION | PROXY))
		return PROXY_NONE;
	if (length < ADDRESSES_AT)
		return PROXY_UNDECIDED;
	unsigned family = bytes[FAMILY_AT] >> 4;
	unsigned transport = bytes[FAMILY_AT] & 0xf;
	size_t size = (size_t)bytes[LENGTH_AT] << 8 | bytes[LENGTH_AT + 1];

	if (bytes[COMMAND_AT] == (VERSION | LOCAL))
		return PROXY_OWN; /* whatever the family */
	if (family > FAMILY_UNIX || transport > DATAGRAM || size < addresses_size[family])
		return PROXY_NONE;
	if ((family != FAMILY_INET && family != FAMILY_INET6) || transport != STREAM)
		return PROXY_OWN;
	if (length < ADDRESSES_AT + addresses_size[family])
		return PROXY_UNDECIDED;
	struct address from = {.bytes = {[10] = 0xff, [11] = 0xff}};
	if (family == FAMILY_INET)
		memcpy(from.bytes + 12, bytes + ADDRESSES_AT, 4);
	else
		memcpy(from.bytes, bytes + ADDRESSES_AT, 16);
	if (address_is_unspecified(&from))
		return PROXY_NONE;
	*client = from;
	return PROXY_CLIENT;
}

/* ---- either ---- */

static bool begins(const unsigned char *bytes, size_t length, const void *with, size_t size)
{
	return memcmp(bytes, with, length < size ? length : size) == 0;
}

enum proxy_header proxy_header_read(const unsigned char *bytes, size_t length, struct address *client)
{
	if (length == 0)
		return PROXY_UNDECIDED;
	if (begins(bytes, length, signature, sizeof(signature)))
		return length <= sizeof(signature) ? PROXY_UNDECIDED : read_version_2(bytes, length, client);
	if (begins(bytes, length, first_word, sizeof(first_word) - 1))
		return length < sizeof(first_word) ? PROXY_UNDECIDED : read_version_1((const char *)bytes, length, client);
	return PROXY_NONE;
}
