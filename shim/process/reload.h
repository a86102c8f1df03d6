/* Reading the file of limits again and publishing it to all processes of the daemon. */
#ifndef CONNLIMIT_RELOAD_H
#define CONNLIMIT_RELOAD_H

#include "settings/rules.h"

/* Lays the file named in `settings` over them, if one is, and reads their lists. False with the reason. Async-signal-safe; one
 * at a time in a process, a second at the same time fails. */
bool reload_read(struct settings *settings, struct settings_error *error);

/* What the lists have that were read last with good settings, NULL if none was; and when it is published, it goes. */
const struct rules_index *reload_listed(void);
void reload_published(void);

/* Reads the file again and publishes it, in this process's table or, where it has none, in the one of its name. A bad file
 * changes nothing, is reported and noted in the table. Async-signal-safe. If one is under way in this process it is done once
 * more when that ends. No handler runs meanwhile in this thread, as it might jump out and never come back. */
void reload_now(void);

/* In a new process after fork. */
void reload_in_child(void);

/* At the program's start, `settings` being what is in force then: from now on we see what the daemon does with the signal. */
void reload_watch(const struct settings *settings);

/* Called when the table is open: has the reload signal come to reload_now, if there is a file to read again. */
void reload_arm(void);

#endif
