/* Records that the kernel is asked about together, and what becomes of those that are gone. For lib's own use. */
#ifndef CONNLIMIT_BATCH_H
#define CONNLIMIT_BATCH_H

#include "kernel/kernel.h"
#include "table/table.h"

/* What a check goes by, and what it has come to know. */
enum { GUESSES = 4 };
struct inquiry {
	struct connection *control;    /* known to be open; NULL for an onlooker, who answers for the kernel himself */
	struct address guess[GUESSES]; /* addresses at which the client's connections arrived */
	unsigned guesses;
	int left;	     /* records that may still be asked about */
	uint32_t unresolved; /* those of which nothing can be said, as it is not known where they arrived */
};

struct batch {
	struct question question[QUESTIONS_MOST];
	uint32_t slot[QUESTIONS_MOST];
	uint64_t state[QUESTIONS_MOST];
	bool unplaced[QUESTIONS_MOST]; /* recorded without its local address */
	size_t number;
};

/* Begins a batch with the control, whose local address is asked for now. An onlooker's, which has none, begins with `number` 0.
 */
void batch_begin(struct table *table, struct batch *batch, struct connection *control);

/* Adds the record in a slot, if one is there: then true. There must be room. `control` as in the inquiry. */
bool batch_add(const struct table *table, struct batch *batch, uint32_t slot, const struct connection *control);

/* Asks about all of a batch, and drops the records whose connections are gone. Returns how many, or -1 if the answers prove
 * nothing; inquiry->unresolved grows by those of which nothing can be said. */
int batch_drop_gone(struct table *table, struct batch *batch, struct inquiry *inquiry);

#endif
