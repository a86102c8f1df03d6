/* A connection over TCP, in the clear or over TLS, that never waits longer than it is told. */
#ifndef CONNLIMIT_COMMAND_WIRE_H
#define CONNLIMIT_COMMAND_WIRE_H

#include "command/fleet/resolve.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { WIRE_ERROR = 256 }; /* room for the reason of a failure */

struct ssl_ctx_st;
struct ssl_st;

struct wire {
	int descriptor; /* -1: none */
	struct ssl_ctx_st *tls_settings;
	struct ssl_st *tls;
};

struct wire_tls {
	const char *host; /* the certificate must be for it */
	const char *ca;	  /* "": the system's */
	const char *certificate;
	const char *key; /* "": we show none */
};

/* Connects by `deadline` (ms of clock_us); `tls` NULL: in the clear. False with the reason. */
bool wire_open(struct wire *wire, const struct resolved_address *address, const struct wire_tls *tls, uint64_t deadline,
	       char *error);
void wire_close(struct wire *wire);

/* What writing and reading come to if nothing was moved. */
enum {
	WIRE_AGAIN = -1, /* it is to be tried again once there are the events */
	WIRE_FAILED = -2 /* the error says why */
};
ssize_t wire_write(struct wire *wire, const char *from, size_t length, short *events, char *error);
ssize_t wire_read(struct wire *wire, char *into, size_t room, short *events, char *error);

/* Waits for the events until `deadline`. False when it passed, or when waiting was given up, see below; errno says ETIMEDOUT,
 * ECANCELED. */
bool wire_wait(int descriptor, short events, uint64_t deadline);

/* What ends all waiting: `stopping`, once it is not 0, a moment after that; and `gives_up`, which is asked every so many ms. */
void wire_heed(const volatile sig_atomic_t *stopping, bool (*gives_up)(void *with), void *with, int every_ms);

extern const char wire_given_up[]; /* what is said then */

/* We are stopping, and the last goodbye may take another moment. */
void wire_last_words(void);

#endif
