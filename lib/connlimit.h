/* libconnlimit: limits on the connections that each client holds open, for servers written in C.
 *
 * This is for servers that you can change; `connlimit run` limits others without their source (connlimit(1)). The same rules
 * apply to both: settings have the form described in connlimit(7), a client is an address or a network, counting is exact in
 * any number of threads and processes, and nobody is refused because of a connection that is gone: the kernel is asked first.
 *
 *     connlimit_config *config = connlimit_config_new();
 *     connlimit_config_set(config, "PER_IP", "10");
 *     connlimit *limiter = connlimit_open(config);
 *     ...
 *     int fd = accept(listener, NULL, NULL);
 *     connlimit_handle handle;
 *     if (connlimit_accept(limiter, fd, &handle) == CONNLIMIT_REFUSED) {
 *             close(fd);                                  // or connlimit_answer_429(fd)
 *             continue;
 *     }
 *     ...
 *     close(fd);
 *     connlimit_free(limiter, &handle);                   // any number of times
 *
 * Link with -lconnlimit (pkg-config connlimit). Every function that takes a `connlimit *` may be called from any thread at any
 * time; functions on a config only from one thread at a time. Nothing here raises a signal, exits, or waits for another
 * process. */
#ifndef CONNLIMIT_H
#define CONNLIMIT_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CONNLIMIT_PUBLIC __attribute__((visibility("default")))
#else
#define CONNLIMIT_PUBLIC
#endif

/* ---- configuration ---- */

typedef struct connlimit_config connlimit_config;

/* Makes a configuration with all defaults: there is no limit, but connections are counted. NULL with ENOMEM. */
CONNLIMIT_PUBLIC connlimit_config *connlimit_config_new(void);
CONNLIMIT_PUBLIC void connlimit_config_delete(connlimit_config *config);

/* Sets one value in the form that connlimit(7) gives: "PER_IP", "PER_NETWORK", "TOTAL", "RATE", "RULES", "IPV6_PREFIX",
 * "CAPACITY", "TABLE",
 * ... The name may also be written "per-ip" or "CONNLIMIT_PER_IP". Returns 0, or -1 with EINVAL; then nothing is changed and
 * connlimit_config_error says what is wrong, where, and what is allowed. */
CONNLIMIT_PUBLIC int connlimit_config_set(connlimit_config *config, const char *name, const char *value);

/* Sets everything in an environment file (systemd.exec(5)), or nothing. Returns 0, or -1 with EINVAL and a reason. */
CONNLIMIT_PUBLIC int connlimit_config_file(connlimit_config *config, const char *path);

/* Writes the current value as text into `text` of `size` bytes. Returns 0, or -1 with EINVAL for an unknown name. */
CONNLIMIT_PUBLIC int connlimit_config_get(const connlimit_config *config, const char *name, char *text, size_t size);

/* The error message of the last call on this config that failed; "" if none did. Valid until the next call on it. */
CONNLIMIT_PUBLIC const char *connlimit_config_error(const connlimit_config *config);

/* ---- limiter ---- */

typedef struct connlimit connlimit;

/* Makes a limiter. With the setting TABLE it is shared by all processes of this user that open one of that name, whose limits
 * are then those of the one that made it, until one of them calls connlimit_set_config; without, by this process and its later
 * children. A config of NULL is one with every default. NULL with errno: ENOMEM, EINVAL (TOTAL is above CAPACITY, or a client
 * would be larger than its network), or as shmget(2). */
CONNLIMIT_PUBLIC connlimit *connlimit_open(const connlimit_config *config);

/* Closes a limiter. Handles of this process still count while another process has the limiter open and the kernel knows their
 * connections. */
CONNLIMIT_PUBLIC void connlimit_close(connlimit *limiter);

/* Replaces the limits in all processes at once: a decision sees all of the old or all of the new. Lowering closes nobody.
 * TABLE, CAPACITY, FILE and SIGNAL stay as they were. 0, or -1 with EINVAL as connlimit_open, or with EAGAIN if
 * others are publishing at this moment. */
CONNLIMIT_PUBLIC int connlimit_set_config(connlimit *limiter, const connlimit_config *config);

/* Returns a copy of the limits in force, to be deleted by the caller. NULL with ENOMEM or EAGAIN. */
CONNLIMIT_PUBLIC connlimit_config *connlimit_get_config(connlimit *limiter);

/* ---- connections ---- */

/* Holds a counted connection. It may be copied, and freed any number of times, also by several threads at once: the connection
 * is counted down once. A handle that is all zero holds nothing. */
typedef struct connlimit_handle {
	uint64_t held;
} connlimit_handle;

enum connlimit_verdict {
	CONNLIMIT_ADMITTED,  /* counted; free the handle when the connection is closed */
	CONNLIMIT_UNCOUNTED, /* admitted, but not counted: no room for a record, MODE=off, or neither an internet socket nor,
				with PER_UID, a Unix socket */
	CONNLIMIT_REFUSED,   /* over a limit; the handle holds nothing, the descriptor is still open and yours */
};

/* Decides on an accepted connection. -1 with errno EBADF, ENOTSOCK, or ENOTCONN if it is already gone; the handle then holds
 * nothing. */
CONNLIMIT_PUBLIC int connlimit_accept(connlimit *limiter, int fd, connlimit_handle *handle);

/* The same for a caller that already has the addresses of both ends, which saves two system calls. `local` may be NULL; then
 * the kernel cannot be asked, and connections that ended without being freed stay counted. -1 with EAFNOSUPPORT if an address
 * is not an internet address. */
CONNLIMIT_PUBLIC int connlimit_accept_address(connlimit *limiter, const struct sockaddr *peer, socklen_t peer_length,
					      const struct sockaddr *local, socklen_t local_length, connlimit_handle *handle);

/* Releases what a handle holds. Call it after the connection is closed; otherwise another one may be admitted while this one is
 * still open. A connection that is never freed counts until its process ends, as a server may still be working for a client
 * that has hung up. */
CONNLIMIT_PUBLIC void connlimit_free(connlimit *limiter, connlimit_handle *handle);

/* The number of connections counted for the client that `peer` belongs to; 0 if it is not an internet address. */
CONNLIMIT_PUBLIC unsigned connlimit_open_connections(connlimit *limiter, const struct sockaddr *peer, socklen_t length);

/* Connections open for all clients in the network that `peer` is in, of those counted: with PER_NETWORK set, or a rule with a
 * limit for networks. 0 also for what is no internet address. */
CONNLIMIT_PUBLIC unsigned connlimit_open_connections_of_network(connlimit *limiter, const struct sockaddr *peer,
								socklen_t length);

/* The number of connections over Unix sockets counted for a local user. They are counted if PER_UID is set. */
CONNLIMIT_PUBLIC unsigned connlimit_open_connections_of_user(connlimit *limiter, uid_t user);

/* ---- bans ---- */

/* Has the client that `peer` belongs to refused, whatever it holds, for so many seconds, at most 3 600 000, or with 0 until
 * connlimit_unban. The setting BAN does so for who is refused too often. 0, or -1 with errno: EAFNOSUPPORT for other than
 * internet addresses, EINVAL for too many seconds, EPERM for a client that is `unlimited` by a rule, ENOSPC if there is no
 * room. */
CONNLIMIT_PUBLIC int connlimit_ban(connlimit *limiter, const struct sockaddr *peer, socklen_t length, unsigned seconds);

/* Ends the ban. 0, or -1 with ENOENT if the client was not banned, or EAFNOSUPPORT. */
CONNLIMIT_PUBLIC int connlimit_unban(connlimit *limiter, const struct sockaddr *peer, socklen_t length);

/* The seconds that the ban of the client still lasts, UINT_MAX if it has no end; 0 if it is not banned. */
CONNLIMIT_PUBLIC unsigned connlimit_banned(connlimit *limiter, const struct sockaddr *peer, socklen_t length);

/* ---- HTTP ---- */

/* For servers that report the states of their connections. Call it with CONNLIMIT_HTTP_NEW when a connection was accepted and
 * with CONNLIMIT_HTTP_CLOSED when it was closed, or with CONNLIMIT_HTTP_HIJACKED when it no longer speaks HTTP and should no
 * longer count. If a new connection is over the limit, this calls `refused` (connlimit_answer_429 if NULL), which must close
 * the descriptor, and returns CONNLIMIT_REFUSED. Otherwise it returns the same as connlimit_accept. */
enum connlimit_http_state { CONNLIMIT_HTTP_NEW, CONNLIMIT_HTTP_CLOSED, CONNLIMIT_HTTP_HIJACKED };
typedef void connlimit_refused(int fd, void *with);
CONNLIMIT_PUBLIC int connlimit_http_state(connlimit *limiter, int fd, enum connlimit_http_state state, connlimit_handle *handle,
					  connlimit_refused *refused, void *with);

/* Answers "429 Too Many Requests" (RFC 6585) without blocking, and closes the connection. What the client has sent is read
 * first, as the close would otherwise destroy the answer (RFC 9112, 9.6). Can be used as a connlimit_refused; `with` is not
 * used. */
CONNLIMIT_PUBLIC void connlimit_answer_429(int fd, void *with);

#ifdef __cplusplus
}
#endif

#endif
