#include "table/events.h"

#include <stddef.h>

const char *event_word(unsigned event)
{
	static const char *const words[EVENTS] = {
	    [EVENT_OTHER] = "other",
	    [EVENT_REFUSED] = "refused",
	    [EVENT_OBSERVED] = "observed",
	    [EVENT_BANNED] = "banned",
	    [EVENT_UNCOUNTED] = "uncounted",
	    [EVENT_UNVERIFIED] = "unverified",
	    [EVENT_RELOAD_FAILED] = "reload_failed",
	};

	return event < EVENTS && words[event] != NULL ? words[event] : words[EVENT_OTHER];
}
