#include "process/real.h"

#include "process/near.h"

#include <dlfcn.h>

NEAR struct real_calls real_calls;

void real_find(void)
{
	/* Written in the form of dlsym(3)'s own example: C has no cast from void * to a function pointer. */
#define FIND(result, name, parameters) *(void **)(void *)&real_calls.name = dlsym(RTLD_NEXT, #name);
	INTERPOSED_CALLS(FIND)
#undef FIND
}
