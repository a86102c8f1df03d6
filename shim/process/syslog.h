/* Sending a line to the system log without libc's syslog(3): that has one connection and identity for the whole process, which
 * belong to the daemon, and it takes a lock and allocates. */
#ifndef CONNLIMIT_SYSLOG_H
#define CONNLIMIT_SYSLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

enum { SYSLOG_PARTS_MOST = 10 };

/* Sends "connlimit[PID]: " and the parts as a warning of facility daemon, in one datagram to /dev/log. False if it cannot be
 * sent at once. Async-signal-safe; opens and closes one descriptor. */
bool syslog_send(const struct iovec *parts, unsigned number);

/* Sends an entry to journald in its native protocol (entry.h), in one datagram. False likewise. */
bool journal_send(const char *entry, size_t length);

#endif
