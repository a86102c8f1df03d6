#include "redis.h"

#include "../../lib/clock.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ERROR = 256 };

struct redis {
	int descriptor;
	SSL_CTX *tls_settings;
	SSL *tls;
	redisReader *reader;
	char *pending;
	size_t length;
	size_t room;
	int commands;
	unsigned long long sent;
	unsigned long long received;
};

/* ---- address ---- */

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
	if (address->password[0] == '\0' && given != NULL)
		snprintf(address->password, sizeof(address->password), "%s", given);
	return true;
}

/* ---- the socket ---- */

static bool wait_for(int descriptor, short events, uint64_t deadline)
{
	struct pollfd ready = {.fd = descriptor, .events = events};
	uint64_t now = clock_us() / 1000;

	while (now < deadline) {
		int result = poll(&ready, 1, (int)(deadline - now));
		if (result > 0)
			return true;
		if (result < 0 && errno != EINTR)
			return false;
		now = clock_us() / 1000;
	}
	errno = ETIMEDOUT;
	return false;
}

static int connect_one(const struct addrinfo *candidate, uint64_t deadline)
{
	int descriptor =
	    socket(candidate->ai_family, candidate->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, candidate->ai_protocol);
	int failure = 0;
	socklen_t length = sizeof(failure);
	int on = 1;

	if (descriptor < 0)
		return -1;
	if (connect(descriptor, candidate->ai_addr, candidate->ai_addrlen) != 0) {
		if (errno != EINPROGRESS || !wait_for(descriptor, POLLOUT, deadline))
			failure = errno;
		else
			getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &failure, &length);
	}
	if (failure != 0) {
		close(descriptor);
		errno = failure;
		return -1;
	}
	setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return descriptor;
}

static int connect_to(const struct redis_address *address, uint64_t deadline, char *error)
{
	struct addrinfo wanted = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	struct addrinfo *found = NULL;
	int descriptor = -1;

	int result = getaddrinfo(address->host, address->port, &wanted, &found);
	if (result == EAI_NONAME || result == EAI_ADDRFAMILY) {
		/* AI_ADDRCONFIG leaves out loopback-only machines. */
		wanted.ai_flags = 0;
		result = getaddrinfo(address->host, address->port, &wanted, &found);
	}
	if (result != 0) {
		snprintf(error, ERROR, "%.120s: %.100s", address->host, gai_strerror(result));
		return -1;
	}
	for (struct addrinfo *candidate = found; candidate != NULL && descriptor < 0; candidate = candidate->ai_next)
		descriptor = connect_one(candidate, deadline);
	if (descriptor < 0)
		snprintf(error, ERROR, "%.120s port %.7s: %.100s", address->host, address->port, strerror(errno));
	freeaddrinfo(found);
	return descriptor;
}

static bool start_tls(struct redis *redis, const struct redis_address *address, uint64_t deadline, char *error)
{
	redis->tls_settings = SSL_CTX_new(TLS_client_method());
	if (redis->tls_settings == NULL || SSL_CTX_set_min_proto_version(redis->tls_settings, TLS1_2_VERSION) != 1 ||
	    (address->ca[0] != '\0' ? SSL_CTX_load_verify_locations(redis->tls_settings, address->ca, NULL)
				    : SSL_CTX_set_default_verify_paths(redis->tls_settings)) != 1) {
		snprintf(error, ERROR, "TLS: cannot load the certificates to trust");
		return false;
	}
	SSL_CTX_set_verify(redis->tls_settings, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(redis->tls_settings, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	redis->tls = SSL_new(redis->tls_settings);
	if (redis->tls == NULL || SSL_set_fd(redis->tls, redis->descriptor) != 1 ||
	    SSL_set_tlsext_host_name(redis->tls, address->host) != 1 || (SSL_set1_host(redis->tls, address->host) != 1)) {
		snprintf(error, ERROR, "TLS: out of memory");
		return false;
	}
	X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(redis->tls), address->host); /* if it is an address */
	for (;;) {
		int result = SSL_connect(redis->tls);
		if (result == 1)
			return true;
		int why = SSL_get_error(redis->tls, result);
		if ((why == SSL_ERROR_WANT_READ && wait_for(redis->descriptor, POLLIN, deadline)) ||
		    (why == SSL_ERROR_WANT_WRITE && wait_for(redis->descriptor, POLLOUT, deadline)))
			continue;
		unsigned long code = ERR_get_error();
		snprintf(error, ERROR, "TLS: %s", code != 0 ? ERR_reason_error_string(code) : strerror(errno));
		return false;
	}
}

static ssize_t write_some(struct redis *redis, const char *from, size_t length, short *events)
{
	if (redis->tls == NULL) {
		*events = POLLOUT;
		return send(redis->descriptor, from, length, MSG_NOSIGNAL);
	}
	int result = SSL_write(redis->tls, from, (int)(length < (1 << 20) ? length : (1 << 20)));
	if (result > 0)
		return result;
	int why = SSL_get_error(redis->tls, result);
	*events = why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
	errno = why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? EAGAIN : EPIPE;
	return -1;
}

static ssize_t read_some(struct redis *redis, char *into, size_t room, short *events)
{
	if (redis->tls == NULL) {
		*events = POLLIN;
		return recv(redis->descriptor, into, room, 0);
	}
	int result = SSL_read(redis->tls, into, (int)room);
	if (result > 0)
		return result;
	int why = SSL_get_error(redis->tls, result);
	if (why == SSL_ERROR_ZERO_RETURN)
		return 0;
	*events = why == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN;
	errno = why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? EAGAIN : EPIPE;
	return -1;
}

/* ---- commands ---- */

bool redis_add(struct redis *redis, int arguments, const char **argument, const size_t *length)
{
	char *command = NULL;
	long long bytes = redisFormatCommandArgv(&command, arguments, argument, length);

	if (bytes < 0)
		return false;
	if (redis->length + (size_t)bytes > redis->room) {
		size_t room = (redis->length + (size_t)bytes) * 2;
		char *larger = realloc(redis->pending, room);
		if (larger == NULL) {
			redisFreeCommand(command);
			return false;
		}
		redis->pending = larger;
		redis->room = room;
	}
	memcpy(redis->pending + redis->length, command, (size_t)bytes);
	redis->length += (size_t)bytes;
	redis->commands++;
	redisFreeCommand(command);
	return true;
}

static bool transfer(struct redis *redis, uint64_t deadline, void (*got)(redisReply *, int, void *), void *with, char *error)
{
	size_t written = 0;
	int replies = 0;
	char buffer[65536];

	/* Reading while writing, or a large pipeline could fill both directions and stand still. */
	while (replies < redis->commands) {
		short write_events = 0;
		short read_events = 0;
		if (written < redis->length) {
			ssize_t n = write_some(redis, redis->pending + written, redis->length - written, &write_events);
			if (n > 0) {
				written += (size_t)n;
				redis->sent += (unsigned long long)n;
				write_events = 0;
				if (written < redis->length)
					write_events = POLLOUT;
			} else if (errno != EAGAIN && errno != EINTR) {
				snprintf(error, ERROR, "write: %s", strerror(errno));
				return false;
			}
		}
		ssize_t n = read_some(redis, buffer, sizeof(buffer), &read_events);
		if (n == 0) {
			snprintf(error, ERROR, "the server closed the connection");
			return false;
		}
		if (n < 0) {
			if (errno != EAGAIN && errno != EINTR) {
				snprintf(error, ERROR, "read: %s", strerror(errno));
				return false;
			}
			if (!wait_for(redis->descriptor, (short)(read_events | write_events), deadline)) {
				snprintf(error, ERROR, "no answer in time");
				return false;
			}
			continue;
		}
		redis->received += (unsigned long long)n;
		redisReaderFeed(redis->reader, buffer, (size_t)n);
		for (;;) {
			void *reply = NULL;
			if (redisReaderGetReply(redis->reader, &reply) != REDIS_OK) {
				snprintf(error, ERROR, "not understood: %s", redis->reader->errstr);
				return false;
			}
			if (reply == NULL)
				break;
			got(reply, replies++, with);
			freeReplyObject(reply);
		}
	}
	return true;
}

bool redis_exchange(struct redis *redis, int wait_ms, void (*got)(redisReply *reply, int number, void *with), void *with,
		    char *error)
{
	bool done = transfer(redis, clock_us() / 1000 + (uint64_t)wait_ms, got, with, error);

	redis->length = 0;
	redis->commands = 0;
	return done;
}

struct greeting {
	bool good;
	char *error;
};

static void check_greeting(redisReply *reply, int number, void *with)
{
	struct greeting *greeting = with;

	(void)number;
	if (reply->type == REDIS_REPLY_ERROR && greeting->good) {
		greeting->good = false;
		snprintf(greeting->error, ERROR, "%.*s", (int)reply->len, reply->str);
	}
}

static bool greet(struct redis *redis, const struct redis_address *address, int wait_ms, char *error)
{
	struct greeting greeting = {.good = true, .error = error};
	char database[16];

	if (address->password[0] != '\0') {
		const char *with_user[] = {"AUTH", address->user, address->password};
		const char *without[] = {"AUTH", address->password};
		if (address->user[0] != '\0' ? !redis_add(redis, 3, with_user, NULL) : !redis_add(redis, 2, without, NULL))
			return false;
	}
	snprintf(database, sizeof(database), "%d", address->database);
	const char *select[] = {"SELECT", database};
	if (address->database != 0 && !redis_add(redis, 2, select, NULL))
		return false;
	const char *ping[] = {"PING"};
	if (!redis_add(redis, 1, ping, NULL))
		return false;
	return redis_exchange(redis, wait_ms, check_greeting, &greeting, error) && greeting.good;
}

struct redis *redis_open(const struct redis_address *address, int wait_ms, char *error)
{
	uint64_t deadline = clock_us() / 1000 + (uint64_t)wait_ms;
	struct redis *redis = calloc(1, sizeof(*redis));

	snprintf(error, ERROR, "out of memory");
	if (redis == NULL)
		return NULL;
	redis->reader = redisReaderCreate();
	redis->descriptor = redis->reader != NULL ? connect_to(address, deadline, error) : -1;
	if (redis->descriptor < 0 || (address->tls && !start_tls(redis, address, deadline, error)) ||
	    !greet(redis, address, wait_ms, error)) {
		redis_close(redis);
		return NULL;
	}
	return redis;
}

void redis_close(struct redis *redis)
{
	if (redis == NULL)
		return;
	SSL_free(redis->tls);
	SSL_CTX_free(redis->tls_settings);
	if (redis->reader != NULL)
		redisReaderFree(redis->reader);
	if (redis->descriptor >= 0)
		close(redis->descriptor);
	free(redis->pending);
	free(redis);
}

void redis_traffic(const struct redis *redis, unsigned long long *sent, unsigned long long *received)
{
	*sent += redis->sent;
	*received += redis->received;
}
