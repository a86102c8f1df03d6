/* Which signal reloads, and from when on it is looked for. */
#ifndef CONNLIMIT_RELOAD_SIGNAL_H
#define CONNLIMIT_RELOAD_SIGNAL_H

#include "settings/settings.h"

/* Called at the program's start, with the settings in effect: from now on we see what the daemon does with the signal. */
void reload_signal_watch(const struct settings *settings);

/* Called when the table is open: from now on the reload signal calls reload_now, if there is a file to read again. */
void reload_signal_arm(void);

#endif
