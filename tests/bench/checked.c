/* What a table's checks of the kernel cost so far: checked NAME. Prints their number and microseconds. */
#include "table/table.h"

#include <stdio.h>

int main(int count, char **arguments)
{
	struct table table;

	if (count != 2 || !table_open(&table, arguments[1], NULL, NULL)) {
		perror("table");
		return 1;
	}
	printf("%lu %lu\n", (unsigned long)atomic_load(&table.header->checks),
	       (unsigned long)atomic_load(&table.header->check_us));
	table_leave(&table);
	return 0;
}
