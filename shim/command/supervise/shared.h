/* What the worker and the standby share: this memory, and one table of descriptors (CLONE_FILES). If the worker is killed at
 * any moment, its connections are still open, and this memory says which they are.
 *
 * Only one process writes at a time. A call goes through its phases in this order, and each is written before it begins, so the
 * standby knows how far the worker may have got. */
#ifndef CONNLIMIT_SUPERVISE_SHARED_H
#define CONNLIMIT_SUPERVISE_SHARED_H

#include "table/table.h"

#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

enum {
	CALLS_MOST = 32768, /* threads of the program that wait in accept */
	WATCHED_MOST = 512, /* blocking listeners at which calls wait */
	KEPT_MOST = 1024,
	HANDLERS_MOST = 64,
	HANDLERS_MS = 1000,
	NOTIFICATION_ROOM = 256, /* the kernel's structure may be longer than ours (seccomp_unotify(2)) */
};

enum phase {
	PHASE_TAKEN,	 /* received, nothing done */
	PHASE_WAITING,	 /* for a connection at `listener` */
	PHASE_ACCEPTING, /* a connection may have been accepted */
	PHASE_HELD,	 /* `taken` is it */
	PHASE_DECIDED,	 /* and the program is to get it */
	PHASE_GIVING,	 /* and may have it; as `number`, if that is known */
};

/* An accepted connection, and what accept(2) says of its peer. */
struct taken {
	int descriptor; /* ours; 0: none */
	bool decided;
	socklen_t peer_length;
	struct sockaddr_storage peer;
};

struct call {
	union {
		struct seccomp_notif notification; /* as the kernel wrote it; id 0: no call */
		char room[NOTIFICATION_ROOM];
	};
	volatile int phase;
	uint64_t listener; /* its cookie; 0 while unknown */
	int number;	   /* -1: not known */
	uint64_t until;	   /* ms of clock_ms at which accept times out; 0: never */
	struct taken taken;
	struct taken refused; /* the one before, in case no other is admitted */
};

/* A blocking listener at which calls wait. It is watched through its own epoll descriptor, which does not keep the listener
 * open when the program closes it, as a copy of the listener would (epoll(7), Q6). */
struct watched {
	uint64_t cookie; /* socket(7), SO_COOKIE; 0: none */
	int watch;
};

/* A connection whose call was interrupted before it could return it (kept.h). */
struct kept {
	uint64_t listener; /* the cookie; 0: none */
	struct taken taken;
	uint64_t due;	  /* ms of clock_ms at which it gets a stand-in; 0: it has one, or cannot get one */
	int stand_in;	  /* our end of it; 0: none */
	socklen_t length; /* of the stand-in's address, as accept says it */
	struct sockaddr_storage address;
};

/* Whether a thread's process handles any signal; cached. */
struct handlers {
	uint32_t thread;
	bool any;
	uint64_t until;
};

struct shared {
	int notify;
	int events;	     /* epoll */
	int follow;	     /* inotify; -1 without */
	int main;	     /* the program's first process, as a pidfd */
	int worker, standby; /* pidfds; the latter -1 if there is none */
	bool killable;
	bool kept_alive;    /* CONNLIMIT_KEEPALIVE was set once */
	volatile bool over; /* the program is gone */

	unsigned extent;	 /* calls at and past this one were never used */
	unsigned current;	 /* the call that is being handled */
	unsigned timed, waiting; /* calls with a timeout, and waiting calls; may be too high */
	unsigned kept_number;
	int number_given; /* the last descriptor number */
	uint64_t unseen;  /* accepts that could not be limited */
	uint64_t unseen_told;

	struct watched watched[WATCHED_MOST];
	struct kept kept[KEPT_MOST];
	struct handlers handlers[HANDLERS_MOST];
	struct call call[CALLS_MOST];
};

extern struct shared *shared;

/* The kind of an event, in the upper half of epoll's data. The lower half is an index. */
enum event { EVENT_CALL, EVENT_LISTENER, EVENT_STANDBY, EVENT_FILE, EVENT_STAND_IN };

bool shared_watch(int descriptor, uint32_t events, enum event event, unsigned index);

#endif
