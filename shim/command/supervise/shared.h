/* What the supervisor that works and the one that waits have in common: this memory, and one table of descriptors
 * (CLONE_FILES). Whatever the first was at when it was killed, its connections are open, and here stands which they are.
 *
 * One process writes at a time. A call goes through its phases in this order, each written before what it names is begun, so
 * that who takes over knows how far it may have come. */
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
	WATCHED_MOST = 512, /* blocking listeners that are waited at */
	KEPT_MOST = 1024,
	HANDLERS_MOST = 64,
	HANDLERS_MS = 1000,
	NOTIFICATION_ROOM = 256, /* the kernel may know a longer one than we (seccomp_unotify(2)) */
};

enum phase {
	PHASE_TAKEN,	 /* known to us, nothing done */
	PHASE_WAITING,	 /* at `listener`, where no connection is */
	PHASE_ACCEPTING, /* a connection may have been accepted */
	PHASE_HELD,	 /* `connection` is it */
	PHASE_DECIDED,	 /* and the program is to have it */
	PHASE_GIVING,	 /* and may have it, as `number` if that is known */
};

/* A connection that was accepted, and what accept(2) tells of it. */
struct taken {
	int descriptor; /* ours; 0 is none */
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
	uint64_t until;	   /* ms of clock_ms at which accept has waited long enough; 0: never */
	struct taken taken;
	struct taken refused; /* before that, and kept in case that nobody else comes */
};

/* A blocking listener at which calls wait. It is watched through an epoll descriptor of its own, which does not keep it open as
 * one of its descriptors would: the program may close it (epoll(7), Q6). */
struct watched {
	uint64_t cookie; /* socket(7), SO_COOKIE; 0: none */
	int watch;
};

/* A connection that was accepted for a call which was interrupted before it got it (kept.h). */
struct kept {
	uint64_t listener; /* the cookie; 0: none */
	struct taken taken;
	uint64_t due;	  /* ms of clock_ms at which it gets a stand-in; 0: it has one, or can have none */
	int stand_in;	  /* our end of it; 0: none */
	socklen_t length; /* of the address that an accept of it tells */
	struct sockaddr_storage address;
};

/* Whether a thread's process handles any signal, as it was a moment ago. */
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
	unsigned timed, waiting; /* of them, have a time, and wait; may be too high */
	unsigned kept_number;
	int number_given; /* the last */
	uint64_t unseen;  /* accepts that could not be decided on */
	uint64_t unseen_told;

	struct watched watched[WATCHED_MOST];
	struct kept kept[KEPT_MOST];
	struct handlers handlers[HANDLERS_MOST];
	struct call call[CALLS_MOST];
};

extern struct shared *shared;

/* Kinds of events, in the upper half of epoll's data; an index in the lower. */
enum event { EVENT_CALL, EVENT_LISTENER, EVENT_STANDBY, EVENT_FILE, EVENT_STAND_IN };

bool shared_watch(int descriptor, uint32_t events, enum event event, unsigned index);

#endif
