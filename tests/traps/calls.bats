#!/usr/bin/env bats
# What daemons do to their connections, one by one: tests/programs/traps.c does it, and compares the table with what is true.

load ../built

setup() {
	here=$(mktemp -d)
	export CONNLIMIT_FILE=$here/limits.env CONNLIMIT_TABLE=traps-$BATS_TEST_NUMBER-$$
	preload="$PRELOAD $BUILD/tests/early_late.so"
	ulimit -c 0
}

teardown() { rm -rf "$here"; }

# trap_of NAME LIMIT: 0 is none.
trap_of() {
	echo "CONNLIMIT_PER_IP=$2" >"$CONNLIMIT_FILE"
	timeout 60 env LD_PRELOAD="$preload" "$BUILD/tests/traps" "$1"
}

@test "fork, _Fork, clone by libc and by syscall(), clone3, into other namespaces too: the child holds what its parent closes" { trap_of forks 0; }
@test "a fork by a bare system call is noticed: the child drops nothing of its parent's" { trap_of unseen_fork 0; }
@test "what a vfork child closes and replaces is its own" { trap_of vfork 0; }
@test "programs by posix_spawn, popen and system count while they hold a connection, and not after" { trap_of programs 1; }
@test "a connection marked FD_CLOEXEC that becomes a program's standard input counts while the program runs" { trap_of standard_input 1; }
@test "fclose of fdopen, and freopen" { trap_of streams 0; }
@test "dup2 over a connection, by one, onto itself, and failing" { trap_of dup 0; }
@test "descriptors passed by sendmsg and sendmmsg, looked at with MSG_PEEK, received by recvmsg and recvmmsg" { trap_of passing 0; }
@test "descriptors passed and forks made by what lies where a filter does not let us look" { trap_of unreadable 0; }
@test "a program without us gets a connection and closes it, or sends it back" { trap_of stranger 1; }
@test "exit, _exit, quick_exit, abort, SIGKILL, and exit with threads" { trap_of ends 1; }
@test "close from a signal handler" { trap_of handler 0; }
@test "the reload signal by each way to handle, ignore, wait for and read it" { trap_of signals 0; }
@test "a fork with 600 connections: the child holds them while it lives, and pins none when it is dead" { trap_of snapshot 0; }

@test "a full table of dead connections makes room" {
	export CONNLIMIT_CAPACITY=128
	trap_of full 0
}

@test "a daemon that executes itself goes on under its limit, with what it takes along" { trap_of own_program 1; }

@test "another program gets exactly the environment that it was given" {
	run trap_of other_program 0
	[ "$status" -eq 0 ]
	[ "$output" = A=B ]
}

@test "a program that the daemon executes is ended by SIGHUP as without us, and starts whatever variables it is given" { trap_of executed 0; }

@test "a program of the daemon's under another user runs, though it may not read the limits" {
	cp "$PRELOAD" "$BUILD/tests/traps" "$here"
	chmod 755 "$here"
	echo CONNLIMIT_PER_IP=0 >"$CONNLIMIT_FILE"
	chmod 600 "$CONNLIMIT_FILE"
	run timeout 60 env LD_PRELOAD="$here/libconnlimit_preload.so" "$here/traps" other_user
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"only the limits in the environment apply"* ]]
}

@test "without netlink, /proc/net/tcp tells who is gone" { trap_of no_netlink 1; }
@test "a daemon that polls gets, of the refused, a connection that was reset, with its address, and no error of accept" { trap_of refused_polled 1; }
@test "a refused connection looks to a daemon like one that its client reset, however the client is refused" {
	trap_of refused_seen 1
	for refusal in close http text:busy; do
		CONNLIMIT_REFUSE=$refusal trap_of refused_seen 1
	done
}
@test "what a vfork child forbids itself its parent may do" { trap_of vfork_confined 1; }
@test "without both, the limit holds, and refusals on the table's word are counted" { trap_of blind 1; }
@test "a worker that is killed for any call but its own refuses, is told to reload, and ends as ever" { trap_of confined 1; }
@test "without shared memory segments, the limit holds over forked children" { trap_of no_segment 1; }
@test "a process that enters another network namespace closes as ever" { trap_of namespace 0; }
@test "a worker in network and pid namespaces of its own" { trap_of confined_worker 1; }
@test "a chroot without /proc" { trap_of chroot 1; }
@test "five descriptors are enough" { trap_of few_descriptors 1; }
@test "a million descriptors" { trap_of endless_descriptors 0; }
@test "mlockall, with little that may be locked too" { trap_of locked 0; }
@test "threads cancelled in accept leak no descriptor" { trap_of cancelled 0; }
@test "a thread that is to be cancelled is not by a reload in it" { trap_of cancelled_reload 0; }
@test "a thread with the least stack there is refuses" { trap_of small_stack 1; }
@test "an edge-triggered loop comes to EAGAIN past 200 refused" { trap_of edge 1; }
@test "a daemon that polls a blocking listener is not left waiting by a refusal" { trap_of polled 1; }
@test "MPTCP listeners" { trap_of mptcp 1; }

@test "an object whose constructor accepts before ours ran" {
	echo CONNLIMIT_PER_IP=0 >"$CONNLIMIT_FILE"
	env ACCEPT_EARLY=1 LD_PRELOAD="$preload" "$BUILD/tests/traps" early
}

@test "an object whose destructor writes to a client after ours ran" { trap_of late 0; }

