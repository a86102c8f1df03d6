/* connlimit sync: the sidecar that joins this machine's tables to a fleet through Redis.
 *
 * Twice per interval it looks which clients' counts changed (machine.h), tells them in one pipelined exchange (fleet.h), learns
 * which totals near the limit changed, and writes what others hold into the tables. accept never waits for any of this. If
 * Redis cannot be reached, this information expires with the lease, and only the machine's own limits apply. */
#include "command/command.h"
#include "command/fleet/notify.h"
#include "command/fleet/sync.h"
#include "command/fleet/wire.h"

#include "values/clock.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	SNAPSHOT_MS = 60000, /* how often everything near the limit is read again, in case something was lost in Redis */
	APPLY_ALL_MS = 1000, /* how often remote counts are written again, as an entry may belong to another client now */
	VERIFY_MS = 1000,    /* how often the kernel is asked about clients at the fleet's limit */
	VERIFY_WORK_MS = 10,
	TABLES_MS = 10000, /* how often abandoned tables are removed */
	FACTS_MS = 30000,  /* how often Redis is asked whether it evicts keys */
	MOVED_MS = 1000,   /* how often Sentinel is asked for the master */
	LEAVE_MS = 500,
	PATIENCE_MS = 30000, /* time after a loss until it tries less often */
	SOON_LEAST_MS = 10,  /* between attempts, however short the interval */
	HOPS_MOST = 5,	     /* redirections followed in one turn */
};

static volatile sig_atomic_t stopping;
static volatile sig_atomic_t read_again;

static void on_stop(int signal)
{
	(void)signal;
	stopping = 1;
}

static void on_reload(int signal)
{
	(void)signal;
	read_again = 1;
}

/* How often it looks for a master that answers: to have joined it within an interval. */
static int soon_ms(const struct sync *sync)
{
	return sync->interval_ms / 4 > SOON_LEAST_MS ? sync->interval_ms / 4 : SOON_LEAST_MS;
}

static bool has_moved(void *with)
{
	struct sync *sync = with;

	return servers_moved(&sync->servers, soon_ms(sync), false);
}

static void disconnect(struct sync *sync)
{
	if (sync->redis != NULL)
		redis_traffic(sync->redis, &sync->sent, &sync->received);
	redis_close(sync->redis);
	sync->redis = NULL;
	sync->fleet.joined = false;
	machine_pause(&sync->machine);
}

static void complain(struct sync *sync, uint64_t now, const char *error)
{
	uint64_t interval = (uint64_t)sync->interval_ms;
	uint64_t soon = (uint64_t)soon_ms(sync);

	report_lost(&sync->report, error);
	servers_failed(&sync->servers, error);
	disconnect(sync);
	if (sync->lost == 0)
		sync->lost = now;
	/* Later it retries less often. Random, so that nodes do not all retry at the same time. */
	sync->pause = now - sync->lost < PATIENCE_MS ? soon : sync->pause * 2 < 5 * interval ? sync->pause * 2 : 5 * interval;
	sync->retry = now + sync->pause / 2 + (uint64_t)random() % (sync->pause / 2 + 1);
}

static void heard(const unsigned char *key, uint32_t total, void *with)
{
	struct sync *sync = with;

	machine_hear(&sync->machine, key, total);
}

static void heard_ban(const struct fleet_ban *ban, void *with)
{
	struct sync *sync = with;

	bans_hear(&sync->machine.bans, ban);
}

/* Words about bans, if they are shared. */
static bool tell_bans(struct sync *sync, char *error)
{
	size_t number = sync->machine.bans.shared ? bans_to_tell(&sync->machine.bans) : 0;

	if (!fleet_tell_bans(&sync->fleet, sync->redis, sync->lease_ms, sync->machine.bans.telling, number, error))
		return false;
	if (sync->fleet.joined)
		bans_told(&sync->machine.bans, number);
	return true;
}

static bool exchange(struct sync *sync, char *error)
{
	size_t told = machine_take_changes(&sync->machine);

	if (!fleet_exchange(&sync->fleet, sync->redis, sync->lease_ms, sync->machine.change, told, sync->machine.told, heard,
			    sync, error))
		return false;
	if (sync->verbose && told > 0)
		fprintf(stderr, "connlimit sync: sent %zu clients\n", told);
	return tell_bans(sync, error);
}

static bool snapshot(struct sync *sync, char *error)
{
	sync->fleet.missed = false;
	machine_snapshot_begins(&sync->machine);
	if (!fleet_snapshot(&sync->fleet, sync->redis, sync->lease_ms, heard, sync, error))
		return false;
	machine_snapshot_ends(&sync->machine);
	return sync->fleet.heard_ban == NULL || fleet_all_bans(&sync->fleet, sync->redis, sync->lease_ms, error);
}

/* Tells all clients in `number` buckets, replacing what the fleet has there. With NULL, in all buckets. */
static bool tell_whole(struct sync *sync, const uint16_t *which, unsigned number, char *error)
{
	static struct fleet_whole whole;

	for (unsigned i = 0; i < number && sync->fleet.joined; i++) {
		machine_take_bucket(&sync->machine, which != NULL ? which[i] : i, &whole);
		if ((whole.length >= WHOLE_MOST || i + 1 == number) &&
		    !fleet_tell_whole(&sync->fleet, sync->redis, sync->lease_ms, &whole, which != NULL, error))
			return false;
		if (stopping)
			return false;
	}
	return true;
}

/* Tells again the buckets that the fleet does not have as we told them. */
static bool mend(struct sync *sync, char *error)
{
	unsigned wrong = sync->fleet.wrong;

	sync->fleet.wrong = 0;
	return tell_whole(sync, sync->fleet.wrong_bucket, wrong, error);
}

/* Connects if necessary, and joins: tells everything that this node holds, replacing what an earlier run told. Nothing is
 * written to the tables until everything was told and heard. */
static bool join(struct sync *sync, uint64_t now, char *error)
{
	if (sync->redis == NULL) {
		sync->redis = servers_open(&sync->servers, sync->lease_ms, error);
		if (sync->redis == NULL || !fleet_prepare(&sync->fleet, sync->redis, sync->lease_ms, error))
			return false;
		report_evicting(&sync->report, sync->servers.facts.evicting);
	}
	machine_pause(&sync->machine);
	machine_begin(&sync->machine);
	bans_begin(&sync->machine.bans);
	sync->fleet.threshold = sync->machine.threshold;
	if (!fleet_join(&sync->fleet, sync->redis, sync->lease_ms, error) || !tell_whole(sync, NULL, BUCKETS, error) ||
	    !exchange(sync, error))
		return false;
	if (!sync->fleet.joined || !snapshot(sync, error)) {
		if (sync->fleet.joined)
			return false;
		snprintf(error, FLEET_ERROR, "the fleet forgot this node while it joined");
		return false;
	}
	if (sync->forgotten)
		sync->fleet.mended += sync->fleet.mended == 0;
	else
		sync->fleet.mended = 0; /* corrections after a restart, or for an empty Redis, are expected */
	sync->snapshot.next = now + SNAPSHOT_MS / 2 + (uint64_t)random() % SNAPSHOT_MS;
	return true;
}

/* One turn with Redis. False with the reason if it fails. */
static bool speak(struct sync *sync, uint64_t now, char *error)
{
	uint64_t asked = clock_ms();

	if (sync->fleet.joined && sync->fleet.threshold != sync->machine.threshold) {
		if (!fleet_change_threshold(&sync->fleet, sync->redis, sync->lease_ms, sync->machine.threshold, error))
			return false;
		sync->fleet.missed = true;
	}
	if (sync->fleet.joined ? !exchange(sync, error) : !join(sync, now, error))
		return false;
	if (!sync->fleet.joined) { /* forgotten by the fleet, or Redis is empty: join in the next turn */
		sync->forgotten = true;
		return true;
	}
	if (!mend(sync, error))
		return false;
	if ((sync->fleet.missed || is_due(&sync->snapshot, now, SNAPSHOT_MS)) && !snapshot(sync, error))
		return false;
	if (sync->fleet.ended && !fleet_bury(&sync->fleet, sync->redis, sync->lease_ms, (sync->interval_ms + 3) / 4, error))
		return false;
	machine_apply(&sync->machine, is_due(&sync->apply_all, now, APPLY_ALL_MS));
	if (is_due(&sync->facts, now, FACTS_MS)) {
		if (!redis_ask_facts(sync->redis, sync->lease_ms, &sync->servers.facts, error))
			return false;
		report_evicting(&sync->report, sync->servers.facts.evicting);
	}
	machine_heard(&sync->machine, asked, sync->lease_ms, sync->fleet.mended, sync->report.evicting);
	report_mended(&sync->report, now, sync->fleet.mended, sync->forgotten ? MENDED_NODE : MENDED_COUNTS);
	sync->fleet.mended = 0;
	sync->forgotten = false;
	return true;
}

/* The same, but follows redirections to other servers at once. */
static bool speak_to_whom_we_are_sent(struct sync *sync, uint64_t now, char *error)
{
	if (sync->redis != NULL && servers_moved(&sync->servers, MOVED_MS, true))
		disconnect(sync);
	for (int hops = 0; !speak(sync, now, error); hops++) {
		if (hops == HOPS_MOST || stopping || !servers_redirected(&sync->servers, error))
			return false;
		disconnect(sync);
	}
	return true;
}

static void turn(struct sync *sync)
{
	char error[FLEET_ERROR] = "";
	uint64_t now = now_ms();

	machine_look(&sync->machine);
	if (is_due(&sync->remove, now, TABLES_MS))
		table_remove_abandoned();
	if (is_due(&sync->verify, now, VERIFY_MS)) {
		machine_verify(&sync->machine, VERIFY_WORK_MS);
		machine_tidy(&sync->machine);
		bans_tidy(&sync->machine.bans);
	}
	if (sync->redis == NULL && now < sync->retry) {
		if (now - sync->heard >= (uint64_t)sync->lease_ms)
			machine_forget(&sync->machine);
		return;
	}
	if (!speak_to_whom_we_are_sent(sync, now, error)) {
		if (stopping)
			return;
		complain(sync, now_ms(), error);
		return;
	}
	if (!sync->fleet.joined)
		return;
	sync->heard = now;
	report_heard(&sync->report);
	sync->lost = 0;
}

/* There are two turns per interval: a change here waits for our turn, and then for that of the others. The next attempt to
 * connect may be sooner. */
static void rest(const struct sync *sync, uint64_t began)
{
	uint64_t now = now_ms();
	uint64_t next = began + (uint64_t)sync->interval_ms / 2;

	if (sync->redis == NULL && sync->retry < next)
		next = sync->retry;
	if (now < next)
		poll(NULL, 0, (int)(next - now));
}

static void stop(struct sync *sync)
{
	char error[FLEET_ERROR];

	machine_leave(&sync->machine);
	wire_last_words();
	if (sync->redis != NULL && sync->fleet.joined)
		fleet_leave(&sync->fleet, sync->redis, LEAVE_MS, error);
	disconnect(sync);
	if (sync->verbose)
		fprintf(stderr, "connlimit sync: %llu bytes sent, %llu received\n", sync->sent, sync->received);
}

int command_sync(int argc, char **argv)
{
	static struct sync sync = {.interval_ms = 100, .lease_ms = 3000, .cluster = "default"};
	struct sigaction stops = {.sa_handler = on_stop};
	struct sigaction reloads = {.sa_handler = on_reload};
	int status = sync_arguments(&sync, argc, argv);

	if (status >= 0)
		return status;
	fleet_init(&sync.fleet, sync.cluster, sync.node, sync.lease_ms, &stopping);
	sync.fleet.heard_ban = sync.machine.bans.shared ? heard_ban : NULL;
	sync.fleet.heard_ban_with = &sync;
	notify("READY=1\nSTATUS=connecting");
	sigaction(SIGTERM, &stops, NULL);
	sigaction(SIGINT, &stops, NULL);
	sigaction(SIGHUP, &reloads, NULL);
	signal(SIGPIPE, SIG_IGN);
	wire_heed(&stopping, has_moved, &sync, soon_ms(&sync));
	srandom((unsigned)(clock_us() ^ (uint64_t)getpid()));
	while (!stopping) {
		uint64_t began = now_ms();
		if (read_again != 0) {
			read_again = 0;
			if (sync_read_again(&sync)) {
				disconnect(&sync);
				sync.retry = 0;
			}
		}
		turn(&sync);
		if (!stopping)
			rest(&sync, began);
	}
	notify("STOPPING=1");
	stop(&sync);
	return 0;
}
