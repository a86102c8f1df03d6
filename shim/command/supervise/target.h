/* The thread that made a call, and answers to it. What is read of it may be another's by then, of the same number: whoever
 * reads looks behind it whether the call is still waited for (seccomp_unotify(2), "Caveats"). */
#ifndef CONNLIMIT_SUPERVISE_TARGET_H
#define CONNLIMIT_SUPERVISE_TARGET_H

#include "command/supervise/shared.h"

/* Whether the program still waits for the answer. */
bool target_waits(const struct call *call);

/* A copy of one of its descriptors. -1 with errno: EBADF as it would be told, ESRCH if it is gone. */
int target_descriptor(const struct call *call, int number);

/* Whether it may have one descriptor more (RLIMIT_NOFILE). True where that cannot be told. */
bool target_has_room(const struct call *call);

/* Writes a peer's address as accept(2) does. 0, or the errno that it gives. */
int target_write_peer(const struct call *call, const struct taken *taken);

/* Its number of the descriptor that leads to the same socket as ours, -1 if it has none. */
int target_find(const struct call *call, int descriptor);

/* Has the call return the value, or -1 with the errno; or go on in the kernel, as if we were not there. */
void target_answer(const struct call *call, int value, int error);
void target_goes_on(const struct call *call);

/* Gives the program the connection as the value of its call. 0, or an errno: ENOENT or ESRCH if the call was interrupted, and
 * it has it not; EMFILE. */
int target_give(struct call *call);

#endif
