/* Building a line of text in a buffer of fixed size. What does not fit is cut off; the text always ends in NUL. Async-signal-safe. */
#ifndef CONNLIMIT_TEXT_H
#define CONNLIMIT_TEXT_H

#include <stddef.h>
#include <stdint.h>

struct text {
	char *at;
	size_t left; /* with the NUL */
};

struct text text_begin(char *buffer, size_t size);
void text_add(struct text *text, const char *more);
void text_add_number(struct text *text, uint64_t number);

/* Adds at most 40 bytes in single quotes, control characters as \xNN, longer ones ending in "...". */
void text_add_quoted(struct text *text, const char *from, size_t length);

#endif
