/* What a hostile process does to a table that it has mapped. */
#ifndef CONNLIMIT_SCRIBBLE_H
#define CONNLIMIT_SCRIBBLE_H

#include "table/table.h"

/* A number below 2^31, and the next state. */
unsigned random_number(uint64_t *state);

/* One write, into anything but the mark by which a table is found. */
void scribble_once(struct table *table, uint64_t *seed);

/* Writes into every part of the table until the process is ended: random and extreme words, whole lines, copies of one place at
 * another (so that lists run in circles and slots belong to two), texts without an end, numbers of processes and blocks. */
_Noreturn void scribble(struct table *table, uint64_t seed);

#endif
