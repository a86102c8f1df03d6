/* Readers of single values, one for each kind; for settings_table.c. On error each leaves *settings unchanged and writes to
 * *error what is wrong with the text and what is allowed. settings_set adds the variable's name. */
#ifndef CONNLIMIT_SETTINGS_VALUES_H
#define CONNLIMIT_SETTINGS_VALUES_H

#include "settings/settings.h"

#include <string.h>

typedef bool setting_reader(struct settings *settings, const char *text, size_t length, struct settings_error *error);

setting_reader read_per_ip, read_per_network, read_total, read_rate, read_per_uid, read_cluster_per_ip, read_ipv4_prefix,
    read_ipv6_prefix, read_network_ipv4_prefix, read_network_ipv6_prefix, read_rules, read_refuse, read_ban, read_proxy,
    read_keepalive, read_mode, read_log, read_file, read_table, read_join, read_capacity, read_signal;

/* Says "'TEXT' (at character POSITION + 1) PROBLEM; allowed: ALLOWED" and returns false. */
bool value_wrong(struct settings_error *error, const char *text, size_t length, size_t position, const char *problem,
		 const char *allowed);

/* Reads "20/s", "100/m" or "5000/h", optionally followed by blanks or a comma and "burst=N". 0 and "unlimited" mean no rate:
 * every_us 0 and burst 1. On error returns the problem and its position, and leaves *rate unchanged. */
bool rate_parse(struct rate *rate, const char *text, size_t length, size_t *bad, const char **problem);

/* Reads "90s", "2m" or "1h" into seconds within [least, most]. On error returns the problem and leaves *seconds unchanged. */
bool duration_parse(uint32_t *seconds, const char *text, size_t length, uint32_t least, uint32_t most, const char **problem);

/* Whether it separates words. In a value of several lines, the end of a line does too. */
static inline bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static inline bool is_word(const char *text, size_t length, const char *word)
{
	return length == strlen(word) && memcmp(text, word, length) == 0;
}

/* Why a text is not a number. */
const char *number_problem(const char *text, size_t length);

/* Reads decimal digits into a number within [least, most]. Nothing may follow them. */
bool read_number(const char *text, size_t length, uint32_t least, uint32_t most, uint32_t *number);

#endif
