#include "command/command.h"
#include "command/fleet/sync.h"

#include <errno.h>
#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "usage: connlimit sync --redis URL [OPTION]...\n"
    "\n"
    "Joins this machine's tables that have CONNLIMIT_CLUSTER_PER_IP set to a fleet,\n"
    "so that this limit applies over all machines. Runs until SIGTERM or SIGINT.\n"
    "\n"
    "  --redis URL        redis://[USER[:PASSWORD]@]HOST[:PORT][,HOST...][/DATABASE]\n"
    "                     Redis or Valkey, standalone, replicated or a cluster; the\n"
    "                     server that takes writes is found. rediss:// uses TLS.\n"
    "                     redis+sentinel://...HOST[:PORT],.../MASTER[/DATABASE] asks\n"
    "                     Sentinel. Better give a password in REDISCLI_AUTH or in a\n"
    "                     file. May be given more than once\n"
    "  --redis-file FILE  FILE with one URL per line, read again on SIGHUP\n"
    "  --ca FILE          certificates to trust for TLS; default: the system's\n"
    "  --cert FILE        client certificate for the server\n"
    "  --key FILE         its key\n"
    "  --cluster NAME     name of the fleet (default)\n"
    "  --node NAME        name of this machine (its host name)\n"
    "  --table NAME       only this table; may be given more than once\n"
    "  --user USER        also join tables of this user's daemons; may be given more\n"
    "                     than once. Root's tables and your own are always joined\n"
    "  --bans             share bans as well: who is banned at one machine is refused\n"
    "                     at all, and who is unbanned at one is unbanned at all\n"
    "  --interval MS      most time until others hear of a change, 10 to 10000 (100)\n"
    "  --lease MS         how long counts remain valid without news, at least 5\n"
    "                     intervals (3000)\n"
    "  --verbose          log what is sent\n"
    "\n"
    "Exit status: 0 stopped by a signal; 2 called wrongly\n";

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

static bool take_path(char to[1024], const char *path)
{
	return path == NULL || snprintf(to, 1024, "%s", path) < 1024;
}

static bool add_url(const struct sync *sync, struct servers *servers, const char *url, const char **why)
{
	struct redis_address *address = &servers->address[servers->number];

	if (servers->number == URLS_MOST) {
		*why = "is one too many";
		return false;
	}
	if (!redis_address_parse(address, url, why))
		return false;
	if (!address->tls && (sync->ca != NULL || sync->certificate != NULL)) {
		*why = "does not use TLS, as --ca and --cert need (rediss://)";
		return false;
	}
	if (!take_path(address->ca, sync->ca) || !take_path(address->certificate, sync->certificate) ||
	    !take_path(address->key, sync->key)) {
		*why = "--ca, --cert or --key is too long";
		return false;
	}
	servers->number++;
	return true;
}

/* Reads a URL per line; empty lines and lines that begin with '#' are skipped. On failure *why is the reason; if it is NULL,
 * errno is. */
static bool read_urls(struct sync *sync, struct servers *servers, const char *path, const char **why)
{
	char line[8192];
	FILE *file = fopen(path, "re");

	*why = NULL;
	servers->number = 0;
	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		line[strcspn(line, "\r\n")] = '\0';
		if (line[0] == '\0' || line[0] == '#')
			continue;
		if (!add_url(sync, servers, line, why)) {
			fclose(file);
			return false;
		}
	}
	if (file == NULL)
		return false;
	fclose(file);
	if (servers->number == 0)
		*why = "contains no URL";
	return servers->number > 0;
}

bool sync_read_again(struct sync *sync)
{
	static struct servers servers; /* too large for the stack */
	const char *why;

	if (sync->redis_file == NULL)
		return false;
	if (!read_urls(sync, &servers, sync->redis_file, &why)) {
		fprintf(stderr, "connlimit sync: --redis-file %s: %s: the previous content stays in use\n", sync->redis_file,
			why != NULL ? why : strerror(errno));
		return false;
	}
	memcpy(sync->servers.address, servers.address, sizeof(servers.address));
	sync->servers.number = servers.number;
	servers_forget(&sync->servers);
	return true;
}

/* Overwrites the passwords in the URL ("user:password@" and "?sentinel="). Whoever ran ps before has seen them, but from now on
 * they are hidden. */
static void hide_password(char *url)
{
	char *from = strstr(url, "://") + 3;
	char *colon = strchr(from, ':');
	char *end = from + strcspn(from, "/");
	char *at = memrchr(from, '@', (size_t)(end - from));

	char *sentinel = strchr(end, '?');
	bool shown = at != NULL && colon != NULL && colon < at;

	if (!shown && sentinel == NULL)
		return;
	fprintf(stderr,
		"connlimit sync: a password on the command line can be seen by every user; "
		"put it into REDISCLI_AUTH or --redis-file\n");
	if (shown)
		memset(colon + 1, '*', (size_t)(at - colon - 1));
	if (sentinel != NULL)
		memset(sentinel + 1, '*', strlen(sentinel + 1));
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

int sync_arguments(struct sync *sync, int argc, char **argv)
{
	static const struct option options[] = {
	    {"redis", required_argument, NULL, 'r'},
	    {"redis-file", required_argument, NULL, 'f'},
	    {"ca", required_argument, NULL, 'a'},
	    {"cert", required_argument, NULL, 'C'},
	    {"key", required_argument, NULL, 'K'},
	    {"cluster", required_argument, NULL, 'c'},
	    {"node", required_argument, NULL, 'n'},
	    {"table", required_argument, NULL, 't'},
	    {"user", required_argument, NULL, 'u'},
	    {"interval", required_argument, NULL, 'i'},
	    {"lease", required_argument, NULL, 'l'},
	    {"bans", no_argument, NULL, 'b'},
	    {"verbose", no_argument, NULL, 'v'},
	    {"help", no_argument, NULL, 'h'},
	    {0},
	};
	static char host[65];
	char *url[URLS_MOST];
	int urls = 0;
	const char *why = NULL;
	int option;

	gethostname(host, sizeof(host) - 1);
	sync->node = host;
	while ((option = next_option(argc, argv, ":h", options)) != -1) {
		switch (option) {
		case 'r':
			if (urls == URLS_MOST)
				return wrong("--redis", "URL", "is one too many");
			url[urls++] = optarg;
			break;
		case 'f': sync->redis_file = optarg; break;
		case 'a': sync->ca = optarg; break;
		case 'c': sync->cluster = optarg; break;
		case 'n': sync->node = optarg; break;
		case 'C': sync->certificate = optarg; break;
		case 'K': sync->key = optarg; break;
		case 't':
			if (sync->machine.only_so_many == TABLES_MOST)
				return wrong("--table", optarg, "is one too many");
			sync->machine.only[sync->machine.only_so_many++] = optarg;
			break;
		case 'u':
			if (!add_user(&sync->machine, optarg, &why))
				return wrong("--user", optarg, why);
			break;
		case 'i':
			if (!number_option(optarg, 10, 10000, &sync->interval_ms))
				return wrong("--interval", optarg, "is not a number of milliseconds from 10 to 10000");
			break;
		case 'l':
			if (!number_option(optarg, 50, 3600000, &sync->lease_ms))
				return wrong("--lease", optarg, "is not a number of milliseconds from 50 to 3600000");
			break;
		case 'b': sync->machine.bans.shared = true; break;
		case 'v': sync->verbose = true; break;
		case 'h': fputs(help, stdout); return output_end();
		default: return STATUS_USAGE;
		}
	}
	if ((urls == 0) == (sync->redis_file == NULL))
		return usage_error("sync", "either --redis or --redis-file is required");
	if (!arguments_within(argc, argv, 0, 0))
		return STATUS_USAGE;
	if ((sync->certificate == NULL) != (sync->key == NULL))
		return wrong(sync->certificate != NULL ? "--cert" : "--key",
			     sync->certificate != NULL ? sync->certificate : sync->key,
			     "--cert and --key have to be given together");
	if (sync->redis_file != NULL && !read_urls(sync, &sync->servers, sync->redis_file, &why))
		return wrong("--redis-file", sync->redis_file, why != NULL ? why : strerror(errno));
	for (int i = 0; i < urls; i++) {
		if (!add_url(sync, &sync->servers, url[i], &why))
			return wrong("--redis", "URL", why);
		hide_password(url[i]);
	}
	if (!good_name(sync->cluster))
		return wrong("--cluster", sync->cluster, "is not 1 to 60 letters, digits, '.', '_' or '-'");
	if (!good_name(sync->node))
		return wrong("--node", sync->node, "is not 1 to 60 letters, digits, '.', '_' or '-'");
	if (sync->lease_ms < 5 * sync->interval_ms)
		return wrong("--lease", "", "is shorter than five intervals");
	return -1;
}
