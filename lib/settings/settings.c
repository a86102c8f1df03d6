#include "settings/settings.h"

#include "values/hot.h"
#include "values/text.h"

#include <signal.h>
#include <string.h>

static const char start_of_name[] = "CONNLIMIT_";

START void settings_default(struct settings *settings)
{
	memset(settings, 0, offsetof(struct settings, balancer));
	settings->per_ip = LIMIT_NONE;
	settings->per_network = LIMIT_NONE;
	settings->total = LIMIT_NONE;
	settings->per_uid = LIMIT_NONE;
	settings->cluster_per_ip = LIMIT_NONE;
	settings->ipv4_prefix = 32;
	settings->ipv6_prefix = 64;
	settings->network_ipv4_prefix = 24;
	settings->network_ipv6_prefix = 48;
	settings->capacity = 65536;
	settings->signal = SIGHUP;
}

void settings_copy(struct settings *to, const struct settings *from)
{
	memcpy(to, from, offsetof(struct settings, rule) + sizeof(struct rule) * (from->rules <= RULES_MOST ? from->rules : 0));
}

/* Adds "CONNLIMIT_NAME: " before an error message. */
static void name_first(struct settings_error *error, const struct setting *setting)
{
	struct settings_error said = *error;
	struct text line = text_begin(error->text, sizeof(error->text));

	text_add(&line, start_of_name);
	text_add(&line, setting->name);
	text_add(&line, ": ");
	text_add(&line, said.text);
}

START bool settings_set(struct settings *settings, enum setting_id id, const char *text, size_t length, enum origin origin,
			struct settings_error *error)
{
	error->position = 0;
	error->placed = origin == FROM_FILE;
	if (!settings_table[id].parse(settings, text, length, error)) {
		name_first(error, &settings_table[id]);
		return false;
	}
	settings->origin[id] = (uint8_t)origin;
	return true;
}

/* ---- names ---- */

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static char as_variable(char c)
{
	return is_lower(c) ? (char)(c - 'a' + 'A') : c == '-' ? '_' : c;
}

enum { NAME_MOST = DISTANCE_MOST };

static void add_option(struct text *text, const char *name)
{
	for (; *name != '\0'; name++) {
		char c[2] = {*name == '_' ? '-' : *name >= 'A' && *name <= 'Z' ? (char)(*name - 'A' + 'a') : *name, '\0'};
		text_add(text, c);
	}
}

/* `best` is SETTINGS if no name is similar. */
static void unknown(struct settings_error *error, const char *name, size_t length, bool variable, int best)
{
	struct text line = text_begin(error->text, sizeof(error->text));

	text_add(&line, "unknown setting ");
	text_add_quoted(&line, name, length);
	if (best != SETTINGS) {
		text_add(&line, "; did you mean ");
		text_add(&line, variable ? start_of_name : "");
		if (variable)
			text_add(&line, settings_table[best].name);
		else
			add_option(&line, settings_table[best].name);
		text_add(&line, "?");
		return;
	}
	text_add(&line, variable ? "; names that begin with CONNLIMIT_ are:" : "; there are:");
	for (int id = 0; id < SETTINGS; id++) {
		text_add(&line, " ");
		if (variable)
			text_add(&line, settings_table[id].name);
		else
			add_option(&line, settings_table[id].name);
	}
}

START enum setting_id settings_find(const char *name, size_t length, struct settings_error *error)
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
	for (int id = 0; id < SETTINGS; id++)
		if (strlen(settings_table[id].name) == length - skipped && length - skipped <= sizeof(wanted) &&
		    memcmp(variable ? name + skipped : wanted, settings_table[id].name, length - skipped) == 0)
			return (enum setting_id)id;
	for (int id = 0; id < SETTINGS; id++) {
		unsigned far =
		    text_distance(wanted, wanted_length, settings_table[id].name, strlen(settings_table[id].name), NAME_MOST);
		if (far < nearest) {
			nearest = far;
			best = id;
		}
	}
	/* If half of the letters differ, that name was hardly meant. */
	unknown(error, name, length, variable, nearest <= 3 && nearest <= wanted_length / 2 ? best : SETTINGS);
	return SETTINGS;
}

START bool settings_meant(const char *name, size_t length, bool in_file, struct settings_error *error)
{
	enum { FAR = 2, PREFIX = sizeof(start_of_name) - 1 };
	char given[NAME_MOST];
	char known[NAME_MOST];

	while (in_file && length > 0 && *name == '-')
		name++, length--;
	if (length == 0 || length > sizeof(given) || (!in_file && length < PREFIX))
		return false;
	for (size_t i = 0; i < length; i++)
		given[i] = as_variable(name[i]);
	memcpy(known, start_of_name, PREFIX);
	/* A name similar to one of ours begins with something similar to our prefix. Every program compares its variables at
	 * its start, and most of them end here. */
	bool begins = false;
	for (size_t i = PREFIX - FAR; i <= PREFIX + FAR && i <= length && !begins; i++)
		begins = text_distance(given, i, known, PREFIX, FAR) <= FAR;
	for (int id = 0; id < SETTINGS; id++) {
		size_t own = strlen(settings_table[id].name);
		memcpy(known + PREFIX, settings_table[id].name, own);
		/* A single word in capitals may be the daemon's own, like LOG or MODE. In lower case it is the name of an
		 * option. */
		bool without = in_file && own == length && memcmp(given, known + PREFIX, own) == 0 &&
			       (memchr(given, '_', own) != NULL || is_lower(name[0]));
		if (without || (begins && text_distance(given, length, known, PREFIX + own, FAR) <= FAR)) {
			unknown(error, name, length, true, id);
			return true;
		}
	}
	return false;
}

/* Marks the settings that OPTIONS_VARIABLE names as options. This affects only what is shown, so unknown names are ignored. */
START static void note_options(struct settings *settings, const char *names)
{
	while (*names != '\0') {
		size_t length = strcspn(names, ":");

		for (int id = 0; id < SETTINGS; id++)
			if (settings->origin[id] == FROM_ENVIRONMENT && strlen(settings_table[id].name) == length &&
			    memcmp(settings_table[id].name, names, length) == 0)
				settings->origin[id] = FROM_OPTION;
		names += length + (names[length] == ':' ? 1 : 0);
	}
}

START bool settings_from_environment(struct settings *settings, char *const environment[], struct settings_error *error)
{
	const char *options = "";

	for (; environment != NULL && *environment != NULL; environment++) {
		const char *variable = *environment;

		if (strncmp(variable, OPTIONS_VARIABLE "=", sizeof(OPTIONS_VARIABLE)) == 0)
			options = variable + sizeof(OPTIONS_VARIABLE);
		if ((variable[0] | ' ') != 'c')
			continue;
		const char *equals = strchr(variable, '=');
		if (equals == NULL)
			continue;
		if (strncmp(variable, start_of_name, sizeof(start_of_name) - 1) != 0) {
			if (settings_meant(variable, (size_t)(equals - variable), false, error))
				return false;
			continue;
		}
		enum setting_id id = settings_find(variable, (size_t)(equals - variable), error);
		if (id == SETTINGS || !settings_set(settings, id, equals + 1, strlen(equals + 1), FROM_ENVIRONMENT, error))
			return false;
	}
	note_options(settings, options);
	return settings->file[0] != '\0' || settings_agree(settings, error);
}
