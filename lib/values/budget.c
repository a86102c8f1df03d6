#include "values/budget.h"

_Thread_local int64_t budget_left = BUDGET_NONE;

bool budget_spend(int64_t ns)
{
	bool had = budget_has(ns);

	if (budget_left != BUDGET_NONE)
		budget_left -= ns;
	return had;
}

uint32_t budget_slots(void)
{
	int64_t slots = budget_left < 0 ? 0 : budget_left / 9 * 8;

	return slots < UINT32_MAX ? (uint32_t)slots : UINT32_MAX;
}
