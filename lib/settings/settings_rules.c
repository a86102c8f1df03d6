/* CONNLIMIT_RULES: exceptions by network, by local port, or by both. */
#include "settings/rules.h"
#include "settings/settings_values.h"
#include "values/text.h"

#include <string.h>

static const char allowed[] =
    "NETWORK=LIMIT, :PORT=LIMIT, NETWORK:PORT=LIMIT or @LIST=LIMIT, with blanks between rules (IPv6 and a port: "
    "[2001:db8::/32]:443); "
    "LIMIT: 1 "
    "to 16000000, 'unlimited' or 'deny', with an optional rate: 100,50/s, and an optional limit for the client's network: "
    "100,network=500";

static const char *limit_problem(const char *text, size_t length)
{
	if (length == 0)
		return "has no limit after '='";
	return is_word(text, length, "0") ? "has the limit 0: write 'deny' to admit nobody, or 'unlimited'"
					  : "has no such limit";
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* A part of a limit: behind a comma, from its first byte on. */
struct part {
	size_t at;
	size_t length;
};

/* Finds "network=500" behind the limit or the rate, and takes it away from the rate. False if it is there twice, or within a
 * rate. */
static bool find_network_part(struct part *network, struct part *rate, const char *text)
{
	static const char word[] = "network=";
	const char *found = memmem(text + rate->at, rate->length, word, sizeof(word) - 1);

	*network = (struct part){0};
	while (found != NULL && found[-1] != ',')
		found = memmem(found + 1, rate->at + rate->length - (size_t)(found + 1 - text), word, sizeof(word) - 1);
	if (found == NULL)
		return true;
	size_t end = rate->at + rate->length;
	size_t from = (size_t)(found - text);
	const char *comma = memchr(found, ',', end - from);
	size_t behind = comma != NULL ? (size_t)(comma - text) + 1 : end;
	network->at = from + sizeof(word) - 1;
	network->length = (comma != NULL ? behind - 1 : end) - network->at;
	if (from == rate->at)
		*rate = (struct part){.at = behind, .length = end - behind};
	else if (comma == NULL)
		rate->length = from - 1 - rate->at;
	else
		return false;
	return (rate->length != 0 || comma == NULL) && memmem(text + rate->at, rate->length, word, sizeof(word) - 1) == NULL;
}

static bool read_network_limit(struct rule *rule, const char *text, const struct part *part, size_t *bad, const char **problem)
{
	const char *limit = text + part->at;

	*bad = part->at;
	*problem = "has a limit for networks, and 'deny'";
	if (rule->limit == LIMIT_DENY)
		return false;
	if (is_word(limit, part->length, "unlimited")) {
		rule->per_network = LIMIT_NONE;
		return true;
	}
	*problem = is_word(limit, part->length, "0") ? "has the limit 0 for networks: that is 'unlimited'"
						     : "has no such limit for networks";
	return read_number(limit, part->length, 1, LIMIT_MOST, &rule->per_network);
}

/* A misspelled word behind a comma: where it begins; `length` if there is none. */
static size_t find_unknown_word(const char *text, size_t length)
{
	for (size_t at = 0; at < length;) {
		const char *comma = memchr(text + at, ',', length - at);
		size_t end = comma != NULL ? (size_t)(comma - text) : length;
		size_t behind = at;
		while (behind < end && is_letter(text[behind]))
			behind++;
		bool is_alone = behind > at && (behind == end || text[behind] == '=');
		if (is_alone && !is_word(text + at, behind - at, "burst"))
			return at;
		at = end + 1;
	}
	return length;
}

/* "100", "unlimited", "deny", and behind commas a rate and a limit for networks. */
static bool read_limit(struct rule *rule, const char *text, size_t length, size_t *bad, const char **problem)
{
	const char *comma = memchr(text, ',', length);
	size_t own = comma != NULL ? (size_t)(comma - text) : length;
	struct part network;

	*bad = 0;
	rule->rate = (struct rate){0};
	rule->per_network = 0;
	if (is_word(text, own, "unlimited")) {
		rule->limit = LIMIT_NONE;
		rule->rate.burst = 1; /* no rate either */
	} else if (is_word(text, own, "deny")) {
		rule->limit = LIMIT_DENY;
	} else if (!read_number(text, own, 1, LIMIT_MOST, &rule->limit)) {
		*problem = limit_problem(text, own);
		return false;
	}
	if (comma == NULL)
		return true;
	struct part behind = {.at = own + 1, .length = length - own - 1};
	if (!find_network_part(&network, &behind, text)) {
		*bad = network.at;
		*problem = "has a limit for networks twice, or within a rate";
		return false;
	}
	if (network.at != 0) {
		if (!read_network_limit(rule, text, &network, bad, problem))
			return false;
		*bad = 0;
		if (behind.length == 0)
			return true;
	}
	const char *rate = text + behind.at;
	size_t rate_length = behind.length;
	bool good = rule->limit != LIMIT_DENY && rate_parse(&rule->rate, rate, rate_length, bad, problem);
	*bad += behind.at;
	if (good)
		return true;
	size_t unknown = find_unknown_word(rate, rate_length);
	if (unknown < rate_length) {
		*bad = behind.at + unknown;
		*problem = "has an unknown word after a comma";
	} else if (memchr(rate, '=', rate_length) != NULL && memmem(rate, rate_length, "burst", 5) == NULL)
		*problem = "goes on after a comma: rules are separated by blanks";
	else if (rule->limit == LIMIT_DENY)
		*problem = "has a rate for 'deny'";
	else if (rate_length == 0)
		*problem = "has no rate after the comma";
	return false;
}

/* Finds the end of the network, where ":PORT" begins; `length` if there is no port. Colons inside brackets, or in an IPv6
 * network without brackets (which has at least two), are part of the address. */
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

/* An error message for mistakes that network_parse would describe less clearly; NULL if there are none. */
static const char *network_problem(const char *text, size_t length)
{
	const char *slash = memchr(text, '/', length);
	size_t host = slash != NULL ? (size_t)(slash - text) : length;

	if (text[0] == '*')
		return "has a '*': a rule for every address names none, as :80=5 (and without a port it is CONNLIMIT_PER_IP)";
	if (is_letter(text[0]) && memchr(text, ':', length) == NULL)
		return "names no network: only addresses, names are not looked up";
	if (slash != NULL && text[0] != '[' && memchr(text, ':', host) != NULL && memchr(slash, ':', length - host) != NULL)
		return "has a port after an IPv6 network that is not in brackets";
	return NULL;
}

static bool read_network(struct rule *rule, const char *text, size_t length, size_t *bad, const char **problem)
{
	size_t shift = 0;

	*problem = network_problem(text, length);
	if (*problem != NULL)
		return false;
	/* "[2001:db8::/32]" carries its prefix within the brackets. */
	if (text[0] == '[' && text[length - 1] == ']') {
		text++;
		length -= 2;
		shift = 1;
	}
	if (!network_parse(&rule->network, text, length, problem, bad)) {
		*bad += shift;
		return false;
	}
	rule->ipv6 = rule->network.prefix == 0;
	return true;
}

/* Reads "@office.list". */
static bool read_list(const char *text, size_t length, size_t *bad, const char **problem)
{
	*bad = 0;
	*problem = "names no list after '@'";
	if (length < 2)
		return false;
	*problem = "has a path of more than 255 bytes";
	if (length - 1 > LIST_PATH_MOST)
		return false;
	*problem = "has a character in its path that is not printable ASCII";
	for (*bad = 1; *bad < length; ++*bad)
		if (text[*bad] <= ' ' || text[*bad] > '~')
			return false;
	return true;
}

static bool read_rule(struct rule *rule, const char *text, size_t length, size_t *bad, const char **problem)
{
	const char *equals = memchr(text, '=', length);
	uint32_t port = 0;

	*rule = (struct rule){0};
	*bad = 0;
	*problem = "has no '=' and limit";
	if (equals == NULL)
		return false;
	size_t target = (size_t)(equals - text);
	if (!read_limit(rule, equals + 1, length - target - 1, bad, problem)) {
		*bad += target + 1;
		return false;
	}
	if (text[0] == '@')
		return read_list(text, target, bad, problem);
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
	return port_at == 0 || read_network(rule, text, port_at, bad, problem);
}

static bool rule_wrong(struct settings_error *error, const char *text, size_t length, size_t position, const struct rule *rule,
		       const char *problem)
{
	char network[NETWORK_TEXT];
	char said[128];

	if (problem == network_has_more_bits) {
		struct text line = text_begin(said, sizeof(said));
		network_format(network, &rule->network);
		text_add(&line, problem);
		text_add(&line, "; the network is ");
		text_add(&line, network);
		problem = said;
	}
	return value_wrong(error, text, length, position, problem, allowed);
}

/* Calls `found` for each rule in a text until it returns false. False on an error. */
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
		start = at;
		if (text[at] == '#') {
			/* The rest of a single line may contain rules that somebody meant. */
			const char *end = memchr(text + at, '\n', length - at);
			if (end == NULL)
				return value_wrong(error, text + at, length - at, at, "begins a comment in a value of one line",
						   "comments in a value of several lines, in quotes");
			at = (size_t)(end - text);
			continue;
		}
		while (at < length && !is_blank(text[at]))
			at++;
		if (!read_rule(&rule, text + start, at - start, &bad, &problem))
			return rule_wrong(error, text + start, at - start, start + bad, &rule, problem);
		if (!found(&rule, text + start, at - start, with))
			return true;
	}
	return true;
}

/* Rules as they are read. One that is too many is counted, but not stored. Lists are only counted here, and compared with each
 * other. */
struct taken {
	struct rule *rule;
	uint32_t rules;
	uint32_t lists;
	const char *list[LISTS_MOST]; /* the text of each, which ends with a '=' */
	const char *at;		      /* one that is there twice */
	size_t length;
};

static size_t length_of_list(const char *at, size_t length)
{
	const char *equals = memchr(at, '=', length);

	return equals != NULL ? (size_t)(equals - at) + 1 : length;
}

static bool take_list(struct taken *taken, const char *at, size_t length)
{
	size_t own = length_of_list(at, length);

	for (uint32_t i = 0; i < taken->lists; i++)
		if (memcmp(taken->list[i], at, own) == 0) {
			taken->at = at;
			taken->length = length;
			return false;
		}
	if (taken->lists < LISTS_MOST)
		taken->list[taken->lists] = at;
	return ++taken->lists <= LISTS_MOST;
}

static bool take_rule(const struct rule *rule, const char *at, size_t length, void *with)
{
	struct taken *taken = with;

	if (*at == '@')
		return take_list(taken, at, length);
	if (taken->rules < RULES_MOST)
		taken->rule[taken->rules] = *rule;
	return ++taken->rules <= RULES_MOST;
}

/* Finds the second of two rules for the same place. */
struct repeated {
	struct rule rule;
	const char *at;
	size_t length;
	int seen;
};

static bool find_repeated(const struct rule *rule, const char *at, size_t length, void *with)
{
	struct repeated *repeated = with;

	if (*at == '@' || !rules_same_place(rule, &repeated->rule))
		return true;
	repeated->at = at;
	repeated->length = length;
	return ++repeated->seen < 2;
}

static bool keep_list(const struct rule *rule, const char *at, size_t length, void *with)
{
	struct settings *settings = with;

	if (*at != '@')
		return true;
	struct list *list = &settings->list[settings->lists++];
	size_t path = length_of_list(at, length) - 2;

	memset(list, 0, sizeof(*list)); /* all of it: others can see it, and it is compared */
	list->limit = rule->limit;
	list->rate = rule->rate;
	list->per_network = rule->per_network;
	memcpy(list->path, at + 1, path);
	return settings->lists < LISTS_MOST;
}

bool read_rules(struct settings *settings, const char *text, size_t length, struct settings_error *error)
{
	/* Not in place, so that an error leaves the old rules unchanged. */
	struct rule *first = settings->sorting;
	struct taken taken = {.rule = first};

	if (!each_rule(text, length, take_rule, &taken, error))
		return false;
	uint32_t rules = taken.rules;
	if (rules > RULES_MOST)
		return value_wrong(error, text, length, 0, "has too many rules", "at most 10000 rules");
	if (taken.at != NULL)
		return value_wrong(error, taken.at, taken.length, (size_t)(taken.at - text), "names a list for the second time",
				   "each list once");
	if (taken.lists > LISTS_MOST)
		return value_wrong(error, text, length, 0, "has too many lists", "at most 8 lists");
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
	settings->lists = 0;
	each_rule(text, length, keep_list, settings, error);
	return true;
}
