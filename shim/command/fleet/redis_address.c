#include "command/fleet/redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int hex_value(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Copies [from, end), with %XX decoded. */
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

static bool parse_host(struct redis_host *host, const char *port, const char *from, const char *end)
{
	const char *host_end = from < end && *from == '[' ? memchr(from, ']', (size_t)(end - from)) : NULL;
	const char *colon;

	snprintf(host->port, sizeof(host->port), "%s", port);
	if (from < end && *from == '[') {
		if (host_end == NULL || !copy_part(host->name, sizeof(host->name), from + 1, host_end))
			return false;
		colon = host_end + 1;
	} else {
		colon = memchr(from, ':', (size_t)(end - from));
		if (!copy_part(host->name, sizeof(host->name), from, colon != NULL ? colon : end))
			return false;
		if (colon == NULL)
			colon = end;
	}
	if (host->name[0] == '\0')
		return false;
	if (colon == end)
		return true;
	if (*colon != ':' || colon + 1 == end || strspn(colon + 1, "0123456789") < (size_t)(end - colon - 1))
		return false;
	return copy_part(host->port, sizeof(host->port), colon + 1, end);
}

static bool parse_hosts(struct redis_address *address, const char *port, const char *from, const char *end)
{
	for (;;) {
		const char *comma = memchr(from, ',', (size_t)(end - from));
		if (address->hosts == HOSTS_MOST ||
		    !parse_host(&address->host[address->hosts++], port, from, comma != NULL ? comma : end))
			return false;
		if (comma == NULL)
			return true;
		from = comma + 1;
	}
}

static bool parse_database(struct redis_address *address, const char *from, const char *end)
{
	char *rest;
	long database = from < end ? strtol(from, &rest, 10) : 0;

	if (from == end)
		return true;
	if (rest != end || database < 0 || database > 65535 || *from < '0' || *from > '9')
		return false;
	address->database = (int)database;
	return true;
}

/* The part after '?': Sentinel's own user and password, if any. */
static bool parse_sentinel_user(struct redis_address *address, const char *from, const char *end)
{
	const char *colon;

	if (strncmp(from, "sentinel=", 9) != 0)
		return false;
	from += 9;
	colon = memchr(from, ':', (size_t)(end - from));
	if (colon != NULL && !copy_part(address->sentinel_user, sizeof(address->sentinel_user), from, colon))
		return false;
	return copy_part(address->sentinel_password, sizeof(address->sentinel_password), colon != NULL ? colon + 1 : from, end);
}

bool redis_address_parse(struct redis_address *address, const char *uri, const char **error)
{
	static const struct {
		const char *begins;
		bool tls, sentinel;
	} schemes[] = {
	    {"redis://", false, false},
	    {"rediss://", true, false},
	    {"redis+sentinel://", false, true},
	    {"rediss+sentinel://", true, true},
	};
	const char *from = NULL;
	bool sentinel = false;

	*address = (struct redis_address){0};
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		if (strncmp(uri, schemes[i].begins, strlen(schemes[i].begins)) != 0)
			continue;
		from = uri + strlen(schemes[i].begins);
		address->tls = schemes[i].tls;
		sentinel = schemes[i].sentinel;
	}
	if (from == NULL) {
		*error = "does not start with redis://, rediss://, redis+sentinel:// or rediss+sentinel://";
		return false;
	}
	const char *end = from + strcspn(from, "/");
	const char *at = NULL;
	for (const char *c = from; c < end; c++)
		if (*c == '@')
			at = c;
	if (at != NULL && !parse_user(address, from, at)) {
		*error = "the user or password before '@' is too long or has a bad %XX";
		return false;
	}
	if (!parse_hosts(address, sentinel ? "26379" : "6379", at != NULL ? at + 1 : from, end)) {
		*error = "has no host, more than 16 hosts, or a port that is not a number";
		return false;
	}
	const char *path = *end == '/' ? end + 1 : end;
	const char *path_end = path + (sentinel ? strcspn(path, "?") : strlen(path));
	if (sentinel) {
		const char *slash = memchr(path, '/', (size_t)(path_end - path));
		if (!copy_part(address->master, sizeof(address->master), path, slash != NULL ? slash : path_end) ||
		    address->master[0] == '\0') {
			*error = "has no name of a master after '/'";
			return false;
		}
		path = slash != NULL ? slash + 1 : path_end;
	}
	if (!parse_database(address, path, path_end)) {
		*error = "the database after '/' is not a number from 0 to 65535";
		return false;
	}
	if (*path_end == '?' && !parse_sentinel_user(address, path_end + 1, path_end + strlen(path_end))) {
		*error = "what follows '?' is not sentinel=[USER:]PASSWORD";
		return false;
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
