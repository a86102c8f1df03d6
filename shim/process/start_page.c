#include "process/start_page.h"

#include "settings/start.h"
#include "values/door.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

void start_page_keep(const char *file)
{
	struct start_page *page;

	if (file[0] == '\0')
		return;
	page = door_mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if ((void *)page == MAP_FAILED)
		return; /* then `connlimit reload` has to be given the file */
	strncpy(page->file, file, sizeof(page->file) - 1);
	memcpy(page->mark, START_MARK, sizeof(START_MARK));
	door(SYS_mprotect, (long)page, sizeof(*page), PROT_READ, 0, 0, 0);
	door_madvise(page, sizeof(*page), MADV_DONTDUMP); /* so the kernel merges it with no mapping of the daemon's */
}
