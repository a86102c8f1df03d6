#include "command/fleet/wire.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	LOOK_UP_MS = 50,     /* how often, at least, a wait checks whether to continue */
	STOP_MS = 300,	     /* time to finish what is in progress after we are told to stop */
	LAST_WORDS_MS = 700, /* additional time for everything after that */
};

/* ---- waiting ---- */

static struct {
	const volatile sig_atomic_t *stopping;
	uint64_t stop_seen; /* ms; 0: not yet */
	int stop_ms;
	bool (*gives_up)(void *with);
	void *with;
	uint64_t every_ms;
	bool asking; /* `gives_up` itself is waiting */
} heeded = {.stop_ms = STOP_MS};

const char wire_given_up[] = "another server is the master now";

void wire_heed(const volatile sig_atomic_t *stopping, bool (*gives_up)(void *with), void *with, int every_ms)
{
	heeded.stopping = stopping;
	heeded.gives_up = gives_up;
	heeded.with = with;
	heeded.every_ms = (uint64_t)every_ms;
}

void wire_last_words(void)
{
	heeded.stop_ms = LAST_WORDS_MS;
}

static uint64_t deadline_if_stopping(uint64_t deadline, uint64_t now)
{
	if (heeded.stopping == NULL || *heeded.stopping == 0)
		return deadline;
	if (heeded.stop_seen == 0)
		heeded.stop_seen = now;
	uint64_t stop = heeded.stop_seen + (uint64_t)heeded.stop_ms;
	return deadline < stop ? deadline : stop;
}

static bool is_given_up(uint64_t now, uint64_t *asked)
{
	if (heeded.gives_up == NULL || heeded.asking || now < *asked + heeded.every_ms)
		return false;
	heeded.asking = true;
	bool given_up = heeded.gives_up(heeded.with);
	heeded.asking = false;
	*asked = now_ms();
	return given_up;
}

bool wire_wait(int descriptor, short events, uint64_t deadline)
{
	struct pollfd ready = {.fd = descriptor, .events = events};
	uint64_t now = now_ms();
	uint64_t asked = now;

	uint64_t look_up_ms = heeded.gives_up != NULL && heeded.every_ms < LOOK_UP_MS ? heeded.every_ms : LOOK_UP_MS;

	for (;;) {
		deadline = deadline_if_stopping(deadline, now);
		uint64_t left = now < deadline ? deadline - now : 0;
		int result = poll(&ready, 1, (int)(left < look_up_ms ? left : look_up_ms));
		if (result > 0)
			return true;
		if (result < 0 && errno != EINTR)
			return false;
		now = now_ms();
		if (now >= deadline) {
			errno = ETIMEDOUT;
			return false;
		}
		if (is_given_up(now, &asked)) {
			errno = ECANCELED;
			return false;
		}
	}
}

/* ---- connecting ---- */

static bool connect_to(struct wire *wire, const struct resolved_address *address, uint64_t deadline)
{
	int descriptor = socket(address->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int failure = 0;
	socklen_t length = sizeof(failure);
	int on = 1;

	if (descriptor < 0)
		return false;
	if (connect(descriptor, (const struct sockaddr *)&address->address, address->length) != 0) {
		if (errno != EINPROGRESS || !wire_wait(descriptor, POLLOUT, deadline))
			failure = errno;
		else
			getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &failure, &length);
	}
	if (failure != 0) {
		close(descriptor);
		errno = failure;
		return false;
	}
	setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	wire->descriptor = descriptor;
	return true;
}

/* Adds OpenSSL's reason for the last failure. */
static void complain_tls(struct wire *wire, const char *what, char *error)
{
	unsigned long code = ERR_get_error();
	const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
	long verified = wire->tls != NULL ? SSL_get_verify_result(wire->tls) : X509_V_OK;
	/* What OpenSSL takes for a record of another TLS version is usually not TLS at all. */
	bool plain =
	    code != 0 && ERR_GET_LIB(code) == ERR_LIB_SSL &&
	    (ERR_GET_REASON(code) == SSL_R_WRONG_VERSION_NUMBER || ERR_GET_REASON(code) == SSL_R_PACKET_LENGTH_TOO_LONG);

	if (verified != X509_V_OK)
		snprintf(error, WIRE_ERROR, "TLS: certificate verify failed: %.180s", X509_verify_cert_error_string(verified));
	else
		snprintf(error, WIRE_ERROR, "TLS: %.60s%s%.100s%s", what, what[0] != '\0' ? ": " : "",
			 reason != NULL ? reason
			 : errno != 0	? strerror(errno)
					: "the server closed the connection",
			 plain ? ": this port does not use it (redis:// is without TLS)" : "");
	ERR_clear_error();
}

static bool load_certificates(struct wire *wire, const struct wire_tls *tls, char *error)
{
	wire->tls_settings = SSL_CTX_new(TLS_client_method());
	if (wire->tls_settings == NULL || SSL_CTX_set_min_proto_version(wire->tls_settings, TLS1_2_VERSION) != 1) {
		complain_tls(wire, "cannot begin", error);
		return false;
	}
	if ((tls->ca[0] != '\0' ? SSL_CTX_load_verify_locations(wire->tls_settings, tls->ca, NULL)
				: SSL_CTX_set_default_verify_paths(wire->tls_settings)) != 1) {
		complain_tls(wire, "cannot load the certificates to trust", error);
		return false;
	}
	if (tls->certificate[0] != '\0' && (SSL_CTX_use_certificate_chain_file(wire->tls_settings, tls->certificate) != 1 ||
					    SSL_CTX_use_PrivateKey_file(wire->tls_settings, tls->key, SSL_FILETYPE_PEM) != 1)) {
		complain_tls(wire, "cannot load --cert and --key", error);
		return false;
	}
	SSL_CTX_set_verify(wire->tls_settings, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(wire->tls_settings, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	return true;
}

/* The certificate must match the host's name that we were given, or its address. */
static bool expect_host(struct wire *wire, const char *host)
{
	unsigned char ignored[16];

	if (inet_pton(AF_INET, host, ignored) == 1 || inet_pton(AF_INET6, host, ignored) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(wire->tls), host) == 1;
	SSL_set_hostflags(wire->tls, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(wire->tls, host) == 1 && SSL_set_tlsext_host_name(wire->tls, host) == 1;
}

static bool start_tls(struct wire *wire, const struct wire_tls *tls, uint64_t deadline, char *error)
{
	ERR_clear_error();
	errno = 0;
	if (!load_certificates(wire, tls, error))
		return false;
	wire->tls = SSL_new(wire->tls_settings);
	if (wire->tls == NULL || SSL_set_fd(wire->tls, wire->descriptor) != 1 || !expect_host(wire, tls->host)) {
		complain_tls(wire, "cannot begin", error);
		return false;
	}
	for (;;) {
		errno = 0;
		int result = SSL_connect(wire->tls);
		if (result == 1)
			return true;
		int why = SSL_get_error(wire->tls, result);
		if ((why == SSL_ERROR_WANT_READ && wire_wait(wire->descriptor, POLLIN, deadline)) ||
		    (why == SSL_ERROR_WANT_WRITE && wire_wait(wire->descriptor, POLLOUT, deadline)))
			continue;
		if (errno == ECANCELED)
			snprintf(error, WIRE_ERROR, "%s", wire_given_up);
		else if (errno == ETIMEDOUT)
			snprintf(error, WIRE_ERROR,
				 "no answer to the TLS handshake in time: does this port use TLS? (redis:// is without)");
		else
			complain_tls(wire, "", error);
		return false;
	}
}

bool wire_open(struct wire *wire, const struct resolved_address *address, const struct wire_tls *tls, uint64_t deadline,
	       char *error)
{
	*wire = (struct wire){.descriptor = -1};
	if (!connect_to(wire, address, deadline)) {
		snprintf(error, WIRE_ERROR, "%s", errno == ECANCELED ? wire_given_up : strerror(errno));
		return false;
	}
	if (tls == NULL || start_tls(wire, tls, deadline, error))
		return true;
	wire_close(wire);
	return false;
}

void wire_close(struct wire *wire)
{
	SSL_free(wire->tls);
	SSL_CTX_free(wire->tls_settings);
	if (wire->descriptor >= 0)
		close(wire->descriptor);
	*wire = (struct wire){.descriptor = -1};
}

/* ---- writing and reading ---- */

static ssize_t moved(ssize_t result, const char *what, char *error)
{
	if (result > 0)
		return result;
	if (result < 0 && (errno == EAGAIN || errno == EINTR))
		return WIRE_AGAIN;
	if (result == 0)
		snprintf(error, WIRE_ERROR, "the server closed the connection");
	else
		snprintf(error, WIRE_ERROR, "%s: %s", what, strerror(errno));
	return WIRE_FAILED;
}

static ssize_t moved_by_tls(struct wire *wire, int result, const char *what, short *events, char *error)
{
	if (result > 0)
		return result;
	int why = SSL_get_error(wire->tls, result);
	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
		*events = why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
		return WIRE_AGAIN;
	}
	if (why == SSL_ERROR_ZERO_RETURN)
		snprintf(error, WIRE_ERROR, "the server closed the connection");
	else
		complain_tls(wire, what, error);
	return WIRE_FAILED;
}

ssize_t wire_write(struct wire *wire, const char *from, size_t length, short *events, char *error)
{
	if (wire->tls == NULL) {
		*events = POLLOUT;
		return moved(send(wire->descriptor, from, length, MSG_NOSIGNAL), "write", error);
	}
	ERR_clear_error();
	errno = 0;
	int result = SSL_write(wire->tls, from, (int)(length < (1 << 20) ? length : (1 << 20)));
	return moved_by_tls(wire, result, "write", events, error);
}

ssize_t wire_read(struct wire *wire, char *into, size_t room, short *events, char *error)
{
	if (wire->tls == NULL) {
		*events = POLLIN;
		return moved(recv(wire->descriptor, into, room, 0), "read", error);
	}
	ERR_clear_error();
	errno = 0;
	int result = SSL_read(wire->tls, into, (int)room);
	return moved_by_tls(wire, result, "read", events, error);
}
