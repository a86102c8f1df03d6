/* Whether a program can be limited, and in which way, judged from its file before it is started. */
#ifndef CONNLIMIT_COMMAND_PROGRAM_H
#define CONNLIMIT_COMMAND_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

enum { FINDINGS_MOST = 8, FINDING_TEXT = 384 };

/* What a finding rules out: nothing, and then it is something that the operator should know; that the program is limited by a
 * preloaded object; that it is limited at all. */
enum ruled_out { RULES_OUT_NOTHING, RULES_OUT_PRELOAD, RULES_OUT_ALL };

struct finding {
	enum ruled_out out;
	char text[FINDING_TEXT];
};

struct program {
	char path[4096]; /* the file that will run: the command, or the last interpreter of a script */
	struct finding finding[FINDINGS_MOST];
	size_t findings;
	size_t ring;	  /* of them, the one about io_uring; FINDINGS_MOST if there is none */
	bool interpreter; /* `path` is a script's interpreter; the findings say so */
	bool go;	  /* its runtime waits for connections in epoll_wait(2), never in accept(2) */
};

/* Finds `name` as execvp(3) would; `path` then has a slash in it. Returns 0, or 127 (not there) or 126 (there, but not
 * executable), as a shell does. */
int program_find(const char *name, char *path, size_t size);

/* Examines the file at `path`, and the interpreters of scripts behind it. Nothing in a file is believed: each offset is
 * compared with its size. Waits for nothing, whatever kind of file it is. */
void program_examine(struct program *program, const char *path);

/* The worst of the findings. */
enum ruled_out program_ruled_out(const struct program *program);

#endif
