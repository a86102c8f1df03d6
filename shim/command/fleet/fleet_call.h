/* How the script (fleet.lua) is called, and what it answers. Only for the fleet's own files. */
#ifndef CONNLIMIT_COMMAND_FLEET_CALL_H
#define CONNLIMIT_COMMAND_FLEET_CALL_H

#include "command/fleet/fleet.h"

/* A call that is being assembled. What is added by pointer must stay valid until the call is sent. */
struct call {
	const char *argument[16];
	size_t length[16];
	int arguments;
	char key[128];
	char number[8][24];
	int numbers;
};

void call_begin(struct call *call, const struct fleet *fleet, const char *operation, const char *node);
/* For operations of the node under its current incarnation. */
void call_begin_own(struct call *call, const struct fleet *fleet, const char *operation);
void call_add(struct call *call, const void *argument, size_t length);
void call_add_text(struct call *call, const char *text);
void call_add_number(struct call *call, long long number);
bool call_send(struct redis *redis, struct call *call);

/* What was learned from the replies. */
struct hearing {
	struct fleet *fleet;
	fleet_heard *heard;
	void *with;
	char *error;
	int told; /* number of replies of the script, which come first; the last of them is for "check" */
	bool check;
	bool of_bans;
	bool good;
	bool unknown_script; /* Redis lost it, by SCRIPT FLUSH or because a replica took over */
	bool more;	     /* there may be more news to read */
	long long number[4];
};

/* Keeps the reason, if the reply is the first error. */
void hear_error(struct hearing *hearing, const redisReply *reply);

/* Reads {number, number, ...}; what is missing or not a number is 0. If the second element is text, it is "client total client
 * total..." or, with `of_bans`, words about bans. */
void hear_answer(redisReply *reply, int number, void *with);

/* Reads what begins an answer, {1, ms until somebody's lease ends, number of the last news}. False if the fleet does not know
 * us. */
bool hear_standing(struct hearing *hearing);

/* A word about a ban: the client, whether it was lifted, seconds and turn, in bytes. */
enum { BAN_WORD = CLIENT_KEY + 1 + 4 + 6 };

/* Reads words about bans. */
void hear_bans(struct hearing *hearing, const redisReply *text);

/* Reads "client total client total...". */
void hear_clients(struct hearing *hearing, const redisReply *text);

/* Sends a call and reads the answer. Tries again if Redis has lost the script. */
bool call_answered(struct call *call, struct redis *redis, int wait_ms, struct hearing *hearing);

/* Whether an operation of several exchanges, which began at `began` (ms of clock_us), may continue. If not, the error names
 * `what`. */
bool fleet_goes_on(const struct fleet *fleet, uint64_t began, const char *what, char *error);

/* Writes a number in network byte order. */
void put_bytes(unsigned char *to, uint64_t number, int bytes);

#endif
