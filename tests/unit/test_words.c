/* Spans, limits and reasons in words, at the edges between their forms. */
#include "command/view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

static void spans(void **state)
{
	static const struct {
		uint64_t seconds;
		const char *text;
	} cases[] = {
	    {0, "0s"},	     {59, "59s"},	 {60, "1m 0s"},	   {3599, "59m 59s"},
	    {3600, "1h 0m"}, {86399, "23h 59m"}, {86400, "1d 0h"}, {86400 * UINT64_C(400) + 3600, "400d 1h"},
	};
	char text[SPAN_TEXT];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		view_span(text, cases[i].seconds);
		assert_string_equal(text, cases[i].text);
	}
	view_span(text, UINT64_MAX); /* whatever a table says, it fits */
	assert_true(strlen(text) < SPAN_TEXT);
}

static void limits(void **state)
{
	char text[LIMIT_TEXT];

	(void)state;
	view_limit(text, LIMIT_NONE);
	assert_string_equal(text, "unlimited");
	view_limit(text, LIMIT_DENY);
	assert_string_equal(text, "deny");
	view_limit(text, 1);
	assert_string_equal(text, "1");
	view_limit(text, UINT32_MAX - 1);
	assert_string_equal(text, "4294967294");
}

/* A table may say anything: what is beyond the words has one too. */
static void words_for_everything(void **state)
{
	(void)state;
	assert_string_equal(refusal_reason_word(REFUSED_PER_IP), "per_ip");
	assert_string_equal(refusal_reason_word(REFUSED_BAN), "ban");
	assert_string_equal(refusal_reason_word(REASONS - 1), "per_network");
	assert_string_equal(refusal_reason_word(REASONS), "other");
	assert_string_equal(view_origin(FROM_DEFAULT), "default");
	assert_string_equal(view_origin(FROM_OPTION), "option");
	assert_string_equal(view_origin(FROM_OPTION + 1), "?");
	assert_string_equal(view_mode(MODE_ENFORCE), "enforce");
	assert_string_equal(view_mode(MODE_OFF), "off");
	assert_string_equal(view_mode(MODE_OFF + 1), "?");
	assert_string_equal(view_way(KERNEL_PROC), "proc");
	assert_string_equal(view_way(ASKED_WAYS), "?");
	for (enum degraded what = 0; what < DEGRADEDS; what++)
		for (enum degraded other = 0; other < what; other++)
			assert_string_not_equal(view_degraded_name(what), view_degraded_name(other));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(spans),
	    cmocka_unit_test(limits),
	    cmocka_unit_test(words_for_everything),
	};
	return cmocka_run_group_tests_name("words", tests, NULL, NULL);
}
