#include "command/view_json.h"

#include <jansson.h>

static json_t *number_or_null(int64_t number)
{
	return number < 0 ? json_null() : json_integer(number);
}

static json_t *limit_or_null(uint32_t limit)
{
	return limit == LIMIT_NONE ? json_null() : json_integer(limit);
}

static json_t *settings_object(const struct settings *settings)
{
	json_t *object = json_object();
	static char value[1 << 20]; /* ten thousand rules */

	for (int id = 0; id < SETTINGS; id++) {
		settings_format(value, sizeof(value), settings, (enum setting_id)id);
		json_object_set_new(object, settings_table[id].name,
				    json_pack("{s:s, s:s}", "value", value, "origin", view_origin(settings->origin[id])));
	}
	return object;
}

static json_t *client_object(const struct client_view *client)
{
	char network[NETWORK_TEXT];

	network_format(network, &client->facts.network);
	return json_pack("{s:s, s:I, s:o, s:I, s:I, s:I, s:I}", "client", network, "open", (json_int_t)client->facts.open,
			 "limit", limit_or_null(client->facts.limit), "peak", (json_int_t)client->facts.peak, "refused",
			 (json_int_t)client->facts.refused, "oldest_seconds", (json_int_t)client->oldest, "remote",
			 (json_int_t)client->remote);
}

static json_t *ways_object(const struct table_view *view)
{
	json_t *object = json_object();

	for (unsigned way = KERNEL_SOCK_DIAG; way < ASKED_WAYS; way++)
		json_object_set_new(object, view_way(way), json_integer((json_int_t)view->asked[way]));
	return object;
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

static json_t *table_object(const struct table_view *view)
{
	static const char *const memories[] = {"segment", "anonymous", "elsewhere"};
	json_t *clients = json_array();
	json_t *reasons = json_object();

	for (size_t i = 0; i < view->clients; i++)
		json_array_append_new(clients, client_object(&view->client[i]));
	for (unsigned reason = REFUSED_NOT + 1; reason < REASONS; reason++)
		json_object_set_new(reasons, view_reason(reason), json_integer((json_int_t)view->refused_for[reason]));
	json_t *object = json_pack("{s:s, s:s, s:I, s:I, s:I, s:b, s:I, s:I, s:I, s:I}", "name", view->name, "program",
				   view->program, "pid", (json_int_t)view->maker, "processes", (json_int_t)view->processes,
				   "uptime_seconds", (json_int_t)view->uptime, "checked", (int)(view->compared == COMPARED),
				   "open", (json_int_t)view->open, "capacity", (json_int_t)view->capacity, "refused",
				   (json_int_t)view->refused, "observed", (json_int_t)view->observed);
	json_object_set_new(object, "refused_for", reasons);
	json_object_set_new(object, "uncounted", json_integer((json_int_t)view->uncounted));
	json_object_set_new(object, "unverified", json_integer((json_int_t)view->unverified));
	json_object_set_new(object, "unseen", json_integer((json_int_t)view->unseen));
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
	json_object_set_new(object, "fleet_lease_ms", json_integer((json_int_t)view->lease));
	json_object_set_new(object, "fleet_sidecar",
			    view->sidecar != 0 ? json_integer((json_int_t)view->sidecar) : json_null());
	json_object_set_new(object, "memory", json_string(memories[view->memory]));
	json_object_set_new(object, "mode", json_string(view_mode(view->settings.mode)));
	json_object_set_new(object, "at_limit", json_integer((json_int_t)view->at_limit));
	json_object_set_new(object, "degraded", degraded_array(view));
	json_object_set_new(object, "settings", settings_object(&view->settings));
	json_object_set_new(object, "clients", clients);
	return object;
}

void view_print_json(const struct table_view *views, int number)
{
	json_t *tables = json_array();

	for (int i = 0; i < number; i++)
		json_array_append_new(tables, table_object(&views[i]));
	json_t *whole = json_pack("{s:i, s:o}", "version", 1, "tables", tables);
	json_dumpf(whole, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	putchar('\n');
	json_decref(whole);
}
