#include "tables.h"

#include <stdio.h>
#include <string.h>

struct search {
	const char *name;
	struct table *table;
	unsigned found;
	char names[512]; /* of all that there are */
};

static bool visit(const struct segment_facts *facts, void *with)
{
	struct search *search = with;
	struct table table;
	char name[TABLE_NAME_MOST + 1];

	if (facts->attached == 0 || !facts->readable || !table_open_id(&table, facts->id))
		return true;
	snprintf(name, sizeof(name), "%.*s", TABLE_NAME_MOST, table.header->name);
	size_t length = strlen(search->names);
	snprintf(search->names + length, sizeof(search->names) - length, " %s", name);
	if ((search->name != NULL && strcmp(search->name, name) != 0) || search->found > 0) {
		search->found += search->name == NULL;
		table_look_away(&table);
		return true;
	}
	*search->table = table;
	search->found++;
	return true;
}

bool tables_open(struct table *table, const char *name)
{
	struct search search = {.name = name, .table = table};

	segment_list(visit, &search);
	if (search.found == 1)
		return true;
	if (search.found > 1) {
		table_look_away(table);
		fprintf(stderr, "connlimit: there are several tables, say which:%s\n", search.names);
	} else if (search.names[0] == '\0') {
		fprintf(stderr, "connlimit: no daemon runs under connlimit\n");
	} else {
		fprintf(stderr, "connlimit: there is no table '%s'; there are:%s\n", name, search.names);
	}
	return false;
}
