/* A TCP connection, with or without TLS, that never waits longer than it is told. */
#ifndef CONNLIMIT_COMMAND_WIRE_H
#define CONNLIMIT_COMMAND_WIRE_H

#include "command/fleet/resolve.h"
#include "values/clock.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ms of clock_us, in which deadlines are given. */
static inline uint64_t now_ms(void)
{
	return clock_us() / 1000;
}

enum { WIRE_ERROR = 256 }; /* room for an error message */

struct ssl_ctx_st;
struct ssl_st;

struct wire {
	int descriptor; /* -1 if it is closed */
	struct ssl_ctx_st *tls_settings;
	struct ssl_st *tls;
};

struct wire_tls {
	const char *host; /* the certificate must match it */
	const char *ca;	  /* "": the system's */
	const char *certificate;
	const char *key; /* "": no client certificate */
};

/* Connects by `deadline` (ms of clock_us). With `tls` NULL, without TLS. False with the reason. */
bool wire_open(struct wire *wire, const struct resolved_address *address, const struct wire_tls *tls, uint64_t deadline,
	       char *error);
void wire_close(struct wire *wire);

/* Results of reading and writing if nothing was transferred. */
enum {
	WIRE_AGAIN = -1, /* try again after the events */
	WIRE_FAILED = -2 /* the error contains the reason */
};
ssize_t wire_write(struct wire *wire, const char *from, size_t length, short *events, char *error);
ssize_t wire_read(struct wire *wire, char *into, size_t room, short *events, char *error);

/* Waits for the events until `deadline`. False when it has passed (errno ETIMEDOUT), or when waiting was cancelled, see below
 * (ECANCELED). */
bool wire_wait(int descriptor, short events, uint64_t deadline);

/* Cancels all waiting: a short time after `*stopping` becomes non-zero, or when `gives_up` returns true, which is called every
 * every_ms. */
void wire_heed(const volatile sig_atomic_t *stopping, bool (*gives_up)(void *with), void *with, int every_ms);

extern const char wire_given_up[]; /* the error message in the latter case */

/* We are stopping; the last messages may take another moment. */
void wire_last_words(void);

#endif
