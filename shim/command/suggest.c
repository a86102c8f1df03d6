/* connlimit suggest: from the most connections that each client, and each network, was seen to hold at once, which limit would
 * have refused whom. */
#include "command/command.h"
#include "command/tables.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct peaks {
	uint32_t *peak;
	size_t clients;
	size_t room;
	size_t by_rule; /* clients that are left out because a rule applies to them */
	size_t cut_off; /* clients that were refused, so may have wanted more than their peak */
};

static bool add_peak(struct peaks *peaks, uint32_t peak)
{
	if (peaks->clients == peaks->room) {
		size_t room = peaks->room != 0 ? peaks->room * 2 : 256;
		uint32_t *larger = realloc(peaks->peak, room * sizeof(*larger));

		if (larger == NULL)
			return false;
		peaks->peak = larger;
		peaks->room = room;
	}
	peaks->peak[peaks->clients++] = peak;
	return true;
}

static int by_number(const void *left, const void *right)
{
	uint32_t a = *(const uint32_t *)left;
	uint32_t b = *(const uint32_t *)right;

	return a < b ? -1 : a > b ? 1 : 0;
}

static bool gather(const struct table_view *view, bool networks, struct peaks *peaks)
{
	const struct settings *settings = &view->settings;
	const struct limits limits = {.ipv4_prefix = settings->ipv4_prefix,
				      .ipv6_prefix = settings->ipv6_prefix,
				      .network_ipv4_prefix = settings->network_ipv4_prefix,
				      .network_ipv6_prefix = settings->network_ipv6_prefix};
	size_t number;
	const struct client_view *client = view_clients(view, networks, &number);

	for (size_t i = 0; i < number; i++) {
		const struct client_facts *facts = &client[i].facts;

		if (facts->peak == 0 || facts->network.prefix == NETWORK_UID)
			continue;
		/* Of a network that was one client, or network, before the prefixes were changed. */
		struct network now = networks ? limits_network(&limits, &facts->network.address)
					      : limits_client(&limits, &facts->network.address);
		if (now.prefix != facts->network.prefix)
			continue;
		if (facts->by_rule) {
			peaks->by_rule++;
			continue;
		}
		if (facts->refused != 0)
			peaks->cut_off++;
		if (!add_peak(peaks, facts->peak))
			return false;
	}
	if (peaks->clients > 0)
		qsort(peaks->peak, peaks->clients, sizeof(*peaks->peak), by_number);
	return true;
}

static size_t clients_over(const struct peaks *peaks, uint32_t limit)
{
	size_t low = 0;
	size_t high = peaks->clients;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (peaks->peak[middle] <= limit)
			low = middle + 1;
		else
			high = middle;
	}
	return peaks->clients - low;
}

/* Prints the lowest limits that would refuse at most so many of a thousand clients. */
static void print_limits(const struct peaks *peaks, bool networks)
{
	static const unsigned of_thousand[] = {0, 1, 10, 50, 100, 250};
	uint32_t last = 0;

	printf("  %8s  %s THAT IT WOULD HAVE REFUSED\n", "LIMIT", networks ? "NETWORKS" : "CLIENTS");
	for (size_t i = 0; i < sizeof(of_thousand) / sizeof(of_thousand[0]); i++) {
		size_t allowed = peaks->clients * of_thousand[i] / 1000;
		uint32_t limit = peaks->peak[peaks->clients - 1 - allowed];
		size_t over = clients_over(peaks, limit);

		if (limit == last)
			continue;
		last = limit;
		if (over == 0)
			printf("  %8" PRIu32 "  none\n", limit);
		else
			printf("  %8" PRIu32 "  %zu (%.*f %%)\n", limit, over, of_thousand[i] < 10 ? 2 : 1,
			       100.0 * (double)over / (double)peaks->clients);
	}
}

/* Prints the number of clients by peak, in powers of two. */
static void print_histogram(const struct peaks *peaks, bool networks)
{
	enum { WIDTH = 50 };
	size_t in_step[33] = {0};
	size_t most = 1;
	int last = 0;

	for (size_t i = 0; i < peaks->clients; i++) {
		int step = 31 - __builtin_clz(peaks->peak[i]);
		in_step[step]++;
		if (in_step[step] > most)
			most = in_step[step];
		if (step > last)
			last = step;
	}
	printf("\n  %15s  %8s\n", "PEAK", networks ? "NETWORKS" : "CLIENTS");
	for (int step = 0; step <= last; step++) {
		char range[32];
		char bar[WIDTH + 1];
		size_t length = (in_step[step] * WIDTH + most - 1) / most;

		if (step == 0)
			snprintf(range, sizeof(range), "1");
		else
			snprintf(range, sizeof(range), "%" PRIu32 "-%" PRIu64, UINT32_C(1) << step, (UINT64_C(2) << step) - 1);
		memset(bar, '#', length);
		bar[length] = '\0';
		printf("  %15s  %8zu%s%s\n", range, in_step[step], length > 0 ? "  " : "", bar);
	}
}

/* For CONNLIMIT_PER_IP, or for CONNLIMIT_PER_NETWORK. */
static void print_peaks(const struct table_view *view, bool networks)
{
	struct peaks peaks = {0};

	if (!gather(view, networks, &peaks)) {
		printf("  out of memory\n");
	} else if (peaks.clients == 0) {
		printf("  no %s has connected yet\n", networks ? "network" : "client");
	} else {
		printf("  %zu %s%s seen\n\n", peaks.clients, networks ? "network" : "client", peaks.clients == 1 ? "" : "s");
		print_limits(&peaks, networks);
		print_histogram(&peaks, networks);
	}
	if (peaks.cut_off > 0)
		printf(
		    "\n  %zu of them %s refused connections, so %s peak may be too low: use CONNLIMIT_MODE=observe to find "
		    "out\n",
		    peaks.cut_off, peaks.cut_off == 1 ? "was" : "were", peaks.cut_off == 1 ? "its" : "their");
	if (peaks.by_rule > 0)
		printf("\n  %zu more %s a limit by rule and %s left out\n", peaks.by_rule, peaks.by_rule == 1 ? "has" : "have",
		       peaks.by_rule == 1 ? "is" : "are");
	free(peaks.peak);
}

static void print_table(const struct table_view *view)
{
	printf("table %s\n", view->name);
	print_peaks(view, false);
	if (settings_count_networks(&view->settings)) {
		printf("\n");
		print_peaks(view, true);
	}
}

static const char help[] =
    "usage: connlimit suggest [TABLE | PID]\n"
    "\n"
    "Says which limit would have refused no client, which one client in a hundred,\n"
    "and so on. It uses the peak of each client: the most connections that it had\n"
    "open at once. If networks are counted as well, it says the same of them. Run\n"
    "the daemon with CONNLIMIT_MODE=observe for some time first.\n"
    "\n"
    "Exit status: 0 done; 1 no such table, or it cannot be done; 2 called wrongly;\n"
    "77 no such table among those that this user may read\n";

int command_suggest(int argc, char **argv)
{
	static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {0}};
	struct tables tables;
	int option;

	while ((option = next_option(argc, argv, ":h", options)) != -1) {
		if (option != 'h')
			return STATUS_USAGE;
		fputs(help, stdout);
		return output_end();
	}
	if (!arguments_within(argc, argv, 0, 1))
		return STATUS_USAGE;
	const char *which = optind < argc ? argv[optind] : NULL;
	if (!tables_read(&tables, &(struct wanted){.which = which, .clients = true}))
		return STATUS_FAILED;
	int status = tables_say_unread(&tables, which);
	for (int i = 0; i < tables.number; i++) {
		if (i > 0)
			putchar('\n');
		print_table(&tables.view[i]);
	}
	if (tables.number == 0 && which != NULL)
		status = tables_none(which);
	else if (tables.number == 0)
		printf("no daemon%s runs under connlimit\n", tables.hidden > 0 ? " of yours" : "");
	tables_free(&tables);
	int ended = output_end();
	return status != STATUS_DONE ? status : ended;
}
