#include "process/limiter.h"

#include "values/alive.h"
#include "values/door.h"
#include "values/near.h"

/* In this order GCC places the state after the table, in its last cache line, together with variables of fork.c and others. */
NEAREST _Atomic int limiter_state;
NEAREST _Alignas(64) struct table limiter_of_process;

struct settings limiter_settings;
NEAR char limiter_name[TABLE_NAME_MOST + 1];

/* Usually the child is in its parent's pid namespace, and then in the table's if the parent was. */
void limiter_in_child(void)
{
	uint32_t parent = limiter_of_process.pid;

	if (parent != 0 && door_getppid() == (pid_t)parent)
		limiter_of_process.pid = process_self();
	else if (parent != 0)
		table_know_pid(&limiter_of_process);
}

void limiter_in_any_child(void)
{
	int opening = LIMITER_OPENING;

	atomic_compare_exchange_strong(&limiter_state, &opening, LIMITER_UNOPENED);
}
