/* libFuzzer: a list of networks, as a file. What is accepted is sorted, each network once and whole, and found in the index
 * that is made of it. */
#include "settings/lists.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static struct settings settings;
static struct rules_index listed;
static struct rules_index index_of_all;
static char buffer[LISTS_ROOM];

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void look_at_listed(void)
{
	rules_build(&index_of_all, settings.rule, 0, &listed, 1);
	if (index_of_all.networks != listed.networks)
		abort();
	for (uint32_t i = 0; i < listed.networks; i++) {
		const struct rules_network *network = &listed.network[i];
		struct address whole = address_masked(network->address, network->prefix);
		struct rule found;

		if (memcmp(&whole, &network->address, sizeof(whole)) != 0 || network->list != 1)
			abort();
		if (i > 0 && rules_order(network - 1, network) >= 0)
			abort();
		if (rules_find(&index_of_all, &settings, 0, 1, &whole, 80, &found) != FOUND_LIST ||
		    found.network.prefix < network->prefix)
			if (network->prefix >= 96 || !address_is_ipv4(&whole)) /* such are in no IPv6 network */
				abort();
	}
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	static int file = -1;
	struct settings_error error;

	if (file < 0) {
		file = memfd_create("list", 0);
		fchmod(file, 0600);
		settings_default(&settings);
		settings.lists = 1;
		snprintf(settings.list[0].path, sizeof(settings.list[0].path), "/proc/self/fd/%d", file);
	}
	if (ftruncate(file, 0) != 0 || pwrite(file, data, size, 0) != (ssize_t)size)
		abort();
	if (lists_read(&settings, &listed, buffer, &error))
		look_at_listed();
	else if (strnlen(error.text, sizeof(error.text)) == sizeof(error.text) || error.text[0] == '\0')
		abort();
	return 0;
}
