/* Records that the kernel is asked about together, and what becomes of those that are gone. For lib's own use.
 *
 * The kernel's "not found" is believed on proof only: that a connection of the same kind (kernel.h), of which it is known that
 * it is open, is found. For the kind of the connection that is being decided on, the control, that is the control itself, by
 * its own cookie. For another kind, it is an undoubted record that is found open, or, while
 * the namespace is known to be the right one, what the kernel shows in the place of one that is gone: its remains, or its
 * listener. Where the control is not found though it is open, nothing of its kind is believed, whatever else was found.
 *
 * And gone from the network is not gone from the daemon: a record that has a holder stays while that process lives. */
#ifndef CONNLIMIT_BATCH_H
#define CONNLIMIT_BATCH_H

#include "kernel/kernel.h"
#include "table/table.h"
#include "values/alive.h"

enum { GUESSES = 4, PROOFS = 4 };

/* What a decision goes by, and what it has come to know. inquiry_end closes what it has opened. */
struct inquiry {
	struct connection *control; /* known to be open; NULL for an onlooker, who believes other proofs only */
	uint32_t client;	    /* entry + 1 of whom it is about, 0 for all */
	int left;		    /* records that may still be asked about */
	uint32_t unresolved;	    /* those that cannot be asked about, as it is not known where they arrived */
	uint32_t unproven;	    /* those that were not found, and are not believed to be gone */

	struct asking asking;
	struct address guess[GUESSES]; /* addresses at which the client's connections arrived */
	unsigned guesses;
	struct kind proven[PROOFS]; /* those whose connections are found */
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

/* That connections of this kind are found. */
void inquiry_prove(struct inquiry *inquiry, const struct kind *kind);

/* What became of the control: `found`, with its own identity. */
void inquiry_note_control(struct inquiry *inquiry, bool found);

/* Whether a connection that was not found is gone. */
bool inquiry_believes(const struct inquiry *inquiry, const struct connection *connection);

/* Frees a record whose connection is gone from the network, unless a process that holds it lives. */
bool inquiry_release(struct table *table, struct inquiry *inquiry, uint32_t slot, uint64_t state);

struct batch {
	struct question question[QUESTIONS_MOST];
	uint32_t slot[QUESTIONS_MOST];
	uint64_t state[QUESTIONS_MOST];
	bool unplaced[QUESTIONS_MOST];	/* recorded without its local address */
	bool came_back[QUESTIONS_MOST]; /* the control has its addresses and ports */
	size_t number;
};

/* Begins a batch with the control, whose local address is asked for now. An onlooker's, which has none, begins with `number` 0.
 */
void batch_begin(struct table *table, struct batch *batch, struct connection *control);

/* Adds the record in a slot, if one is there: then true. There must be room. `control` as in the inquiry. */
bool batch_add(const struct table *table, struct batch *batch, uint32_t slot, const struct connection *control);

/* Asks about all of a batch, and drops the records whose connections are gone. Returns how many, or -1 if the kernel did not
 * answer; inquiry->unresolved and ->unproven grow by those of which nothing can be said. Where there is no netlink, these are
 * all: a search is to be made for them (search.h). */
int batch_drop_gone(struct table *table, struct batch *batch, struct inquiry *inquiry);

#endif
