/* The supervisor's main loop. */
#ifndef CONNLIMIT_SUPERVISE_SERVE_H
#define CONNLIMIT_SUPERVISE_SERVE_H

/* Serves until the program is gone, and keeps a standby process. `shared` must have the notification descriptor and the
 * program's pidfd. Does not return. */
_Noreturn void serve(void);

/* The table's name in log lines. */
void supervise_name(const char *table);

#endif
