/* Asking the kernel about several records at once, and dropping those whose connections are gone. For lib's own use.
 *
 * "Not found" is believed only with a proof that connections of this kind (kernel.h) are found: another connection of the same
 * kind that is known to be open must be found. The connection that is being decided on is called the control. For its kind, the
 * proof is the control itself, found by its own cookie. For another kind, the proof is an undoubted record that is found open.
 * Or, if the namespace is known to be the right one, it is what the kernel shows instead of a connection that is gone: its
 * remains, or its listener. If the control is not found although it is open, nothing about its kind is believed.
 *
 * A connection that is gone from the network may still be open in the daemon: a record with a holder stays while that process
 * lives. */
#ifndef CONNLIMIT_BATCH_H
#define CONNLIMIT_BATCH_H

#include "kernel/kernel.h"
#include "table/table.h"
#include "values/alive.h"
#include "values/budget.h"

enum { GUESSES = 4, PROOFS = 4 };

/* What a decision has to find out, and what is known so far. inquiry_end closes what was opened. */
struct inquiry {
	struct connection *control; /* known to be open; NULL if there is none, as in commands: then only other proofs count */
	uint32_t client;	    /* entry + 1 of the client, or of the network; 0 for all */
	int left;		    /* how many more records may be asked about */
	bool too_many;		    /* to ask about them all within the budget */
	bool may_search;	    /* for the rest: some of the budget is kept for that (search.h) */
	uint32_t unresolved;	    /* records that cannot be asked about, as their local address is not known */
	uint32_t unproven;	    /* records that were not found, but are not believed to be gone */

	struct asking asking;
	struct address guess[GUESSES]; /* addresses at which the client's connections arrived */
	unsigned guesses;
	struct kind proven[PROOFS]; /* kinds whose connections are found */
	unsigned proofs;
	bool asked_control;
	bool doubted; /* the control was not found, though it has not ended */
	struct process_seen seen;
};

void inquiry_end(struct inquiry *inquiry);

static inline uint32_t inquiry_client(uint32_t entry)
{
	return entry == UINT32_MAX ? 0 : entry + 1;
}

/* What a search for the rest needs of the budget is kept for that, if there is a rest. */
static inline int64_t inquiry_reserve(const struct inquiry *inquiry)
{
	return inquiry->may_search && (inquiry->too_many || inquiry->unresolved > 0) ? SEARCH_LEAST_NS : 0;
}

/* Notes that connections of this kind are found. */
void inquiry_prove(struct inquiry *inquiry, const struct kind *kind);

/* Notes whether the control was found, with its own identity. */
void inquiry_note_control(struct inquiry *inquiry, bool found);

/* Whether "not found" proves that this connection is gone. */
bool inquiry_believes(const struct inquiry *inquiry, const struct connection *connection);

/* Frees a record whose connection is gone from the network, unless its holder lives. */
bool inquiry_release(struct table *table, struct inquiry *inquiry, uint32_t slot, uint64_t state);

struct batch {
	struct question question[QUESTIONS_MOST];
	uint32_t slot[QUESTIONS_MOST];
	uint64_t state[QUESTIONS_MOST];
	bool unplaced[QUESTIONS_MOST];	/* recorded without its local address */
	bool came_back[QUESTIONS_MOST]; /* the control has the same addresses and ports */
	size_t number;
};

/* Begins a batch with the control, whose local address is asked for now. A batch without a control begins with `number` 0. */
void batch_begin(struct table *table, struct batch *batch, struct connection *control);

/* Adds the record in a slot; false if there is none. The batch must have room. `control` as in the inquiry. */
bool batch_add(const struct table *table, struct batch *batch, uint32_t slot, const struct connection *control);

/* Asks about all records of a batch, and drops those whose connections are gone. Returns how many, or -1 if the kernel did not
 * answer. Records without a result are added to inquiry->unresolved or ->unproven. Without netlink no record has a result: then
 * call a search (search.h). */
int batch_drop_gone(struct table *table, struct batch *batch, struct inquiry *inquiry);

#endif
