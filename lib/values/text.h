/* Building a line of text in a buffer of fixed size. What does not fit is cut off; the text always ends in NUL.
 * Async-signal-safe. */
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

/* Adds `length` bytes; whatever of them is not printable ASCII is written as \xNN, since a terminal may obey it, even in UTF-8
 * (U+009B is as good as ESC [). All text from a table, a file, a client or a server that is shown anywhere has been here. */
void text_add_escaped(struct text *text, const char *from, size_t length);

/* Writes a text of at most `length` bytes, or up to its NUL, so into a buffer; what does not fit is cut off. */
void text_escape(char *buffer, size_t size, const char *from, size_t length);

/* Adds at most 40 bytes so in single quotes, longer ones ending in "...". */
void text_add_quoted(struct text *text, const char *from, size_t length);

/* Adds a file's path, escaped likewise; of one longer than 120 bytes its end, after "...", so that there is room for what is
 * said of it. */
void text_add_path(struct text *text, const char *path);

/* The value of a hexadecimal digit of either case; -1 if it is none. */
int text_hex_digit(char c);

/* How many letters have to be put in, left out or replaced to make one word the other (Levenshtein's distance); of words longer
 * than DISTANCE_MOST their beginnings count. If it is more than `most`, anything that is. */
enum { DISTANCE_MOST = 40 };
unsigned text_distance(const char *a, size_t a_length, const char *b, size_t b_length, unsigned most);

#endif
