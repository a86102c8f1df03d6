/* Connections that were accepted for a call, which a signal then interrupted before it could return them.
 *
 * A program that calls accept again gets the connection at once. A program that first waits in poll(2) would not learn of it,
 * because the listener's queue is empty. So after KEPT_MS the supervisor connects to the listener itself. This stand-in ends
 * the program's poll, and the call that accepts it gets the kept connection instead. */
#ifndef CONNLIMIT_SUPERVISE_KEPT_H
#define CONNLIMIT_SUPERVISE_KEPT_H

#include "command/supervise/shared.h"

/* A program that retries an interrupted accept does so within this time, ms. */
enum { KEPT_MS = 5 };

/* Keeps a connection that was accepted at a listener. False if there is no room. */
bool keep(uint64_t listener, const struct taken *taken);

/* Takes a kept connection that has no stand-in. False if there is none. */
bool keep_take(uint64_t listener, struct taken *taken);

/* If the accepted connection is a stand-in, replaces it by the kept connection, and returns true. */
bool keep_exchange(struct taken *taken);

/* Makes the stand-ins that are due. True if others will be. */
bool keep_look(void);

/* The program's side closed this stand-in without exchanging it: it will be replaced by another. */
void keep_heard(unsigned index);

/* After a takeover: a connection that a call has too belongs to the call. */
void keep_recover(void);

#endif
