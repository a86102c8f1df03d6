/* Access to the thread that made a call, and answers to it. The thread may have ended and its number may belong to another one.
 * So after reading anything about it, check that the call still waits (seccomp_unotify(2), "Caveats"). */
#ifndef CONNLIMIT_SUPERVISE_TARGET_H
#define CONNLIMIT_SUPERVISE_TARGET_H

#include "command/supervise/shared.h"

/* Whether the thread still waits for the answer. */
bool target_waits(const struct call *call);

/* A copy of one of its descriptors. -1 with errno: EBADF as the program would get it, ESRCH if the thread is gone. */
int target_descriptor(const struct call *call, int number);

/* Whether it may open one more descriptor (RLIMIT_NOFILE). True if that is not known. */
bool target_has_room(const struct call *call);

/* Writes a peer's address as accept(2) does. 0, or accept's errno. */
int target_write_peer(const struct call *call, const struct taken *taken);

/* The number under which the program has the same socket as our descriptor; -1 if it has none. */
int target_find(const struct call *call, int descriptor);

/* Makes the call return a value, or -1 with an errno; or makes the kernel execute it as if it were not supervised. */
void target_answer(const struct call *call, int value, int error);
void target_goes_on(const struct call *call);

/* Makes the call return the connection. 0, or an errno: ENOENT or ESRCH if the call was interrupted, so that the program does
 * not have it; EMFILE. */
int target_give(struct call *call);

#endif
