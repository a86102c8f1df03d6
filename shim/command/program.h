/* Whether a program can be limited by a preloaded object, judged from its file before it is started. */
#ifndef CONNLIMIT_COMMAND_PROGRAM_H
#define CONNLIMIT_COMMAND_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

enum { FINDINGS_MOST = 8, FINDING_TEXT = 384 };

/* One thing that was found: it either rules limiting out (fatal) or limits it in a way the operator should know. */
struct finding {
	bool fatal;
	char text[FINDING_TEXT];
};

struct program {
	char path[4096]; /* the file that will run: the command, or the last interpreter of a script */
	struct finding finding[FINDINGS_MOST];
	size_t findings;
	bool interpreter; /* `path` is a script's interpreter; the findings say so */
};

/* Finds `name` as execvp(3) would; `path` then has a slash in it. Returns 0, or 127 (not there) or 126 (there, but not
 * executable), as a shell does. */
int program_find(const char *name, char *path, size_t size);

/* Examines the file at `path`, and the interpreters of scripts behind it. Nothing in a file is believed: each offset is
 * compared with its size. Waits for nothing, whatever kind of file it is. */
void program_examine(struct program *program, const char *path);

/* Whether none of the findings is fatal. */
bool program_can_be_limited(const struct program *program);

#endif
