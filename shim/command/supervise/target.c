#include "command/supervise/target.h"

#include "values/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

enum { FEW = 1024 }; /* with a limit up to this, free descriptors are counted each time */

bool target_waits(const struct call *call)
{
	return ioctl(shared->notify, SECCOMP_IOCTL_NOTIF_ID_VALID, &call->notification.id) == 0;
}

/* Reads a number from /proc/THREAD/status (proc_pid_status(5)). UINT64_MAX if there is none. */
static uint64_t status_of(pid_t thread, const char *form)
{
	char path[64];
	char line[256];
	uint64_t number = UINT64_MAX;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)thread);
	FILE *status = fopen(path, "re");
	while (status != NULL && fgets(line, sizeof(line), status) != NULL && sscanf(line, form, &number) != 1)
		;
	if (status != NULL)
		fclose(status);
	return number;
}

/* Before Linux 6.9, only processes have pidfds. */
static pid_t process_of(pid_t thread)
{
	return (pid_t)status_of(thread, "Tgid: %" SCNu64);
}

/* glibc's own signals 32 and 33, for pthread_cancel(3) and setuid(2). Every program with threads handles them, and hardly any
 * receives one (nptl(7)). */
#define GLIBC_SIGNALS (UINT64_C(3) << 31)

/* Whether a handled signal may interrupt the call. The answer is cached for HANDLERS_MS. */
static bool may_be_interrupted(const struct call *call)
{
	uint32_t thread = call->notification.pid;
	struct handlers *known = &shared->handlers[thread % HANDLERS_MOST];
	uint64_t now = clock_ms();

	if (shared->killable)
		return false;
	if (known->thread != thread || known->until <= now) {
		known->any = (status_of((pid_t)thread, "SigCgt: %" SCNx64) & ~GLIBC_SIGNALS) != 0;
		known->thread = thread;
		known->until = now + HANDLERS_MS;
	}
	return known->any;
}

int target_descriptor(const struct call *call, int number)
{
	pid_t thread = (pid_t)call->notification.pid;
	int handle = (int)syscall(SYS_pidfd_open, thread, PIDFD_THREAD);

	if (handle < 0 && errno == EINVAL)
		handle = (int)syscall(SYS_pidfd_open, process_of(thread), 0);
	if (handle < 0)
		return -1;
	int copy = -1;
	if (target_waits(call))
		copy = (int)syscall(SYS_pidfd_getfd, handle, number, 0);
	else
		errno = ESRCH;
	int kept = errno;
	close(handle);
	errno = kept;
	return copy;
}

/* Since Linux 6.2 the directory's size is the number of open descriptors (proc_pid_fd(5)). Only the names tell whether all
 * numbers below the limit are taken. */
static bool all_taken(pid_t thread, rlim_t limit)
{
	char path[64];
	struct stat facts;
	const struct dirent *entry;
	rlim_t taken = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)thread);
	if (stat(path, &facts) != 0 || (rlim_t)facts.st_size < limit)
		return false;
	DIR *descriptors = opendir(path);
	if (descriptors == NULL)
		return false;
	while ((entry = readdir(descriptors)) != NULL)
		if (entry->d_name[0] != '.' && strtoul(entry->d_name, NULL, 10) < limit)
			taken++;
	closedir(descriptors);
	return taken >= limit;
}

bool target_has_room(const struct call *call)
{
	pid_t thread = (pid_t)call->notification.pid;
	struct rlimit limit;

	if (prlimit(thread, RLIMIT_NOFILE, NULL, &limit) != 0)
		return true;
	if (limit.rlim_cur > FEW && (rlim_t)shared->number_given < limit.rlim_cur / 2)
		return true;
	return !all_taken(thread, limit.rlim_cur);
}

static bool copy(pid_t thread, void *ours, uint64_t theirs, size_t length, bool write)
{
	struct iovec here = {.iov_base = ours, .iov_len = length};
	struct iovec there = {.iov_base = (void *)(uintptr_t)theirs, .iov_len = length}; // NOLINT(performance-no-int-to-ptr)

	return (write ? process_vm_writev(thread, &here, 1, &there, 1, 0) : process_vm_readv(thread, &here, 1, &there, 1, 0)) ==
	       (ssize_t)length;
}

/* In the kernel's order (move_addr_to_user): reads the size of the buffer, writes as much of the address as fits, then its full
 * length. */
int target_write_peer(const struct call *call, const struct taken *taken)
{
	const struct seccomp_notif *notification = &call->notification;
	pid_t thread = (pid_t)notification->pid;
	uint64_t address = notification->data.args[1];
	uint64_t length = notification->data.args[2];
	struct sockaddr_storage peer = taken->peer;
	socklen_t whole = taken->peer_length;
	int room;

	if (address == 0)
		return 0;
	bool read = copy(thread, &room, length, sizeof(room), false);
	if (!target_waits(call))
		return ESRCH;
	if (!read)
		return EFAULT;
	if (room < 0)
		return EINVAL;
	if ((socklen_t)room > whole)
		room = (int)whole;
	if (room > 0 && !copy(thread, &peer, address, (size_t)room, true))
		return EFAULT;
	return copy(thread, &whole, length, sizeof(whole), true) ? 0 : EFAULT;
}

int target_find(const struct call *call, int descriptor)
{
	char path[64];
	char wanted[64];
	char name[64];
	struct stat facts;
	const struct dirent *entry;
	int number = -1;

	if (fstat(descriptor, &facts) != 0)
		return -1;
	snprintf(wanted, sizeof(wanted), "socket:[%lu]", (unsigned long)facts.st_ino);
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)call->notification.pid);
	DIR *descriptors = opendir(path);
	if (descriptors == NULL)
		return -1;
	while (number < 0 && (entry = readdir(descriptors)) != NULL) {
		ssize_t length = readlinkat(dirfd(descriptors), entry->d_name, name, sizeof(name) - 1);

		name[length > 0 ? length : 0] = '\0';
		if (strcmp(name, wanted) == 0)
			number = (int)strtol(entry->d_name, NULL, 10);
	}
	closedir(descriptors);
	return number;
}

static int answer(const struct call *call, int value, int error, uint32_t flags)
{
	struct seccomp_notif_resp response = {.id = call->notification.id, .val = value, .error = -error, .flags = flags};

	return ioctl(shared->notify, SECCOMP_IOCTL_NOTIF_SEND, &response) == 0 ? 0 : errno;
}

void target_answer(const struct call *call, int value, int error)
{
	answer(call, value, error, 0);
}

void target_goes_on(const struct call *call)
{
	answer(call, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
}

/* If a signal may interrupt the call, one step is used: the program gets the descriptor and the call returns, or neither
 * happens. Two steps would lose a connection when the signal comes between them, and NOTIF_SEND reports success even if the
 * thread has just been interrupted. If no signal is handled, two steps are used, so that a standby can tell how far a killed
 * worker got. In kernels without "seccomp: restore knotif->state when SECCOMP_ADDFD_FLAG_SEND is interrupted", a worker that is
 * killed in the one step leaves a call that returns 0 and no descriptor. */
int target_give(struct call *call)
{
	bool close_on_exec = call->notification.data.nr == SYS_accept4 && (call->notification.data.args[3] & SOCK_CLOEXEC) != 0;
	bool at_once = may_be_interrupted(call);
	struct seccomp_notif_addfd give = {.id = call->notification.id,
					   .srcfd = (uint32_t)call->taken.descriptor,
					   .flags = at_once ? SECCOMP_ADDFD_FLAG_SEND : 0,
					   .newfd_flags = close_on_exec ? O_CLOEXEC : 0};

	call->number = -1;
	call->phase = PHASE_GIVING;
	int number = ioctl(shared->notify, SECCOMP_IOCTL_NOTIF_ADDFD, &give);
	if (number < 0)
		return errno;
	call->number = number;
	shared->number_given = number;
	return at_once ? 0 : answer(call, number, 0, 0);
}
