/* CONNLIMIT_RULES: exceptions by network, by local port, or by both. */
#include "rules.h"
#include "settings_values.h"

#include <string.h>

static const char allowed[] =
    "NETWORK=LIMIT, :PORT=LIMIT or NETWORK:PORT=LIMIT, separated by blanks; an IPv6 network with a port in brackets, "
    "as [2001:db8::/32]:443; LIMIT a number from 1 to 16000000, 'unlimited' or 'deny'";

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool read_limit(const char *text, size_t length, uint32_t *limit)
{
	if (length == 9 && memcmp(text, "unlimited", 9) == 0)
		*limit = LIMIT_NONE;
	else if (length == 4 && memcmp(text, "deny", 4) == 0)
		*limit = LIMIT_DENY;
	else
		return read_number(text, length, 1, LIMIT_MOST, limit);
	return true;
}

/* Where the network ends and ":PORT" begins, length if there is no port. A colon inside brackets, and any in an unbracketed
 * IPv6 network (which has at least two), is the address's own. */
static size_t find_port(const char *text, size_t length)
{
	size_t colons = 0;
	size_t last = length;
	bool inside = false;

	for (size_t i = 0; i < length; i++) {
		if (text[i] == '[' || text[i] == ']')
			inside = text[i] == '[';
		if (text[i] == ':' && !inside) {
			colons++;
			last = i;
		}
	}
	return colons == 1 ? last : length;
}

static bool read_rule(struct rule *rule, const char *text, size_t length, size_t *bad, const char **problem)
{
	const char *equals = memchr(text, '=', length);
	uint32_t port = 0;

	*bad = 0;
	*problem = "has no '=' and limit";
	if (equals == NULL)
		return false;
	size_t target = (size_t)(equals - text);
	*bad = target + 1;
	*problem = "has no such limit";
	if (!read_limit(equals + 1, length - target - 1, &rule->limit))
		return false;
	size_t port_at = find_port(text, target);
	*bad = port_at;
	*problem = "has no port from 1 to 65535";
	if (port_at < target && !read_number(text + port_at + 1, target - port_at - 1, 1, 65535, &port))
		return false;
	rule->port = (uint16_t)port;
	*bad = 0;
	*problem = "names neither a network nor a port";
	if (target == 0)
		return false;
	rule->network = (struct network){0};
	if (port_at == 0)
		return true;
	/* "[2001:db8::/32]" carries its prefix within the brackets. */
	const char *network = text;
	size_t network_length = port_at;
	size_t shift = 0;
	if (text[0] == '[' && text[port_at - 1] == ']') {
		network++;
		network_length -= 2;
		shift = 1;
	}
	if (!network_parse(&rule->network, network, network_length, problem, bad)) {
		*bad += shift;
		return false;
	}
	return true;
}

/* Goes over the rules in a text, calling `found` for each until it returns false. False on an error. */
static bool each_rule(const char *text, size_t length,
		      bool (*found)(const struct rule *rule, const char *at, size_t length, void *with), void *with,
		      struct settings_error *error)
{
	size_t at = 0;

	while (at < length) {
		size_t start;
		size_t bad;
		const char *problem;
		struct rule rule;

		if (is_blank(text[at])) {
			at++;
			continue;
		}
		for (start = at; at < length && !is_blank(text[at]); at++)
			;
		if (!read_rule(&rule, text + start, at - start, &bad, &problem))
			return value_wrong(error, text + start, at - start, start + bad, problem, allowed);
		if (!found(&rule, text + start, at - start, with))
			return true;
	}
	return true;
}

static bool count_rule(const struct rule *rule, const char *at, size_t length, void *with)
{
	uint32_t *rules = with;

	(void)rule, (void)at, (void)length;
	return ++*rules <= RULES_MOST;
}

static bool take_rule(const struct rule *rule, const char *at, size_t length, void *with)
{
	struct rule **next = with;

	(void)at, (void)length;
	*(*next)++ = *rule;
	return true;
}

/* Looks for the second that stands in the same place. */
struct repeated {
	struct rule rule;
	const char *at;
	size_t length;
	int seen;
};

static bool find_repeated(const struct rule *rule, const char *at, size_t length, void *with)
{
	struct repeated *repeated = with;

	if (!rules_same_place(rule, &repeated->rule))
		return true;
	repeated->at = at;
	repeated->length = length;
	return ++repeated->seen < 2;
}

bool read_rules(struct settings *settings, const char *text, size_t length, struct settings_error *error)
{
	uint32_t rules = 0;

	if (!each_rule(text, length, count_rule, &rules, error))
		return false;
	if (rules > RULES_MOST)
		return value_wrong(error, text, length, 0, "has too many rules", "at most 10000 rules");
	/* Sorted beside the old ones, so that an error leaves those as they were. */
	struct rule *first = settings->sorting;
	struct rule *next = first;
	each_rule(text, length, take_rule, &next, error);
	rules_sort(first, rules);
	uint32_t twice = rules_repeated(first, rules);
	if (twice < rules) {
		struct repeated repeated = {.rule = first[twice], .at = text};
		each_rule(text, length, find_repeated, &repeated, error);
		return value_wrong(error, repeated.at, repeated.length, (size_t)(repeated.at - text),
				   "names the same network and port as a rule before it", "each network and port once");
	}
	memcpy(settings->rule, first, rules * sizeof(*first));
	settings->rules = rules;
	return true;
}
