/* The reload signal: ours comes first, the daemon's own disposition still counts, and the daemon sees only its own. */
#ifndef CONNLIMIT_SIGNALS_H
#define CONNLIMIT_SIGNALS_H

/* From now on `signal` reloads. What the daemon had set for it, and what it sets later, is done as well: its handler runs after
 * ours; SIG_IGN is only ours; SIG_DFL: a signal sent by a process reloads and the daemon lives, one from the kernel (a terminal
 * that hangs up) ends it as before. */
void signals_arm(int signal);

/* exec resets handlers to SIG_DFL, but keeps SIG_IGN: a daemon that ignores the signal must hand that on, as it would without
 * us. */
void signals_before_exec(void);
void signals_after_exec(void);

/* A signal was taken from the kernel by waiting or reading for it: reloads if it is the one. Returns it. */
int signal_passed(int signal);

#endif
