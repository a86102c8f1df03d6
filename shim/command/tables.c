#include "command/tables.h"

#include "command/command.h"
#include "command/facts.h"
#include "command/reader.h"
#include "command/why_no_table.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* CPU time for all tables together. One table may use two thirds of what is left, so that there is always some left for the
 * next. */
enum { ALL_MS = 1500, LEAST_MS = 20 };

enum { PAGES_LEAST = 8 * 4096 }; /* of a table of any version */

/* What was found, before it is read. */
struct search {
	struct tables *tables;
	struct place *place;
	size_t places;
	size_t room;
	bool failed;
};

void user_text(char text[USER_TEXT], uid_t user)
{
	const struct passwd *known = getpwuid(user);

	if (known != NULL && strlen(known->pw_name) < USER_TEXT)
		strcpy(text, known->pw_name);
	else
		snprintf(text, USER_TEXT, "%u", (unsigned)user);
}

static pid_t process_of(const char *which)
{
	char *end;

	if (which == NULL || which[0] < '1' || which[0] > '9')
		return 0;
	unsigned long number = strtoul(which, &end, 10);
	return *end == '\0' && number <= INT32_MAX ? (pid_t)number : 0;
}

/* ---- what is there ---- */

static struct place *add(struct search *search)
{
	if (search->places == search->room) {
		size_t more = search->room != 0 ? search->room * 2 : 16;
		struct place *larger = realloc(search->place, more * sizeof(*larger));

		search->failed |= larger == NULL;
		if (larger == NULL)
			return NULL;
		search->place = larger;
		search->room = more;
	}
	search->place[search->places] = (struct place){0};
	return &search->place[search->places++];
}

static bool find_segment(const struct segment_facts *segment, void *with)
{
	struct search *search = with;

	/* Nobody has it mapped: it was left by a daemon that was killed, and its connections are gone too. */
	if (segment->attached == 0 || segment->size < PAGES_LEAST || segment->size % 4096 != 0)
		return true;
	if (!segment->readable && !table_has_size(segment->size))
		return true;
	if (!segment->readable) {
		if (search->tables->hidden++ == 0)
			search->tables->hidden_owner = segment->owner;
		return true;
	}
	struct place *place = add(search);
	if (place == NULL)
		return false;
	place->memory = MEMORY_SEGMENT;
	place->id = (uint64_t)segment->id;
	place->owner = segment->creator;
	place->maker = segment->maker_lives ? segment->maker : 0;
	place->size = segment->size;
	place->processes = segment->attached;
	return true;
}

/* Whether a process maps this memory, by the kernel's numbers. Those in another IPC namespace mean something else there, so the
 * identity of the memory is compared. A worker may have entered another namespace with the daemon's table mapped. */
static bool is_mapped_by(const struct place *place, const struct mapping *mapping, const struct processes *all,
			 struct which_memory *known)
{
	struct which_memory which;

	if (mapping->inode != place->id || mapping->segment != (place->memory != MEMORY_ANONYMOUS))
		return false;
	if (place->memory == MEMORY_ANONYMOUS)
		return true;
	if (place->memory == MEMORY_SEGMENT && mapping->ipc == all->ipc) {
		if (known->inode == 0 && !mapping_memory(mapping, known))
			known->inode = 0;
		return true;
	}
	if (place->memory == MEMORY_ELSEWHERE && mapping->ipc == place->mapping->ipc)
		return true;
	return known->inode != 0 && mapping_memory(mapping, &which) && same_memory(known, &which);
}

/* Finds the processes that have a table mapped. Those of our own namespace come first, as they identify the memory. */
static void take_processes(struct processes *all, struct place *place, pid_t *pid)
{
	struct which_memory known = {0};

	if (place->mapping != NULL && mapping_memory(place->mapping, &known))
		place->owner = known.maker;
	place->pid = pid;
	for (int elsewhere = 0; elsewhere < 2; elsewhere++)
		for (size_t i = 0; i < all->number; i++) {
			struct mapping *mapping = &all->mapping[i];

			if (mapping->taken || (mapping->ipc != all->ipc) != (elsewhere == 1) ||
			    !is_mapped_by(place, mapping, all, &known))
				continue;
			mapping->taken = true;
			pid[place->pids++] = mapping->pid;
		}
	if (place->processes < place->pids)
		place->processes = place->pids;
}

/* Adds memory that cannot be found by its id: it is reached through the first process that has it mapped. */
static bool find_mapping(struct search *search, const struct mapping *mapping)
{
	struct place *place = add(search);

	if (place == NULL)
		return false;
	place->memory = mapping->segment ? MEMORY_ELSEWHERE : MEMORY_ANONYMOUS;
	place->id = mapping->inode;
	place->size = mapping->end - mapping->start;
	place->mapping = mapping;
	place->owner = NO_USER;
	return true;
}

/* The order of reading: our own tables, root's, and then the small ones. So a stranger's huge tables do not use up the time for
 * others. */
static int by_owner(const void *left, const void *right)
{
	const struct place *a = left;
	const struct place *b = right;
	uid_t own = geteuid();
	int order_a = a->owner == own ? 0 : a->owner == 0 ? 1 : 2;
	int order_b = b->owner == own ? 0 : b->owner == 0 ? 1 : 2;

	if (order_a != order_b)
		return order_a - order_b;
	if (a->size != b->size)
		return a->size < b->size ? -1 : 1;
	return a->id < b->id ? -1 : a->id > b->id;
}

static bool find_all(struct search *search)
{
	struct processes *all = &search->tables->processes;
	size_t used = 0;

	processes_find(all);
	pid_t *pid = search->tables->pid = calloc(all->number + 1, sizeof(*pid));
	if (pid == NULL)
		return false;
	segment_list(find_segment, search);
	for (size_t i = 0; i < search->places; i++) {
		take_processes(all, &search->place[i], pid + used);
		used += search->place[i].pids;
	}
	for (size_t i = 0; i < all->number && !search->failed; i++) {
		const struct mapping *mapping = &all->mapping[i];

		if (mapping->taken || (mapping->segment && mapping->ipc == all->ipc) || !find_mapping(search, mapping))
			continue;
		struct place *place = &search->place[search->places - 1];
		take_processes(all, place, pid + used);
		used += place->pids;
	}
	if (search->places > 1)
		qsort(search->place, search->places, sizeof(*search->place), by_owner);
	return !search->failed;
}

/* ---- reading ---- */

static bool has_process(const struct place *place, pid_t pid)
{
	for (size_t i = 0; i < place->pids; i++)
		if (place->pid[i] == pid)
			return true;
	return false;
}

static bool note_unread(struct tables *tables, const struct place *place, const char *why)
{
	struct unread *larger = realloc(tables->unread, (tables->unreads + 1) * sizeof(*larger));

	if (larger == NULL)
		return false;
	tables->unread = larger;
	struct unread *unread = &larger[tables->unreads++];
	unread->place = *place;
	snprintf(unread->why, sizeof(unread->why), "%s", why);
	return true;
}

/* Adds a view of this place. Does not touch the large room for rules in its settings. */
static struct table_view *next_view(struct tables *tables, const struct place *place)
{
	struct table_view *larger = realloc(tables->view, ((size_t)tables->number + 1) * sizeof(*larger));

	if (larger == NULL)
		return NULL;
	tables->view = larger;
	struct table_view *view = &larger[tables->number];
	memset(view, 0, offsetof(struct table_view, settings));
	memset(&view->start, 0, sizeof(*view) - offsetof(struct table_view, start));
	settings_default(&view->settings);
	view->place = *place;
	view->covered = -1;
	return view;
}

static bool read_all(struct search *search, const struct wanted *wanted)
{
	struct wanted by_name = *wanted;
	uint64_t left = (uint64_t)ALL_MS * 1000;
	pid_t process = process_of(wanted->which);

	if (process != 0)
		by_name.which = NULL;
	for (size_t i = 0; i < search->places; i++) {
		const struct place *place = &search->place[i];
		uint64_t used = 0;
		char why[320] = "there was no time left to read it; name it to read only this one";
		enum read_how how = READ_FAILED;

		if (process != 0 && !has_process(place, process))
			continue;
		struct table_view *view = next_view(search->tables, place);
		if (view == NULL)
			return false;
		unsigned most = (unsigned)(left * 2 / 3000);
		if (most >= LEAST_MS)
			how = reader_read(view, &by_name, most, &used, why, sizeof(why));
		left -= used < left ? used : left;
		/* Who made the table in a chroot without /proc could not say. */
		for (size_t one = 0; how == READ_DONE && view->network == 0 && one < place->pids; one++)
			view->network = process_network(place->pid[one]);
		if (how == READ_DONE)
			search->tables->number++;
		else if (how == READ_FAILED && !note_unread(search->tables, place, why))
			return false;
	}
	return true;
}

/* ---- which are meant ---- */

/* How well a table fits what was given; 0: not at all. NAME@USER fits better than a name that happens to be that text. */
static int fitness(const struct table_view *view, const char *which)
{
	size_t length = strlen(view->name);
	char owner[USER_TEXT];

	if (strncmp(view->name, which, length) != 0)
		return 0;
	if (which[length] == '@') {
		user_text(owner, view->place.owner);
		return strcmp(owner, which + length + 1) == 0 ? 4 : 0;
	}
	if (which[length] != '\0')
		return 0;
	return view->place.owner == geteuid() ? 3 : view->place.owner == 0 ? 2 : 1;
}

static void leave_out(struct tables *tables, int which)
{
	facts_free(&tables->view[which]);
	for (int i = which + 1; i < tables->number; i++)
		memcpy(&tables->view[i - 1], &tables->view[i], sizeof(tables->view[i]));
	tables->number--;
}

/* From the end, where strangers' tables are, so that few views have to be moved. */
static void keep_meant(struct tables *tables, const char *which)
{
	int best = 0;

	if (which == NULL || process_of(which) != 0)
		return;
	for (int i = 0; i < tables->number; i++)
		best = fitness(&tables->view[i], which) > best ? fitness(&tables->view[i], which) : best;
	for (int i = tables->number; i-- > 0;)
		if (best == 0 || fitness(&tables->view[i], which) < best)
			leave_out(tables, i);
}

static void find_twins(struct tables *tables)
{
	struct table_view *views = tables->view;

	for (int i = 0; i < tables->number; i++)
		for (int j = 0; j < i; j++)
			if (strcmp(views[i].name, views[j].name) == 0)
				views[i].twin = views[j].twin = true;
}

bool tables_read(struct tables *tables, const struct wanted *wanted)
{
	struct search search = {.tables = tables};

	*tables = (struct tables){0};
	bool good = find_all(&search) && read_all(&search, wanted);
	free(search.place);
	if (good) {
		keep_meant(tables, wanted->which);
		find_twins(tables);
		return true;
	}
	fprintf(stderr, "connlimit: out of memory\n");
	tables_free(tables);
	return false;
}

void tables_free(struct tables *tables)
{
	for (int i = 0; i < tables->number; i++)
		facts_free(&tables->view[i]);
	processes_free(&tables->processes);
	free(tables->view);
	free(tables->unread);
	free(tables->pid);
	*tables = (struct tables){0};
}

/* ---- the message if there are none ---- */

static void say_hidden(const struct tables *tables)
{
	char owner[USER_TEXT];

	if (tables->hidden == 0)
		return;
	user_text(owner, tables->hidden_owner);
	fprintf(stderr, "connlimit: %u table%s of other users (%s) may be read only by them and by root\n", tables->hidden,
		tables->hidden == 1 ? "" : "s", owner);
}

static void say_not_readable(const struct tables *tables)
{
	static const char *const kinds[] = {"segment", "anonymous memory", "segment of another IPC namespace,"};

	for (size_t i = 0; i < tables->unreads; i++) {
		const struct unread *unread = &tables->unread[i];
		char owner[USER_TEXT];

		user_text(owner, unread->place.owner);
		fprintf(stderr, "connlimit: a table of %s (%s %llu) is not readable: %s\n",
			unread->place.owner != NO_USER ? owner : "an unknown user", kinds[unread->place.memory],
			(unsigned long long)unread->place.id, unread->why);
	}
}

int tables_say_unread(const struct tables *tables, const char *which)
{
	say_not_readable(tables);
	if (which == NULL && tables->hidden > 0)
		fprintf(stderr, "connlimit: %u table%s of other users not shown: only they and root may read %s\n",
			tables->hidden, tables->hidden == 1 ? "" : "s", tables->hidden == 1 ? "it" : "them");
	return tables->number == 0 && tables->hidden > 0 ? STATUS_NOT_PERMITTED : STATUS_DONE;
}

void table_text(char text[QUALIFIED_TEXT], const struct table_view *view)
{
	char owner[USER_TEXT];

	user_text(owner, view->place.owner);
	snprintf(text, QUALIFIED_TEXT, "%s@%s", view->name, owner);
}

bool tables_call(char text[QUALIFIED_TEXT], const struct tables *tables, int which)
{
	const struct table_view *view = &tables->view[which];
	const struct table_view *first = NULL;

	for (int i = 0; i < which; i++) {
		if (strcmp(tables->view[i].name, view->name) != 0)
			continue;
		if (tables->view[i].place.owner == view->place.owner)
			return false;
		first = &tables->view[i];
	}
	if (first != NULL)
		table_text(text, view);
	else
		snprintf(text, QUALIFIED_TEXT, "%s", view->name);
	return true;
}

int tables_none(const char *which)
{
	char called[QUALIFIED_TEXT];
	struct tables tables;
	char why[512];

	if (!tables_read(&tables, &(struct wanted){.which = NULL}))
		return STATUS_FAILED;
	if (process_of(which) != 0)
		process_why_no_table(why, sizeof(why), process_of(which));
	if (process_of(which) != 0)
		fprintf(stderr, "connlimit: process %s %s", which, why);
	else if (which != NULL)
		fprintf(stderr, "connlimit: there is no table '%s'", which);
	else
		fprintf(stderr, "connlimit: no daemon%s runs under connlimit", tables.hidden > 0 ? " of yours" : "");
	for (int i = 0; i < tables.number; i++)
		if (tables_call(called, &tables, i))
			fprintf(stderr, "%s %s", i == 0 ? "; there are:" : "", called);
	fputc('\n', stderr);
	say_not_readable(&tables);
	say_hidden(&tables);
	int status = tables.hidden > 0 ? STATUS_NOT_PERMITTED : STATUS_FAILED;
	tables_free(&tables);
	return status;
}

int tables_choose(struct tables *tables, const struct wanted *wanted, bool all)
{
	const char *which = wanted->which;
	char text[QUALIFIED_TEXT];

	if (!tables_read(tables, wanted))
		return STATUS_FAILED;
	/* Without a name, tables of other users do not make it ambiguous if there is one of ours or of root. */
	for (int i = tables->number; which == NULL && !all && i-- > 1;)
		if (tables->view[i].place.owner != tables->view[0].place.owner)
			leave_out(tables, i);
	if (tables->number == 0)
		return tables_none(which);
	if (tables->number == 1 || all)
		return 0;
	if (which == NULL)
		fprintf(stderr, "connlimit: there are several tables; name one, or give --all:");
	else
		fprintf(
		    stderr,
		    "connlimit: several tables are called '%s'; name one as NAME@USER, or by a process of its daemon:", which);
	for (int i = 0; i < tables->number; i++) {
		table_text(text, &tables->view[i]);
		fprintf(stderr, " %s", which != NULL ? text : tables->view[i].name);
	}
	fputc('\n', stderr);
	return STATUS_USAGE;
}
