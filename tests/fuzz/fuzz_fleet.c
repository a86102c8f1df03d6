/* libFuzzer: what Redis says to `connlimit sync`, through all that reads it: the first byte chooses what is asked, the rest is
 * the answer, as it comes over the wire. The connection is made of a pair of sockets, so the file that knows its form is
 * included. */
#include "command/fleet/redis.c"

#include "command/fleet/fleet.h"
#include "settings/settings.h"

static const volatile sig_atomic_t stopping;

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void heard(const unsigned char *key, uint32_t number, void *with)
{
	unsigned *sum = with;

	for (int i = 0; i < CLIENT_KEY; i++)
		*sum += key[i];
	if (number > LIMIT_MOST)
		abort();
}

static void heard_ban(const struct fleet_ban *ban, void *with)
{
	unsigned *sum = with;

	for (int i = 0; i < CLIENT_KEY; i++)
		*sum += ban->key[i];
	if (ban->turn > FLEET_TURN_NEW)
		abort();
}

static void ask(unsigned what, struct fleet *fleet, struct redis *redis, char *error)
{
	static const struct fleet_bucket told[BUCKETS];
	struct fleet_change change = {.key = {1}, .number = 1};
	struct fleet_whole whole = {0};
	struct fleet_ban ban = {.key = {1}, .seconds = 1};
	unsigned sum = 0;

	fleet->heard_ban = heard_ban;
	fleet->heard_ban_with = &sum;
	switch (what % 10) {
	case 0: fleet_prepare(fleet, redis, 1000, error); break;
	case 1: fleet_join(fleet, redis, 1000, error); break;
	case 2: fleet_exchange(fleet, redis, 1000, &change, 1, told, heard, &sum, error); break;
	case 3: fleet_exchange(fleet, redis, 1000, NULL, 0, told, heard, &sum, error); break;
	case 4: fleet_snapshot(fleet, redis, 1000, heard, &sum, error); break;
	case 5: fleet_bury(fleet, redis, 1000, 1000, error); break;
	case 6:
		fleet_whole_bucket(&whole, 1, 1);
		fleet_whole_client(&whole, change.key, 1);
		fleet_tell_whole(fleet, redis, 1000, &whole, true, error);
		free(whole.bytes);
		break;
	case 7: fleet_tell_bans(fleet, redis, 1000, &ban, 1, error); break;
	case 8: fleet_all_bans(fleet, redis, 1000, error); break;
	default: fleet_leave(fleet, redis, 1000, error); break;
	}
	if (strlen(fleet->former) >= sizeof(fleet->former) || strlen(fleet->script) >= sizeof(fleet->script) ||
	    fleet->wrong > BUCKETS)
		abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct redis *redis = calloc(1, sizeof(*redis));
	static struct fleet fleet;
	char error[WIRE_ERROR] = "";
	int end[2];

	if (size == 0 || size > 20000 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, end) != 0) {
		free(redis);
		return 0;
	}
	fleet_init(&fleet, "fuzz", "node", 3000, &stopping);
	fleet.joined = true;
	fleet.last = 5;
	redis->reader = make_reader();
	redis->wire.descriptor = end[0];
	/* It has answered before it was asked, and then says no more. */
	if (write(end[1], data + 1, size - 1) == (ssize_t)(size - 1) && shutdown(end[1], SHUT_WR) == 0)
		ask(data[0], &fleet, redis, error);
	if (strlen(error) >= sizeof(error))
		abort();
	close(end[1]);
	redis_close(redis);
	return 0;
}
