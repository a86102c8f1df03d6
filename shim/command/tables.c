#include "command/tables.h"

#include "command/command.h"
#include "command/processes.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct search {
	const char *which;
	pid_t process; /* which, if it is a number */
	struct processes processes;
	void (*visit)(struct found *found, void *with);
	void *with;
	unsigned number;
};

void tables_printable(char *text, const char *from, size_t size)
{
	size_t i = 0;

	for (; i + 1 < size && from[i] != '\0'; i++)
		text[i] = (unsigned char)from[i] >= ' ' && (unsigned char)from[i] < 127 ? from[i] : '?';
	text[i] = '\0';
}

static pid_t process_of(const char *which)
{
	char *end;

	if (which == NULL || which[0] < '1' || which[0] > '9')
		return 0;
	unsigned long number = strtoul(which, &end, 10);
	return *end == '\0' && number <= INT32_MAX ? (pid_t)number : 0;
}

static bool same(const struct mapping *a, const struct mapping *b)
{
	return a->inode == b->inode && a->segment == b->segment && a->own_ipc == b->own_ipc;
}

static bool open_mapping(struct table *table, const struct mapping *mapping)
{
	int descriptor = mapping_open(mapping);

	if (descriptor < 0)
		return false;
	bool opened = table_open_mapped(table, descriptor, mapping->end - mapping->start);
	close(descriptor);
	return opened;
}

/* A worker in an IPC namespace of its own has the daemon's table mapped still. The number alone does not tell: each namespace
 * counts its segments anew. The table's secret does. */
static bool same_from_elsewhere(const struct mapping *mapping, const struct mapping *like, const struct table *table)
{
	struct table other;

	if (!mapping->segment || !like->segment || mapping->inode != like->inode || !open_mapping(&other, mapping))
		return false;
	bool is_same = other.secret[0] == table->secret[0] && other.secret[1] == table->secret[1];
	table_leave(&other);
	return is_same;
}

/* Shows an open table to the visitor, if it is wanted, and leaves it. */
static void show(struct search *search, struct found *found, const struct mapping *like)
{
	struct processes *all = &search->processes;
	pid_t *pid = calloc(all->number + 1, sizeof(*pid));
	bool wanted = search->which == NULL;

	for (size_t i = 0; i < all->number && pid != NULL; i++) {
		if (!same(&all->mapping[i], like) && !same_from_elsewhere(&all->mapping[i], like, &found->table))
			continue;
		all->mapping[i].shown = true;
		pid[found->pids++] = all->mapping[i].pid;
		wanted |= search->process == all->mapping[i].pid;
	}
	tables_printable(found->name, found->table.header->name, sizeof(found->name));
	/* A name may be a number too. */
	wanted |= search->which != NULL && strcmp(found->name, search->which) == 0;
	found->pid = pid;
	if (found->processes < found->pids)
		found->processes = found->pids;
	if (wanted) {
		search->number++;
		search->visit(found, search->with);
	}
	free(pid);
	table_leave(&found->table);
}

static bool visit_segment(const struct segment_facts *segment, void *with)
{
	struct search *search = with;
	struct mapping like = {.inode = (uint64_t)segment->id, .segment = true, .own_ipc = true};
	struct found found = {.memory = MEMORY_SEGMENT};

	/* Nobody has it mapped: what a daemon left that was killed. Its connections are gone with it. */
	if (segment->attached == 0 || !segment->readable || !table_open_id(&found.table, segment->id))
		return true;
	found.processes = segment->attached;
	show(search, &found, &like);
	return true;
}

/* What is not to be found by its segment: reached through the first process that has it mapped. */
static void visit_mappings(struct search *search)
{
	const struct processes *all = &search->processes;

	for (size_t i = 0; i < all->number; i++) {
		const struct mapping *mapping = &all->mapping[i];
		struct found found = {.memory = mapping->segment ? MEMORY_ELSEWHERE : MEMORY_ANONYMOUS};

		if (!mapping->shown && !(mapping->segment && mapping->own_ipc) && open_mapping(&found.table, mapping))
			show(search, &found, mapping);
	}
}

unsigned tables_visit(const char *which, void (*visit)(struct found *found, void *with), void *with)
{
	struct search search = {.which = which, .process = process_of(which), .visit = visit, .with = with};

	processes_find(&search.processes);
	segment_list(visit_segment, &search);
	visit_mappings(&search);
	processes_free(&search.processes);
	return search.number;
}

/* ---- one table, or what is wrong ---- */

struct names {
	char text[512];
};

static void add_name(struct found *found, void *with)
{
	struct names *names = with;
	size_t length = strlen(names->text);

	snprintf(names->text + length, sizeof(names->text) - length, " %s", found->name);
}

struct hidden {
	unsigned number;
	uid_t owner;
};

static bool count_hidden(const struct segment_facts *segment, void *with)
{
	struct hidden *hidden = with;

	if (segment->attached > 0 && !segment->readable && table_has_size(segment->size) && hidden->number++ == 0)
		hidden->owner = segment->owner;
	return true;
}

unsigned tables_hidden(uid_t *owner)
{
	struct hidden hidden = {0};

	segment_list(count_hidden, &hidden);
	*owner = hidden.owner;
	return hidden.number;
}

int tables_none(const char *which)
{
	struct names names = {""};
	uid_t owner = 0;
	unsigned hidden = tables_hidden(&owner);

	tables_visit(NULL, add_name, &names);
	if (process_of(which) != 0)
		fprintf(stderr,
			"connlimit: process %s has no table: it is not under connlimit, does not exist, or may be read only by "
			"another user",
			which);
	else if (which != NULL)
		fprintf(stderr, "connlimit: there is no table '%s'", which);
	else
		fprintf(stderr, "connlimit: no daemon runs under connlimit");
	if (names.text[0] != '\0')
		fprintf(stderr, "; there are:%s", names.text);
	if (hidden > 0) {
		const struct passwd *user = getpwuid(owner);

		fprintf(stderr, "\nconnlimit: %u table%s of other users (%s) may be read only by them and by root", hidden,
			hidden == 1 ? "" : "s", user != NULL ? user->pw_name : "?");
	}
	fputc('\n', stderr);
	return hidden > 0 ? STATUS_NOT_PERMITTED : STATUS_FAILED;
}

struct change {
	int (*visit)(struct found *found, void *with);
	void *with;
	struct names names;
	unsigned number;
	int status;
};

static void count(struct found *found, void *with)
{
	struct change *change = with;

	add_name(found, &change->names);
	change->number++;
}

static void change_one(struct found *found, void *with)
{
	struct change *change = with;

	/* One that has come since they were counted was not meant. */
	if (change->number == 0)
		return;
	change->number--;
	int status = change->visit(found, change->with);
	change->status = status > change->status ? status : change->status;
}

int tables_change(const char *which, bool all, int (*visit)(struct found *found, void *with), void *with)
{
	struct change change = {.visit = visit, .with = with};

	tables_visit(which, count, &change);
	if (change.number == 0)
		return tables_none(which);
	if (change.number > 1 && which != NULL) {
		fprintf(stderr, "connlimit: several tables are called '%s'; name one by a process of its daemon\n", which);
		return STATUS_USAGE;
	}
	if (change.number > 1 && !all) {
		fprintf(stderr, "connlimit: there are several tables, say which, or --all:%s\n", change.names.text);
		return STATUS_USAGE;
	}
	tables_visit(which, change_one, &change);
	return change.status;
}
