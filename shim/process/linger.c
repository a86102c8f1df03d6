#include "process/linger.h"

#include "values/clock.h"
#include "values/door.h"
#include "values/hot.h"
#include "values/near.h"

#include <errno.h>

enum { PAGE = 4096, LOOK_MS = 200 };

_Static_assert(sizeof(struct lingering) == PAGE, "one page");

NEAREST struct lingering *_Atomic lingering;

static struct lingering *make_page(void)
{
	struct lingering *nothing = NULL;
	void *made = door_mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	if (made == MAP_FAILED)
		return NULL;
	if (door_madvise(made, PAGE, MADV_WIPEONFORK) != 0) {
		door_munmap(made, PAGE);
		return NULL;
	}
	if (atomic_compare_exchange_strong(&lingering, &nothing, made))
		return made;
	door_munmap(made, PAGE);
	return nothing;
}

static void end(struct lingering *kept, unsigned place, uintptr_t mapping)
{
	if (mapping <= PLACE_FREE || !atomic_compare_exchange_strong(&kept->place[place].mapping, &mapping, PLACE_FREE))
		return;
	atomic_fetch_sub(&kept->kept, 1);
	door_munmap((void *)mapping, PAGE); // NOLINT(performance-no-int-to-ptr)
}

/* The place to use next, emptied: it has the oldest entry, or none if the page is new or was wiped. */
static unsigned free_place(struct lingering *kept)
{
	unsigned place = atomic_fetch_add(&kept->next, 1) % LINGER_MOST;
	uintptr_t wiped = PLACE_WIPED;

	if (!atomic_compare_exchange_strong(&kept->place[place].mapping, &wiped, PLACE_FREE))
		end(kept, place, wiped);
	return place;
}

COLD bool linger(int descriptor)
{
	struct lingering *kept = atomic_load(&lingering);
	uintptr_t nobody = PLACE_FREE;

	if (kept == NULL && (kept = make_page()) == NULL)
		return false;
	unsigned place = free_place(kept);
	void *mapping = door_mmap(NULL, PAGE, PROT_NONE, MAP_SHARED, descriptor);
	if (mapping == MAP_FAILED)
		return false;
	atomic_store(&kept->place[place].until, clock_ms() + LINGER_MS);
	/* If a signal handler has forked and this is the child, nothing is mapped here and the place is wiped. So we do not
	 * take for ours what others map at that address. */
	if (door_madvise(mapping, PAGE, MADV_DONTFORK) == 0 &&
	    atomic_compare_exchange_strong(&kept->place[place].mapping, &nobody, (uintptr_t)mapping)) {
		atomic_fetch_add(&kept->kept, 1);
		return true;
	}
	if (nobody != PLACE_WIPED)
		door_munmap(mapping, PAGE);
	return false;
}

COLD void linger_sweep(struct lingering *kept)
{
	uint64_t now = clock_ms();
	uint64_t after = atomic_load(&kept->look_after);
	int before = errno;

	if (now < after || !atomic_compare_exchange_strong(&kept->look_after, &after, now + LOOK_MS))
		return;
	for (unsigned i = 0; i < LINGER_MOST; i++)
		if (now >= atomic_load(&kept->place[i].until))
			end(kept, i, atomic_load(&kept->place[i].mapping));
	errno = before;
}
