#include "command/fleet/fleet_call.h"

#include <string.h>

enum {
	WORD = CLIENT_KEY + 1 + 4 + 6, /* a client, whether its ban was lifted, seconds and turn, in bytes */
	WORDS_A_SCRIPT = 250,
};

static uint64_t bytes_in(const unsigned char *from, int bytes)
{
	uint64_t number = 0;

	for (int i = 0; i < bytes; i++)
		number = number << 8 | from[i];
	return number;
}

void hear_bans(struct hearing *hearing, const redisReply *text)
{
	const struct fleet *fleet = hearing->fleet;

	if (text->type != REDIS_REPLY_STRING || fleet->heard_ban == NULL)
		return;
	for (size_t at = 0; at + WORD <= text->len; at += WORD) {
		const unsigned char *from = (const unsigned char *)text->str + at;
		struct fleet_ban ban = {.lifted = from[CLIENT_KEY] != 0};
		memcpy(ban.key, from, CLIENT_KEY);
		ban.seconds = (uint32_t)bytes_in(from + CLIENT_KEY + 1, 4);
		ban.turn = bytes_in(from + CLIENT_KEY + 5, 6);
		fleet->heard_ban(&ban, fleet->heard_ban_with);
	}
}

bool fleet_tell_bans(struct fleet *fleet, struct redis *redis, int wait_ms, const struct fleet_ban *ban, size_t number,
		     char *error)
{
	unsigned char data[WORDS_A_SCRIPT * (WORD + 2)];

	while (number > 0 && fleet->joined) {
		struct hearing hearing = {.fleet = fleet, .error = error};
		size_t some = number < WORDS_A_SCRIPT ? number : WORDS_A_SCRIPT;
		unsigned char *to = data;
		struct call call;

		for (size_t i = 0; i < some; i++, to += WORD + 2) {
			memcpy(to, ban[i].key, CLIENT_KEY);
			to[CLIENT_KEY] = ban[i].lifted;
			put_bytes(to + CLIENT_KEY + 1, ban[i].seconds, 4);
			put_bytes(to + CLIENT_KEY + 5, ban[i].turn, 6);
			put_bytes(to + WORD, fleet_bucket(ban[i].key), 2);
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
