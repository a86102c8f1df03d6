/* Machine code, as far as it tells what a program asks of libc: the constants that it hands to functions which it imports. */
#ifndef CONNLIMIT_COMMAND_CALLS_IN_H
#define CONNLIMIT_COMMAND_CALLS_IN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether the ELF file in memory calls the imported `function` with a constant as its first (1) or second (2) argument of which
 * `wanted` says so. What is computed is not seen, nor anything on other machines than x86-64. Nothing in the file is believed.
 */
bool calls_with(const unsigned char *bytes, size_t size, const char *function, int argument, bool (*wanted)(uint32_t constant));

#endif
