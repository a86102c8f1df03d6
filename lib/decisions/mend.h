/* Repairing counts and slots that a process left wrong when it died between two steps; see layout.h. For lib's own use. */
#ifndef CONNLIMIT_MEND_H
#define CONNLIMIT_MEND_H

#include "table/table.h"

/* Frees a slot, whose state was `state`, that was claimed by a process that died, or that is free but still has an owner. */
void mend_slot(struct table *table, uint32_t slot, uint64_t state);

/* The same, if the slot's claimer is known to be dead; returns whether it is. */
bool mend_claimed_by_dead(struct table *table, uint32_t slot, uint64_t state);

/* Lowers the count in `word`, of the client `entry` or of all clients (ANY_CLIENT), to the number of slots, if it is too high
 * and does not change meanwhile. True if the count fell, whether this call or another process lowered it. */
bool mend_count(struct table *table, _Atomic uint64_t *word, uint32_t entry);

#endif
