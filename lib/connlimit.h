/* libconnlimit: limits on the connections that each client holds open, for servers written in C.
 *
 * For servers that you can change; others are limited without their source by `connlimit run` (connlimit(1)). The same rules
 * hold for both: limits and their forms are those of connlimit(7), a client is an address or a network, counting is exact in
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
 * time; those on a config only from one thread at a time. Nothing here raises a signal, exits, or waits for another process. */
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

/* A configuration with every default: no limit, counted all the same. NULL with ENOMEM. */
CONNLIMIT_PUBLIC connlimit_config *connlimit_config_new(void);
CONNLIMIT_PUBLIC void connlimit_config_delete(connlimit_config *config);

/* Sets one value in the form that connlimit(7) gives: "PER_IP", "PER_NETWORK", "TOTAL", "RATE", "RULES", "IPV6_PREFIX",
 * "CAPACITY", "TABLE",
 * ... The name may also be written "per-ip" or "CONNLIMIT_PER_IP". Returns 0, or -1 with EINVAL; then nothing is changed and
 * connlimit_config_error says what is wrong, where, and what is allowed. */
CONNLIMIT_PUBLIC int connlimit_config_set(connlimit_config *config, const char *name, const char *value);

/* Sets all that an environment file says (systemd.exec(5)), or nothing: 0, or -1 with EINVAL and a reason. */
CONNLIMIT_PUBLIC int connlimit_config_file(connlimit_config *config, const char *path);

/* The value in force as text, into `text` of `size` bytes: 0, or -1 with EINVAL for an unknown name. */
CONNLIMIT_PUBLIC int connlimit_config_get(const connlimit_config *config, const char *name, char *text, size_t size);

/* What the last failed call on this config said; "" if none failed. Valid until the next call on it. */
CONNLIMIT_PUBLIC const char *connlimit_config_error(const connlimit_config *config);

/* ---- limiter ---- */

typedef struct connlimit connlimit;

/* Makes a limiter. With the setting TABLE it is shared by all processes of this user that open one of that name, whose limits
 * are then those of the one that made it, until one of them calls connlimit_set_config; without, by this process and its later
 * children. A config of NULL is one with every default. NULL with errno: ENOMEM, EINVAL (TOTAL is above CAPACITY, or a client
 * would be larger than its network), or as shmget(2). */
CONNLIMIT_PUBLIC connlimit *connlimit_open(const connlimit_config *config);

/* Leaves it. Handles of this process count on as long as another process has the limiter open and the kernel knows their
 * connections. */
CONNLIMIT_PUBLIC void connlimit_close(connlimit *limiter);

/* Replaces the limits in all processes at once: a decision sees all of the old or all of the new. Lowering closes nobody.
 * TABLE, CAPACITY, FILE and SIGNAL stay as they were. 0, or -1 with EINVAL as connlimit_open, or with EAGAIN if
 * others are publishing at this moment. */
CONNLIMIT_PUBLIC int connlimit_set_config(connlimit *limiter, const connlimit_config *config);

/* A copy of the limits in force, to be deleted. NULL with ENOMEM or EAGAIN. */
CONNLIMIT_PUBLIC connlimit_config *connlimit_get_config(connlimit *limiter);

/* ---- connections ---- */

/* Holds a counted connection. May be copied and freed any number of times, also by several threads at once: it counts down
 * once. All zero holds nothing. */
typedef struct connlimit_handle {
	uint64_t held;
} connlimit_handle;

enum connlimit_verdict {
	CONNLIMIT_ADMITTED,  /* counted; free the handle when the connection is closed */
	CONNLIMIT_UNCOUNTED, /* admitted, but not counted: no room for a record, MODE=off, or neither an internet socket nor,
				with PER_UID, a Unix socket */
	CONNLIMIT_REFUSED,   /* over a limit; the handle holds nothing, the descriptor is still open and yours */
};

/* Decides on an accepted connection. -1 with errno (EBADF, ENOTSOCK, ENOTCONN: it is gone already); the handle then holds
 * nothing. */
CONNLIMIT_PUBLIC int connlimit_accept(connlimit *limiter, int fd, connlimit_handle *handle);

/* As connlimit_accept for both ends' addresses, where the caller has them: saves two system calls. `local` may be NULL; then
 * the kernel cannot be asked, and connections that ended without being freed stay counted. -1 with EAFNOSUPPORT for other than
 * internet addresses. */
CONNLIMIT_PUBLIC int connlimit_accept_address(connlimit *limiter, const struct sockaddr *peer, socklen_t peer_length,
					      const struct sockaddr *local, socklen_t local_length, connlimit_handle *handle);

/* Lets go. To be called after the connection is closed, or another may be admitted while it is still open. What is never freed
 * counts until its process ends: a server may be at work for a client that has hung up. */
CONNLIMIT_PUBLIC void connlimit_free(connlimit *limiter, connlimit_handle *handle);

/* Connections open for the client that `peer` belongs to; 0 also for what is no internet address. */
CONNLIMIT_PUBLIC unsigned connlimit_open_connections(connlimit *limiter, const struct sockaddr *peer, socklen_t length);

/* Connections open for all clients in the network that `peer` is in, of those counted: with PER_NETWORK set, or a rule with a
 * limit for networks. 0 also for what is no internet address. */
CONNLIMIT_PUBLIC unsigned connlimit_open_connections_of_network(connlimit *limiter, const struct sockaddr *peer,
								socklen_t length);

/* Connections over Unix sockets that a local user has open, of those counted: with PER_UID set. */
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

/* For servers that tell of their connections' states: call it with CONNLIMIT_HTTP_NEW when one was accepted and with
 * CONNLIMIT_HTTP_CLOSED when one was closed, or with
 * CONNLIMIT_HTTP_HIJACKED when it is no HTTP any more and counts no longer. For one over the limit it calls `refused`
 * (connlimit_answer_429 if NULL), which must end in the closing of the descriptor, and returns CONNLIMIT_REFUSED; otherwise as
 * connlimit_accept. */
enum connlimit_http_state { CONNLIMIT_HTTP_NEW, CONNLIMIT_HTTP_CLOSED, CONNLIMIT_HTTP_HIJACKED };
typedef void connlimit_refused(int fd, void *with);
CONNLIMIT_PUBLIC int connlimit_http_state(connlimit *limiter, int fd, enum connlimit_http_state state, connlimit_handle *handle,
					  connlimit_refused *refused, void *with);

/* Answers "429 Too Many Requests" (RFC 6585) without blocking and closes. What the client has sent is read away first, or the
 * close would destroy the answer (RFC 9112, 9.6). Fits connlimit_refused; `with` is not used. */
CONNLIMIT_PUBLIC void connlimit_answer_429(int fd, void *with);

#ifdef __cplusplus
}
#endif

#endif
