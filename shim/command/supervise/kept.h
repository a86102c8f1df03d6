/* Connections that were accepted for a call which a signal interrupted before it got them.
 *
 * A program that calls accept again gets the connection at once. One that first waits in poll(2) would not hear of it: the
 * kernel has nothing in the listener's queue any more. So it gets a stand-in after a moment: we connect to the listener
 * ourselves, the program's poll ends, and who accepts the stand-in gets the connection that it stands for. */
#ifndef CONNLIMIT_SUPERVISE_KEPT_H
#define CONNLIMIT_SUPERVISE_KEPT_H

#include "command/supervise/shared.h"

/* How soon after an interrupted call a program is known not to have called again, ms. */
enum { KEPT_MS = 5 };

/* Keeps what was accepted at a listener. False if there is no room. */
bool keep(uint64_t listener, const struct taken *taken);

/* Takes one that was kept and has no stand-in. False if there is none. */
bool keep_take(uint64_t listener, struct taken *taken);

/* If what was accepted is a stand-in, puts in its place what it stands for. */
void keep_exchange(struct taken *taken);

/* Whether any is without a stand-in that is to have one. */
bool keep_any_due(void);

/* Connects for those whose moment is over. */
void keep_look(void);

/* The stand-in of this number was closed by somebody else: another takes its place. */
void keep_heard(unsigned index);

/* After a death: what a call has as well is the call's. */
void keep_recover(void);

#endif
