/* Entries for programs: whole, whatever is in the words and however long they are. */
#include "process/entry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

static const char nasty[] = "\"\\\n\r\t\033[2J\xc2\x9b\x7f\x01'}{";

static struct refusal refusal = {.reason = REFUSED_PER_IP, .limit = 16000000, .banned = 3600000, .client = {.prefix = 128}};
static struct connection connection = {.peer.port = 1, .local.port = 65535};

/* Parts of `length` bytes in all, from the nasty ones, beginning somewhere in them. */
static size_t format(char *buffer, enum log_to to, size_t length, size_t from)
{
	static char words[4096];
	const struct report_facts facts = {.event = EVENT_BANNED, .refusal = &refusal, .connection = &connection};

	for (size_t i = 0; i < length; i++)
		words[i] = nasty[(from + i) % (sizeof(nasty) - 1)];
	const struct iovec part[] = {{words, length / 2}, {words + length / 2, length - length / 2}};
	memset(&connection.peer.address, 0xfe, sizeof(connection.peer.address));
	return entry_format(buffer, to, "a-table", &facts, part, 2);
}

/* The end of a JSON string that begins at `at`, which is past the quote; NULL if it is none. */
static const char *string_end(const char *at)
{
	for (; *at != '"'; at++) {
		if (*at < ' ' || *at > '~')
			return NULL;
		if (*at != '\\')
			continue;
		at++;
		if (*at == 'u' && strspn(at + 1, "0123456789abcdef") >= 4)
			at += 4;
		else if (*at != '"' && *at != '\\')
			return NULL;
	}
	return at;
}

static void json_is_whole(void **state)
{
	static const char last[] = ",\"message\":\"";

	(void)state;
	for (size_t length = 0; length < 1100; length++) {
		char buffer[ENTRY_MOST + 1];
		size_t written = format(buffer, LOG_TO_JSON, length, length / 7);
		assert_in_range(written, 1, ENTRY_MOST);
		buffer[written] = '\0';
		assert_int_equal(strlen(buffer), written);
		const char *message = strstr(buffer, last);
		assert_non_null(message);
		const char *end = string_end(message + sizeof(last) - 1);
		assert_non_null(end);
		assert_string_equal(end, "\"}\n");
	}
}

/* One line for each field, whatever is in the words: none can name another field. */
static void an_entry_has_its_lines_and_no_others(void **state)
{
	(void)state;
	for (size_t length = 0; length < 1100; length++) {
		char buffer[ENTRY_MOST + 1];
		size_t lines = 0;
		size_t written = format(buffer, LOG_TO_JOURNAL, length, length / 7);
		assert_in_range(written, 1, ENTRY_MOST);
		for (size_t i = 0; i < written; i++) {
			assert_true(buffer[i] == '\n' || (buffer[i] >= ' ' && buffer[i] <= '~'));
			lines += buffer[i] == '\n';
		}
		assert_int_equal(lines, 13);
		assert_int_equal(buffer[written - 1], '\n');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(json_is_whole),
	    cmocka_unit_test(an_entry_has_its_lines_and_no_others),
	};
	return cmocka_run_group_tests_name("entry", tests, NULL, NULL);
}
