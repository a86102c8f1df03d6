/* Printing messages without disturbing the daemon: no blocking, no SIGPIPE, and no line is sent to a client. */
#ifndef CONNLIMIT_REPORT_H
#define CONNLIMIT_REPORT_H

#include <stddef.h>

/* Writes "connlimit: " and the parts, NULL-terminated, as one line to standard error, or in the form and to the place that
 * CONNLIMIT_LOG says. Skipped if standard error is closed, full, or a client's connection (inetd hands those on as 0, 1 and 2).
 * Async-signal-safe; errno is kept. */
#define report(...) report_of(NULL, __VA_ARGS__)

/* The same. `facts` are what programs are told beside the words (entry.h); NULL if there are none. */
struct report_facts;
void report_of(const struct report_facts *facts, const char *part, ...) __attribute__((sentinel));

/* Called at the program's start: remembers which file standard error is. */
void report_begin(void);

/* Prints why the daemon does not start, or is not limited at all, as report does. If standard error is closed, /dev/null, full,
 * or not for messages, it goes to syslog. Waits at most a second. */
void report_urgent(const char *part, ...) __attribute__((sentinel));

#endif
