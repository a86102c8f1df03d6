/* A connection to Redis, Valkey or Sentinel, in the clear or over TLS, that never waits longer than it is told.
 *
 * hiredis writes the commands and reads the replies (its reader and formatter); the socket is ours (wire.h), so that
 * connecting, the TLS handshake, writing and reading all keep to one deadline, and so that TLS works with releases of hiredis
 * that have none. */
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
	char master[128];    /* "": these are Redis; else they are Sentinels, which know where the master of this name is */
	char user[128];	     /* "": the default user */
	char password[4096]; /* "": no AUTH, unless there is a user */
	char sentinel_user[128];
	char sentinel_password[256];
	char ca[1024];		/* file of certificates to trust; "": the system's */
	char certificate[1024]; /* what we prove with who we are, if the server asks for it; "": nothing */
	char key[1024];
	int database;
	bool tls;
};

/* Reads redis://[user[:password]@]host[:port][,host[:port]...][/database] or rediss:// of the same form, or
 * redis+sentinel://[user[:password]@]host[:port][,host[:port]...]/master[/database][?sentinel=[user:]password] and
 * rediss+sentinel://. The password may instead stand in the environment variable REDISCLI_AUTH, where `ps` does not show it.
 * False with *error at what is wrong. */
bool redis_address_parse(struct redis_address *address, const char *uri, const char **error);

struct redis;

/* Connects to one of a host's addresses, authenticates and selects the database by `deadline` (ms of clock_us). NULL with the
 * reason in error (WIRE_ERROR bytes). */
struct redis *redis_open(const struct redis_address *address, const struct redis_host *host, const struct resolved_address *at,
			 bool is_sentinel, uint64_t deadline, char *error);
void redis_close(struct redis *redis);

/* Each command is to be preceded by ASKING from now on: the slot is on its way to this node of a Redis cluster. */
void redis_asking(struct redis *redis);

/* Adds a command to what the next redis_exchange sends. False if there is no memory. */
bool redis_add(struct redis *redis, int arguments, const char **argument, const size_t *length);

/* Sends what was added and calls `got` for each reply, in order, all within `wait_ms`. False on any failure, with the reason in
 * error: the connection is then of no more use. The server is not believed: more than REPLIES_MOST bytes at once, lists of more
 * than ELEMENTS_MOST or lists deeper than DEPTH_MOST, and replies to nothing are failures. */
enum { REPLIES_MOST = 64 << 20, ELEMENTS_MOST = 1 << 17, DEPTH_MOST = 8 };
bool redis_exchange(struct redis *redis, int wait_ms, void (*got)(redisReply *reply, int number, void *with), void *with,
		    char *error);

/* Copies an error's text, made printable, into error. */
void redis_quote(char *error, const redisReply *reply);

/* What INFO says, if we may ask it. False if the connection failed. */
struct redis_facts {
	bool replica;  /* it takes no writes; and is no node of a cluster, which would name the one that does */
	bool evicting; /* its maxmemory-policy is one that takes keys which nobody gave a time to live */
};
bool redis_ask_facts(struct redis *redis, int wait_ms, struct redis_facts *facts, char *error);

/* Bytes sent and received so far. */
void redis_traffic(const struct redis *redis, unsigned long long *sent, unsigned long long *received);

#endif
