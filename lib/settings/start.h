/* What a daemon remembers of its start, in its own memory: the path of its file of limits.
 *
 * `connlimit reload` reads that file again. It cannot trust a path in the table, which any worker may have written, and the
 * environment shown by /proc is often gone, as daemons write their titles over it. So the path is in a page that other
 * processes cannot write to, which is a mapping by itself, after a mark by which it is found (proc_pid_mem(5)). */
#ifndef CONNLIMIT_START_H
#define CONNLIMIT_START_H

#include "settings/settings.h"

#define START_MARK "connlimit: the file of limits\n"

struct start_page {
	char mark[32];
	char file[PATH_MOST + 1];
};

_Static_assert(sizeof(struct start_page) <= 4096, "one page");

#endif
