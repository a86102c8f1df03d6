#!/usr/bin/env bats
# Who is at work for a client holds its connection, whatever the client has done to it meanwhile: a client that asks and resets, again
# and again, has no more at work for it than it may have open. And nobody who is not at work is taken for one who is.

load daemon

setup_more() {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	unshare -n -p -f true || skip "no namespaces"
}

at_work() { # WANTED SERVER any|same [COMMAND...]
	run unshare -n -p -f --mount-proc python3 "$SOURCE/tests/programs/held.py" "${@:2}"
	[ "$status $(tr '\n' ' ' <<<"$output")" = "0 $1 " ] || { echo "$output"; return 1; }
}

@test "held: by a process for each connection, until it is killed" { at_work "2 2" fork any; }
@test "held: the same, where the client comes from one port" { at_work "2 2" fork same; }
@test "held: the same, asked by /proc" { at_work "2 2" fork any python3 "$SOURCE/tests/programs/without_netlink.py"; }
@test "held: by threads" { at_work 2 thread any; }
@test "held: by threads, where the client comes from one port" { at_work 2 thread same; }
@test "held: by processes that take one connection after the other" { at_work 2 prefork any; }
@test "held: by these, where the client comes from one port" { at_work 2 prefork same; }
@test "held: not by zombies" { at_work "2 2" zombie any; }
@test "held: not by a program that a process has become" { at_work 20 exec any; }

@test "held: not by a program that a process has become while its threads accepted" {
	limit_is 100000
	limited "$BUILD/tests/exec_beside" "$port" 30
	until_true grep -q ready "$here/out"
	until_true nothing_held
}

@test "held: not by a program that a process has become, whose making nobody saw" {
	run -0 --separate-stderr "$CONNLIMIT" run --per-ip 1 -- "$BUILD/tests/unseen_child"
	[ "$output" = 10 ]
}
