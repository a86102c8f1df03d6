/* How the script (fleet.lua) is called, and what it answers. For the fleet's own files. */
#ifndef CONNLIMIT_COMMAND_FLEET_CALL_H
#define CONNLIMIT_COMMAND_FLEET_CALL_H

#include "command/fleet/fleet.h"

/* One call in the making. What is added by pointer must stay until it is sent. */
struct call {
	const char *argument[16];
	size_t length[16];
	int arguments;
	char key[128];
	char number[8][24];
	int numbers;
};

void call_begin(struct call *call, const struct fleet *fleet, const char *operation, const char *node);
/* Of what the node does as the one that joined. */
void call_begin_own(struct call *call, const struct fleet *fleet, const char *operation);
void call_add(struct call *call, const void *argument, size_t length);
void call_add_text(struct call *call, const char *text);
void call_add_number(struct call *call, long long number);
bool call_send(struct redis *redis, struct call *call);

/* What is heard of the replies. */
struct hearing {
	struct fleet *fleet;
	fleet_heard *heard;
	void *with;
	char *error;
	int told; /* replies of the script come first, those of its "check" last among them */
	bool check;
	bool good;
	bool unknown_script; /* Redis lost it: SCRIPT FLUSH, or a replica in its place */
	bool more;	     /* there may be more news than were read */
	long long number[4];
};

/* Notes the reason, if the reply is an error and the first one. */
void hear_error(struct hearing *hearing, const redisReply *reply);

/* {number, number, ...}; what is not there, or is none, is 0. Then "client total client total..." in the second place, if it
 * is text. */
void hear_answer(redisReply *reply, int number, void *with);

/* "client total client total..." */
void hear_clients(struct hearing *hearing, const redisReply *text);

/* Sends one call and hears the answer; once more if Redis has lost the script. */
bool call_answered(struct call *call, struct redis *redis, int wait_ms, struct hearing *hearing);

/* Whether what takes several exchanges, begun at `began` (ms of clock_us), may go on; if not, the reason names `what`. */
bool fleet_goes_on(const struct fleet *fleet, uint64_t began, const char *what, char *error);

/* Numbers as they travel: the highest byte first. */
void put_bytes(unsigned char *to, uint64_t number, int bytes);

#endif
