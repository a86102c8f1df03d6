/* connlimit check --rules FILE: whether a file of limits and its lists are valid, and what applies to an address. */
#include "command/check.h"

#include "command/command.h"

#include "settings/lists.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static struct settings settings;
static struct settings work;
static struct rules_index listed;
static struct rules_index index_of_all;
static char file_text[SETTINGS_FILE_ROOM];

static bool read_all(const char *path, struct settings_error *error)
{
	char whole[PATH_MAX];

	settings_default(&settings);
	if (!settings_from_file(&settings, &work, file_text, path, error))
		return false;
	/* Relative paths of lists start at its directory. */
	if (realpath(path, whole) != NULL && strlen(whole) <= PATH_MOST)
		memcpy(settings.file, whole, strlen(whole) + 1);
	return lists_read(&settings, &listed, file_text, error);
}

static void tell_all(const char *path)
{
	printf("%s: valid; rules: %u, lists: %u\n", path, (unsigned)settings.rules, (unsigned)settings.lists);
	for (uint32_t i = 0; i < settings.lists; i++) {
		uint32_t networks = 0;

		for (uint32_t n = 0; n < listed.networks; n++)
			networks += listed.network[n].list == i + 1;
		printf("  @%s: networks: %u\n", settings.list[i].path, (unsigned)networks);
	}
}

/* Prints one rule or setting as it is written in a file. */
static void print_limit(struct settings *alone, enum setting_id id)
{
	char text[128];

	settings_format(text, sizeof(text), alone, id);
	fputs(text, stdout);
}

static void tell_one(const struct address *address, uint32_t port)
{
	char shown[NETWORK_TEXT];
	struct rule found;
	unsigned which = rules_find(&index_of_all, &settings, settings.rules, settings.lists, address, (uint16_t)port, &found);

	address_format(shown, address);
	printf("%s at ", shown);
	if (port != 0)
		printf("port %u: ", (unsigned)port);
	else
		printf("ports that no rule names: ");
	settings_default(&work);
	work.per_network = settings.per_network;
	if (which == FOUND_NONE) {
		work.per_ip = settings.per_ip;
		work.rate = settings.rate;
		printf("no rule applies: CONNLIMIT_PER_IP=");
		print_limit(&work, SETTING_PER_IP);
		printf(", CONNLIMIT_RATE=");
		print_limit(&work, SETTING_RATE);
		if (work.per_network != LIMIT_NONE) {
			printf(", CONNLIMIT_PER_NETWORK=");
			print_limit(&work, SETTING_PER_NETWORK);
		}
		printf("\n");
		return;
	}
	work.rules = 1;
	work.rule[0] = found;
	print_limit(&work, SETTING_RULES);
	if (which >= FOUND_LIST)
		printf(", from the list @%s", settings.list[which - FOUND_LIST].path);
	else
		printf(", a rule in CONNLIMIT_RULES");
	if (found.rate.burst == 0 && settings.rate.every_us != 0 && found.limit != LIMIT_DENY) {
		work.rate = settings.rate;
		printf("; CONNLIMIT_RATE=");
		print_limit(&work, SETTING_RATE);
	}
	if (found.per_network == 0 && work.per_network != LIMIT_NONE && found.limit != LIMIT_DENY &&
	    found.limit != LIMIT_NONE) {
		printf("; CONNLIMIT_PER_NETWORK=");
		print_limit(&work, SETTING_PER_NETWORK);
	}
	printf("\n");
}

int check_rules(int argc, char **argv, const char *path)
{
	struct settings_error error;
	struct network network = {.prefix = 0};
	const char *problem;
	size_t position;
	long port = 0;

	if (!arguments_within(argc, argv, 0, 2))
		return STATUS_USAGE;
	const char *address = optind < argc ? argv[optind] : NULL;
	if (address != NULL &&
	    (strchr(address, '/') != NULL || !network_parse(&network, address, strlen(address), &problem, &position)))
		return usage_error(argv[0], "'%s' is not an address; allowed: 192.0.2.1 or 2001:db8::1", address);
	if (argc - optind == 2 && !number_argument(argv[optind + 1], 1, 65535, &port))
		return usage_error(argv[0], "'%s' is not a port from 1 to 65535", argv[optind + 1]);
	if (!read_all(path, &error)) {
		fprintf(stderr, "connlimit: %s\n", error.text);
		return STATUS_CONFIG;
	}
	rules_build(&index_of_all, settings.rule, settings.rules, &listed, settings.lists);
	if (address == NULL)
		tell_all(path);
	else
		tell_one(&network.address, (uint32_t)port);
	return output_end();
}
