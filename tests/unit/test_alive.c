/* Who holds a connection: a process that lives, and is the one that was meant. */
#include "values/alive.h"
#include "values/confined.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint32_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
	return (uint32_t)time.tv_sec * 100 + (uint32_t)(time.tv_nsec / 10000000);
}

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static pid_t sleeper(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void one_that_lives_holds(void **state)
{
	pid_t pid = sleeper();

	(void)state;
	errno = 77;
	assert_true(process_holds((uint32_t)pid, now()));
	assert_true(process_holds((uint32_t)getpid(), now()));
	assert_int_equal(errno, 77);
	end(pid);
	assert_false(process_holds((uint32_t)pid, now()));
	assert_false(process_holds(0, now()));
	assert_false(process_holds(UINT32_MAX, now()));
	assert_int_equal(errno, 77);
}

/* As soon as it accepts: the clocks' ticks do not make it somebody else. */
static void one_that_has_just_begun(void **state)
{
	(void)state;
	for (int i = 0; i < 50; i++) {
		int report[2];
		uint32_t since;

		assert_int_equal(pipe(report), 0);
		pid_t pid = fork();
		if (pid == 0) {
			since = now();
			if (write(report[1], &since, sizeof(since)) != sizeof(since))
				_exit(1);
			for (;;)
				pause();
		}
		assert_int_equal(read(report[0], &since, sizeof(since)), sizeof(since));
		assert_true(process_holds((uint32_t)pid, since));
		end(pid);
		close(report[0]);
		close(report[1]);
	}
}

static void a_zombie_holds_nothing(void **state)
{
	pid_t pid = sleeper();
	siginfo_t ended;

	(void)state;
	kill(pid, SIGKILL);
	assert_int_equal(waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOWAIT), 0);
	assert_int_equal(kill(pid, 0), 0);
	assert_false(process_holds((uint32_t)pid, now()));
	waitpid(pid, NULL, 0);
}

static void a_later_one_of_the_same_pid_holds_nothing(void **state)
{
	uint32_t before = now() - 50; /* when another one had the pid */
	pid_t pid = sleeper();

	(void)state;
	assert_false(process_holds((uint32_t)pid, before));
	assert_true(process_holds((uint32_t)pid, now()));
	end(pid);
}

static void *outlive(void *unused)
{
	(void)unused;
	pause_ms(10000);
	return NULL;
}

/* Its leader is a zombie, but it has another thread. */
static void one_whose_first_thread_ended(void **state)
{
	char path[64];
	char line[256] = "";

	(void)state;
	pid_t pid = fork();
	if (pid == 0) {
		pthread_t thread;
		pthread_create(&thread, NULL, outlive, NULL);
		pthread_exit(NULL);
	}
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	for (int i = 0; i < 200 && strstr(line, ") Z ") == NULL; i++) {
		FILE *file = fopen(path, "r");
		assert_non_null(file);
		assert_non_null(fgets(line, sizeof(line), file));
		fclose(file);
		pause_ms(10);
	}
	assert_non_null(strstr(line, ") Z "));
	assert_true(process_holds((uint32_t)pid, now()));
	end(pid);
}

static void what_was_seen_serves_for_all_that_it_holds(void **state)
{
	struct process_seen seen = {0};
	uint32_t before = now() - 50;
	pid_t pid = sleeper();

	(void)state;
	assert_true(process_holds_seen(&seen, (uint32_t)pid, now()));
	end(pid);
	assert_true(process_holds_seen(&seen, (uint32_t)pid, now()));
	assert_false(process_holds_seen(&seen, (uint32_t)pid, before));
	assert_true(process_holds_seen(&seen, (uint32_t)getpid(), now()));
	assert_false(process_holds_seen(&seen, (uint32_t)pid, now()));
}

/* Each in a process of its own, whose status says how it went. */
static int in_a_process(bool (*holds)(uint32_t pid))
{
	pid_t pid = sleeper();
	int status = 0;

	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		bool lives = holds((uint32_t)pid);
		end(pid);
		_exit(lives ? 1 : 0);
	}
	waitpid(child, &status, 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool hide_proc(void)
{
	return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("none", "/proc", "tmpfs", 0, NULL) == 0;
}

static bool without_proc(uint32_t pid)
{
	if (!hide_proc())
		_exit(2);
	return process_holds(pid, now());
}

/* What a filter forbids is not tried: a process that knows of no call is told nothing. */
static bool confined_wholly_holds(uint32_t pid)
{
	confined_wholly();
	return process_holds(pid, now());
}

static bool forbidden_pidfd(uint32_t pid)
{
	struct sock_filter steps[] = {
	    {0x20, 0, 0, 0}, {0x15, 0, 1, SYS_pidfd_open}, {0x06, 0, 0, 0x80000000}, {0x06, 0, 0, 0x7fff0000}};
	struct sock_fprog program = {.len = 4, .filter = steps};
	struct sock_filter *room = confined_room();

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, 2, &program) != 0)
		_exit(1); /* not under qemu */
	confined_by(room, &program);
	return process_holds(pid, now());
}

static void without_what_it_looks_at(void **state)
{
	(void)state;
	assert_int_equal(in_a_process(forbidden_pidfd), 1);
	assert_int_equal(in_a_process(confined_wholly_holds), 0);
	if (geteuid() == 0)
		assert_int_equal(in_a_process(without_proc), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(one_that_lives_holds),	    cmocka_unit_test(one_that_has_just_begun),
	    cmocka_unit_test(a_zombie_holds_nothing),	    cmocka_unit_test(a_later_one_of_the_same_pid_holds_nothing),
	    cmocka_unit_test(one_whose_first_thread_ended), cmocka_unit_test(what_was_seen_serves_for_all_that_it_holds),
	    cmocka_unit_test(without_what_it_looks_at),
	};
	return cmocka_run_group_tests_name("alive", tests, NULL, NULL);
}
