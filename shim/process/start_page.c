#include "process/start_page.h"

#include "settings/start.h"
#include "values/confined.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

void start_page_keep(const char *file)
{
	struct start_page *page;

	if (file[0] == '\0' || !MAY_CALL_EACH(SYS_mmap, SYS_mprotect))
		return;
	page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return; /* `connlimit reload` has to be told the file */
	strncpy(page->file, file, sizeof(page->file) - 1);
	memcpy(page->mark, START_MARK, sizeof(START_MARK));
	mprotect(page, sizeof(*page), PROT_READ);
}
