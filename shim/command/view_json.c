#include "command/view_json.h"

#include "table/bans.h"
#include "values/text.h"

#include <stdlib.h>
#include <string.h>

static size_t flags_of(enum json how)
{
	return JSON_PRESERVE_ORDER | (how == JSON_COMPACTED ? JSON_COMPACT : JSON_INDENT(2));
}

void json_print(json_t *object, enum json how)
{
	json_dumpf(object, stdout, flags_of(how));
	putchar('\n');
	json_decref(object);
}

static json_t *number_or_null(int64_t number)
{
	return number < 0 ? json_null() : json_integer(number);
}

static json_t *limit_or_null(uint32_t limit)
{
	return limit == LIMIT_NONE ? json_null() : json_integer(limit);
}

/* A path may have any encoding, but JSON is UTF-8. */
static json_t *text_or_null(char *text)
{
	json_t *string = text[0] != '\0' ? json_string(text) : json_null();

	if (string != NULL)
		return string;
	for (char *c = text; *c != '\0'; c++)
		*c = (unsigned char)*c < 0x80 ? *c : '?';
	return json_string(text);
}

/* Numbers are numbers; null means not limited or not set. */
static json_t *setting_value(const struct settings *settings, enum setting_id id)
{
	static char text[1 << 20]; /* ten thousand rules */

	switch (id) {
	case SETTING_PER_IP: return limit_or_null(settings->per_ip);
	case SETTING_PER_NETWORK: return limit_or_null(settings->per_network);
	case SETTING_TOTAL: return limit_or_null(settings->total);
	case SETTING_PER_UID: return limit_or_null(settings->per_uid);
	case SETTING_CLUSTER_PER_IP: return limit_or_null(settings->cluster_per_ip);
	case SETTING_IPV4_PREFIX: return json_integer(settings->ipv4_prefix);
	case SETTING_IPV6_PREFIX: return json_integer(settings->ipv6_prefix);
	case SETTING_NETWORK_IPV4_PREFIX: return json_integer(settings->network_ipv4_prefix);
	case SETTING_NETWORK_IPV6_PREFIX: return json_integer(settings->network_ipv6_prefix);
	case SETTING_KEEPALIVE: return settings->keepalive != 0 ? json_integer(settings->keepalive) : json_null();
	case SETTING_CAPACITY: return json_integer(settings->capacity);
	case SETTING_RATE:
		if (settings->rate.every_us == 0)
			return json_null();
		break;
	case SETTING_BAN:
		if (settings->ban.seconds == 0)
			return json_null();
		break;
	default: break;
	}
	settings_format(text, sizeof(text), settings, id);
	return text_or_null(text);
}

/* Names are lower case here: PER_IP is per_ip. */
static void in_lower_case(char *to, const char *name)
{
	for (; *name != '\0'; name++)
		*to++ = *name >= 'A' && *name <= 'Z' ? (char)(*name - 'A' + 'a') : *name;
	*to = '\0';
}

static json_t *settings_object(const struct settings *settings)
{
	json_t *object = json_object();

	for (int id = 0; id < SETTINGS; id++) {
		char name[64];

		in_lower_case(name, settings_table[id].name);
		json_object_set_new(object, name,
				    json_pack("{s:o, s:s}", "value", setting_value(settings, (enum setting_id)id), "origin",
					      view_origin(settings->origin[id])));
	}
	return object;
}

static json_t *ways_object(const struct table_view *view)
{
	json_t *object = json_object();

	for (unsigned way = KERNEL_SOCK_DIAG; way < ASKED_WAYS; way++)
		json_object_set_new(object, view_way(way), json_integer((json_int_t)view->asked[way]));
	return object;
}

static json_t *unverifiable_listeners(const struct table_view *view)
{
	json_t *array = json_array();
	char address[ADDRESS_TEXT];

	for (unsigned i = 0; i < UNVERIFIABLE && view->unverifiable[i].port != 0; i++) {
		address_format(address, &view->unverifiable[i].address);
		json_array_append_new(array,
				      json_pack("{s:s, s:i}", "address", address, "port", (int)view->unverifiable[i].port));
	}
	return array;
}

static json_t *degraded_array(const struct table_view *view)
{
	json_t *array = json_array();
	char text[512];

	for (enum degraded what = 0; what < DEGRADEDS; what++) {
		if (!view_degraded(view, what))
			continue;
		view_degraded_says(text, sizeof(text), view, what);
		json_array_append_new(array, json_pack("{s:s, s:s}", "name", view_degraded_name(what), "says", text));
	}
	return array;
}

static json_t *user_or_null(uid_t user)
{
	char text[USER_TEXT];

	user_text(text, user);
	return user != NO_USER ? json_string(text) : json_null();
}

static const char *memory_name(enum memory memory)
{
	static const char *const names[] = {"segment", "anonymous", "elsewhere"};

	return names[memory];
}

static json_t *unread_object(const struct unread *unread)
{
	return json_pack("{s:o, s:s, s:I, s:s}", "user", user_or_null(unread->place.owner), "memory",
			 memory_name(unread->place.memory), "id", (json_int_t)unread->place.id, "says", unread->why);
}

/* What stands for arrays that are printed by themselves. No other text begins like that: names are printable, paths begin with
 * a slash, and values with a word or a number. */
#define CLIENTS_HERE "\001clients"
#define NETWORKS_HERE "\001networks"
#define HERE_PRINTED "\"\\u0001" /* as jansson writes it */

static json_t *table_object(const struct table_view *view)
{
	json_t *reasons = json_object();

	for (unsigned reason = REFUSED_NOT + 1; reason < REASONS; reason++)
		json_object_set_new(reasons, refusal_reason_word(reason), json_integer((json_int_t)view->refused_for[reason]));
	json_t *object = json_pack(
	    "{s:s, s:s, s:I, s:I, s:I, s:b, s:I, s:I, s:I, s:I}", "name", view->name, "program", view->program, "pid",
	    (json_int_t)view->maker, "processes", (json_int_t)view->place.processes, "uptime_seconds", (json_int_t)view->uptime,
	    "checked", (int)(view->compared == COMPARED), "open", (json_int_t)view->open, "capacity",
	    (json_int_t)view->capacity, "refused", (json_int_t)view->refused, "observed", (json_int_t)view->observed);
	json_object_set_new(object, "user", user_or_null(view->place.owner));
	json_object_set_new(object, "refused_for", reasons);
	json_object_set_new(object, "uncounted", json_integer((json_int_t)view->uncounted));
	json_object_set_new(object, "unverified", json_integer((json_int_t)view->unverified));
	json_object_set_new(object, "no_proxy_header", json_integer((json_int_t)view->unnamed));
	json_object_set_new(object, "unverifiable", unverifiable_listeners(view));
	json_object_set_new(object, "checks",
			    json_pack("{s:I, s:I, s:I, s:I}", "number", (json_int_t)view->checks, "microseconds",
				      (json_int_t)view->check_us, "dropped", (json_int_t)view->check_gone, "repaired",
				      (json_int_t)view->repaired));
	json_object_set_new(object, "asked", ways_object(view));
	json_object_set_new(object, "coverage",
			    view->covered < 0 ? json_null()
					      : json_pack("{s:I, s:I}", "table", (json_int_t)view->covered, "kernel",
							  (json_int_t)view->in_kernel));
	json_object_set_new(object, "published_seconds_ago", number_or_null(view->published));
	json_object_set_new(object, "publications", json_integer((json_int_t)view->publications));
	json_object_set_new(object, "reload_failed_seconds_ago", number_or_null(view->failed));
	json_object_set_new(object, "reload_failure", view->failed >= 0 ? json_string(view->failure) : json_null());
	json_object_set_new(object, "fleet_heard_seconds_ago", number_or_null(view->heard));
	json_object_set_new(object, "fleet_in_step", json_boolean(view->fleet_current));
	json_object_set_new(object, "fleet_mended", json_integer((json_int_t)view->fleet_mended));
	json_object_set_new(object, "fleet_lease_ms", view->heard >= 0 ? json_integer((json_int_t)view->lease) : json_null());
	json_object_set_new(object, "fleet_sidecar",
			    view->sidecar != 0 ? json_integer((json_int_t)view->sidecar) : json_null());
	json_object_set_new(object, "memory", json_string(memory_name(view->place.memory)));
	json_object_set_new(object, "mode", json_string(view_mode(view->settings.mode)));
	json_object_set_new(object, "at_limit", json_integer((json_int_t)view->at_limit));
	json_object_set_new(object, "banned", json_integer((json_int_t)view->banned));
	json_object_set_new(object, "bans", json_integer((json_int_t)view->bans));
	json_object_set_new(object, "networks_at_limit", json_integer((json_int_t)view->networks_at_limit));
	json_object_set_new(object, "degraded", degraded_array(view));
	json_object_set_new(object, "settings", settings_object(&view->settings));
	/* These are printed as they are met: an object for each of a million would take more than a gigabyte. */
	json_object_set_new(object, "clients", json_string(CLIENTS_HERE));
	json_object_set_new(object, "networks", json_string(NETWORKS_HERE));
	return object;
}

/* ---- clients and networks ---- */

/* What is between the parts of an array of objects in a table's object, as jansson writes them. */
struct spaces {
	const char *item, *member, *colon, *end, *last;
};

static const struct spaces indented = {"\n        ", "\n          ", ": ", "\n        ", "\n      "};
static const struct spaces compacted = {"", "", ":", "", ""};

enum { NUMBER_TEXT = 21 };

static const char *number_text(char text[NUMBER_TEXT], bool known, uint64_t number)
{
	struct text line = text_begin(text, NUMBER_TEXT);

	if (!known)
		return "null";
	text_add_number(&line, number);
	return text;
}

static void print_members(const struct spaces *spaces, const char *const name[], const char *const value[], size_t number)
{
	for (size_t i = 0; i < number; i++) {
		fputs(i > 0 ? "," : "{", stdout);
		fputs(spaces->member, stdout);
		putchar('"');
		fputs(name[i], stdout);
		putchar('"');
		fputs(spaces->colon, stdout);
		fputs(value[i], stdout);
	}
	fputs(spaces->end, stdout);
	putchar('}');
}

/* What other machines hold of a network is not known, and it is not banned. */
static void print_client(const struct table_view *view, const struct client_view *client, bool networks,
			 const struct spaces *spaces)
{
	enum { OPEN, LIMIT, PEAK, REFUSED, OBSERVED, OLDEST, REMOTE, BANNED, NUMBERS };
	enum { MEMBERS = 10, OF_NETWORK = 7 };
	static const char *const name[MEMBERS] = {"client",   "open",		"limit",  "peak",   "refused",
						  "observed", "oldest_seconds", "remote", "banned", "banned_seconds"};
	static const char *const name_of_network[OF_NETWORK] = {"network", "open",     "limit",		"peak",
								"refused", "observed", "oldest_seconds"};
	const struct client_facts *facts = &client->facts;
	char text[NUMBERS][NUMBER_TEXT];
	char address[NETWORK_TEXT + 2] = "\"";

	network_format(address + 1, &facts->network);
	strcat(address, "\"");
	const char *const value[MEMBERS] = {
	    address,
	    number_text(text[OPEN], true, facts->open),
	    number_text(text[LIMIT], facts->limit != LIMIT_NONE, facts->limit),
	    number_text(text[PEAK], true, facts->peak),
	    number_text(text[REFUSED], true, facts->refused),
	    number_text(text[OBSERVED], true, facts->observed),
	    number_text(text[OLDEST], facts->open > 0, client->oldest),
	    number_text(text[REMOTE], view->fleet_current, client->remote),
	    facts->banned != 0 ? "true" : "false",
	    number_text(text[BANNED], facts->banned != 0 && facts->banned != BAN_FOREVER, facts->banned),
	};
	print_members(spaces, networks ? name_of_network : name, value, networks ? OF_NETWORK : MEMBERS);
}

static void print_clients(const struct table_view *view, bool networks, const struct spaces *spaces)
{
	size_t number;
	const struct client_view *client = view_clients(view, networks, &number);

	putchar('[');
	for (size_t i = 0; i < number; i++) {
		fputs(i > 0 ? "," : "", stdout);
		fputs(spaces->item, stdout);
		print_client(view, &client[i], networks, spaces);
	}
	fputs(number > 0 ? spaces->last : "", stdout);
	putchar(']');
}

/* A quotation mark within a text has a backslash before it. */
static char *next_here(char *text)
{
	char *here = strstr(text, HERE_PRINTED);

	while (here != NULL && here > text && here[-1] == '\\')
		here = strstr(here + 1, HERE_PRINTED);
	return here;
}

void view_print_json(const struct tables *all, enum json how)
{
	json_t *tables = json_array();
	json_t *unread = json_array();

	for (int i = 0; i < all->number; i++)
		json_array_append_new(tables, table_object(&all->view[i]));
	for (size_t i = 0; i < all->unreads; i++)
		json_array_append_new(unread, unread_object(&all->unread[i]));
	json_t *object = json_pack("{s:i, s:o, s:o, s:I}", "version", 1, "tables", tables, "not_readable", unread, "not_shown",
				   (json_int_t)all->hidden);
	char *text = json_dumps(object, flags_of(how));
	char *at = text;

	/* The arrays come in the order of the tables, two of each. */
	for (int i = 0; i < 2 * all->number && at != NULL; i++) {
		char *here = next_here(at);
		if (here == NULL)
			break;
		fwrite(at, 1, (size_t)(here - at), stdout);
		print_clients(&all->view[i / 2], i % 2 != 0, how == JSON_COMPACTED ? &compacted : &indented);
		at = strchr(here + 1, '"') + 1;
	}
	fputs(at != NULL ? at : "", stdout);
	putchar('\n');
	free(text);
	json_decref(object);
}
