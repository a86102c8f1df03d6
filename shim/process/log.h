/* What an operator is told about refusals: one line a client and burst, with how many were left out. */
#ifndef CONNLIMIT_LOG_H
#define CONNLIMIT_LOG_H

#include "table/table.h"

/* Logs the refusal of a connection, or in observe mode what would have been one, if its client had no line lately. errno may
 * change. */
void log_refusal(const struct refusal *refusal, const struct connection *connection);

/* Logs, at most every LOG_CLIENT_SECONDS in a process, that connections are admitted which the table cannot hold. */
void log_uncounted(void);

/* Says once that decisions are made without the kernel's word. */
void log_unverified(void);

#endif
