#!/usr/bin/env bats
# What the preload object shows to the world.

load built

@test "it exports exactly the calls that it interposes" {
	exported=$(nm -D --defined-only "$PRELOAD" | awk '{ print $3 }' | LC_ALL=C sort)
	listed=$(sed -n 's/^[[:space:]]*CALL([A-Za-z_ *]*, *\([A-Za-z0-9_]*\),.*/\1/p' "$SOURCE/shim/process/calls.h" | LC_ALL=C sort)
	[ -n "$listed" ]
	diff <(echo "$exported") <(echo "$listed")
}

@test "it needs libc and nothing else" {
	needed=$(readelf -d "$PRELOAD" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p')
	# The loader itself is named where thread-local variables are reached through it.
	[ "$(echo "$needed" | grep -cv '^ld-linux')" -eq 1 ]
	echo "$needed" | grep -q '^libc\.so'
}

@test "no executable stack and no writable code" {
	[ -z "$(readelf -lW "$PRELOAD" | grep -E 'GNU_STACK.*RWE|LOAD.*RWE')" ]
	[ -z "$(readelf -dW "$PRELOAD" | grep TEXTREL)" ]
}

# What is not interposed and makes a system call in libc is called through lib/values/door.h, or is here with the reason.
@test "it makes its system calls through one door" {
	allowed=(
		_exit         # a wrong setting: the program does not start
		clock_gettime # no system call where there is a vDSO (vdso(7)), nor is time
		time
		fstat mmap mprotect # in constructors
		getpeername         # after may_call: another preload may know better
		calloc free         # for onlookers only (check_all)
		kill getpid pthread_sigmask
	)
	makes=$({
		sed -n 's/^#define __NR_\([a-z0-9_]*\).*/\1/p' /usr/include/*/asm/unistd_64.h /usr/include/asm-generic/unistd.h
		printf '%s\n' send recv stat lstat open64 openat64 creat64 sigprocmask pthread_sigmask sigpending sigtimedwait sigwait sigaction signal raise \
			abort sleep usleep isatty fopen opendir malloc calloc realloc free mmap64 getentropy sysconf syslog pthread_create pthread_kill \
			tcgetattr readlink faccessat eventfd system printf fprintf perror
	} | sort -u)
	comm -12 <(nm -D --undefined-only "$PRELOAD" | awk '{ sub(/@.*/, "", $2); print $2 }' | sort -u) <(echo "$makes") |
		grep -vxFf <(printf '%s\n' "${allowed[@]}") >"$BATS_TEST_TMPDIR/past" || true
	diff /dev/null "$BATS_TEST_TMPDIR/past"
}
