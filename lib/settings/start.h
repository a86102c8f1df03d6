/* What a daemon keeps of its start, in memory of its own: the path of its file of limits.
 *
 * `connlimit reload` reads that file again. A path that stands in the table may be any worker's word, and the environment that
 * /proc shows is mostly gone: daemons write their titles over it. So a page that other processes cannot write to has the path,
 * behind a mark by which it is found (proc_pid_mem(5)). */
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
