/* connlimit sync: the sidecar that joins this machine's tables to a fleet through Redis.
 *
 * Twice an interval it looks which clients' counts changed (machine.h), tells them in one pipelined exchange (fleet.h), hears
 * which totals changed near the limit, and writes what the others hold into the tables. accept never waits for any of this.
 * When Redis is not heard, what was said ages out with the lease, and the machine's own limits hold alone. */
#include "command/command.h"
#include "command/fleet/fleet.h"
#include "command/fleet/machine.h"
#include "command/fleet/notify.h"
#include "command/fleet/redis.h"

#include "values/clock.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	SNAPSHOT_MS = 60000, /* how often everything near the limit is read again, in case that something was lost in Redis */
	APPLY_ALL_MS = 1000, /* how often remote counts are written again: an entry may have been given to another client */
	VERIFY_MS = 1000,    /* how often the kernel is asked about those at the fleet's limit */
	VERIFY_WORK_MS = 10,
	TABLES_MS = 10000, /* how often tables that were left behind are removed */
	SAY_MENDED_MS = 10000,
	LEAVE_MS = 500,
	ERROR = FLEET_ERROR,
};

/* What is done now and then. */
struct every {
	uint64_t next;
};

struct sync {
	struct redis_address address;
	struct redis *redis;
	struct fleet fleet;
	struct machine machine;
	int interval_ms;
	int lease_ms;
	bool verbose;
	bool reported;	/* the present trouble was said */
	uint64_t heard; /* ms of clock_us when the last answer was asked for */
	uint64_t retry; /* not before */
	uint64_t pause; /* ms to the try after that */
	struct every snapshot, apply_all, verify, remove, say_mended;
	unsigned long mended; /* not said yet */
	bool forgotten;	      /* by the fleet, while the connection stood */
	unsigned long long sent;
	unsigned long long received;
};

static volatile sig_atomic_t stopping;

static void on_stop(int signal)
{
	(void)signal;
	stopping = 1;
}

static bool is_due(struct every *every, uint64_t now, uint64_t ms)
{
	if (now < every->next)
		return false;
	every->next = now + ms;
	return true;
}

static void say(struct sync *sync, const char *format, const char *detail)
{
	char line[ERROR + 200];
	char status[sizeof(line) + 16];

	snprintf(line, sizeof(line), format, detail);
	snprintf(status, sizeof(status), "STATUS=%s", line);
	notify(status);
	if (sync != NULL)
		fprintf(stderr, "connlimit sync: %s\n", line);
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

/* Said once for each time that the fleet is lost; systemd's status has the latest. */
static void complain(struct sync *sync, uint64_t now, const char *error)
{
	uint64_t interval = (uint64_t)sync->interval_ms;

	say(sync->reported ? NULL : sync, "%s: the fleet is not heard; this machine's own limits hold", error);
	sync->reported = true;
	disconnect(sync);
	/* One interval at first, five at last; no two nodes at the same moments. */
	sync->pause = sync->pause == 0 ? interval : sync->pause * 2 < 5 * interval ? sync->pause * 2 : 5 * interval;
	sync->retry = now + sync->pause / 2 + (uint64_t)random() % (sync->pause / 2 + 1);
}

static void heard(const unsigned char *key, uint32_t total, void *with)
{
	struct sync *sync = with;

	machine_hear(&sync->machine, key, total);
}

static bool exchange(struct sync *sync, char *error)
{
	size_t told = machine_take_changes(&sync->machine);

	if (!fleet_exchange(&sync->fleet, sync->redis, sync->lease_ms, sync->machine.change, told, sync->machine.told, heard,
			    sync, error))
		return false;
	if (sync->verbose && told > 0)
		fprintf(stderr, "connlimit sync: told %zu clients\n", told);
	return true;
}

static bool snapshot(struct sync *sync, char *error)
{
	sync->fleet.missed = false;
	machine_snapshot_begins(&sync->machine);
	if (!fleet_snapshot(&sync->fleet, sync->redis, sync->lease_ms, heard, sync, error))
		return false;
	machine_snapshot_ends(&sync->machine);
	return true;
}

/* Tells `number` buckets, or all if `which` is NULL, in place of what the fleet has in them. */
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

/* Tells those of our buckets that were found not to be as we told them. */
static bool mend(struct sync *sync, char *error)
{
	unsigned wrong = sync->fleet.wrong;

	sync->fleet.wrong = 0;
	return tell_whole(sync, sync->fleet.wrong_bucket, wrong, error);
}

/* What was found otherwise than it should be was put right. Said at once, and then at most every so often. */
static void report_mended(struct sync *sync, uint64_t now)
{
	char number[24];

	if (sync->mended == 0 || !is_due(&sync->say_mended, now, SAY_MENDED_MS))
		return;
	snprintf(number, sizeof(number), "%lu", sync->mended);
	say(sync,
	    "%s counts in Redis were not as they had been told, and were mended: keys were deleted, evicted or written by "
	    "others",
	    number);
	sync->mended = 0;
}

/* Connects, if need be, and joins: all that this node holds is told in place of what it held in an earlier life. Nothing is
 * written into the tables before all of it was told and heard. */
static bool join(struct sync *sync, uint64_t now, char *error)
{
	if (sync->redis == NULL) {
		sync->redis = redis_open(&sync->address, sync->lease_ms, error);
		if (sync->redis == NULL || !fleet_prepare(&sync->fleet, sync->redis, sync->lease_ms, error))
			return false;
	}
	machine_pause(&sync->machine);
	machine_begin(&sync->machine);
	sync->fleet.threshold = sync->machine.threshold;
	if (!fleet_join(&sync->fleet, sync->redis, sync->lease_ms, error) || !tell_whole(sync, NULL, BUCKETS, error) ||
	    !exchange(sync, error))
		return false;
	if (!sync->fleet.joined || !snapshot(sync, error)) {
		if (sync->fleet.joined)
			return false;
		snprintf(error, ERROR, "the fleet forgot this node while it joined");
		return false;
	}
	if (sync->forgotten) {
		say(sync, "the fleet had forgotten this node: it was told everything anew%s", "");
		sync->forgotten = false;
		sync->fleet.mended += sync->fleet.mended == 0;
	} else {
		sync->fleet.mended = 0; /* what another life, or another Redis, had to say */
	}
	sync->snapshot.next = now + SNAPSHOT_MS / 2 + (uint64_t)random() % SNAPSHOT_MS;
	return true;
}

/* One turn with Redis. False with the reason if it does not go along. */
static bool speak(struct sync *sync, uint64_t now, char *error)
{
	uint64_t asked = clock_ms();
	bool joins = !sync->fleet.joined || sync->fleet.threshold != sync->machine.threshold;

	if (joins ? !join(sync, now, error) : !exchange(sync, error))
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
	machine_heard(&sync->machine, asked, sync->lease_ms, sync->fleet.mended, false);
	sync->mended += sync->fleet.mended;
	sync->fleet.mended = 0;
	report_mended(sync, now);
	return true;
}

static void turn(struct sync *sync)
{
	char error[ERROR] = "";
	uint64_t now = clock_us() / 1000;

	machine_look(&sync->machine);
	if (is_due(&sync->remove, now, TABLES_MS))
		table_remove_abandoned();
	if (is_due(&sync->verify, now, VERIFY_MS)) {
		machine_verify(&sync->machine, VERIFY_WORK_MS);
		machine_tidy(&sync->machine);
	}
	if (sync->redis == NULL && now < sync->retry) {
		if (now - sync->heard >= (uint64_t)sync->lease_ms)
			machine_forget(&sync->machine);
		return;
	}
	if (!speak(sync, now, error)) {
		if (stopping)
			return;
		complain(sync, clock_us() / 1000, error);
		return;
	}
	if (!sync->fleet.joined)
		return;
	if (sync->reported)
		say(sync, "the fleet is heard again%s", "");
	else if (sync->heard == 0)
		say(NULL, "in step with the fleet%s", "");
	sync->reported = false;
	sync->pause = 0;
	sync->heard = now;
}

/* Two turns an interval: what happens here waits for our turn, and there for theirs. */
static void rest(const struct sync *sync, uint64_t began)
{
	uint64_t passed = clock_us() / 1000 - began;
	uint64_t turn_ms = (uint64_t)sync->interval_ms / 2;

	if (passed < turn_ms)
		poll(NULL, 0, (int)(turn_ms - passed));
}

static void stop(struct sync *sync)
{
	char error[ERROR];

	machine_leave(&sync->machine);
	if (sync->redis != NULL && sync->fleet.joined)
		fleet_leave(&sync->fleet, sync->redis, sync->lease_ms < LEAVE_MS ? sync->lease_ms : LEAVE_MS, error);
	disconnect(sync);
	if (sync->verbose)
		fprintf(stderr, "connlimit sync: %llu bytes sent, %llu received\n", sync->sent, sync->received);
}

static const char help[] =
    "usage: connlimit sync --redis redis://[USER[:PASSWORD]@]HOST[:PORT][/DATABASE]\n"
    "                      [OPTION]...\n"
    "\n"
    "Joins this machine's tables that have CONNLIMIT_CLUSTER_PER_IP set to a fleet,\n"
    "so that its limit holds over all machines. Runs until SIGTERM or SIGINT.\n"
    "\n"
    "  --redis URL        Redis or Valkey; rediss:// for TLS; a password is better in\n"
    "                     REDISCLI_AUTH or in a file\n"
    "  --redis-file FILE  the URL is the first line of FILE\n"
    "  --ca FILE          certificates to trust for TLS; by default the system's\n"
    "  --cert FILE        certificate to show to the server\n"
    "  --key FILE         its key\n"
    "  --cluster NAME     name of the fleet (default)\n"
    "  --node NAME        name of this machine (its host name)\n"
    "  --table NAME       only this table; may be given more than once\n"
    "  --user USER        tables of this user's daemons as well; may be given more\n"
    "                     than once. Joined anyway are root's and our own\n"
    "  --interval MS      how late others hear of a change at most, 10 to 10000 (100)\n"
    "  --lease MS         how long the others' word is good, and ours to them, at\n"
    "                     least 5 intervals (3000)\n"
    "  --verbose          say what is told\n"
    "\n"
    "Exit status: 0 told to stop; 2 called wrongly\n";

static bool number_option(const char *text, int least, int most, int *number)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (*text < '0' || *text > '9' || *end != '\0' || value < least || value > most)
		return false;
	*number = (int)value;
	return true;
}

static int wrong(const char *option, const char *value, const char *why)
{
	fprintf(stderr, "connlimit sync: %s %s: %s\nTry 'connlimit sync --help'.\n", option, value, why);
	return 2;
}

static bool first_line(const char *path, char *line, int room)
{
	FILE *file = fopen(path, "re");
	bool read;

	if (file == NULL)
		return false;
	errno = ENODATA;
	read = fgets(line, room, file) != NULL;
	fclose(file);
	if (read)
		line[strcspn(line, "\r\n")] = '\0';
	return read;
}

/* What stands between ':' and '@' was seen by whoever ran ps in the meantime; from here on it is not. */
static void hide_password(char *url)
{
	char *from = strstr(url, "://") + 3;
	char *colon = strchr(from, ':');
	char *end = from + strcspn(from, "/");
	char *at = memrchr(from, '@', (size_t)(end - from));

	if (at == NULL || colon == NULL || colon > at)
		return;
	fprintf(stderr,
		"connlimit sync: a password on the command line can be seen by every user; "
		"put it into REDISCLI_AUTH or --redis-file\n");
	memset(colon + 1, '*', (size_t)(at - colon - 1));
}

static bool take_path(char to[1024], const char *path)
{
	return path == NULL || snprintf(to, 1024, "%s", path) < 1024;
}

static bool good_name(const char *name)
{
	size_t length = strlen(name);

	return length >= 1 && length <= 60 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == length;
}

static bool add_user(struct machine *machine, const char *name, const char **why)
{
	const struct passwd *user = getpwnam(name);
	char *end;
	unsigned long number = strtoul(name, &end, 10);

	if (machine->users == USERS_MOST) {
		*why = "is one too many";
		return false;
	}
	if (user == NULL && (*name < '0' || *name > '9' || *end != '\0' || number >= UINT32_MAX)) {
		*why = "is neither a user's name nor a number";
		return false;
	}
	machine->user[machine->users++] = user != NULL ? user->pw_uid : (uid_t)number;
	return true;
}

int command_sync(int argc, char **argv)
{
	static const struct option options[] = {
	    {"redis", required_argument, NULL, 'r'}, {"redis-file", required_argument, NULL, 'f'},
	    {"ca", required_argument, NULL, 'a'},    {"cert", required_argument, NULL, 'C'},
	    {"key", required_argument, NULL, 'K'},   {"cluster", required_argument, NULL, 'c'},
	    {"node", required_argument, NULL, 'n'},  {"table", required_argument, NULL, 't'},
	    {"user", required_argument, NULL, 'u'},  {"interval", required_argument, NULL, 'i'},
	    {"lease", required_argument, NULL, 'l'}, {"verbose", no_argument, NULL, 'v'},
	    {"help", no_argument, NULL, 'h'},	     {0},
	};
	static struct sync sync = {.interval_ms = 100, .lease_ms = 3000};
	struct sigaction action = {.sa_handler = on_stop};
	char from_file[8192];
	char *redis = NULL;
	const char *file = NULL;
	const char *ca = NULL;
	const char *certificate = NULL;
	const char *key = NULL;
	const char *cluster = "default";
	const char *why = NULL;
	char host[65] = "";
	const char *node = host;
	int option;

	gethostname(host, sizeof(host) - 1);
	while ((option = next_option(argc, argv, ":h", options)) != -1) {
		switch (option) {
		case 'r': redis = optarg; break;
		case 'f': file = optarg; break;
		case 'a': ca = optarg; break;
		case 'c': cluster = optarg; break;
		case 'n': node = optarg; break;
		case 'C': certificate = optarg; break;
		case 'K': key = optarg; break;
		case 't':
			if (sync.machine.only_so_many == TABLES_MOST)
				return wrong("--table", optarg, "is one too many");
			sync.machine.only[sync.machine.only_so_many++] = optarg;
			break;
		case 'u':
			if (!add_user(&sync.machine, optarg, &why))
				return wrong("--user", optarg, why);
			break;
		case 'i':
			if (!number_option(optarg, 10, 10000, &sync.interval_ms))
				return wrong("--interval", optarg, "is not a number of milliseconds from 10 to 10000");
			break;
		case 'l':
			if (!number_option(optarg, 50, 3600000, &sync.lease_ms))
				return wrong("--lease", optarg, "is not a number of milliseconds from 50 to 3600000");
			break;
		case 'v': sync.verbose = true; break;
		case 'h': fputs(help, stdout); return output_end();
		default: return STATUS_USAGE;
		}
	}
	if ((redis == NULL) == (file == NULL))
		return usage_error("sync", "either --redis or --redis-file says where Redis is");
	if (!arguments_within(argc, argv, 0, 0))
		return STATUS_USAGE;
	if (file != NULL && !first_line(file, from_file, sizeof(from_file)))
		return wrong("--redis-file", file, strerror(errno));
	if (!redis_address_parse(&sync.address, redis != NULL ? redis : from_file, &why))
		return redis != NULL ? wrong("--redis", "URL", why) : wrong("--redis-file", file, why);
	if (redis != NULL && strchr(redis, '@') != NULL)
		hide_password(redis);
	if ((certificate == NULL) != (key == NULL))
		return wrong(certificate != NULL ? "--cert" : "--key", certificate != NULL ? certificate : key,
			     "--cert and --key belong together");
	if (!sync.address.tls && (ca != NULL || certificate != NULL))
		return wrong(ca != NULL ? "--ca" : "--cert", ca != NULL ? ca : certificate, "is for TLS: rediss://");
	if (!take_path(sync.address.ca, ca) || !take_path(sync.address.certificate, certificate) ||
	    !take_path(sync.address.key, key))
		return wrong("--ca, --cert, --key", "", "the path is too long");
	if (!good_name(cluster))
		return wrong("--cluster", cluster, "is not 1 to 60 letters, digits, '.', '_' or '-'");
	if (!good_name(node))
		return wrong("--node", node, "is not 1 to 60 letters, digits, '.', '_' or '-'");
	if (sync.lease_ms < 5 * sync.interval_ms)
		return wrong("--lease", "", "is shorter than five intervals");
	fleet_init(&sync.fleet, cluster, node, sync.lease_ms, &stopping);
	notify("READY=1\nSTATUS=connecting");
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	srandom((unsigned)(clock_us() ^ (uint64_t)getpid()));
	while (!stopping) {
		uint64_t began = clock_us() / 1000;
		turn(&sync);
		if (!stopping)
			rest(&sync, began);
	}
	notify("STOPPING=1");
	stop(&sync);
	return 0;
}
