#include "command/fleet/fleet_call.h"

#include <string.h>

enum { WORDS_A_SCRIPT = 250 };

bool fleet_tell_bans(struct fleet *fleet, struct redis *redis, int wait_ms, const struct fleet_ban *ban, size_t number,
		     char *error)
{
	unsigned char data[WORDS_A_SCRIPT * (BAN_WORD + 2)];

	while (number > 0 && fleet->joined) {
		struct hearing hearing = {.fleet = fleet, .error = error};
		size_t some = number < WORDS_A_SCRIPT ? number : WORDS_A_SCRIPT;
		unsigned char *to = data;
		struct call call;

		for (size_t i = 0; i < some; i++, to += BAN_WORD + 2) {
			memcpy(to, ban[i].key, CLIENT_KEY);
			to[CLIENT_KEY] = ban[i].lifted;
			put_bytes(to + CLIENT_KEY + 1, ban[i].seconds, 4);
			put_bytes(to + CLIENT_KEY + 5, ban[i].turn, 6);
			put_bytes(to + BAN_WORD, fleet_bucket(ban[i].key), 2);
		}
		call_begin_own(&call, fleet, "ban");
		call_add(&call, data, (size_t)(to - data));
		if (!call_answered(&call, redis, wait_ms, &hearing))
			return false;
		hear_standing(&hearing);
		ban += some;
		number -= some;
	}
	return true;
}
