#include "process/real.h"

#include "process/near.h"

#include <dlfcn.h>

NEAR struct real_calls real_calls;

void real_find(void)
{
	/* The form shown in dlsym(3): C has no cast from void * to a function pointer. */
#define FIND(result, name, parameters) *(void **)(void *)&real_calls.name = dlsym(RTLD_NEXT, #name);
	INTERPOSED_CALLS(FIND)
#undef FIND
}
