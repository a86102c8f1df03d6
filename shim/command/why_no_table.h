/* Why a process has no table. */
#ifndef CONNLIMIT_COMMAND_WHY_NO_TABLE_H
#define CONNLIMIT_COMMAND_WHY_NO_TABLE_H

#include <stddef.h>
#include <sys/types.h>

/* What is said of a process of which no table was found: "has no table: ...", and why. */
void process_why_no_table(char *text, size_t size, pid_t pid);

#endif
