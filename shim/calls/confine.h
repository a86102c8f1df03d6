/* Processes that forbid themselves system calls. */
#ifndef CONNLIMIT_CONFINE_H
#define CONNLIMIT_CONFINE_H

/* prctl(2) with PR_SET_SECCOMP. */
int confine_by_prctl(unsigned long mode, void *program);

/* seccomp(2), which libc has no name for. */
long confine_by_seccomp(unsigned long operation, unsigned long flags, void *arguments);

#endif
