/* Writing settings as a person would. */
#include "settings/settings.h"
#include "values/hot.h"
#include "values/text.h"

#include <signal.h>
#include <string.h>

static void add_count(struct text *text, uint32_t count)
{
	if (count == LIMIT_NONE)
		text_add(text, "unlimited");
	else
		text_add_number(text, count);
}

static void add_rate(struct text *text, const struct rate *rate, const char *separator)
{
	static const struct {
		uint64_t us;
		const char *unit;
	} periods[] = {{1000000, "/s"}, {60000000, "/m"}, {UINT64_C(3600000000), "/h"}};

	if (rate->every_us == 0) {
		text_add(text, "0");
		return;
	}
	/* The first unit in which the number is in range and reads as the same rate. */
	int which = 0;
	for (; which < 2; which++) {
		uint64_t number = periods[which].us / rate->every_us;
		if (number >= 1 && number <= 1000000 && periods[which].us / number == rate->every_us)
			break;
	}
	text_add_number(text, periods[which].us / rate->every_us);
	text_add(text, periods[which].unit);
	text_add(text, separator);
	text_add(text, "burst=");
	text_add_number(text, rate->burst);
}

static void add_time(struct text *text, uint32_t seconds)
{
	uint32_t each = seconds % 3600 == 0 ? 3600 : seconds % 60 == 0 ? 60 : 1;

	text_add_number(text, seconds / each);
	text_add(text, each == 3600 ? "h" : each == 60 ? "m" : "s");
}

static void add_ban(struct text *text, const struct ban *ban)
{
	if (ban->seconds == 0) {
		text_add(text, "0");
		return;
	}
	add_rate(text, &ban->rate, " ");
	text_add(text, " for ");
	add_time(text, ban->seconds);
}

static void add_limit(struct text *text, uint32_t limit, const struct rate *rate, uint32_t per_network)
{
	text_add(text, "=");
	if (limit == LIMIT_DENY)
		text_add(text, "deny");
	else
		add_count(text, limit);
	bool as_ever = rate->burst == 0 || (limit == LIMIT_NONE && rate->every_us == 0);
	if (limit != LIMIT_DENY && !as_ever) {
		text_add(text, ",");
		add_rate(text, rate, ",");
	}
	if (per_network != 0) {
		text_add(text, ",network=");
		add_count(text, per_network);
	}
}

static void add_rule(struct text *text, const struct rule *rule)
{
	char network[NETWORK_TEXT];
	bool named = rule->network.prefix > 0 || rule->ipv6;
	bool ipv6 = named && (!address_is_ipv4(&rule->network.address) || rule->network.prefix < 96);

	if (named) {
		network_format(network, &rule->network);
		text_add(text, ipv6 && rule->port != 0 ? "[" : "");
		text_add(text, network);
		text_add(text, ipv6 && rule->port != 0 ? "]" : "");
	}
	if (rule->port != 0) {
		text_add(text, ":");
		text_add_number(text, rule->port);
	}
	add_limit(text, rule->limit, &rule->rate, rule->per_network);
}

static void add_rules(struct text *text, const struct settings *settings)
{
	for (uint32_t i = 0; i < settings->lists && i < LISTS_MOST; i++) {
		text_add(text, i > 0 ? " @" : "@");
		text_add_escaped(text, settings->list[i].path, strnlen(settings->list[i].path, LIST_PATH_MOST));
		add_limit(text, settings->list[i].limit, &settings->list[i].rate, settings->list[i].per_network);
	}
	for (uint32_t i = 0; i < settings->rules && i < RULES_MOST && text->left > 1; i++) {
		text_add(text, i > 0 || settings->lists > 0 ? " " : "");
		add_rule(text, &settings->rule[i]);
	}
}

static void add_balancers(struct text *text, const struct settings *settings)
{
	char network[NETWORK_TEXT];

	for (uint32_t i = 0; i < settings->balancers && i < BALANCERS_MOST; i++) {
		text_add(text, i > 0 ? " " : "");
		network_format(network, &settings->balancer[i]);
		text_add(text, network);
	}
}

static void add_refuse(struct text *text, const struct settings *settings)
{
	static const char *const ways[] = {"reset", "close", "http", "text:"};

	text_add(text, settings->refuse <= REFUSE_TEXT ? ways[settings->refuse] : "?");
	if (settings->refuse != REFUSE_TEXT)
		return;
	for (const char *c = settings->refuse_text; *c != '\0' && c < settings->refuse_text + REFUSE_TEXT_MOST; c++) {
		if (*c == '\n' || *c == '\r' || *c == '\t' || *c == '\\')
			text_add(text, *c == '\n' ? "\\n" : *c == '\r' ? "\\r" : *c == '\t' ? "\\t" : "\\\\");
		else
			text_add_escaped(text, c, 1);
	}
}

static void add_signal(struct text *text, int signal)
{
	const char *name = sigabbrev_np(signal);

	if (name != NULL) {
		text_add(text, name);
	} else {
		text_add(text, "RTMIN+");
		text_add_number(text, signal >= SIGRTMIN ? (uint64_t)(signal - SIGRTMIN) : 0);
	}
}

static bool stays(const struct settings *wanted, const struct settings *in_force, enum setting_id id,
		  struct settings_error *error)
{
	char from[32];
	char to[32];

	settings_format(from, sizeof(from), in_force, id);
	settings_format(to, sizeof(to), wanted, id);
	if (strcmp(from, to) == 0)
		return true;
	struct text line = text_begin(error->text, sizeof(error->text));
	text_add(&line, "CONNLIMIT_");
	text_add(&line, settings_table[id].name);
	text_add(&line, " cannot change while the daemon runs: it is ");
	text_add(&line, from);
	text_add(&line, ", not ");
	text_add(&line, to);
	return false;
}

static bool same_rules(const struct settings *a, const struct settings *b)
{
	return a->lists == b->lists && a->lists <= LISTS_MOST && memcmp(a->list, b->list, sizeof(a->list[0]) * a->lists) == 0 &&
	       a->rules == b->rules && a->rules <= RULES_MOST && memcmp(a->rule, b->rule, sizeof(a->rule[0]) * a->rules) == 0;
}

enum setting_id settings_difference(const struct settings *a, const struct settings *b)
{
	static char text[2][PATH_MOST * 4 + 1]; /* escaped; too large for a small stack */

	for (enum setting_id id = 0; id < SETTINGS; id++) {
		if (id == SETTING_TABLE || id == SETTING_JOIN)
			continue;
		if (id == SETTING_RULES) {
			if (!same_rules(a, b))
				return id;
			continue;
		}
		settings_format(text[0], sizeof(text[0]), a, id);
		settings_format(text[1], sizeof(text[1]), b, id);
		if (strcmp(text[0], text[1]) != 0)
			return id;
	}
	return SETTINGS;
}

bool settings_count_networks(const struct settings *settings)
{
	bool any = settings->per_network != LIMIT_NONE;

	for (uint32_t i = 0; i < settings->lists && i < LISTS_MOST && !any; i++)
		any = settings->list[i].per_network != 0;
	for (uint32_t i = 0; i < settings->rules && i < RULES_MOST && !any; i++)
		any = settings->rule[i].per_network != 0;
	return any;
}

static bool is_within(uint8_t client, enum setting_id client_id, uint8_t network, enum setting_id network_id,
		      struct settings_error *error)
{
	if (client >= network)
		return true;
	struct text line = text_begin(error->text, sizeof(error->text));
	text_add(&line, "CONNLIMIT_");
	text_add(&line, settings_table[client_id].name);
	text_add(&line, "=");
	text_add_number(&line, client);
	text_add(&line, " is wider than CONNLIMIT_");
	text_add(&line, settings_table[network_id].name);
	text_add(&line, "=");
	text_add_number(&line, network);
	text_add(&line, ": a client would be in several networks");
	return false;
}

/* A client is in one network. */
START static bool networks_agree(const struct settings *settings, struct settings_error *error)
{
	return !settings_count_networks(settings) ||
	       (is_within(settings->ipv4_prefix, SETTING_IPV4_PREFIX, settings->network_ipv4_prefix,
			  SETTING_NETWORK_IPV4_PREFIX, error) &&
		is_within(settings->ipv6_prefix, SETTING_IPV6_PREFIX, settings->network_ipv6_prefix,
			  SETTING_NETWORK_IPV6_PREFIX, error));
}

START bool settings_agree(const struct settings *settings, struct settings_error *error)
{
	if (!networks_agree(settings, error))
		return false;
	if (settings->total == LIMIT_NONE || settings->total <= settings->capacity)
		return true;
	struct text line = text_begin(error->text, sizeof(error->text));
	text_add(&line, "CONNLIMIT_TOTAL=");
	text_add_number(&line, settings->total);
	text_add(&line, " is more than the table has room for, CONNLIMIT_CAPACITY=");
	text_add_number(&line, settings->capacity);
	text_add(&line, ": TOTAL may be at most CAPACITY");
	return false;
}

/* CAPACITY determines the table's layout, and a handler for SIGNAL is already installed. */
bool settings_may_follow(const struct settings *wanted, const struct settings *in_force, struct settings_error *error)
{
	return settings_agree(wanted, error) && stays(wanted, in_force, SETTING_CAPACITY, error) &&
	       stays(wanted, in_force, SETTING_SIGNAL, error);
}

void settings_format(char *buffer, size_t size, const struct settings *settings, enum setting_id id)
{
	static const char *const modes[] = {"enforce", "observe", "off"};
	static const char *const logs[] = {"stderr", "syslog", "off", "journal", "json"};
	struct text text = text_begin(buffer, size);

	switch (id) {
	case SETTING_PER_IP: add_count(&text, settings->per_ip); break;
	case SETTING_PER_NETWORK: add_count(&text, settings->per_network); break;
	case SETTING_TOTAL: add_count(&text, settings->total); break;
	case SETTING_PER_UID: add_count(&text, settings->per_uid); break;
	case SETTING_CLUSTER_PER_IP: add_count(&text, settings->cluster_per_ip); break;
	case SETTING_RATE: add_rate(&text, &settings->rate, " "); break;
	case SETTING_IPV4_PREFIX: text_add_number(&text, settings->ipv4_prefix); break;
	case SETTING_IPV6_PREFIX: text_add_number(&text, settings->ipv6_prefix); break;
	case SETTING_NETWORK_IPV4_PREFIX: text_add_number(&text, settings->network_ipv4_prefix); break;
	case SETTING_NETWORK_IPV6_PREFIX: text_add_number(&text, settings->network_ipv6_prefix); break;
	case SETTING_RULES: add_rules(&text, settings); break;
	case SETTING_REFUSE: add_refuse(&text, settings); break;
	case SETTING_BAN: add_ban(&text, &settings->ban); break;
	case SETTING_PROXY: add_balancers(&text, settings); break;
	case SETTING_KEEPALIVE:
		text_add_number(&text, settings->keepalive);
		text_add(&text, settings->keepalive != 0 ? "s" : "");
		break;
	case SETTING_MODE: text_add(&text, settings->mode <= MODE_OFF ? modes[settings->mode] : "?"); break;
	case SETTING_LOG: text_add(&text, settings->log <= LOG_TO_JSON ? logs[settings->log] : "?"); break;
	case SETTING_FILE: text_add_escaped(&text, settings->file, strnlen(settings->file, PATH_MOST)); break;
	case SETTING_TABLE: text_add_escaped(&text, settings->table, strnlen(settings->table, TABLE_NAME_MOST)); break;
	case SETTING_JOIN: text_add(&text, settings->join != 0 ? "yes" : "no"); break;
	case SETTING_CAPACITY: text_add_number(&text, settings->capacity); break;
	case SETTING_SIGNAL: add_signal(&text, settings->signal); break;
	case SETTINGS: break;
	}
}
