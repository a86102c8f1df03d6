#include "calls/spawn_actions.h"

#include "process/descriptors.h"
#include "process/real.h"

#include <errno.h>
#include <stdatomic.h>

enum { NOTES = 64 }; /* in all actions of the process that are alive; what is more is not counted for its program */

static struct {
	const void *_Atomic actions; /* NULL: a free place */
	_Atomic int descriptor;
} notes[NOTES];

static _Atomic int noted; /* places taken; mostly none */

static void note(const void *actions, int descriptor)
{
	for (int i = 0; i < NOTES; i++) {
		const void *nobody = NULL;

		if (atomic_compare_exchange_strong(&notes[i].actions, &nobody, actions)) {
			atomic_store(&notes[i].descriptor, descriptor);
			atomic_fetch_add(&noted, 1);
			return;
		}
	}
}

static void forget(const void *actions)
{
	for (int i = 0; i < NOTES && atomic_load(&noted) > 0; i++) {
		const void *seen = actions;

		if (atomic_compare_exchange_strong(&notes[i].actions, &seen, NULL))
			atomic_fetch_sub(&noted, 1);
	}
}

void spawn_actions_each(const posix_spawn_file_actions_t *actions, void (*visit)(int descriptor))
{
	for (int i = 0; actions != NULL && atomic_load(&noted) > 0 && i < NOTES; i++)
		if (atomic_load(&notes[i].actions) == actions)
			visit(atomic_load(&notes[i].descriptor));
}

INTERPOSE int posix_spawn_file_actions_adddup2(posix_spawn_file_actions_t *actions, int descriptor, int wanted)
{
	int result = REAL(posix_spawn_file_actions_adddup2)(actions, descriptor, wanted);
	reference held = descriptor_held(descriptor);

	if (__builtin_expect(result == 0 && held != 0 && !descriptor_is_mark(held), 0))
		note(actions, descriptor);
	return result;
}

INTERPOSE int posix_spawn_file_actions_destroy(posix_spawn_file_actions_t *actions)
{
	forget(actions);
	return REAL(posix_spawn_file_actions_destroy)(actions);
}
