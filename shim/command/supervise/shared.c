#include "command/supervise/shared.h"

#include <sys/epoll.h>

struct shared *shared;

bool shared_watch(int descriptor, uint32_t events, enum event event, unsigned index)
{
	struct epoll_event what = {.events = events, .data.u64 = (uint64_t)event << 32 | index};

	return epoll_ctl(shared->events, EPOLL_CTL_ADD, descriptor, &what) == 0;
}
