/* Reads from machine code what a program asks of libc: constant arguments of imported functions. */
#ifndef CONNLIMIT_COMMAND_CALLS_IN_H
#define CONNLIMIT_COMMAND_CALLS_IN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether the ELF file in memory calls the imported `function` with a constant as its first (1) or second (2) argument for
 * which `wanted` is true. It does not see computed arguments, and knows only x86-64. The file is not trusted. */
bool calls_with(const unsigned char *bytes, size_t size, const char *function, int argument, bool (*wanted)(uint32_t constant));

#endif
