#include "command/writer.h"

#include "command/command.h"
#include "command/nobody.h"
#include "command/reader.h"

#include <stdio.h>

enum { OTHER_MEMORY = 1 << 28, CPU_MS = 1000, WALL_MS = 5000 };

struct writing {
	const struct table_view *view;
	int (*write)(struct table *table, const void *with);
	const void *with;
};

static void write_as_nobody(int to, void *with)
{
	const struct writing *writing = with;
	struct segment segment;
	struct table table;
	int written = NOT_WRITTEN;

	/* Which process this is, in the table's pid namespace, is to be seen in /proc, and so before. */
	if (reader_attach(&writing->view->place, true, &segment) && table_look_at(&table, segment.base, segment.size) &&
	    become_nobody(OTHER_MEMORY))
		written = writing->write(&table, writing->with);
	child_put(to, &written, sizeof(written));
}

int writer_write(const struct table_view *view, int (*write)(struct table *table, const void *with), const void *with)
{
	struct writing writing = {.view = view, .write = write, .with = with};
	int written = NOT_WRITTEN;
	struct child child;

	if (!child_start(&child, CPU_MS, WALL_MS, -1, write_as_nobody, &writing))
		return NOT_WRITTEN;
	if (!child_get(&written, sizeof(written), &child))
		written = NOT_WRITTEN;
	child_end(&child);
	return written >= 0 ? written : NOT_WRITTEN;
}

int writer_failed(const struct table_view *view)
{
	fprintf(stderr, "connlimit: table %s cannot be written to: its daemon has ended\n", view->name);
	return STATUS_FAILED;
}
