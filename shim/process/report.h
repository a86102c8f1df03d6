/* Saying something, without ever being the reason that a daemon stops: no blocking, no SIGPIPE, no line to a client. */
#ifndef CONNLIMIT_REPORT_H
#define CONNLIMIT_REPORT_H

/* Writes "connlimit: " and the parts, NULL-terminated, as one line to standard error. Skipped if standard error is closed,
 * full, or a client's connection (inetd hands those on as 0, 1 and 2). Async-signal-safe; errno is kept. */
void report(const char *part, ...) __attribute__((sentinel));

/* At the program's start: what standard error is then, is what it is. */
void report_begin(void);

/* Why the daemon does not start, to whatever standard error is; to syslog where that is closed, nobody's (/dev/null), full, or
 * a client's connection. Waits at most a second. */
void report_no_start(const char *why);

#endif
