/* What happens to a daemon's limits: the words by which logs say it to programs. */
#ifndef CONNLIMIT_EVENTS_H
#define CONNLIMIT_EVENTS_H

enum event {
	EVENT_OTHER,
	EVENT_REFUSED,
	EVENT_OBSERVED, /* would have been refused, mode observe */
	EVENT_BANNED,	/* a client was refused, and with that its ban has begun */
	EVENT_UNCOUNTED,
	EVENT_UNVERIFIED,
	EVENT_RELOAD_FAILED,
	EVENTS
};

/* "refused", ...; "other" for whatever has no word. */
const char *event_word(unsigned event);

#endif
