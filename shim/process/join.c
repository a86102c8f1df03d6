#include "process/join.h"

#include "decisions/regroup.h"
#include "values/alive.h"
#include "values/clock.h"
#include "values/door.h"
#include "values/fingerprint.h"
#include "values/hot.h"
#include "values/text.h"

#include <stdlib.h>
#include <string.h>

enum { WAIT_US = 1000000, LOOK_EACH_US = 500 };

START uint64_t join_start_id(void)
{
	return fingerprint_of_program(clock_us(), process_self()) | 1;
}

uint64_t join_start_id_handed_on(void)
{
	const char *text = getenv(START_VARIABLE);

	return text != NULL ? strtoull(text, NULL, 16) : 0;
}

bool join_is_same_start(const struct table *table, const struct settings *start)
{
	uint64_t own = start->start_id;

	return own == 0 || own == atomic_load(&table->header->start) || own == atomic_load(&table->header->start_before);
}

bool join_is_alike(const struct table *table, const struct settings *start, struct settings *theirs)
{
	return limits_start(table, theirs) && (start->join != 0 || settings_difference(theirs, start) == SETTINGS);
}

static bool is_under_way(const struct table *table)
{
	uint32_t writer = atomic_load(&table->header->started);

	return writer != START_WRITTEN && (writer == 0 || process_alive(writer));
}

/* Its maker, by the kernel's word, or who took it over since: by the table's, so it must have the table and the user who made
 * it. That way a worker that was left behind cannot pass for a daemon. */
static bool is_in_use(const struct table *table, uint32_t *pid)
{
	if (segment_maker_lives(&table->segment, pid))
		return true;
	*pid = atomic_load(&table->header->maker);
	return *pid != process_self() && segment_is_held_by(&table->segment, *pid);
}

static void take_over(struct table *table, const struct settings *start, const struct settings *opening,
		      const struct rules_index *listed)
{
	uint64_t before = atomic_load(&table->header->start);

	atomic_store(&table->header->maker, process_self());
	regroup_publish_listed(table, limits_turn(table), opening, listed);
	if (before != start->start_id)
		atomic_store(&table->header->start_before, before);
	atomic_store(&table->header->start, start->start_id);
	limits_keep_start(table, start);
}

/* Too large for a small stack. */
static struct {
	char theirs[160];
	char own[160];
} shown;

/* With SETTINGS as `which`: what theirs are is not known. With pid 0: it is the same daemon's. */
static void say_difference(char why[JOIN_WHY], enum setting_id which, const struct settings *theirs, const struct settings *own,
			   uint32_t pid)
{
	struct text line = text_begin(why, JOIN_WHY);

	text_add(&line, "table '");
	text_add(&line, own->table);
	text_add(&line, pid != 0 ? "' belongs to another daemon, pid " : "' belongs to another program of this daemon");
	if (pid != 0)
		text_add_number(&line, pid);
	if (which == SETTINGS) {
		text_add(&line, ", and does not say with which settings that was started");
		return;
	}
	settings_format(shown.theirs, sizeof(shown.theirs), theirs, which);
	settings_format(shown.own, sizeof(shown.own), own, which);
	text_add(&line, ", which was started with CONNLIMIT_");
	text_add(&line, settings_table[which].name);
	text_add(&line, "=");
	text_add(&line, shown.theirs);
	text_add(&line, ", not ");
	text_add(&line, shown.own[0] != '\0' ? shown.own : "''");
}

bool join_table(struct table *table, const struct settings *start, struct settings *opening, const struct rules_index *listed,
		char why[JOIN_WHY])
{
	uint64_t until = clock_us() + WAIT_US;
	uint32_t pid = 0;
	bool in_use;

	why[0] = '\0';
	for (;;) {
		if (join_is_same_start(table, start))
			return true;
		in_use = is_in_use(table, &pid);
		if (clock_us() >= until || (in_use ? !is_under_way(table) : limits_claim_start(table)))
			break;
		door_sleep_us(LOOK_EACH_US);
	}
	if (!in_use) {
		take_over(table, start, opening, listed);
		return true;
	}
	bool known = atomic_load(&table->header->started) != 0 && limits_start(table, opening);
	enum setting_id which = known ? settings_difference(opening, start) : SETTINGS;
	if (known && which == SETTINGS)
		return true;
	say_difference(why, which, opening, start, pid);
	return start->join != 0;
}

void join_compare(const struct table *table, const struct settings *start, struct settings *theirs, char why[JOIN_WHY])
{
	why[0] = '\0';
	if (start->start_id == 0 || start->start_id != atomic_load(&table->header->start) ||
	    atomic_load(&table->header->started) == 0 || !limits_start(table, theirs))
		return;
	enum setting_id which = settings_difference(theirs, start);
	/* What it was not given, somebody on the way has left out. */
	if (which != SETTINGS && start->origin[which] != FROM_DEFAULT)
		say_difference(why, which, theirs, start, 0);
}
