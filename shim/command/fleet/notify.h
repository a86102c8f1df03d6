/* Notifications to systemd, if it started us (sd_notify(3)). */
#ifndef CONNLIMIT_COMMAND_NOTIFY_H
#define CONNLIMIT_COMMAND_NOTIFY_H

/* Sends lines such as "READY=1\nSTATUS=in step" to the socket in NOTIFY_SOCKET, if that is set. Does not block. */
void notify(const char *state);

#endif
