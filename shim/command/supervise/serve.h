/* The supervisor's work. */
#ifndef CONNLIMIT_SUPERVISE_SERVE_H
#define CONNLIMIT_SUPERVISE_SERVE_H

/* Serves until the program is gone, with another process beside that takes over. `shared` has the notification descriptor and
 * the program's pidfd. Does not return. */
_Noreturn void serve(void);

/* What the table is called in lines of the log. */
void supervise_name(const char *table);

#endif
