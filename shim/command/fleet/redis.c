#include "command/fleet/redis.h"

#include "values/clock.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
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
	unsigned candidates = 0;
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
	/* Each gets its share of the time, so that one that is silent does not keep us from the next. */
	for (struct addrinfo *candidate = found; candidate != NULL; candidate = candidate->ai_next)
		candidates++;
	for (struct addrinfo *candidate = found; candidate != NULL && descriptor < 0; candidate = candidate->ai_next) {
		uint64_t now = clock_us() / 1000;
		descriptor = connect_one(candidate, now < deadline ? now + (deadline - now) / candidates-- : deadline);
	}
	if (descriptor < 0)
		snprintf(error, ERROR, "%.120s port %.7s: %.100s", address->host, address->port, strerror(errno));
	freeaddrinfo(found);
	return descriptor;
}

/* What OpenSSL has to say of the last failure. */
static void complain_tls(struct redis *redis, const char *what, char *error)
{
	unsigned long code = ERR_get_error();
	const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
	long verified = redis->tls != NULL ? SSL_get_verify_result(redis->tls) : X509_V_OK;

	if (verified != X509_V_OK)
		snprintf(error, ERROR, "TLS: certificate verify failed: %.180s", X509_verify_cert_error_string(verified));
	else
		snprintf(error, ERROR, "TLS: %.120s%s%.120s", what, what[0] != '\0' ? ": " : "",
			 reason != NULL ? reason
			 : errno != 0	? strerror(errno)
					: "the server closed the connection");
	ERR_clear_error();
}

static bool load_certificates(struct redis *redis, const struct redis_address *address, char *error)
{
	redis->tls_settings = SSL_CTX_new(TLS_client_method());
	if (redis->tls_settings == NULL || SSL_CTX_set_min_proto_version(redis->tls_settings, TLS1_2_VERSION) != 1) {
		complain_tls(redis, "cannot begin", error);
		return false;
	}
	if ((address->ca[0] != '\0' ? SSL_CTX_load_verify_locations(redis->tls_settings, address->ca, NULL)
				    : SSL_CTX_set_default_verify_paths(redis->tls_settings)) != 1) {
		complain_tls(redis, "cannot load the certificates to trust", error);
		return false;
	}
	if (address->certificate[0] != '\0' &&
	    (SSL_CTX_use_certificate_chain_file(redis->tls_settings, address->certificate) != 1 ||
	     SSL_CTX_use_PrivateKey_file(redis->tls_settings, address->key, SSL_FILETYPE_PEM) != 1)) {
		complain_tls(redis, "cannot load --cert and --key", error);
		return false;
	}
	SSL_CTX_set_verify(redis->tls_settings, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(redis->tls_settings, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	return true;
}

/* The certificate must be for the name that we were given, or for the address, if it was one. */
static bool expect_host(struct redis *redis, const char *host)
{
	unsigned char ignored[16];

	if (inet_pton(AF_INET, host, ignored) == 1 || inet_pton(AF_INET6, host, ignored) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(redis->tls), host) == 1;
	SSL_set_hostflags(redis->tls, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(redis->tls, host) == 1 && SSL_set_tlsext_host_name(redis->tls, host) == 1;
}

static bool start_tls(struct redis *redis, const struct redis_address *address, uint64_t deadline, char *error)
{
	ERR_clear_error();
	errno = 0;
	if (!load_certificates(redis, address, error))
		return false;
	redis->tls = SSL_new(redis->tls_settings);
	if (redis->tls == NULL || SSL_set_fd(redis->tls, redis->descriptor) != 1 || !expect_host(redis, address->host)) {
		complain_tls(redis, "cannot begin", error);
		return false;
	}
	for (;;) {
		errno = 0;
		int result = SSL_connect(redis->tls);
		if (result == 1)
			return true;
		int why = SSL_get_error(redis->tls, result);
		if ((why == SSL_ERROR_WANT_READ && wait_for(redis->descriptor, POLLIN, deadline)) ||
		    (why == SSL_ERROR_WANT_WRITE && wait_for(redis->descriptor, POLLOUT, deadline)))
			continue;
		complain_tls(redis, "", error);
		return false;
	}
}

/* What writing and reading come to if nothing was moved. */
enum {
	AGAIN = -1, /* it is to be tried again once there are the events */
	FAILED = -2 /* the error says why */
};

static ssize_t moved(ssize_t result, const char *what, char *error)
{
	if (result > 0)
		return result;
	if (result < 0 && (errno == EAGAIN || errno == EINTR))
		return AGAIN;
	if (result == 0)
		snprintf(error, ERROR, "the server closed the connection");
	else
		snprintf(error, ERROR, "%s: %s", what, strerror(errno));
	return FAILED;
}

static ssize_t moved_by_tls(struct redis *redis, int result, const char *what, short *events, char *error)
{
	if (result > 0)
		return result;
	int why = SSL_get_error(redis->tls, result);
	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
		*events = why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
		return AGAIN;
	}
	if (why == SSL_ERROR_ZERO_RETURN)
		snprintf(error, ERROR, "the server closed the connection");
	else
		complain_tls(redis, what, error);
	return FAILED;
}

static ssize_t write_some(struct redis *redis, const char *from, size_t length, short *events, char *error)
{
	if (redis->tls == NULL) {
		*events = POLLOUT;
		return moved(send(redis->descriptor, from, length, MSG_NOSIGNAL), "write", error);
	}
	ERR_clear_error();
	errno = 0;
	int result = SSL_write(redis->tls, from, (int)(length < (1 << 20) ? length : (1 << 20)));
	return moved_by_tls(redis, result, "write", events, error);
}

static ssize_t read_some(struct redis *redis, char *into, size_t room, short *events, char *error)
{
	if (redis->tls == NULL) {
		*events = POLLIN;
		return moved(recv(redis->descriptor, into, room, 0), "read", error);
	}
	ERR_clear_error();
	errno = 0;
	int result = SSL_read(redis->tls, into, (int)room);
	return moved_by_tls(redis, result, "read", events, error);
}

/* ---- commands ---- */

bool redis_add(struct redis *redis, int arguments, const char **argument, const size_t *length)
{
	char *command = NULL;
	long long bytes = redisFormatCommandArgv(&command, arguments, argument, length);

	if (bytes <= 0)
		return false;
	if (redis->pending == NULL || redis->length + (size_t)bytes > redis->room) {
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

/* Passes on the replies that came so far. */
static bool take_replies(struct redis *redis, int *replies, void (*got)(redisReply *, int, void *), void *with, char *error)
{
	while (*replies < redis->commands) {
		void *reply = NULL;
		if (redisReaderGetReply(redis->reader, &reply) != REDIS_OK) {
			snprintf(error, ERROR, "not understood: %s", redis->reader->errstr);
			return false;
		}
		if (reply == NULL)
			return true;
		got(reply, (*replies)++, with);
		freeReplyObject(reply);
	}
	if (redis->reader->pos < redis->reader->len) {
		snprintf(error, ERROR, "not understood: a reply to nothing that was asked");
		return false;
	}
	return true;
}

static bool transfer(struct redis *redis, uint64_t deadline, void (*got)(redisReply *, int, void *), void *with, char *error)
{
	size_t written = 0;
	size_t received = 0;
	int replies = 0;
	/* Nothing can be written any more. What the server said before it closed, and be it why, is read still. */
	bool broken = false;
	char buffer[65536];

	/* Reading while writing, or a large pipeline could fill both directions and stand still. */
	while (replies < redis->commands) {
		short write_events = 0;
		short read_events = 0;
		if (!broken && written < redis->length) {
			ssize_t n = write_some(redis, redis->pending + written, redis->length - written, &write_events, error);
			if (n > 0) {
				written += (size_t)n;
				redis->sent += (unsigned long long)n;
				write_events = written < redis->length ? POLLOUT : 0;
			}
			broken = n == FAILED;
		}
		ssize_t n = read_some(redis, buffer, sizeof(buffer), &read_events, error);
		if (n == FAILED || (n == AGAIN && broken))
			return false;
		if (n == AGAIN) {
			if (!wait_for(redis->descriptor, (short)(read_events | write_events), deadline)) {
				snprintf(error, ERROR, "no answer in time");
				return false;
			}
			continue;
		}
		received += (size_t)n;
		redis->received += (unsigned long long)n;
		if (received > REPLIES_MOST || redisReaderFeed(redis->reader, buffer, (size_t)n) != REDIS_OK) {
			snprintf(error, ERROR, "more is answered than was asked for");
			return false;
		}
		if (!take_replies(redis, &replies, got, with, error))
			return false;
		/* One who drips is not waited for either. */
		if (replies < redis->commands && clock_us() / 1000 >= deadline) {
			snprintf(error, ERROR, "no answer in time");
			return false;
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

void redis_quote(char *error, const redisReply *reply)
{
	size_t length = reply->len < ERROR - 1 ? reply->len : ERROR - 1;

	for (size_t i = 0; i < length; i++)
		error[i] = reply->str[i] >= ' ' && reply->str[i] < 127 ? reply->str[i] : '?';
	error[length] = '\0';
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
		redis_quote(greeting->error, reply);
	}
}

static bool greet(struct redis *redis, const struct redis_address *address, int wait_ms, char *error)
{
	struct greeting greeting = {.good = true, .error = error};
	char database[16];

	if (address->password[0] != '\0' || address->user[0] != '\0') {
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

/* The reader makes room for a list before its elements have come, however many are promised, and since hiredis 1.0 goes down as
 * deep as they lie in one another. */
#if HIREDIS_MAJOR >= 1
typedef size_t list_length;
#else
typedef int list_length;
#endif
static void *(*make_list)(const redisReadTask *task, list_length elements);

static void *make_short_list(const redisReadTask *task, list_length elements)
{
	unsigned depth = 0;

	for (const redisReadTask *outer = task; outer != NULL && depth <= DEPTH_MOST; outer = outer->parent)
		depth++;
	return (size_t)elements <= ELEMENTS_MOST && depth <= DEPTH_MOST ? make_list(task, elements) : NULL;
}

static redisReader *make_reader(void)
{
	static redisReplyObjectFunctions functions;
	redisReader *reader = redisReaderCreate();

	if (reader == NULL)
		return NULL;
	if (make_list == NULL) {
		functions = *reader->fn;
		make_list = functions.createArray;
		functions.createArray = make_short_list;
	}
	reader->fn = &functions;
	return reader;
}

struct redis *redis_open(const struct redis_address *address, int wait_ms, char *error)
{
	uint64_t deadline = clock_us() / 1000 + (uint64_t)wait_ms;
	struct redis *redis = calloc(1, sizeof(*redis));

	snprintf(error, ERROR, "out of memory");
	if (redis == NULL)
		return NULL;
	redis->reader = make_reader();
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
