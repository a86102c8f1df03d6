#include "command/fleet/redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int hex_value(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Copies [from, end) undoing %XX. */
static bool copy_part(char *to, size_t room, const char *from, const char *end)
{
	size_t n = 0;

	for (; from < end; from++) {
		char c = *from;
		if (c == '%') {
			if (end - from < 3 || hex_value(from[1]) < 0 || hex_value(from[2]) < 0)
				return false;
			c = (char)(hex_value(from[1]) * 16 + hex_value(from[2]));
			from += 2;
		}
		if (n + 1 >= room || c == '\0')
			return false;
		to[n++] = c;
	}
	to[n] = '\0';
	return true;
}

static bool parse_user(struct redis_address *address, const char *from, const char *end)
{
	const char *colon = memchr(from, ':', (size_t)(end - from));

	if (!copy_part(address->user, sizeof(address->user), from, colon != NULL ? colon : end))
		return false;
	return colon == NULL || copy_part(address->password, sizeof(address->password), colon + 1, end);
}

static bool parse_host(struct redis_address *address, const char *from, const char *end)
{
	const char *host_end = from < end && *from == '[' ? memchr(from, ']', (size_t)(end - from)) : NULL;
	const char *colon;

	if (from < end && *from == '[') {
		if (host_end == NULL || !copy_part(address->host, sizeof(address->host), from + 1, host_end))
			return false;
		colon = host_end + 1;
	} else {
		colon = memchr(from, ':', (size_t)(end - from));
		if (!copy_part(address->host, sizeof(address->host), from, colon != NULL ? colon : end))
			return false;
		if (colon == NULL)
			colon = end;
	}
	if (address->host[0] == '\0')
		return false;
	if (colon == end)
		return true;
	if (*colon != ':' || colon + 1 == end || strspn(colon + 1, "0123456789") < (size_t)(end - colon - 1))
		return false;
	return copy_part(address->port, sizeof(address->port), colon + 1, end);
}

bool redis_address_parse(struct redis_address *address, const char *uri, const char **error)
{
	const char *from;

	*address = (struct redis_address){.port = "6379"};
	if (strncmp(uri, "redis://", 8) == 0) {
		from = uri + 8;
	} else if (strncmp(uri, "rediss://", 9) == 0) {
		from = uri + 9;
		address->tls = true;
	} else {
		*error = "starts neither with redis:// nor with rediss://";
		return false;
	}
	const char *slash = strchr(from, '/');
	const char *end = slash != NULL ? slash : from + strlen(from);
	const char *at = NULL;
	for (const char *c = from; c < end; c++)
		if (*c == '@')
			at = c;
	if (at != NULL && !parse_user(address, from, at)) {
		*error = "the user or password before '@' is too long or has a bad %XX";
		return false;
	}
	if (!parse_host(address, at != NULL ? at + 1 : from, end)) {
		*error = "has no host, or a port that is not a number";
		return false;
	}
	if (slash != NULL && slash[1] != '\0') {
		char *rest;
		long database = strtol(slash + 1, &rest, 10);
		if (*rest != '\0' || database < 0 || database > 65535 || slash[1] < '0' || slash[1] > '9') {
			*error = "the database after '/' is not a number from 0 to 65535";
			return false;
		}
		address->database = (int)database;
	}
	const char *given = getenv("REDISCLI_AUTH");
	if (address->password[0] == '\0' && given != NULL) {
		if (strlen(given) >= sizeof(address->password)) {
			*error = "the password in REDISCLI_AUTH is too long";
			return false;
		}
		snprintf(address->password, sizeof(address->password), "%s", given);
	}
	return true;
}
