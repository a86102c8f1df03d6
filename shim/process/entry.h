/* A message as programs read it: a JSON object, or an entry of journald. */
#ifndef CONNLIMIT_ENTRY_H
#define CONNLIMIT_ENTRY_H

#include "table/events.h"
#include "table/table.h"

#include <stddef.h>
#include <sys/uio.h>

/* What a message is about, beside its words. */
struct report_facts {
	enum event event;
	const struct refusal *refusal; /* NULL where none is meant; else with its connection */
	const struct connection *connection;
};

/* A message whose parts lie in `part`, as one line of JSON, or as what journald takes in a datagram (its native protocol: a
 * line for each field). Returns the length; of what does not fit, the message is cut off. `to` is LOG_TO_JSON or
 * LOG_TO_JOURNAL, `table` the table's name. Async-signal-safe. */
enum { ENTRY_MOST = 760 }; /* a stack has little room; a pipe takes so much at once (PIPE_BUF) */
size_t entry_format(char buffer[ENTRY_MOST], enum log_to to, const char *table, const struct report_facts *facts,
		    const struct iovec *part, unsigned parts);

#endif
