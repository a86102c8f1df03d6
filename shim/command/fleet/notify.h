/* What systemd is told of a service of ours, if it started it (sd_notify(3)). */
#ifndef CONNLIMIT_COMMAND_NOTIFY_H
#define CONNLIMIT_COMMAND_NOTIFY_H

/* Sends lines such as "READY=1\nSTATUS=in step" to the socket that NOTIFY_SOCKET names; nothing if it names none. Waits for
 * nobody. */
void notify(const char *state);

#endif
