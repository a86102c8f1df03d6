/* A connection to Redis or Valkey, in the clear or over TLS, that never waits longer than it is told.
 *
 * hiredis writes the commands and reads the replies (its reader and formatter); the socket is ours, so that connecting, the TLS
 * handshake, writing and reading all keep to one deadline, and so that TLS works with releases of hiredis that have none. */
#ifndef CONNLIMIT_COMMAND_REDIS_H
#define CONNLIMIT_COMMAND_REDIS_H

#include <hiredis/hiredis.h>

#include <stdbool.h>
#include <stddef.h>

struct redis;

struct redis_address {
	char host[256];
	char port[8];
	char user[128];		/* "": the default user */
	char password[4096];	/* "": no AUTH, unless there is a user */
	char ca[1024];		/* file of certificates to trust; "": the system's */
	char certificate[1024]; /* what we prove with who we are, if the server asks for it; "": nothing */
	char key[1024];
	int database;
	bool tls;
};

/* Reads redis://[user[:password]@]host[:port][/database] or rediss:// of the same form. The password may instead stand in the
 * environment variable REDISCLI_AUTH, where `ps` does not show it. False with *error at what is wrong. */
bool redis_address_parse(struct redis_address *address, const char *uri, const char **error);

/* Connects, authenticates and selects the database within `wait_ms`. NULL with the reason in error (at least 256 bytes). */
struct redis *redis_open(const struct redis_address *address, int wait_ms, char *error);
void redis_close(struct redis *redis);

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

/* Bytes sent and received so far. */
void redis_traffic(const struct redis *redis, unsigned long long *sent, unsigned long long *received);

#endif
