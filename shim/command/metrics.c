/* connlimit metrics: OpenMetrics text (the OpenMetrics specification 1.0), on standard output, into a file, or on a loopback
 * port. */
#include "command.h"
#include "view.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
VALUE(clients_now, true, view->clients)
VALUE(capacity, true, view->capacity)
VALUE(processes, true, view->processes)
VALUE(uptime, true, view->uptime)
VALUE(limit, view->settings.per_ip != LIMIT_NONE, view->settings.per_ip)
VALUE(observed, true, view->observed)
VALUE(uncounted, true, view->uncounted)
VALUE(unverified, true, view->unverified)
VALUE(checks, true, view->checks)
VALUE(check_seconds, true, view->check_us / 1e6)
VALUE(check_gone, true, view->check_gone)
VALUE(repaired, true, view->repaired)
VALUE(covered, view->covered >= 0 && view->in_kernel > 0, (double)view->covered / (double)view->in_kernel)
VALUE(failed, true, view->failed >= 0)
VALUE(checked, true, view->checked)
VALUE(fleet, view->settings.cluster_per_ip != LIMIT_NONE, view->fleet_current)

static const struct family families[] = {
    {"connlimit_connections", "gauge", NULL, "Connections that are open and counted.", open_now},
    {"connlimit_clients", "gauge", NULL, "Clients that hold connections or were refused.", clients_now},
    {"connlimit_capacity", "gauge", NULL, "Connections that can be tracked.", capacity},
    {"connlimit_processes", "gauge", NULL, "Processes that share the table.", processes},
    {"connlimit_uptime_seconds", "gauge", "seconds", "Time since the table was made.", uptime},
    {"connlimit_limit_per_client", "gauge", NULL, "The limit for each client; absent if there is none.", limit},
    {"connlimit_coverage_ratio", "gauge", "ratio",
     "Of the connections that the kernel has on these ports, the share that is counted.", covered},
    {"connlimit_reload_failed", "gauge", NULL, "1 if the last reload failed and the old limits stand.", failed},
    {"connlimit_compared", "gauge", NULL, "1 if these counts were compared with the kernel.", checked},
    {"connlimit_fleet_heard", "gauge", NULL, "1 if other machines' counts are current; absent without a fleet limit.", fleet},
    {"connlimit_observed", "counter", NULL, "Connections that would have been refused, in mode observe.", observed},
    {"connlimit_uncounted", "counter", NULL, "Connections admitted without being counted.", uncounted},
    {"connlimit_unverified", "counter", NULL, "Refusals that could not be verified with the kernel.", unverified},
    {"connlimit_checks", "counter", NULL, "Times that the kernel was asked before a refusal.", checks},
    {"connlimit_check_seconds", "counter", "seconds", "Time spent asking.", check_seconds},
    {"connlimit_check_dropped", "counter", NULL, "Connections that these checks found gone.", check_gone},
    {"connlimit_repaired", "counter", NULL, "Counts that were mended.", repaired},
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
	fputs("{table=\"", to);
	print_label(to, view->name);
	fputs("\",daemon=\"", to);
	print_label(to, view->program);
	fputs("\"", to);
}

static void print_head(FILE *to, const char *name, const char *type, const char *unit, const char *help)
{
	fprintf(to, "# TYPE %s %s\n", name, type);
	if (unit != NULL)
		fprintf(to, "# UNIT %s %s\n", name, unit);
	fprintf(to, "# HELP %s %s\n", name, help);
}

static void print_metrics(FILE *to, const struct table_view *views, int number)
{
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
	print_head(to, "connlimit_refused", "counter", NULL, "Connections refused, by reason.");
	for (int i = 0; i < number; i++) {
		for (unsigned reason = REFUSED_NOT + 1; reason < REASONS; reason++) {
			fputs("connlimit_refused_total", to);
			print_labels(to, &views[i]);
			fprintf(to, ",reason=\"%s\"} %" PRIu64 "\n", view_reason(reason), views[i].refused_for[reason]);
		}
	}
	fputs("# EOF\n", to);
}

static char *metrics_text(size_t *length)
{
	struct table_view *views;
	char *text = NULL;
	int number = views_gather(&views, NULL);
	FILE *to = number >= 0 ? open_memstream(&text, length) : NULL;

	if (to != NULL) {
		print_metrics(to, views, number);
		fclose(to);
	}
	views_free(views, number > 0 ? number : 0);
	return text;
}

/* ---- into a file: whole or not at all, as node_exporter's textfile collector needs it ---- */

static int write_file(const char *path)
{
	char temporary[4096];
	size_t length;
	char *text = metrics_text(&length);

	snprintf(temporary, sizeof(temporary), "%s.%d", path, (int)getpid());
	FILE *file = text != NULL ? fopen(temporary, "wxe") : NULL;
	bool written = file != NULL && fwrite(text, 1, length, file) == length;
	if (file != NULL && fclose(file) != 0)
		written = false;
	free(text);
	if (written && rename(temporary, path) == 0)
		return 0;
	fprintf(stderr, "connlimit: %s: %s\n", path, strerror(errno));
	if (file != NULL)
		unlink(temporary);
	return 1;
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
	struct MHD_Response *response;
	size_t length = 0;
	unsigned status = MHD_HTTP_OK;

	(void)with, (void)version, (void)data, (void)data_size, (void)state;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return MHD_NO;
	char *text = strcmp(url, "/metrics") == 0 ? metrics_text(&length) : NULL;
	if (text != NULL) {
		response = MHD_create_response_from_buffer(length, text, MHD_RESPMEM_MUST_FREE);
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
					"application/openmetrics-text; version=1.0.0; charset=utf-8");
	} else {
		status = MHD_HTTP_NOT_FOUND;
		response = MHD_create_response_from_buffer(sizeof(elsewhere) - 1, (void *)(uintptr_t)elsewhere,
							   MHD_RESPMEM_PERSISTENT);
	}
	enum MHD_Result queued = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return queued;
}

static int serve(unsigned port)
{
	struct sockaddr_in address = {
	    .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sigaction action = {.sa_handler = on_stop};
	sigset_t none;
	sigset_t both;

	sigemptyset(&both);
	sigaddset(&both, SIGTERM);
	sigaddset(&both, SIGINT);
	sigprocmask(SIG_BLOCK, &both, &none);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	struct MHD_Daemon *daemon = MHD_start_daemon(
	    MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, answer, NULL, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address,
	    MHD_OPTION_CONNECTION_LIMIT, 16U, MHD_OPTION_CONNECTION_TIMEOUT, 10U, MHD_OPTION_END);
	if (daemon == NULL) {
		fprintf(stderr, "connlimit: cannot listen on 127.0.0.1 port %u: %s\n", port, strerror(errno));
		return 1;
	}
	while (!stopping)
		sigsuspend(&none);
	MHD_stop_daemon(daemon);
	return 0;
}

int command_metrics(int argc, char **argv)
{
	static const struct option options[] = {{"listen", required_argument, NULL, 'l'},
						{"output", required_argument, NULL, 'o'},
						{"help", no_argument, NULL, 'h'},
						{0}};
	static const char usage[] =
	    "usage: connlimit metrics [--output FILE | --listen PORT]\n"
	    "OpenMetrics text on standard output, into FILE (whole or not at all), or at http://127.0.0.1:PORT/metrics\n";
	const char *output = NULL;
	unsigned long port = 0;
	char *end;
	int option;

	optind = 1;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'l':
			port = strtoul(optarg, &end, 10);
			if (*end != '\0' || port < 1 || port > 65535) {
				fprintf(stderr, "connlimit: --listen %s: is not a port from 1 to 65535\n", optarg);
				return 2;
			}
			break;
		case 'o': output = optarg; break;
		case 'h': fputs(usage, stdout); return 0;
		default: fputs(usage, stderr); return 2;
		}
	}
	if (optind < argc || (output != NULL && port != 0)) {
		fputs(usage, stderr);
		return 2;
	}
	if (port != 0)
		return serve((unsigned)port);
	if (output != NULL)
		return write_file(output);
	size_t length;
	char *text = metrics_text(&length);
	if (text == NULL)
		return 1;
	bool written = fwrite(text, 1, length, stdout) == length && fflush(stdout) == 0;
	free(text);
	return written ? 0 : 1;
}
