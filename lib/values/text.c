#include "values/text.h"

#include "values/hot.h"

#include <string.h>

enum { QUOTED_MOST = 40, PATH_SHOWN = 120 };

struct text text_begin(char *buffer, size_t size)
{
	buffer[0] = '\0';
	return (struct text){.at = buffer, .left = size};
}

static void add_bytes(struct text *text, const char *from, size_t length)
{
	if (length > text->left - 1)
		length = text->left - 1;
	memcpy(text->at, from, length);
	text->at += length;
	text->left -= length;
	*text->at = '\0';
}

void text_add(struct text *text, const char *more)
{
	add_bytes(text, more, strlen(more));
}

void text_add_number(struct text *text, uint64_t number)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number != 0);
	add_bytes(text, digits + at, sizeof(digits) - at);
}

void text_add_escaped(struct text *text, const char *from, size_t length)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)from[i];
		char escaped[4] = {'\\', 'x', hex[c >> 4], hex[c & 15]};
		if (c < ' ' || c >= 127)
			add_bytes(text, escaped, sizeof(escaped));
		else
			add_bytes(text, from + i, 1);
	}
}

void text_escape(char *buffer, size_t size, const char *from, size_t length)
{
	struct text text = text_begin(buffer, size);

	text_add_escaped(&text, from, strnlen(from, length));
}

void text_add_quoted(struct text *text, const char *from, size_t length)
{
	size_t shown = length <= QUOTED_MOST ? length : QUOTED_MOST;

	text_add(text, "'");
	text_add_escaped(text, from, shown);
	text_add(text, shown < length ? "...'" : "'");
}

void text_add_path(struct text *text, const char *path)
{
	size_t length = strlen(path);
	size_t left_out = length > PATH_SHOWN ? length - PATH_SHOWN : 0;

	text_add(text, left_out > 0 ? "..." : "");
	text_add_escaped(text, path + left_out, length - left_out);
}

START unsigned text_distance(const char *a, size_t a_length, const char *b, size_t b_length, unsigned most)
{
	unsigned row[DISTANCE_MOST + 1];

	a_length = a_length > DISTANCE_MOST ? DISTANCE_MOST : a_length;
	b_length = b_length > DISTANCE_MOST ? DISTANCE_MOST : b_length;
	for (size_t j = 0; j <= b_length; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= a_length; i++) {
		unsigned diagonal = row[0];
		unsigned least = (unsigned)i;
		row[0] = least;
		for (size_t j = 1; j <= b_length; j++) {
			unsigned replaced = diagonal + (a[i - 1] != b[j - 1] ? 1 : 0);
			unsigned shorter = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
			diagonal = row[j];
			row[j] = replaced < shorter ? replaced : shorter;
			least = row[j] < least ? row[j] : least;
		}
		if (least > most)
			return least;
	}
	return row[b_length];
}

int text_hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}
