/* The path of the file of limits, in this process's private memory (settings/start.h). */
#ifndef CONNLIMIT_PROCESS_START_PAGE_H
#define CONNLIMIT_PROCESS_START_PAGE_H

/* Keeps it for `connlimit reload`. Once in a process; children inherit it. */
void start_page_keep(const char *file);

#endif
