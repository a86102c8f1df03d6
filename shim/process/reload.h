/* Reading the file of limits again and publishing it to all processes of the daemon. */
#ifndef CONNLIMIT_RELOAD_H
#define CONNLIMIT_RELOAD_H

#include "settings/rules.h"

/* Reads the file that `settings` names, if any, and overrides *settings with it; then reads the lists that they name. False
 * with the reason. Async-signal-safe; if one call is in progress in this process, a second one fails. */
bool reload_read(struct settings *settings, struct settings_error *error);

/* reload_listed returns the content of the lists that were last read with valid settings; NULL if none were. Call
 * reload_published when it has been published; then it is dropped. */
const struct rules_index *reload_listed(void);
void reload_published(void);

/* Reads the file again and publishes it in this process's table or, if it has none, in the table of its name. A bad file
 * changes nothing; it is reported and noted in the table. Async-signal-safe. If a reload is in progress in this process,
 * another one follows when it ends. Signals are blocked in this thread meanwhile, as a handler might jump out and never return.
 */
void reload_now(void);

/* Called at the program's start. Later, as another user, the program may not be able to read the file. */
void reload_begin(void);

/* Called when the table is open, and in a new process after fork: a reload that this process is told of is its own affair. */
void reload_belongs_here(void);

#endif
