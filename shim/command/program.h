/* Whether and how a program can be limited, judged from its file before it is started. */
#ifndef CONNLIMIT_COMMAND_PROGRAM_H
#define CONNLIMIT_COMMAND_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

enum { FINDINGS_MOST = 8, FINDING_TEXT = 384 };

/* What a finding rules out: nothing, if the operator should just know it; limiting the program with a preloaded object; or
 * limiting it at all. */
enum ruled_out { RULES_OUT_NOTHING, RULES_OUT_PRELOAD, RULES_OUT_ALL };

struct finding {
	enum ruled_out out;
	char text[FINDING_TEXT];
};

struct program {
	char path[4096]; /* the file that will run: the command, or the last interpreter of a script */
	struct finding finding[FINDINGS_MOST];
	size_t findings;
	size_t ring;	  /* the finding about io_uring; FINDINGS_MOST if there is none */
	bool interpreter; /* `path` is a script's interpreter, and the findings mention that */
	bool go;	  /* a Go program: its runtime waits for connections in epoll_wait(2), never in accept(2) */
};

/* Finds `name` as execvp(3) would; `path` then contains a slash. Returns 0, 127 (not found) or 126 (not executable), like a
 * shell. */
int program_find(const char *name, char *path, size_t size);

/* Examines the file at `path`, and the interpreters if it is a script. The file is not trusted: each offset is checked against
 * its size. Never blocks, whatever kind of file it is. */
void program_examine(struct program *program, const char *path);

/* The most severe of the findings. */
enum ruled_out program_ruled_out(const struct program *program);

#endif
