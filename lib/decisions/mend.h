/* Counts and slots that a process left wrong when it died between two steps; see layout.h. For lib's own use. */
#ifndef CONNLIMIT_MEND_H
#define CONNLIMIT_MEND_H

#include "table/table.h"

/* Takes a slot, whose state was `state`, out of the hands of a dead claimer, or of one that left its client's name on a free
 * slot, and frees it. */
void mend_slot(struct table *table, uint32_t slot, uint64_t state);

/* The same for a slot whose claimer is known to be dead: then true. */
bool mend_claimed_by_dead(struct table *table, uint32_t slot, uint64_t state);

/* Lowers the count in `word`, of the client `entry` or of all (ANY_CLIENT), to the number of slots if it stands too high and
 * nothing moves. True if the count fell, by us or by others. */
bool mend_count(struct table *table, _Atomic uint64_t *word, uint32_t entry);

#endif
