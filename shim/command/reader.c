#include "command/reader.h"

#include "command/facts.h"
#include "command/nobody.h"

#include "table/segment.h"
#include "table/table.h"
#include "values/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

enum {
	PAGE = 4096,
	OTHER_MEMORY = (size_t)1 << 28, /* for the reader itself */
	COPIES = 4,			/* attempts, if limits are published meanwhile */
	WALL_MS = 3000,			/* a reader that hangs is given up after this, even on a busy machine */
};

/* The first thing that the reader sends. */
struct outcome {
	enum { V_FACTS, V_NO_TABLE, V_OTHER_VERSION, V_NOT_WANTED, V_NO_MEMORY, V_NOT_ATTACHED, V_NOT_NOBODY } what;
	int error; /* errno */
	char version[VERSION_TEXT];
	char name[TABLE_NAME_MOST + 1];
	uint64_t layout;
};

struct task {
	const struct place *place;
	const struct wanted *wanted;
	int to;
	size_t waiting; /* bytes that were put and not sent yet */
	char piece[1 << 16];
};

/* ---- in the reader, with our rights ---- */

static bool attach_own(const struct place *place, bool to_write, struct segment *segment)
{
	struct shmid_ds facts;

	if (!segment_attach_id(segment, (int)place->id, !to_write))
		return false;
	/* The id may have been reused since the segment was listed. */
	if (segment->size == place->size && shmctl(segment->id, IPC_STAT, &facts) == 0 && facts.shm_perm.cuid == place->owner)
		return true;
	segment_detach(segment);
	errno = EIDRM;
	return false;
}

bool reader_attach(const struct place *place, bool to_write, struct segment *segment)
{
	if (place->mapping == NULL)
		return attach_own(place, to_write, segment);
	int descriptor = mapping_open(place->mapping, to_write);
	if (descriptor < 0)
		return false;
	bool attached = segment_attach_file(segment, descriptor, place->size, !to_write);
	int kept = errno;
	close(descriptor);
	errno = kept;
	return attached;
}

/* Marks the pages that are present, piece by piece (lseek(2), SEEK_DATA), which takes no longer where a table is large and
 * sparse. False if that may not be asked, or if there are many pieces, as each costs two system calls. */
static bool find_pieces(const struct segment *segment, unsigned char *present)
{
	enum { PIECES_MOST = 4096 };
	uintptr_t base = (uintptr_t)segment->base;
	size_t size = segment->size;
	off_t end = 0;
	bool all = false;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/map_files/%" PRIxPTR "-%" PRIxPTR, base,
		 base + (size + PAGE - 1) / PAGE * PAGE);
	int memory = open(path, O_RDONLY | O_CLOEXEC);
	for (int pieces = 0; memory >= 0 && pieces < PIECES_MOST && !all; pieces++) {
		off_t at = lseek(memory, end, SEEK_DATA);

		all = at < 0 ? errno == ENXIO : (size_t)at >= size;
		if (at < 0 || all || (end = lseek(memory, at, SEEK_HOLE)) < 0)
			break;
		size_t stop = (size_t)end < size ? (size_t)end : size;
		memset(present + (size_t)at / PAGE, 1, (stop - (size_t)at / PAGE * PAGE + PAGE - 1) / PAGE);
	}
	if (memory >= 0)
		close(memory);
	return all;
}

/* Finds out which pages are present, as reading the others would allocate them. The kernel tells this only to root, or only to
 * the owner and root, so it is asked before giving up rights. mincore(2) does not count pages that are swapped out, so these
 * are requested. */
static unsigned char *find_pages(const struct segment *segment)
{
	size_t pages = (segment->size + PAGE - 1) / PAGE;
	unsigned char *present = mmap(NULL, pages, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (present == MAP_FAILED)
		return NULL;
	if (find_pieces(segment, present))
		return present;
	madvise(segment->base, segment->size, MADV_WILLNEED);
	if (mincore(segment->base, segment->size, present) != 0)
		return NULL;
	for (size_t page = 0; page < pages; page++)
		if (present[page] > 1) /* the other bits have no meaning yet */
			present[page] &= 1;
	return present;
}

/* ---- in the reader, as nobody ---- */

static bool is_wanted(const struct table *table, const struct wanted *wanted)
{
	char name[TABLE_NAME_MOST + 1];

	if (wanted->which == NULL)
		return true;
	memcpy(name, table->header->name, sizeof(name));
	name[TABLE_NAME_MOST] = '\0';
	size_t length = strlen(name);
	/* Or NAME@USER, which the command checks more closely. */
	return strncmp(wanted->which, name, length) == 0 && (wanted->which[length] == '\0' || wanted->which[length] == '@');
}

/* Makes a table over a copy that does not change any more, of what is before the clients. If limits were published while it was
 * copied, it is copied again. */
static struct outcome look(struct copy *copy, const struct segment *segment, struct table *table, const struct wanted *wanted)
{
	struct table live;
	struct limits before;
	struct limits after;

	struct outcome other = {.what = V_OTHER_VERSION};

	if ((copy->present[0] & 1) == 0)
		return (struct outcome){.what = V_NO_TABLE};
	if (table_is_of_another_version(segment->base, other.version, other.name, &other.layout))
		return other;
	if (!table_look_at(&live, segment->base, segment->size))
		return (struct outcome){.what = V_NO_TABLE};
	if (!is_wanted(&live, wanted))
		return (struct outcome){.what = V_NOT_WANTED};
	copy->live = segment->base;
	copy->base = mmap(NULL, copy->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (copy->base == MAP_FAILED)
		return (struct outcome){.what = V_NO_MEMORY, .error = errno};
	for (int i = 0; i < COPIES; i++) {
		copy_pages(copy, 0, (size_t)((char *)live.entry - copy->live));
		if (!table_look_at(table, copy->base, copy->size))
			return (struct outcome){.what = V_NO_TABLE};
		limits_read(table, &before);
		limits_read(&live, &after);
		if (before.version == after.version)
			break;
	}
	return (struct outcome){.what = V_FACTS};
}

static bool send_waiting(struct task *task)
{
	size_t length = task->waiting;

	task->waiting = 0;
	return child_put(task->to, task->piece, length);
}

static bool put(const void *piece, size_t size, void *with)
{
	struct task *task = with;

	if (size > sizeof(task->piece) - task->waiting && !send_waiting(task))
		return false;
	if (size > sizeof(task->piece))
		return child_put(task->to, piece, size);
	memcpy(task->piece + task->waiting, piece, size);
	task->waiting += size;
	return true;
}

static void read_table(int to, void *with)
{
	struct task *task = with;
	struct copy copy = {0};
	struct segment segment = {0};
	struct table table;
	struct outcome outcome;

	task->to = to;
	if (!reader_attach(task->place, false, &segment) || (copy.present = find_pages(&segment)) == NULL)
		outcome = (struct outcome){.what = V_NOT_ATTACHED, .error = errno};
	else if (!become_nobody(2 * segment.size + OTHER_MEMORY))
		outcome = (struct outcome){.what = V_NOT_NOBODY, .error = errno};
	else {
		copy.size = segment.size;
		outcome = look(&copy, &segment, &table, task->wanted);
	}
	if (put(&outcome, sizeof(outcome), task) &&
	    (outcome.what != V_FACTS || facts_gather(&table, &copy, task->wanted, put, task)))
		send_waiting(task);
}

/* ---- in the command ---- */

static void say_version(const struct outcome *outcome, const struct place *place, char *why, size_t room)
{
	char version[4 * VERSION_TEXT];
	char name[4 * TABLE_NAME_MOST + 1];
	char pid[32] = "";

	text_escape(version, sizeof(version), outcome->version, sizeof(outcome->version));
	text_escape(name, sizeof(name), outcome->name, sizeof(outcome->name));
	if (place->maker != 0)
		snprintf(pid, sizeof(pid), " (pid %d)", (int)place->maker);
	snprintf(why, room,
		 "its daemon, '%s'%s, runs connlimit %s, layout %016" PRIx64 ", not %016" PRIx64 ": restart it to see it here",
		 name, pid, version, outcome->layout, table_layout());
}

static enum read_how failed(const struct outcome *outcome, const struct place *place, char *why, size_t room)
{
	switch (outcome->what) {
	case V_NO_TABLE: return READ_NO_TABLE;
	case V_NOT_WANTED: return READ_NOT_WANTED;
	case V_OTHER_VERSION: say_version(outcome, place, why, room); break;
	case V_NOT_ATTACHED:
		/* The table is gone since it was found. */
		if (outcome->error == EIDRM || outcome->error == EINVAL || outcome->error == ENOENT ||
		    outcome->error == ESRCH || outcome->error == ESTALE)
			return READ_NO_TABLE;
		snprintf(why, room, "it cannot be attached: %s", strerror(outcome->error));
		break;
	case V_NOT_NOBODY: snprintf(why, room, "its reader cannot drop its privileges: %s", strerror(outcome->error)); break;
	case V_NO_MEMORY: snprintf(why, room, "no memory: %s", strerror(outcome->error)); break;
	default: snprintf(why, room, "its reader returned an invalid result"); break;
	}
	return READ_FAILED;
}

enum read_how reader_read(struct table_view *view, const struct wanted *wanted, unsigned cpu_ms, uint64_t *used, char *why,
			  size_t room)
{
	static struct task task; /* too large for a stack */

	task = (struct task){.place = &view->place, .wanted = wanted};
	struct outcome outcome = {.what = V_FACTS};
	struct child child;

	if (!child_start(&child, cpu_ms, cpu_ms + WALL_MS, -1, read_table, &task)) {
		snprintf(why, room, "cannot start its reader: %s", strerror(errno));
		return READ_FAILED;
	}
	bool told = child_get(&outcome, sizeof(outcome), &child);
	bool taken = told && outcome.what == V_FACTS && facts_take(view, wanted, child_get, &child);
	const char *died = child_end(&child);
	*used = child.used;
	if (taken)
		return READ_DONE;
	facts_free(view);
	if (told && outcome.what != V_FACTS)
		return failed(&outcome, &view->place, why, room);
	snprintf(why, room, "%s", died != NULL ? died : "its reader returned invalid data");
	return READ_FAILED;
}
