#include "process/reload.h"

#include "process/limiter.h"
#include "process/log.h"
#include "process/report.h"
#include "process/topmost.h"

#include "decisions/regroup.h"
#include "settings/lists.h"
#include "values/alive.h"
#include "values/door.h"
#include "values/near.h"

#include <string.h>
#include <sys/mman.h>

/* A signal handler may have no more stack than its own frame needs (sigaltstack(2), MINSIGSTKSZ). So all of this runs on a
 * stack of ours, in one thread at a time, and large objects are not on a stack at all. */
static _Alignas(16) char stack[1 << 16];
static struct settings read_settings;
static struct settings work;
static struct settings_error error_of_reading;
static char path[PATH_MOST + 1];
static char file_text[SETTINGS_FILE_ROOM];
static struct settings *to_read; /* the argument of reload_read */
static bool was_good;

/* Each has the process that is reloading, so that in a child forked meanwhile nobody is. */
NEAR static _Atomic uint32_t on_stack;
NEAR static _Atomic uint64_t asked; /* the process, and how often it was asked while it reloads */

#define ASKED_BY(process) ((uint64_t)(process) << 32)

/* Blocks signals: a handler that jumps away (siglongjmp(3)), or a cancellation, would leave what is claimed here claimed. One
 * signal of libc's own stays unblocked, because a thread that changes the user waits for it (nptl(7)). False if they cannot be
 * blocked. */
static bool holds_signals(signal_set *before)
{
	enum { LIBC_SETXID = 33 };
	signal_set all = ~signal_alone(LIBC_SETXID);

	return door_sigprocmask(SIG_SETMASK, &all, before) == 0;
}

static void lets_signals_go(const signal_set *before)
{
	door_sigprocmask(SIG_SETMASK, before, NULL);
}

static bool takes_stack(void)
{
	uint32_t process = process_self();
	uint32_t who = atomic_load(&on_stack);

	return who != process && atomic_compare_exchange_strong(&on_stack, &who, process);
}

void reload_call_on(void *stack_end, void (*does)(void)) __attribute__((visibility("hidden")));

#if defined(__x86_64__)
__asm__(
    ".pushsection .text\n"
    ".globl reload_call_on\n"
    ".hidden reload_call_on\n"
    ".type reload_call_on, @function\n"
    "reload_call_on:\n"
    "	.cfi_startproc\n"
    "	push %rbx\n"
    "	.cfi_adjust_cfa_offset 8\n"
    "	.cfi_rel_offset %rbx, 0\n"
    "	mov %rsp, %rbx\n"
    "	.cfi_def_cfa_register %rbx\n"
    "	mov %rdi, %rsp\n"
    "	call *%rsi\n"
    "	mov %rbx, %rsp\n"
    "	.cfi_def_cfa_register %rsp\n"
    "	pop %rbx\n"
    "	.cfi_adjust_cfa_offset -8\n"
    "	.cfi_restore %rbx\n"
    "	ret\n"
    "	.cfi_endproc\n"
    ".size reload_call_on, .-reload_call_on\n"
    ".popsection\n");
#elif defined(__aarch64__)
__asm__(
    ".pushsection .text\n"
    ".globl reload_call_on\n"
    ".hidden reload_call_on\n"
    ".type reload_call_on, %function\n"
    "reload_call_on:\n"
    "	.cfi_startproc\n"
    "	stp x29, x30, [sp, #-32]!\n"
    "	.cfi_adjust_cfa_offset 32\n"
    "	.cfi_rel_offset x29, 0\n"
    "	.cfi_rel_offset x30, 8\n"
    "	str x19, [sp, #16]\n"
    "	.cfi_rel_offset x19, 16\n"
    "	mov x19, sp\n"
    "	.cfi_def_cfa_register x19\n"
    "	mov sp, x0\n"
    "	blr x1\n"
    "	mov sp, x19\n"
    "	.cfi_def_cfa_register sp\n"
    "	ldr x19, [sp, #16]\n"
    "	ldp x29, x30, [sp], #32\n"
    "	ret\n"
    "	.cfi_endproc\n"
    ".size reload_call_on, .-reload_call_on\n"
    ".popsection\n");
#else
void reload_call_on(void *stack_end, void (*does)(void))
{
	(void)stack_end;
	does();
}
#endif

static void on_own_stack(void (*does)(void))
{
	reload_call_on(stack + sizeof(stack), does);
	atomic_store(&on_stack, 0);
}

/* Mapped when there are lists; its pages are freed once it is published. */
static struct rules_index *listed; /* of what was last read successfully */
static struct rules_index *spare;

static void give_back(struct rules_index *lists)
{
	if (lists != NULL)
		door_madvise(lists, sizeof(*lists), MADV_DONTNEED);
}

static bool read_lists(const struct settings *settings)
{
	static const char no_memory[] = "no memory for the lists of CONNLIMIT_RULES";

	if (settings->lists == 0)
		return true;
	if (spare == NULL) {
		void *room =
		    door_mmap(NULL, sizeof(*spare), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
		if (room == MAP_FAILED) {
			memcpy(error_of_reading.text, no_memory, sizeof(no_memory));
			return false;
		}
		spare = room;
	}
	_Static_assert(sizeof(file_text) >= LISTS_ROOM, "the file was read");
	struct rules_index *read = spare;
	if (lists_read(settings, read, file_text, &error_of_reading)) {
		spare = listed;
		listed = read;
	}
	give_back(spare);
	return listed == read;
}

const struct rules_index *reload_listed(void)
{
	return listed;
}

void reload_published(void)
{
	give_back(listed);
}

static bool read_file(struct settings *settings)
{
	memcpy(path, settings->file, sizeof(path));
	error_of_reading.place = 0;
	error_of_reading.secret = false;
	return (path[0] == '\0' || settings_from_file(settings, &work, file_text, path, &error_of_reading)) &&
	       read_lists(settings);
}

static void read_asked_for(void)
{
	was_good = read_file(to_read);
}

bool reload_read(struct settings *settings, struct settings_error *error)
{
	static const char busy[] = "the file is being read by another thread";
	signal_set before;
	bool held = holds_signals(&before);
	bool good = false;

	if (takes_stack()) {
		to_read = settings;
		on_own_stack(read_asked_for);
		good = was_good;
		memcpy(error, &error_of_reading, sizeof(*error));
	} else {
		memcpy(error->text, busy, sizeof(busy));
		error->secret = false;
	}
	if (held)
		lets_signals_go(&before);
	return good;
}

/* Whether this process has not forbidden itself to read the file. */
static bool may_read(void)
{
	return MAY_CALL_EACH(SYS_openat, SYS_read, SYS_close, SYS_geteuid, SYS_gettid, SYS_getpid, SYS_rt_sigprocmask) &&
	       MAY_CALL_FSTAT;
}

static uid_t started_as;

void reload_begin(void)
{
	started_as = door_geteuid();
}

/* A worker that has given up its rights since the start, and with them the file, while who started it has not. */
static bool leaves_it_to_others(void)
{
	static bool said;
	const char *file = limiter_settings.file;

	if (door_geteuid() == started_as || topmost() || door(SYS_faccessat, AT_FDCWD, (long)file, R_OK, 0, 0, 0) == 0)
		return false;
	if (!said)
		report("a process that may not read the file any more leaves a reload to the others: ", error_of_reading.text,
		       NULL);
	said = true;
	return true;
}

static void failed(struct table *table)
{
	limits_failed(table, &error_of_reading);
	log_reload_failed(error_of_reading.text);
}

static void reload_into(struct table *table)
{
	uint64_t turn = limits_turn(table);

	settings_copy(&read_settings, &limiter_settings);
	if (!read_file(&read_settings)) {
		if (!leaves_it_to_others())
			failed(table);
		return;
	}
	/* The table's layout and the signal cannot be changed by a reload. */
	if (limits_copy(table, &work) && !settings_may_follow(&read_settings, &work, &error_of_reading)) {
		failed(table);
		return;
	}
	if (!regroup_publish_listed(table, turn, &read_settings, listed))
		log_reload_failed("others are publishing at this moment");
	reload_published();
}

/* For a master whose workers listen themselves: it has no table open, but gets the signal. */
static void reload_of_workers(void)
{
	static struct table table;

	if (!MAY_CALL_EACH(SYS_shmget, SYS_shmctl, SYS_shmat, SYS_shmdt) || !table_open(&table, limiter_name, NULL, NULL))
		return;
	reload_into(&table);
	table_leave(&table);
}

/* A worker that has confined itself leaves the reload to the others. Of the topmost process a reload is expected. */
static void cannot_read(void)
{
	static const char why[] = "this process has forbidden itself to read the file (seccomp(2)): use connlimit reload";

	if (!limiter_is_open() || !topmost())
		return;
	memcpy(error_of_reading.text, why, sizeof(why));
	error_of_reading.secret = false;
	failed(limiter_table());
}

static void reload_once(void)
{
	if (!may_read())
		cannot_read();
	else if (limiter_is_open())
		reload_into(limiter_table());
	else if (atomic_load(&limiter_state) == LIMITER_UNOPENED)
		reload_of_workers();
}

static uint32_t own_process; /* set once there is a table */

void reload_belongs_here(void)
{
	own_process = process_self();
}

/* A vfork child leaves the reload to others: it would use its parent's memory. */
static bool is_somebody_elses(void)
{
	return own_process != 0 && process_self() != own_process;
}

/* Whoever raises the count from 0 does the work, and repeats it for those who asked meanwhile. */
static bool first_to_ask(uint64_t process)
{
	uint64_t before = atomic_load(&asked);
	uint64_t after;

	do
		after = (before >= ASKED_BY(process) && before < ASKED_BY(process + 1) ? before : ASKED_BY(process)) + 1;
	while (!atomic_compare_exchange_weak(&asked, &before, after));
	return after == ASKED_BY(process) + 1;
}

void reload_now(void)
{
	signal_set before;

	if (limiter_settings.file[0] == '\0' || is_somebody_elses() || !holds_signals(&before))
		return;
	if (first_to_ask(process_self())) {
		uint64_t seen;

		do {
			seen = atomic_load(&asked);
			if (takes_stack())
				on_own_stack(reload_once);
		} while (!atomic_compare_exchange_strong(&asked, &seen, 0));
	}
	lets_signals_go(&before);
}
