/* libFuzzer: the kernel's replies, by netlink and in /proc/net/tcp. The readers are internal, so their file is included. */
#include <stddef.h>
#include <unistd.h>

/* However much the file has, a read may give less: lines are put together over two. */
static size_t portion;
static ssize_t read_portion(int descriptor, void *buffer, size_t room);
#include "values/door.h"
#define door_read(descriptor, buffer, room) read_portion(descriptor, buffer, room)
#include "kernel/kernel.c"
#include "kernel/kernel_proc.c"
#undef door_read

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { QUESTIONS = 4, LINE_MOST = 4096 };
static const struct asking nobody;

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static ssize_t read_portion(int descriptor, void *buffer, size_t room)
{
	return read(descriptor, buffer, room < portion ? room : portion);
}

/* Two that the corpus has, of either family, and two that are all zero. */
static void ask_about(struct question *questions)
{
	static const char ipv4[] = "0: 0100007F:1F90 0100007F:C350 01";
	static const char ipv6[] = "0: 0000000000000000FFFF00000100007F:1F90 00000000000000000000000001000000:C350 01";
	struct connection *connection[2] = {&questions[0].connection, &questions[1].connection};

	memset(questions, 0, sizeof(*questions) * QUESTIONS);
	read_endpoint(ipv4 + 3, ipv4 + sizeof(ipv4), false, &connection[0]->local);
	read_endpoint(ipv4 + 17, ipv4 + sizeof(ipv4), false, &connection[0]->peer);
	read_endpoint(ipv6 + 3, ipv6 + sizeof(ipv6), true, &connection[1]->local);
	read_endpoint(ipv6 + 41, ipv6 + sizeof(ipv6), true, &connection[1]->peer);
}

static void one_line(const char *line, const char *end, bool ipv6, struct question *questions)
{
	struct listed_socket found;

	if (read_proc_line(line, end, ipv6, &found))
		answer(&found, &(struct answers){&nobody, questions, QUESTIONS});
}

/* The file read by portions says what its lines say one by one. */
static void whole_file(const char *text, size_t size, bool ipv6)
{
	struct question by_line[QUESTIONS];
	struct question by_file[QUESTIONS];
	char path[64];
	bool header = true;
	bool known = true;
	const char *line = text;
	const char *end;
	int file = memfd_create("proc", MFD_CLOEXEC);

	if (file < 0 || write(file, text, size) != (ssize_t)size)
		abort();
	ask_about(by_line);
	ask_about(by_file);
	while (known && (end = memchr(line, '\n', size - (size_t)(line - text))) != NULL) {
		known = end - line < LINE_MOST;
		if (!header && known)
			one_line(line, end, ipv6, by_line);
		header = false;
		line = end + 1;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	bool read_one = read_proc(path, ipv6, answer, &(struct answers){&nobody, by_file, QUESTIONS});
	if (known && read_one == header)
		abort();
	for (int i = 0; i < QUESTIONS && known; i++)
		if (by_line[i].answer != by_file[i].answer)
			abort();
	close(file);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct question questions[QUESTIONS];

	if (size < 3)
		return 0;
	unsigned how = data[0];
	unsigned times = 1 + data[1] % 8; /* so that a small input is more than the buffer holds */
	portion = how % 8 == 7 ? LINE_MOST : 1 + (size_t)data[2] * 16;
	size -= 3;
	/* Aligned as the receive buffer is, and exactly as long, so that a read past its end is seen. */
	char *exact = malloc(size * times + 1);
	for (unsigned i = 0; i < times; i++)
		memcpy(exact + size * i, data + 3, size);
	exact = realloc(exact, size * times > 0 ? size * times : 1);
	ask_about(questions);
	switch (how % 4) {
	case 0: read_replies(exact, size * times, questions, QUESTIONS); break;
	case 1: one_line(exact, exact + size * times, (how & 4) != 0, questions); break;
	default: whole_file(exact, size * times, (how & 4) != 0); break;
	}
	free(exact);
	return 0;
}
