/* connlimit metrics: OpenMetrics text (specification 1.0) on standard output, in a file, or on a loopback port. */
#include "command/command.h"
#include "command/tables.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <microhttpd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct family {
	const char *name;
	const char *type;
	const char *unit;
	const char *help;
	bool (*value)(const struct table_view *view, double *value);
};

#define VALUE(name, available, expression)                                                                                     \
	static bool name(const struct table_view *view, double *value)                                                         \
	{                                                                                                                      \
		*value = (double)(expression);                                                                                 \
		return available;                                                                                              \
	}
VALUE(open_now, true, view->open)
VALUE(most_of_one, true, view->clients > 0 ? view->client[0].facts.open : 0)
VALUE(clients_now, true, view->clients)
VALUE(at_limit, true, view->at_limit)
VALUE(banned, true, view->banned)
VALUE(bans, true, view->bans)
VALUE(networks_now, settings_count_networks(&view->settings), view->networks)
VALUE(networks_at_limit, settings_count_networks(&view->settings), view->networks_at_limit)
VALUE(most_of_network, settings_count_networks(&view->settings), view->networks > 0 ? view->within[0].facts.open : 0)
VALUE(limit_of_network, view->settings.per_network != LIMIT_NONE, view->settings.per_network)
VALUE(capacity, true, view->capacity)
VALUE(processes, true, view->place.processes)
VALUE(uptime, true, view->uptime)
VALUE(limit, view->settings.per_ip != LIMIT_NONE, view->settings.per_ip)
VALUE(limit_total, view->settings.total != LIMIT_NONE, view->settings.total)
VALUE(enforced, true, view->settings.mode == MODE_ENFORCE)
VALUE(refused, true, view->refused)
VALUE(observed, true, view->observed)
VALUE(uncounted, true, view->uncounted)
VALUE(unverified, true, view->unverified)
VALUE(unnamed, view->settings.balancers > 0 || view->unnamed > 0, view->unnamed)
VALUE(checks, true, view->checks)
VALUE(check_seconds, true, view->check_us / 1e6)
VALUE(check_gone, true, view->check_gone)
VALUE(repaired, true, view->repaired)
VALUE(in_kernel, view->covered >= 0, view->in_kernel)
VALUE(covered, view->covered >= 0, view->in_kernel > 0 ? (double)view->covered / (double)view->in_kernel : 1)
VALUE(failed, true, view->failed >= 0)
VALUE(published, view->published >= 0, view->published)
VALUE(publications, true, view->publications)
VALUE(compared, true, view->compared == COMPARED)
VALUE(fleet, view->settings.cluster_per_ip != LIMIT_NONE, view->fleet_current)
VALUE(fleet_age, view->settings.cluster_per_ip != LIMIT_NONE && view->heard >= 0, view->heard)
VALUE(fleet_limit, view->settings.cluster_per_ip != LIMIT_NONE, view->settings.cluster_per_ip)
VALUE(fleet_mended, view->settings.cluster_per_ip != LIMIT_NONE, view->fleet_mended)
VALUE(fleet_remote, view->settings.cluster_per_ip != LIMIT_NONE, view->remote)

static const struct family families[] = {
    {"connlimit_connections", "gauge", NULL, "Connections that are open and counted.", open_now},
    {"connlimit_client_connections_most", "gauge", NULL, "Connections of the client that holds the most.", most_of_one},
    {"connlimit_clients", "gauge", NULL, "Clients that hold connections or were refused.", clients_now},
    {"connlimit_clients_at_limit", "gauge", NULL, "Clients that have reached their limit.", at_limit},
    {"connlimit_clients_banned", "gauge", NULL, "Clients that are banned.", banned},
    {"connlimit_networks", "gauge", NULL, "Networks whose clients hold connections or were refused; absent if not counted.",
     networks_now},
    {"connlimit_networks_at_limit", "gauge", NULL, "Networks that have reached their limit.", networks_at_limit},
    {"connlimit_network_connections_most", "gauge", NULL, "Connections of the network that holds the most.", most_of_network},
    {"connlimit_capacity", "gauge", NULL, "Connections that can be tracked.", capacity},
    {"connlimit_processes", "gauge", NULL, "Processes that share the table.", processes},
    {"connlimit_uptime_seconds", "gauge", "seconds", "Time since the table was made.", uptime},
    {"connlimit_limit_per_client", "gauge", NULL, "The limit for each client; absent if there is none.", limit},
    {"connlimit_limit_per_network", "gauge", NULL, "The limit for each network; absent if there is none.", limit_of_network},
    {"connlimit_limit_all_clients", "gauge", NULL, "The limit for all clients together; absent if there is none.", limit_total},
    {"connlimit_enforced", "gauge", NULL, "1 in mode enforce, 0 in observe and off.", enforced},
    {"connlimit_kernel_connections", "gauge", NULL, "Connections that the kernel has to this daemon's listeners.", in_kernel},
    {"connlimit_coverage_ratio", "gauge", "ratio", "Of the connections that the kernel has, the share that is counted.",
     covered},
    {"connlimit_reload_failed", "gauge", NULL, "1 if the last reload failed and the old limits stand.", failed},
    {"connlimit_limits_age_seconds", "gauge", "seconds", "Time since limits were last put in force.", published},
    {"connlimit_compared", "gauge", NULL, "1 if these counts were compared with the kernel.", compared},
    {"connlimit_fleet_heard", "gauge", NULL, "1 if other machines' counts are current; absent without a fleet limit.", fleet},
    {"connlimit_fleet_heard_age_seconds", "gauge", "seconds", "Time since the fleet was heard.", fleet_age},
    {"connlimit_fleet_limit_per_client", "gauge", NULL, "The limit for each client over all machines.", fleet_limit},
    {"connlimit_fleet_connections", "gauge", NULL, "Connections that other machines hold of clients known here.", fleet_remote},
    {"connlimit_refused", "counter", NULL, "Connections refused.", refused},
    {"connlimit_bans", "counter", NULL, "Bans that have begun.", bans},
    {"connlimit_observed", "counter", NULL, "Connections that would have been refused, in mode observe.", observed},
    {"connlimit_uncounted", "counter", NULL, "Connections admitted without being counted.", uncounted},
    {"connlimit_unverified", "counter", NULL, "Refusals that could not be verified with the kernel.", unverified},
    {"connlimit_no_proxy_header", "counter", NULL,
     "Connections of balancers whose PROXY header was missing, malformed or late; absent without balancers.", unnamed},
    {"connlimit_checks", "counter", NULL, "Times that the kernel was asked before a refusal.", checks},
    {"connlimit_check_seconds", "counter", "seconds", "Time spent asking.", check_seconds},
    {"connlimit_check_dropped", "counter", NULL, "Connections that these checks found gone.", check_gone},
    {"connlimit_repaired", "counter", NULL, "Counts that were corrected.", repaired},
    {"connlimit_fleet_mended", "counter", NULL, "Counts in Redis that differed from what was sent, and were corrected.",
     fleet_mended},
    {"connlimit_publications", "counter", NULL, "Times that limits were put in force, the start included.", publications},
};

static void print_label(FILE *to, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', to);
		fputc(*text, to);
	}
}

static void print_labels(FILE *to, const struct table_view *view)
{
	char owner[USER_TEXT];

	fputs("{table=\"", to);
	print_label(to, view->name);
	fputs("\",daemon=\"", to);
	print_label(to, view->program);
	fputs("\"", to);
	/* The name and program in the table are not necessarily unique. */
	if (view->twin) {
		user_text(owner, view->place.owner);
		fputs(",user=\"", to);
		print_label(to, owner);
		/* Each IPC namespace numbers its segments from 0. */
		fprintf(to, "\",memory=\"%d-", (int)view->place.memory);
		if (view->place.memory == MEMORY_ELSEWHERE)
			fprintf(to, "%" PRIu64 "-", view->place.mapping->ipc);
		fprintf(to, "%" PRIu64 "\"", view->place.id);
	}
}

static void print_head(FILE *to, const char *name, const char *type, const char *unit, const char *help)
{
	fprintf(to, "# TYPE %s %s\n", name, type);
	if (unit != NULL)
		fprintf(to, "# UNIT %s %s\n", name, unit);
	fprintf(to, "# HELP %s %s\n", name, help);
}

/* Prints one line for each value of a label. */
static void print_word(FILE *to, const char *name, const struct table_view *view, const char *label, const char *word,
		       uint64_t value)
{
	fputs(name, to);
	print_labels(to, view);
	fprintf(to, ",%s=\"%s\"} %" PRIu64 "\n", label, word, value);
}

static void print_reasons(FILE *to, const struct table_view *views, int number)
{
	print_head(to, "connlimit_refusals", "counter", NULL,
		   "Connections refused, or in mode observe those that would have been, by reason.");
	for (int i = 0; i < number; i++)
		for (unsigned reason = REFUSED_NOT + 1; reason < REASONS; reason++)
			print_word(to, "connlimit_refusals_total", &views[i], "reason", refusal_reason_word(reason),
				   views[i].refused_for[reason]);
}

static void print_ways(FILE *to, const struct table_view *views, int number)
{
	print_head(to, "connlimit_kernel_questions", "counter", NULL, "Questions to the kernel, by the way they were asked.");
	for (int i = 0; i < number; i++)
		for (unsigned way = KERNEL_SOCK_DIAG; way < ASKED_WAYS; way++)
			print_word(to, "connlimit_kernel_questions_total", &views[i], "way", view_way(way),
				   views[i].asked[way]);
}

static void print_degraded(FILE *to, const struct table_view *views, int number)
{
	print_head(to, "connlimit_degraded", "gauge", NULL, "1 for what does not work as it should; connlimit(1) names them.");
	for (int i = 0; i < number; i++)
		for (enum degraded what = 0; what < DEGRADEDS; what++)
			print_word(to, "connlimit_degraded", &views[i], "what", view_degraded_name(what),
				   view_degraded(&views[i], what) ? 1 : 0);
}

/* Prints the number of tables that are not shown. */
static void print_untold(FILE *to, const struct tables *tables)
{
	print_head(to, "connlimit_tables_not_shown", "gauge", NULL, "Tables of other users, which this one may not read.");
	fprintf(to, "connlimit_tables_not_shown %u\n", tables->hidden);
	print_head(to, "connlimit_tables_not_readable", "gauge", NULL, "Tables that could not be read.");
	fprintf(to, "connlimit_tables_not_readable %zu\n", tables->unreads);
}

static void print_metrics(FILE *to, const struct tables *tables)
{
	const struct table_view *views = tables->view;
	int number = tables->number;

	for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
		const struct family *family = &families[f];

		print_head(to, family->name, family->type, family->unit, family->help);
		for (int i = 0; i < number; i++) {
			double value;
			if (!family->value(&views[i], &value))
				continue;
			fprintf(to, "%s%s", family->name, strcmp(family->type, "counter") == 0 ? "_total" : "");
			print_labels(to, &views[i]);
			fprintf(to, "} %.15g\n", value);
		}
	}
	print_reasons(to, views, number);
	print_ways(to, views, number);
	print_degraded(to, views, number);
	print_untold(to, tables);
	fputs("# EOF\n", to);
}

/* Also finds out whether there are only tables that this user may not read. */
static char *metrics_text(size_t *length, bool *nothing_else)
{
	struct tables tables;
	char *text = NULL;

	if (!views_gather(&tables, NULL))
		return NULL;
	FILE *to = open_memstream(&text, length);
	if (to != NULL) {
		print_metrics(to, &tables);
		fclose(to);
	}
	*nothing_else = tables.number == 0 && tables.hidden > 0;
	tables_free(&tables);
	return text;
}

/* ---- to a file: completely or not at all, as node_exporter's textfile collector requires ---- */

static int cannot_write(const char *path, const char *what)
{
	fprintf(stderr, "connlimit: %s: %s: %s\n", path, what, strerror(errno));
	return errno == EACCES || errno == EPERM ? STATUS_NOT_PERMITTED : STATUS_FAILED;
}

/* The temporary file is in the same directory, because rename(2) works only within a file system, and has a name that the
 * collector ignores (it reads *.prom). */
static int write_file(const char *path)
{
	char temporary[PATH_MAX];
	size_t length;
	bool hidden;

	if (snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >= (int)sizeof(temporary)) {
		errno = ENAMETOOLONG;
		return cannot_write("--output", "cannot be written");
	}
	char *text = metrics_text(&length, &hidden);
	if (text == NULL)
		return STATUS_FAILED;
	int descriptor = mkstemp(temporary);
	if (descriptor < 0) {
		free(text);
		return cannot_write(path, "cannot create a file next to it");
	}
	/* mkstemp allows only the owner, but the collector runs as another user. The umask is still respected. */
	mode_t mask = umask(0);
	umask(mask);
	bool written = fchmod(descriptor, 0644 & ~mask) == 0 && write(descriptor, text, length) == (ssize_t)length;
	free(text);
	if (close(descriptor) == 0 && written && rename(temporary, path) == 0)
		return hidden ? STATUS_NOT_PERMITTED : STATUS_DONE;
	int status = cannot_write(path, "cannot be written");
	unlink(temporary);
	return status;
}

/* ---- on a port ---- */

static volatile sig_atomic_t stopping;

static void on_stop(int signal)
{
	(void)signal;
	stopping = 1;
}

static enum MHD_Result answer(void *with, struct MHD_Connection *connection, const char *url, const char *method,
			      const char *version, const char *data, size_t *data_size, void **state)
{
	static const char elsewhere[] = "see /metrics\n";
	struct MHD_Response *response = NULL;
	size_t length = 0;
	bool hidden;
	unsigned status = MHD_HTTP_OK;

	(void)with, (void)version, (void)data, (void)data_size, (void)state;
	bool allowed = strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
	bool here = strcmp(url, "/metrics") == 0;
	char *text = allowed && here ? metrics_text(&length, &hidden) : NULL;
	if (text != NULL) {
		response = MHD_create_response_from_buffer(length, text, MHD_RESPMEM_MUST_FREE);
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
					"application/openmetrics-text; version=1.0.0; charset=utf-8");
	} else {
		status = !allowed ? MHD_HTTP_METHOD_NOT_ALLOWED : !here ? MHD_HTTP_NOT_FOUND : MHD_HTTP_INTERNAL_SERVER_ERROR;
		response = MHD_create_response_from_buffer(sizeof(elsewhere) - 1, (void *)(uintptr_t)elsewhere,
							   MHD_RESPMEM_PERSISTENT);
		if (!allowed)
			MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	}
	enum MHD_Result queued = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return queued;
}

/* A listener on the loopback address, or -1 with errno. */
static int listen_on(unsigned port)
{
	struct sockaddr_in address = {
	    .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int reuse = 1;

	if (listener < 0)
		return -1;
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(listener, SOMAXCONN) == 0)
		return listener;
	int error = errno;
	close(listener);
	errno = error;
	return -1;
}

static int serve(unsigned port)
{
	struct sigaction action = {.sa_handler = on_stop};
	sigset_t none;
	sigset_t both;

	sigemptyset(&both);
	sigaddset(&both, SIGTERM);
	sigaddset(&both, SIGINT);
	sigprocmask(SIG_BLOCK, &both, &none);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	/* Opened here, because microhttpd does not report why it could not open one. */
	int listener = listen_on(port);
	if (listener < 0) {
		int error = errno;
		fprintf(stderr, "connlimit: cannot listen on 127.0.0.1 port %u: %s\n", port, strerror(error));
		return error == EACCES ? STATUS_NOT_PERMITTED : STATUS_FAILED;
	}
	struct MHD_Daemon *daemon =
	    MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, answer, NULL, MHD_OPTION_LISTEN_SOCKET, listener,
			     MHD_OPTION_CONNECTION_LIMIT, 16U, MHD_OPTION_CONNECTION_TIMEOUT, 10U, MHD_OPTION_END);
	if (daemon == NULL) {
		fprintf(stderr, "connlimit: cannot serve on 127.0.0.1 port %u\n", port);
		return STATUS_FAILED;
	}
	while (!stopping)
		sigsuspend(&none);
	MHD_stop_daemon(daemon);
	return 0;
}

static const char help[] =
    "usage: connlimit metrics [--output FILE | --listen PORT]\n"
    "\n"
    "Writes metrics of every table that this user may read, as OpenMetrics text for\n"
    "Prometheus. By default they go to standard output.\n"
    "\n"
    "  --output FILE  replace FILE atomically, for node_exporter's textfile\n"
    "                 collector; run it by a timer\n"
    "  --listen PORT  serve http://127.0.0.1:PORT/metrics, until SIGTERM or SIGINT\n"
    "\n"
    "Exit status: 0 done; 1 it cannot be done: the file cannot be written, the port\n"
    "is taken; 2 called wrongly; 77 not permitted\n";

int command_metrics(int argc, char **argv)
{
	static const struct option options[] = {{"listen", required_argument, NULL, 'l'},
						{"output", required_argument, NULL, 'o'},
						{"help", no_argument, NULL, 'h'},
						{0}};
	const char *output = NULL;
	long port = 0;
	int option;

	while ((option = next_option(argc, argv, ":h", options)) != -1) {
		switch (option) {
		case 'l':
			if (!number_argument(optarg, 1, 65535, &port))
				return usage_error("metrics", "--listen: '%s' is not a port from 1 to 65535", optarg);
			break;
		case 'o': output = optarg; break;
		case 'h': fputs(help, stdout); return output_end();
		default: return STATUS_USAGE;
		}
	}
	if (!arguments_within(argc, argv, 0, 0))
		return STATUS_USAGE;
	if (output != NULL && port != 0)
		return usage_error("metrics", "--output and --listen exclude each other");
	if (port != 0)
		return serve((unsigned)port);
	if (output != NULL)
		return write_file(output);
	size_t length;
	bool hidden;
	char *text = metrics_text(&length, &hidden);
	if (text == NULL)
		return STATUS_FAILED;
	fwrite(text, 1, length, stdout);
	free(text);
	int ended = output_end();
	return hidden ? STATUS_NOT_PERMITTED : ended;
}
