/* A connection to Redis, Valkey or Sentinel, with or without TLS, that never waits longer than it is told.
 *
 * hiredis formats commands and parses replies; the socket is ours (wire.h). So connecting, the TLS handshake, writing and
 * reading share one deadline, and TLS works even with releases of hiredis without TLS. */
#ifndef CONNLIMIT_COMMAND_REDIS_H
#define CONNLIMIT_COMMAND_REDIS_H

#include "command/fleet/resolve.h"

#include <hiredis/hiredis.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HOSTS_MOST = 16 };

struct redis_host {
	char name[256];
	char port[8];
};

struct redis_address {
	struct redis_host host[HOSTS_MOST];
	int hosts;
	char master[128];    /* "": the hosts are Redis servers; otherwise Sentinels that know the master of this name */
	char user[128];	     /* "": the default user */
	char password[4096]; /* "": no AUTH, unless there is a user */
	char sentinel_user[128];
	char sentinel_password[256];
	char ca[1024];		/* file of trusted certificates; "": the system's */
	char certificate[1024]; /* client certificate, if the server asks for one; "": none */
	char key[1024];
	int database;
	bool tls;
};

/* Reads redis://[user[:password]@]host[:port][,host[:port]...][/database] or rediss:// of the same form, or
 * redis+sentinel://[user[:password]@]host[:port][,host[:port]...]/master[/database][?sentinel=[user:]password] and
 * rediss+sentinel://. The password may also be in the environment variable REDISCLI_AUTH, which `ps` does not show. On failure
 * returns false, and *error points to the place of the error. */
bool redis_address_parse(struct redis_address *address, const char *uri, const char **error);

struct redis;

/* Connects to one of a host's addresses, authenticates and selects the database by `deadline` (ms of clock_us). NULL with the
 * reason in error (WIRE_ERROR bytes). */
struct redis *redis_open(const struct redis_address *address, const struct redis_host *host, const struct resolved_address *at,
			 bool is_sentinel, uint64_t deadline, char *error);
void redis_close(struct redis *redis);

/* From now on ASKING is sent before each command: the slot is migrating to this node of a Redis cluster. */
void redis_asking(struct redis *redis);

/* Adds a command to those that the next redis_exchange sends. False if there is no memory. */
bool redis_add(struct redis *redis, int arguments, const char **argument, const size_t *length);

/* Sends the commands and calls `got` for each reply, in order, all within `wait_ms`. On any failure returns false with the
 * reason in error; then the connection can no longer be used. The server is not trusted: more than REPLIES_MOST bytes at once,
 * a list of more than ELEMENTS_MOST elements or nested deeper than DEPTH_MOST, or a reply without a command are failures. */
enum { REPLIES_MOST = 64 << 20, ELEMENTS_MOST = 1 << 17, DEPTH_MOST = 8 };
bool redis_exchange(struct redis *redis, int wait_ms, void (*got)(redisReply *reply, int number, void *with), void *with,
		    char *error);

/* Copies an error reply's text, made printable, into error. */
void redis_quote(char *error, const redisReply *reply);

/* Asks INFO, if we are permitted to. False if the connection failed. */
struct redis_facts {
	bool replica;  /* it accepts no writes, and is not a node of a cluster, which would redirect them */
	bool evicting; /* its maxmemory-policy may evict keys without a time to live */
};
bool redis_ask_facts(struct redis *redis, int wait_ms, struct redis_facts *facts, char *error);

/* Bytes sent and received so far. */
void redis_traffic(const struct redis *redis, unsigned long long *sent, unsigned long long *received);

#endif
