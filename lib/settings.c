#include "settings.h"

#include "settings_values.h"
#include "text.h"

#include <signal.h>
#include <string.h>

const struct setting settings_table[SETTINGS] = {
    [SETTING_PER_IP] = {"PER_IP", "N", "0", "Connections that one client may hold open; 0: no limit, counted all the same.",
			read_per_ip, 0, 0},
    [SETTING_TOTAL] = {"TOTAL", "N", "0", "Connections of all clients together; 0: no limit.", read_total, 0, 0},
    [SETTING_RATE] = {"RATE", "N/s [burst=N]", "0", "New connections of one client in a second, minute or hour; 0: any.",
		      read_rate, 0, 0},
    [SETTING_PER_UID] = {"PER_UID", "N", "0", "Connections that one local user may hold open on Unix sockets.", read_per_uid, 0,
			 0},
    [SETTING_CLUSTER_PER_IP] = {"CLUSTER_PER_IP", "N", "0",
				"Connections of one client over all machines joined by `connlimit sync`.", read_cluster_per_ip,
				0, 0},
    [SETTING_IPV4_PREFIX] = {"IPV4_PREFIX", "BITS", "32", "How much of an IPv4 address is one client.", read_ipv4_prefix, 0, 0},
    [SETTING_IPV6_PREFIX] = {"IPV6_PREFIX", "BITS", "64", "How much of an IPv6 address is one client.", read_ipv6_prefix, 0, 0},
    [SETTING_RULES] = {"RULES", "NETWORK=N ...", "", "Exceptions by network, :PORT, or both; the most specific wins.",
		       read_rules, 0, 0},
    [SETTING_REFUSE] = {"REFUSE", "HOW", "reset", "What a refused client gets: reset, close, http, or text:...", read_refuse, 0,
			0},
    [SETTING_MODE] = {"MODE", "MODE", "enforce", "enforce; observe: report, refuse nothing; off.", read_mode, 0, 0},
    [SETTING_LOG] = {"LOG", "WHERE", "stderr", "Where refusals and errors are told: stderr, syslog, off.", read_log, 0, 0},
    [SETTING_FILE] = {"FILE", "PATH", "", "File of these settings, read again on reload; wins over the environment.", read_file,
		      1, 1},
    [SETTING_TABLE] = {"TABLE", "NAME", "", "Name of the shared table; by default one is made for this start.", read_table, 1,
		       1},
    [SETTING_CAPACITY] = {"CAPACITY", "N", "65536", "Connections tracked at most; past it, admitted uncounted.", read_capacity,
			  1, 0},
    [SETTING_SIGNAL] = {"SIGNAL", "NAME", "HUP", "The reload signal.", read_signal, 1, 0},
};

static const char start_of_name[] = "CONNLIMIT_";

void settings_default(struct settings *settings)
{
	memset(settings, 0, offsetof(struct settings, rule));
	settings->per_ip = LIMIT_NONE;
	settings->total = LIMIT_NONE;
	settings->per_uid = LIMIT_NONE;
	settings->cluster_per_ip = LIMIT_NONE;
	settings->ipv4_prefix = 32;
	settings->ipv6_prefix = 64;
	settings->capacity = 65536;
	settings->signal = SIGHUP;
}

void settings_copy(struct settings *to, const struct settings *from)
{
	memcpy(to, from, offsetof(struct settings, rule) + sizeof(struct rule) * (from->rules <= RULES_MOST ? from->rules : 0));
}

/* Puts "CONNLIMIT_NAME: " before what a reader said. */
static void name_first(struct settings_error *error, const struct setting *setting)
{
	struct settings_error said = *error;
	struct text line = text_begin(error->text, sizeof(error->text));

	text_add(&line, start_of_name);
	text_add(&line, setting->name);
	text_add(&line, ": ");
	text_add(&line, said.text);
}

bool settings_set(struct settings *settings, enum setting_id id, const char *text, size_t length, enum origin origin,
		  struct settings_error *error)
{
	if (!settings_table[id].parse(settings, text, length, error)) {
		name_first(error, &settings_table[id]);
		return false;
	}
	settings->origin[id] = (uint8_t)origin;
	return true;
}

/* ---- names ---- */

static char as_variable(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c == '-' ? '_' : c;
}

enum { NAME_MOST = 32 };

/* Levenshtein's distance. */
static unsigned distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
	unsigned row[NAME_MOST + 1];

	for (size_t j = 0; j <= b_length; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= a_length; i++) {
		unsigned diagonal = row[0];
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_length; j++) {
			unsigned replaced = diagonal + (a[i - 1] != b[j - 1] ? 1 : 0);
			unsigned shorter = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
			diagonal = row[j];
			row[j] = replaced < shorter ? replaced : shorter;
		}
	}
	return row[b_length];
}

enum setting_id settings_find(const char *name, size_t length, struct settings_error *error)
{
	char wanted[NAME_MOST];
	size_t skipped = 0;
	unsigned nearest = ~0U;
	int best = 0;

	if (length >= sizeof(start_of_name) - 1 && memcmp(name, start_of_name, sizeof(start_of_name) - 1) == 0)
		skipped = sizeof(start_of_name) - 1;
	bool variable = skipped > 0;
	size_t wanted_length = length - skipped < NAME_MOST ? length - skipped : NAME_MOST;
	for (size_t i = 0; i < wanted_length; i++)
		wanted[i] = as_variable(name[skipped + i]);
	for (int id = 0; id < SETTINGS; id++) {
		size_t known = strlen(settings_table[id].name);
		unsigned far = distance(wanted, wanted_length, settings_table[id].name, known);
		if (far == 0 && length - skipped == known &&
		    (!variable || memcmp(name + skipped, settings_table[id].name, known) == 0))
			return (enum setting_id)id;
		if (far < nearest) {
			nearest = far;
			best = id;
		}
	}
	struct text line = text_begin(error->text, sizeof(error->text));
	text_add(&line, "unknown setting ");
	text_add_quoted(&line, name, length);
	text_add(&line, "; did you mean ");
	if (variable) {
		text_add(&line, start_of_name);
		text_add(&line, settings_table[best].name);
	} else {
		char option[NAME_MOST] = {0};
		for (size_t i = 0; settings_table[best].name[i] != '\0'; i++) {
			char c = settings_table[best].name[i];
			option[i] = c == '_' ? '-' : c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
		}
		text_add(&line, option);
	}
	text_add(&line, "?");
	return SETTINGS;
}

bool settings_from_environment(struct settings *settings, char *const environment[], struct settings_error *error)
{
	for (; environment != NULL && *environment != NULL; environment++) {
		const char *variable = *environment;

		if (strncmp(variable, start_of_name, sizeof(start_of_name) - 1) != 0)
			continue;
		const char *equals = strchr(variable, '=');
		if (equals == NULL)
			continue;
		enum setting_id id = settings_find(variable, (size_t)(equals - variable), error);
		if (id == SETTINGS || !settings_set(settings, id, equals + 1, strlen(equals + 1), FROM_ENVIRONMENT, error))
			return false;
	}
	return true;
}
