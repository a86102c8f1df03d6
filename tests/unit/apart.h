/* Tables whose connections exist nowhere else. */
#ifndef CONNLIMIT_TESTS_APART_H
#define CONNLIMIT_TESTS_APART_H

#include "table/table.h"

/* As if the table were in another network namespace: a `connlimit status` that runs beside the test asks the kernel about every
 * table's connections, and would find ours gone. */
static inline bool set_apart(const struct table *table)
{
	atomic_store(&table->header->network, 1);
	return true;
}

#endif
