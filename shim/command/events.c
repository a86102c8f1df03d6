/* connlimit events: what happens to the limits of daemons, as it happens. */
#include "command/command.h"
#include "command/tables.h"
#include "command/view_json.h"

#include "table/bans.h"
#include "table/events.h"
#include "values/clock.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char help[] =
    "usage: connlimit events [OPTION]... [TABLE | PID]\n"
    "\n"
    "Shows what happens to the limits of a daemon, or of all: starts and ends,\n"
    "refusals, bans, reloads, and what does not work as it should. Begins with what\n"
    "the tables have kept, the last 512 events of each, and looks again every second\n"
    "until it is ended. Of refusals, 10 a second are shown, with how many were left\n"
    "out; connlimit status has the counts.\n"
    "\n"
    "  --json  one object a line, for programs; connlimit(1) says what is in it\n"
    "  --once  only what is kept\n"
    "\n"
    "Exit status: 0 done; 1 no such table, or it cannot be done; 2 called wrongly;\n"
    "77 no such table among those that this user may read\n";

enum { LOOK_EACH_MS = 1000 };

/* A table, and how far it was shown. */
struct followed {
	struct place place; /* what tells it from others */
	char name[TABLE_NAME_MOST + 1];
	uint64_t next;
	uint64_t awaited; /* position + 1 of an event that was not whole at the last look; 0: none */
	bool there;
};

struct following {
	struct followed *table;
	size_t tables;
	bool json;
	bool again; /* not the first look */
};

/* An event to be shown. */
struct shown {
	const char *table;
	struct event_facts facts;
	uint64_t missed; /* events of this table that are not there any more */
	size_t order;
};

struct look {
	struct shown *shown;
	size_t number;
	size_t room;
	uint64_t clock; /* ms of clock_ms, and of CLOCK_REALTIME at the same moment */
	int64_t real;
};

static bool show_later(struct look *look, const struct shown *shown)
{
	if (look->number == look->room) {
		size_t more = look->room != 0 ? look->room * 2 : 256;
		struct shown *larger = realloc(look->shown, more * sizeof(*larger));

		if (larger == NULL)
			return false;
		look->shown = larger;
		look->room = more;
	}
	look->shown[look->number] = *shown;
	look->shown[look->number].order = look->number;
	look->number++;
	return true;
}

static int by_time(const void *left, const void *right)
{
	const struct shown *a = left;
	const struct shown *b = right;

	if (a->facts.at != b->facts.at)
		return a->facts.at < b->facts.at ? -1 : 1;
	return a->order < b->order ? -1 : 1;
}

/* ---- what is new ---- */

static bool is_same(const struct place *a, const struct place *b)
{
	return a->memory == b->memory && a->id == b->id && a->owner == b->owner && a->size == b->size;
}

static struct followed *followed_of(struct following *following, const struct table_view *view)
{
	for (size_t i = 0; i < following->tables; i++)
		if (is_same(&following->table[i].place, &view->place))
			return &following->table[i];
	struct followed *larger = realloc(following->table, (following->tables + 1) * sizeof(*larger));
	if (larger == NULL)
		return NULL;
	following->table = larger;
	struct followed *table = &larger[following->tables++];
	*table = (struct followed){.place = view->place};
	memcpy(table->name, view->name, sizeof(table->name));
	table->next = view->events_end > EVENTS_KEPT ? view->events_end - EVENTS_KEPT : 0;
	return table;
}

/* One that was not whole is waited for until the next look: whoever writes it may have died. */
static bool take_new(struct look *look, struct followed *table, const struct table_view *view, bool wait)
{
	uint64_t kept = view->events_end > EVENTS_KEPT ? view->events_end - EVENTS_KEPT : 0;
	uint64_t awaited = table->awaited;

	table->there = true;
	table->awaited = 0;
	/* A position that goes back was never one: somebody wrote that there. */
	if (table->next > view->events_end)
		table->next = kept;
	uint64_t missed = table->next < kept ? kept - table->next : 0;
	for (size_t i = 0; i < view->events; i++) {
		const struct event_view *event = &view->event[i];

		if (event->position < table->next)
			continue;
		if (wait && event->position > table->next && table->next >= kept && awaited != table->next + 1) {
			table->awaited = table->next + 1;
			return true;
		}
		const struct shown shown = {.table = table->name, .facts = event->facts, .missed = missed};
		if (!show_later(look, &shown))
			return false;
		missed = 0;
		table->next = event->position + 1;
	}
	return true;
}

static bool is_unread(const struct tables *tables, const struct place *place)
{
	for (size_t i = 0; i < tables->unreads; i++)
		if (is_same(&tables->unread[i].place, place))
			return true;
	return false;
}

/* What was there and is not any more has ended. */
static bool take_ended(struct look *look, struct following *following, const struct tables *tables)
{
	for (size_t i = 0; i < following->tables; i++) {
		const struct followed *table = &following->table[i];
		const struct shown ended = {
		    .table = table->name,
		    .facts = {.at = look->clock, .event = EVENT_ENDED, .client.prefix = EVENT_WITHOUT_CLIENT}};

		if (!table->there && !is_unread(tables, &table->place) && !show_later(look, &ended))
			return false;
	}
	return true;
}

static void forget_ended(struct following *following, const struct tables *tables)
{
	size_t kept = 0;

	for (size_t i = 0; i < following->tables; i++)
		if (following->table[i].there || is_unread(tables, &following->table[i].place))
			following->table[kept++] = following->table[i];
	following->tables = kept;
}

/* ---- showing ---- */

static bool has_client(const struct event_facts *facts)
{
	return facts->client.prefix != EVENT_WITHOUT_CLIENT;
}

static bool has_address(const struct event_facts *facts)
{
	static const struct address none;

	return memcmp(&facts->address, &none, sizeof(none)) != 0;
}

/* Milliseconds since the epoch. */
static int64_t time_of(const struct look *look, const struct event_facts *facts)
{
	return look->real - (facts->at < look->clock ? (int64_t)(look->clock - facts->at) : 0);
}

static void print_line(const struct look *look, const struct shown *shown)
{
	const struct event_facts *facts = &shown->facts;
	int64_t at = time_of(look, facts);
	time_t seconds = (time_t)(at / 1000);
	char when[40] = "?";
	char text[NETWORK_TEXT];
	char span[SPAN_TEXT];
	struct tm parts;

	if (localtime_r(&seconds, &parts) != NULL)
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &parts);
	printf("%s.%03d %s %s", when, (int)(at % 1000), event_word(facts->event), shown->table);
	if (has_client(facts)) {
		network_format(text, &facts->client);
		printf(" %s", text);
	}
	if (has_address(facts) && facts->client.prefix < 128) {
		address_format(text, &facts->address);
		printf(" (%s)", text);
	}
	if (facts->port != 0)
		printf(" at port %u", facts->port);
	if (facts->reason != REFUSED_NOT)
		printf(" by %s", refusal_reason_word(facts->reason));
	if (refusal_has_limit(facts->reason))
		printf(" %" PRIu32, facts->limit);
	view_ban(span, facts->banned);
	if (facts->banned != 0)
		printf(facts->banned == BAN_FOREVER ? ", banned %s" : ", banned for %s", span);
	if (facts->left_out != 0)
		printf("; %u%s before it left out", facts->left_out, facts->left_out == UINT16_MAX ? " or more" : "");
	if (shown->missed != 0)
		printf("; %" PRIu64 " before it missed", shown->missed);
	putchar('\n');
}

static void print_object(const struct look *look, const struct shown *shown)
{
	const struct event_facts *facts = &shown->facts;
	int64_t at = time_of(look, facts);
	time_t seconds = (time_t)(at / 1000);
	char text[NETWORK_TEXT];
	char when[40] = "";
	struct tm parts;

	if (gmtime_r(&seconds, &parts) != NULL) {
		size_t length = strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &parts);
		snprintf(when + length, sizeof(when) - length, ".%03dZ", (int)(at % 1000));
	}
	json_t *object = json_pack("{s:s, s:s, s:s}", "time", when, "event", event_word(facts->event), "table", shown->table);
	if (has_client(facts)) {
		network_format(text, &facts->client);
		json_object_set_new(object, "client", json_string(text));
	}
	if (has_address(facts)) {
		address_format(text, &facts->address);
		json_object_set_new(object, "address", json_string(text));
	}
	if (facts->port != 0)
		json_object_set_new(object, "port", json_integer(facts->port));
	if (facts->reason != REFUSED_NOT)
		json_object_set_new(object, "reason", json_string(refusal_reason_word(facts->reason)));
	if (refusal_has_limit(facts->reason))
		json_object_set_new(object, "limit", json_integer(facts->limit));
	if (facts->banned != 0 && facts->banned != BAN_FOREVER)
		json_object_set_new(object, "banned_seconds", json_integer(facts->banned));
	if (facts->left_out != 0)
		json_object_set_new(object, "left_out", json_integer(facts->left_out));
	if (shown->missed != 0)
		json_object_set_new(object, "missed", json_integer((json_int_t)shown->missed));
	json_print(object, JSON_COMPACTED);
}

/* ---- looking ---- */

static bool look_at(struct following *following, const struct tables *tables)
{
	struct look look = {.clock = clock_ms()};
	struct timespec now;
	bool good = true;

	clock_gettime(CLOCK_REALTIME, &now);
	look.real = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	for (size_t i = 0; i < following->tables; i++)
		following->table[i].there = false;
	for (int i = 0; i < tables->number && good; i++) {
		struct followed *table = followed_of(following, &tables->view[i]);
		good = table != NULL && take_new(&look, table, &tables->view[i], following->again);
	}
	good = good && take_ended(&look, following, tables);
	if (good && look.number > 0)
		qsort(look.shown, look.number, sizeof(*look.shown), by_time);
	for (size_t i = 0; i < look.number && good; i++)
		(following->json ? print_object : print_line)(&look, &look.shown[i]);
	forget_ended(following, tables);
	free(look.shown);
	if (!good)
		fprintf(stderr, "connlimit: out of memory\n");
	return good;
}

static int look_once(struct following *following, const char *which)
{
	struct tables tables;
	int status = STATUS_DONE;

	if (!tables_read(&tables, &(struct wanted){.which = which, .events = true}))
		return STATUS_FAILED;
	if (!following->again)
		status = tables_say_unread(&tables, which);
	if (!following->again && tables.number == 0 && which != NULL)
		status = tables_none(which);
	if (!look_at(following, &tables))
		status = STATUS_FAILED;
	tables_free(&tables);
	int ended = output_end();
	following->again = true;
	return status != STATUS_DONE ? status : ended;
}

int command_events(int argc, char **argv)
{
	static const struct option options[] = {
	    {"json", no_argument, NULL, 'j'}, {"once", no_argument, NULL, 'o'}, {"help", no_argument, NULL, 'h'}, {0}};
	struct following following = {0};
	bool once = false;
	int option;

	while ((option = next_option(argc, argv, ":h", options)) != -1) {
		switch (option) {
		case 'j': following.json = true; break;
		case 'o': once = true; break;
		case 'h': fputs(help, stdout); return output_end();
		default: return STATUS_USAGE;
		}
	}
	if (!arguments_within(argc, argv, 0, 1))
		return STATUS_USAGE;
	int status = look_once(&following, argv[optind]);
	while (!once && status == STATUS_DONE) {
		poll(NULL, 0, LOOK_EACH_MS);
		status = look_once(&following, argv[optind]);
	}
	free(following.table);
	return status;
}
