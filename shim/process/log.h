/* Logging refusals: one line for each burst of a client's refusals, with how many were not logged. */
#ifndef CONNLIMIT_LOG_H
#define CONNLIMIT_LOG_H

#include "table/table.h"

/* Logs the refusal of a connection, or in observe mode what would have been one, if its client had no line lately. errno may
 * change. */
void log_refusal(const struct refusal *refusal, const struct connection *connection);

/* Logs, at most every LOG_CLIENT_SECONDS in a process, that connections were admitted without being counted. */
void log_uncounted(void);

/* Logs once that decisions are made without asking the kernel. */
void log_unverified(void);

/* Says why the limits were not replaced. */
void log_reload_failed(const char *why);

/* Says that a balancer's connection has no header that names its client; once in a while. */
void log_unnamed(const struct connection *connection);

#endif
