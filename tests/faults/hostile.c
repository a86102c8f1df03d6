/* A worker that was taken over: has the table of a running daemon mapped, as root had it, and then is another user.
 *
 *     hostile TABLE SEED        tries to take the segment away, then scribbles over it until it is ended
 *     hostile --foreign TABLE   as another user without the mapping: tries to attach the table
 *     hostile --first TABLE     as another user: makes the segments that a table of this name would be, before the daemon does,
 *                               and gives the last one to root, until its standard input ends; then tells whether anybody
 *                               wrote to them
 *
 *     hostile --version NAME    as this user: makes what another version of connlimit would, with an escape in its version's
 * text, until its standard input ends hostile --giants N NAME   as another user: N sparse tables of the largest capacity,
 * called NAME, the last page of each in use hostile --full NAME       as another user: one of 65 536 connections, every word of
 * it in use hostile --file NAME as another user: shows a file as a table, under a path that ends as the kernel's own memory
 * does, and cuts it off under whoever reads it, again and again
 *
 *                               each until its standard input ends
 *
 *     hostile --forget TABLE    takes out of a table by which start and with which settings it was made, and ends
 *
 *     hostile --texts NAME      as another user: a table all of whose texts are what a terminal, a parser or a log could obey
 *
 *     hostile --claims TABLE PEER-PORT LOCAL-PORT
 *                               makes a table in which a connection of 127.0.0.1 stands that is another daemon's, until its
 * standard input ends
 *
 * Prints what it was able to do that it should not be, and then "ready". */
#include "scribble.h"
#include "table/clients.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOBODY = 65534 };

/* A segment cannot be truncated at all, unlike a file; removing it, or giving it other owners and rights, is for its owner. */
static void try_to_take_away(int id)
{
	struct shmid_ds facts = {0};

	if (shmctl(id, IPC_STAT, &facts) == 0)
		printf("could look at the segment\n");
	facts.shm_perm.mode = 0666;
	facts.shm_perm.uid = NOBODY;
	if (shmctl(id, IPC_SET, &facts) == 0)
		printf("could change the segment's owner and rights\n");
	if (shmctl(id, IPC_RMID, NULL) == 0)
		printf("could remove the segment\n");
	if (shmctl(id, SHM_LOCK, NULL) == 0)
		printf("could lock the segment\n");
	if (shmat(id, NULL, 0) != (void *)-1)
		printf("could attach the segment\n");
}

static int come_first(const char *name)
{
	enum { SEGMENTS = 3 };
	size_t size = table_size(65536);
	struct table_header *header[SEGMENTS];
	int id[SEGMENTS];

	if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
		return 2;
	for (unsigned i = 0; i < SEGMENTS; i++) {
		id[i] = shmget(IPC_PRIVATE, size, IPC_CREAT | 0666);
		header[i] = id[i] >= 0 ? shmat(id[i], NULL, 0) : (void *)-1;
		if (header[i] == (void *)-1)
			return 2;
		strncpy(header[i]->name, name, sizeof(header[i]->name) - 1);
		atomic_store(&header[i]->layout, table_layout());
		atomic_store(&header[i]->magic, i == 0 ? 0 : TABLE_MAGIC);
		/* Whoever owns a segment may give it away, and keep it mapped: who made it is another matter. */
		struct shmid_ds facts = {.shm_perm = {.uid = 0, .gid = 0, .mode = 0600}};
		if (i == SEGMENTS - 1 && shmctl(id[i], IPC_SET, &facts) != 0)
			return 2;
	}
	printf("ready\n");
	fflush(stdout);
	while (getchar() != EOF)
		;
	for (unsigned i = 0; i < SEGMENTS; i++) {
		if (atomic_load(&header[i]->current) != 0 || atomic_load(&header[i]->secret[0]) != 0)
			printf("was believed to be the daemon's table\n");
		shmctl(id[i], IPC_RMID, NULL);
	}
	return 0;
}

static bool become_another(void)
{
	return setgid(NOBODY) == 0 && setuid(NOBODY) == 0;
}

static int wait_for_end(void)
{
	printf("ready\n");
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}

static int be_another_version(const char *name)
{
	struct segment segment;

	if (!segment_make(&segment, 40 * 4096))
		return 2;
	struct table_header *header = segment.base;
	strcpy(header->version, "0.0.9\033[31m");
	strncpy(header->name, name, sizeof(header->name) - 1);
	atomic_store(&header->layout, 1);
	atomic_store(&header->magic, TABLE_MAGIC);
	return wait_for_end();
}

static int be_giants(int number, const char *name)
{
	static struct settings settings;

	settings_default(&settings);
	settings.capacity = 1 << 24;
	settings.per_ip = 7;
	if (!become_another())
		return 2;
	for (int i = 0; i < number; i++) {
		struct table table;

		if (!table_open_anonymous(&table, name, &settings))
			return 2;
		atomic_store(&table.header->extent, table.capacity);
		((char *)table.segment.base)[table.segment.size - 1] = 1;
	}
	return wait_for_end();
}

static int be_full(const char *name)
{
	static struct settings settings;
	struct table table;
	uint64_t seed = 1;

	settings_default(&settings);
	if (!become_another() || !table_open_anonymous(&table, name, &settings))
		return 2;
	atomic_store(&table.header->extent, table.capacity);
	for (uint32_t entry = 0; entry < table.entries; entry++) {
		table.entry[entry].fingerprint = entry + 1;
		table.entry[entry].word = 5;
		client_noted(&table, entry)->refused = 1;
	}
	for (uint32_t slot = 0; slot < table.capacity; slot++) {
		memset(&table.record[slot], (int)random_number(&seed), sizeof(table.record[slot]));
		atomic_store(&table.owner[slot], 1 + slot % table.entries);
	}
	return wait_for_end();
}

/* C0, C1 as a byte and in UTF-8, broken UTF-8, a change of direction, quotes, ends of lines, and no end. */
static void write_nasty(char *to, size_t size)
{
	static const char nasty[] =
	    "\"\n\\ \033[31m\xc2\x9b"
	    "2J\x9b"
	    "2J\r\n# EOF\n\xe2\x80\xae\xff\xc3\a\b\x7f";

	for (size_t i = 0; i < size; i++)
		to[i] = nasty[i % (sizeof(nasty) - 1)];
}

static int be_texts(const char *name)
{
	static struct settings settings;
	struct table table;

	settings_default(&settings);
	if (!become_another() || !table_open_anonymous(&table, name, &settings))
		return 2;
	write_nasty(table.header->program, sizeof(table.header->program));
	write_nasty(table.header->failure, sizeof(table.header->failure));
	write_nasty(table.header->version, sizeof(table.header->version));
	write_nasty(table.header->name + strlen(name), sizeof(table.header->name) - strlen(name));
	atomic_store(&table.header->failed, 1);
	for (int block = 0; block <= LIMIT_BLOCKS; block++) {
		struct settings *written = &table.blocks[block].settings;

		written->refuse = REFUSE_TEXT;
		write_nasty(written->refuse_text, sizeof(written->refuse_text));
		write_nasty(written->file, sizeof(written->file));
		write_nasty(written->table, sizeof(written->table));
		for (int setting = 0; setting < SETTINGS; setting++)
			written->origin[setting] = 2;
	}
	atomic_store(&table.header->started, START_WRITTEN);
	return wait_for_end();
}

static int be_file(const char *name)
{
	static struct settings settings;
	size_t size = table_size(65536);
	char directory[64];
	char path[128];
	struct table table;

	settings_default(&settings);
	if (!become_another() || !table_open_anonymous(&table, name, &settings))
		return 2;
	snprintf(directory, sizeof(directory), "/tmp/hostile%d ", (int)getpid());
	mkdir(directory, 0755);
	strcat(directory, "/dev");
	mkdir(directory, 0755);
	snprintf(path, sizeof(path), "%s/zero (deleted)", directory);
	int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (file < 0 || ftruncate(file, (off_t)size) != 0 || write(file, table.segment.base, 1 << 20) != 1 << 20 ||
	    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) == MAP_FAILED)
		return 2;
	unlink(path);
	table_leave(&table);
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;) {
			if (ftruncate(file, 0) != 0 || ftruncate(file, (off_t)size) != 0)
				_exit(1);
			usleep(500);
		}
	}
	return wait_for_end();
}

static int forget(const char *name)
{
	struct table table;

	if (!table_open(&table, name, NULL, NULL) || !become_another())
		return 2;
	atomic_store(&table.header->start, 0);
	atomic_store(&table.header->start_before, 0);
	atomic_store(&table.header->started, 0);
	return 0;
}

static int claim(const char *name, const char *peer_port, const char *local_port)
{
	static struct settings settings;
	struct address loopback = {.bytes = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
	struct connection connection = {.peer = {.address = loopback, .port = (uint16_t)atoi(peer_port)},
					.local = {.address = loopback, .port = (uint16_t)atoi(local_port)}};
	struct table table;
	reference held;

	settings_default(&settings);
	if (!table_open(&table, name, &settings, NULL) || table_admit(&table, &connection, &held) != VERDICT_ADMITTED)
		return 2;
	printf("ready\n");
	fflush(stdout);
	while (getchar() != EOF)
		;
	table_leave(&table);
	return 0;
}

int main(int argc, char **argv)
{
	struct table table;

	if (argc == 5 && strcmp(argv[1], "--claims") == 0)
		return claim(argv[2], argv[3], argv[4]);

	if (argc == 4 && strcmp(argv[1], "--giants") == 0)
		return be_giants(atoi(argv[2]), argv[3]);
	if (argc == 3 && strcmp(argv[1], "--version") == 0)
		return be_another_version(argv[2]);
	if (argc == 3 && strcmp(argv[1], "--forget") == 0)
		return forget(argv[2]);
	if (argc == 3 && strcmp(argv[1], "--full") == 0)
		return be_full(argv[2]);
	if (argc == 3 && strcmp(argv[1], "--texts") == 0)
		return be_texts(argv[2]);
	if (argc == 3 && strcmp(argv[1], "--file") == 0)
		return be_file(argv[2]);
	if (argc != 3)
		return 2;
	if (strcmp(argv[1], "--first") == 0)
		return come_first(argv[2]);
	if (strcmp(argv[1], "--foreign") == 0) {
		if (!table_open(&table, argv[2], NULL, NULL))
			return 2;
		table_leave(&table);
		if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
			return 2;
		try_to_take_away(table.segment.id);
		if (table_open(&table, argv[2], NULL, NULL))
			printf("could attach the table\n");
		printf("ready\n");
		return 0;
	}
	if (!table_open(&table, argv[1], NULL, NULL)) {
		fprintf(stderr, "hostile: no table %s: %s\n", argv[1], strerror(errno));
		return 2;
	}
	if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
		return 2;
	try_to_take_away(table.segment.id);
	printf("ready\n");
	fflush(stdout);
	scribble(&table, strtoull(argv[2], NULL, 10));
}
