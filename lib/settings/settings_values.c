#include "settings/settings_values.h"

#include "values/hot.h"
#include "values/text.h"

#include <signal.h>
#include <string.h>

bool value_wrong(struct settings_error *error, const char *text, size_t length, size_t position, const char *problem,
		 const char *allowed)
{
	struct text line = text_begin(error->text, sizeof(error->text));

	if (length == 0)
		text_add(&line, "the value is empty");
	else
		text_add_quoted(&line, text, length);
	if (position > 0 && !error->placed) {
		text_add(&line, " (at character ");
		text_add_number(&line, position + 1);
		text_add(&line, ")");
	}
	error->position = position;
	if (length != 0) {
		text_add(&line, " ");
		text_add(&line, problem);
	}
	text_add(&line, "; allowed: ");
	text_add(&line, allowed);
	return false;
}

START bool read_number(const char *text, size_t length, uint32_t least, uint32_t most, uint32_t *number)
{
	uint64_t value = 0;

	if (length == 0 || length > 10)
		return false;
	for (size_t i = 0; i < length; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (unsigned)(text[i] - '0');
	}
	if (value < least || value > most)
		return false;
	*number = (uint32_t)value;
	return true;
}

START static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static const char out_of_range[] = "is out of range";

const char *number_problem(const char *text, size_t length)
{
	size_t digits = 0;

	if (length > 0 && (is_blank(text[0]) || is_blank(text[length - 1])))
		return "is not a number: there is a blank before or after it";
	if (length > 1 && (text[0] == '"' || text[0] == '\''))
		return "is not a number: the quotes are part of the value here";
	if (length > 1 && text[0] == '-' && number_problem(text + 1, length - 1) == out_of_range)
		return out_of_range;
	if (memchr(text, '#', length) != NULL)
		return "is not a number; a comment has a line of its own";
	while (digits < length && is_digit(text[digits]))
		digits++;
	if (digits == length)
		return out_of_range;
	if (digits > 0 && (text[digits] == '.' || text[digits] == ','))
		return "is not a number: only whole ones, digits alone";
	if (digits > 0 && digits + 2 >= length && (text[digits] | ' ') != 'x')
		return "is not a number: it is written out, without a unit";
	return "is not a number";
}

static bool number_wrong(struct settings_error *error, const char *text, size_t length, const char *allowed)
{
	return value_wrong(error, text, length, 0, number_problem(text, length), allowed);
}

START static bool read_count(uint32_t *count, const char *text, size_t length, struct settings_error *error)
{
	uint32_t number = 0;

	if (!is_word(text, length, "unlimited") && !read_number(text, length, 0, LIMIT_MOST, &number))
		return number_wrong(error, text, length, "a number from 0 (no limit) to 16000000, or 'unlimited'");
	*count = number != 0 ? number : LIMIT_NONE;
	return true;
}

START bool read_per_ip(struct settings *settings, const char *text, size_t length, struct settings_error *error)
{
	return read_count(&settings->per_ip, text, length, error);
}

bool read_per_network(struct settings *settings, const char *text, size_t length, struct settings_error *error)
{
	return read_count(&settings->per_network, text, length, error);
}

bool read_total(struct settings *settings, const char *text, size_t length, struct settings_error *error)
{
	return read_count(&settings->total, text, length, error);
}

bool read_per_uid(struct settings *settings, const char *text, size_t length, struct settings_error *error)
{
	return read_count(&settings->per_uid, text, length, error);
}

bool read_cluster_per_ip(struct settings *settings, const char *text, size_t length, struct settings_error *error)
{
	return read_count(&settings->cluster_per_ip, text, length, error);
}

static const char *rate_number_problem(const char *text, size_t length)
{
	if (memchr(text, '.', length) != NULL)
		return "has no whole number before '/': 0.5/s is 30/m";
	for (size_t i = 0; i < length; i++)
		if (!is_digit(text[i]))
			return "has no number before '/'";
	return length > 0 ? "has a number out of range before '/'" : "has no number before '/'";
}

bool rate_parse(struct rate *rate, const char *text, size_t length, size_t *bad, const char **problem)
{
	static const char word[] = "burst=";
	const char *slash = memchr(text, '/', length);
	size_t digits = slash != NULL ? (size_t)(slash - text) : length;
	uint32_t number;
	uint32_t burst;

	*bad = 0;
	if (is_word(text, length, "0") || is_word(text, length, "unlimited")) {
		*rate = (struct rate){.every_us = 0, .burst = 1};
		return true;
	}
	*problem = "is not a rate: it needs /s, /m or /h";
	if (slash == NULL)
		return false;
	*problem = rate_number_problem(text, digits);
	if (!read_number(text, digits, 1, 1000000, &number))
		return false;
	size_t at = digits + 1;
	*bad = at < length ? at : length - 1;
	*problem = "has no unit s, m or h after '/'";
	char unit = at < length ? text[at] : '\0';
	uint64_t period = unit == 's' ? 1000000 : unit == 'm' ? 60000000 : unit == 'h' ? UINT64_C(3600000000) : 0;
	at++;
	if (period == 0 || (at < length && !is_blank(text[at]) && text[at] != ','))
		return false;
	burst = number;
	if (at < length) {
		*bad = at;
		*problem = "continues with something other than a burst";
		while (at < length && is_blank(text[at]))
			at++;
		if (at < length && text[at] == ',')
			at++;
		while (at < length && is_blank(text[at]))
			at++;
		if (length - at < sizeof(word) - 1 || memcmp(text + at, word, sizeof(word) - 1) != 0)
			return false;
		at += sizeof(word) - 1;
		*bad = at < length ? at : length - 1;
		*problem = "has no burst from 1 to 1000000";
		if (!read_number(text + at, length - at, 1, 1000000, &burst))
			return false;
	}
	uint64_t every = period / number;
	*rate = (struct rate){.every_us = every > 0 ? (uint32_t)every : 1, .burst = burst};
	return true;
}

bool read_rate(struct settings *settings, const char *text, size_t length, struct settings_error *error)
{
	static const char allowed[] =
	    "a rate such as 20/s, 100/m or 5000/h (1 to 1000000), with an optional ' burst=N' (1 to 1000000); 0 or 'unlimited' "
	    "for none";
	const char *problem;
	size_t bad;

	if (!rate_parse(&settings->rate, text, length, &bad, &problem))
		return value_wrong(error, text, length, bad, problem, allowed);
	return true;
}

bool duration_parse(uint32_t *seconds, const char *text, size_t length, uint32_t least, uint32_t most, const char **problem)
{
	char unit = length > 0 ? text[length - 1] : '\0';
	uint32_t each = unit == 's' ? 1 : unit == 'm' ? 60 : unit == 'h' ? 3600 : 0;
	uint32_t number;

	*problem = length > 0 && is_digit(unit) ? "has no unit: s, m or h" : "is not a time";
	if (each == 0)
		return false;
	for (size_t i = 0; i + 1 < length; i++)
		if (!is_digit(text[i])) {
			*problem = "is not a time: a whole number and s, m or h";
			return false;
		}
	if (length < 2)
		return false;
	*problem = out_of_range;
	if (!read_number(text, length - 1, 0, most / each, &number) || number * each < least)
		return false;
	*seconds = number * each;
	return true;
}

/* Where " for " stands with the time behind it, `length` if it does not. */
static size_t find_for(const char *text, size_t length)
{
	for (size_t i = 0; i + 5 <= length; i++)
		if (is_blank(text[i]) && memcmp(text + i + 1, "for", 3) == 0 && is_blank(text[i + 4]))
			return i;
	return length;
}

bool read_ban(struct settings *settings, const char *text, size_t length, struct settings_error *error)
{
	static const char allowed[] =
	    "refusals and a time such as '20/m for 10m' (1s to 1000h), with an optional ' burst=N' after the rate; 0 for none";
	size_t at = find_for(text, length);
	const char *problem;
	struct ban ban;
	size_t bad = 0;

	if (is_word(text, length, "0")) {
		settings->ban = (struct ban){0};
		return true;
	}
	size_t rate_length = at;
	while (rate_length > 0 && at < length && is_blank(text[rate_length - 1]))
		rate_length--;
	if (!rate_parse(&ban.rate, text, rate_length, &bad, &problem))
		return value_wrong(error, text, length, bad, problem, allowed);
	if (ban.rate.every_us == 0)
		return value_wrong(error, text, length, 0, "has no rate of refusals", allowed);
	if (at == length)
		return value_wrong(error, text, length, 0, "does not say for how long", allowed);
	for (at += 5; at < length && is_blank(text[at]); at++)
		;
	if (!duration_parse(&ban.seconds, text + at, length - at, 1, BAN_MOST, &problem))
		return value_wrong(error, text, length, at < length ? at : length - 1, problem, allowed);
	settings->ban = ban;
	return true;
}

bool read_keepalive(struct settings *settings, const char *text, size_t length, struct settings_error *error)
{
	const char *problem;

	if (is_word(text, length, "0")) {
		settings->keepalive = 0;
		return true;
	}
	return duration_parse(&settings->keepalive, text, length, KEEPALIVE_LEAST, KEEPALIVE_MOST, &problem) ||
	       value_wrong(error, text, length, 0, problem, "a time such as 120s, 2m or 1h, from 8s to 18h; 0 for none");
}

/* Takes networks that are divided by blanks, or with `balancer` NULL only looks at them. */
static bool take_balancers(struct network *balancer, uint32_t *balancers, const char *text, size_t length,
			   struct settings_error *error)
{
	static const char allowed[] = "up to 64 networks or addresses with blanks between, as 10.0.0.0/8 or 2001:db8::/64";
	size_t at = 0;

	for (*balancers = 0; at < length;) {
		struct network network;
		const char *problem;
		size_t start = at;
		size_t bad = 0;

		if (is_blank(text[at])) {
			at++;
			continue;
		}
		while (at < length && !is_blank(text[at]))
			at++;
		if (!network_parse(&network, text + start, at - start, &problem, &bad))
			return value_wrong(error, text + start, at - start, start + bad, problem, allowed);
		if (*balancers == BALANCERS_MOST)
			return value_wrong(error, text + start, at - start, start, "is one network too many", allowed);
		if (balancer != NULL)
			balancer[*balancers] = network;
		++*balancers;
	}
	return true;
}

bool read_proxy(struct settings *settings, const char *text, size_t length, struct settings_error *error)
{
	uint32_t balancers;

	if (!take_balancers(NULL, &balancers, text, length, error))
		return false;
	memset(settings->balancer, 0, sizeof(settings->balancer)); /* others see it, and it is compared */
	return take_balancers(settings->balancer, &settings->balancers, text, length, error);
}

static bool read_prefix(uint8_t *prefix, const char *text, size_t length, uint32_t most, struct settings_error *error)
{
	uint32_t number;

	if (!read_number(text, length, 0, most, &number))
		return number_wrong(error, text, length,
				    most == 32 ? "a number of bits from 0 to 32" : "a number of bits from 0 to 128");
	*prefix = (uint8_t)number;
	return true;
}

bool read_ipv4_prefix(struct settings *settings, const char *text, size_t length, struct settings_error *error)
{
	return read_prefix(&settings->ipv4_prefix, text, length, 32, error);
}

bool read_ipv6_prefix(struct settings *settings, const char *text, size_t length, struct settings_error *error)
{
	return read_prefix(&settings->ipv6_prefix, text, length, 128, error);
}

bool read_network_ipv4_prefix(struct settings *settings, const char *text, size_t length, struct settings_error *error)
{
	return read_prefix(&settings->network_ipv4_prefix, text, length, 32, error);
}

bool read_network_ipv6_prefix(struct settings *settings, const char *text, size_t length, struct settings_error *error)
{
	return read_prefix(&settings->network_ipv6_prefix, text, length, 128, error);
}

/* The byte for \xNN, where `text` begins with NN; NUL if it is not valid. */
static char hex_byte(const char *text, size_t length)
{
	if (length < 2 || text_hex_digit(text[0]) < 0 || text_hex_digit(text[1]) < 0)
		return '\0';
	return (char)(text_hex_digit(text[0]) << 4 | text_hex_digit(text[1]));
}

static const char *unescape(char *to, size_t room, const char *text, size_t length, size_t *bad, size_t *bad_length)
{
	size_t n = 0;

	for (size_t i = 0; i < length; i++) {
		char c = text[i];
		*bad = i;
		*bad_length = 1;
		if (c == '\0')
			return "is not allowed in a text";
		if (n >= room) {
			*bad_length = length - i;
			return "no longer fits";
		}
		if (c == '\\') {
			char next = i + 1 < length ? text[++i] : '\0';
			c = next == 'n' ? '\n' : next == 'r' ? '\r' : next == 't' ? '\t' : next == '\\' ? '\\' : '\0';
			*bad_length = i - *bad + 1;
			if (next == 'x' && (c = hex_byte(text + i + 1, length - i - 1)) != '\0')
				i += 2;
			if (c == '\0')
				return "is an unknown escape";
		}
		to[n++] = c;
	}
	to[n] = '\0';
	return NULL;
}

bool read_refuse(struct settings *settings, const char *text, size_t length, struct settings_error *error)
{
	static const char allowed[] = "reset, close, http, or text: and up to 512 bytes with \\n, \\r, \\t, \\\\ and \\xNN";
	static const char text_word[] = "text:";
	char read[REFUSE_TEXT_MOST + 1] = {0}; /* initialised, as all of it is copied into memory that others can see */
	size_t bad = 0;
	size_t bad_length = 0;

	if (is_word(text, length, "reset")) {
		settings->refuse = REFUSE_RESET;
	} else if (is_word(text, length, "close")) {
		settings->refuse = REFUSE_CLOSE;
	} else if (is_word(text, length, "http")) {
		settings->refuse = REFUSE_HTTP;
	} else if (length > sizeof(text_word) - 1 && memcmp(text, text_word, sizeof(text_word) - 1) == 0) {
		const char *said = text + sizeof(text_word) - 1;
		const char *problem =
		    unescape(read, REFUSE_TEXT_MOST, said, length - (sizeof(text_word) - 1), &bad, &bad_length);
		if (problem != NULL)
			return value_wrong(error, said + bad, bad_length, bad + sizeof(text_word) - 1, problem, allowed);
		memcpy(settings->refuse_text, read, sizeof(read));
		settings->refuse = REFUSE_TEXT;
	} else {
		return value_wrong(error, text, length, 0,
				   is_word(text, length, "429") ? "is not a way to refuse; that one is 'http'"
								: "is not a way to refuse",
				   allowed);
	}
	return true;
}

bool read_mode(struct settings *settings, const char *text, size_t length, struct settings_error *error)
{
	if (is_word(text, length, "enforce"))
		settings->mode = MODE_ENFORCE;
	else if (is_word(text, length, "observe"))
		settings->mode = MODE_OBSERVE;
	else if (is_word(text, length, "off"))
		settings->mode = MODE_OFF;
	else
		return value_wrong(error, text, length, 0, "is not a mode", "enforce, observe or off");
	return true;
}

bool read_log(struct settings *settings, const char *text, size_t length, struct settings_error *error)
{
	if (is_word(text, length, "stderr"))
		settings->log = LOG_TO_STDERR;
	else if (is_word(text, length, "syslog"))
		settings->log = LOG_TO_SYSLOG;
	else if (is_word(text, length, "off"))
		settings->log = LOG_TO_NOWHERE;
	else if (is_word(text, length, "journal"))
		settings->log = LOG_TO_JOURNAL;
	else if (is_word(text, length, "json"))
		settings->log = LOG_TO_JSON;
	else
		return value_wrong(error, text, length, 0, "is not a place to log to", "stderr, json, syslog, journal or off");
	return true;
}

bool read_file(struct settings *settings, const char *text, size_t length, struct settings_error *error)
{
	static const char allowed[] = "an absolute path of at most 1024 bytes (a daemon changes its directory)";

	if (length == 0 || text[0] != '/')
		return value_wrong(error, text, length, 0, "is not absolute", allowed);
	if (length > PATH_MOST)
		return value_wrong(error, text, length, 0, "is too long", allowed);
	if (memchr(text, '\0', length) != NULL)
		return value_wrong(error, text, length, 0, "has a NUL byte in it", allowed);
	memcpy(settings->file, text, length);
	settings->file[length] = '\0';
	return true;
}

bool read_table(struct settings *settings, const char *text, size_t length, struct settings_error *error)
{
	static const char allowed[] = "1 to 63 of A-Z a-z 0-9 . _ @ : -, not starting with '.' or '-'";

	size_t marked = length > 1 && text[0] == '=' ? 1 : 0;
	const char *name = text + marked;
	size_t name_length = length - marked;

	for (size_t i = 0; i < name_length; i++) {
		char c = name[i];
		bool good = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
			    c == '@' || c == ':' || (i > 0 && (c == '.' || c == '-'));
		if (!good)
			return value_wrong(error, text, length, (size_t)(name - text) + i,
					   "has a character that is not allowed there", allowed);
	}
	if (name_length == 0 || name_length > TABLE_NAME_MOST)
		return value_wrong(error, text, length, 0, "is too long", allowed);
	memcpy(settings->table, name, name_length);
	settings->table[name_length] = '\0';
	settings->handed_on = marked != 0;
	return true;
}

bool read_join(struct settings *settings, const char *text, size_t length, struct settings_error *error)
{
	if (is_word(text, length, "yes"))
		settings->join = 1;
	else if (is_word(text, length, "no"))
		settings->join = 0;
	else
		return value_wrong(error, text, length, 0, "is neither", "yes or no");
	return true;
}

bool read_capacity(struct settings *settings, const char *text, size_t length, struct settings_error *error)
{
	uint32_t number;

	if (!read_number(text, length, 64, 1 << 24, &number))
		return number_wrong(error, text, length, "a number of connections from 64 to 16777216");
	settings->capacity = number;
	return true;
}

bool read_signal(struct settings *settings, const char *text, size_t length, struct settings_error *error)
{
	static const char allowed[] =
	    "HUP, USR1, USR2, WINCH, URG, RTMIN+0 to RTMIN+30 (SIG before it if you like), or such a signal's number";
	static const struct {
		const char *name;
		int number;
	} known[] = {{"HUP", SIGHUP}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"WINCH", SIGWINCH}, {"URG", SIGURG}};
	const char *name = text;
	size_t left = length;
	uint32_t number;

	if (left > 3 && memcmp(name, "SIG", 3) == 0) {
		name += 3;
		left -= 3;
	}
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (is_word(name, left, known[i].name) ||
		    (read_number(text, length, 1, 64, &number) && (int)number == known[i].number)) {
			settings->signal = known[i].number;
			return true;
		}
	}
	if (left > 6 && memcmp(name, "RTMIN+", 6) == 0 && read_number(name + 6, left - 6, 0, 30, &number)) {
		settings->signal = SIGRTMIN + (int)number;
		return true;
	}
	if (read_number(text, length, (uint32_t)SIGRTMIN, (uint32_t)SIGRTMAX, &number)) {
		settings->signal = (int)number;
		return true;
	}
	return value_wrong(error, text, length, 0, "cannot be the reload signal", allowed);
}
