#!/usr/bin/env bats
# Every interposed call answers as it would without us: the same program's output is compared.

load built

setup() {
	here=$(mktemp -d)
	echo CONNLIMIT_PER_IP=5 >"$here/limits.env"
}

teardown() {
	rm -rf "$here"
}

@test "calls, most of them wrong, come back the same with and without the preload" {
	"$BUILD/tests/call_semantics" >"$here/without"
	grep -q 'closed from there: -1 EBADF' "$here/without"
	CONNLIMIT_FILE="$here/limits.env" LD_PRELOAD="$PRELOAD" "$BUILD/tests/call_semantics" >"$here/with"
	diff "$here/without" "$here/with"
}

@test "and the same when no shared memory is to be had" {
	"$BUILD/tests/call_semantics" >"$here/without"
	# A table larger than this address space: the limiter steps aside, and says so.
	(
		ulimit -v 60000
		CONNLIMIT_CAPACITY=16777216 LD_PRELOAD="$PRELOAD" "$BUILD/tests/call_semantics" >"$here/with" 2>"$here/errors"
	)
	diff "$here/without" "$here/with"
	[ "$(grep -c 'NOT limited' "$here/errors")" -eq 1 ]
}

@test "each interposed call with each kind of bad argument: result, errno or signal are as without us" {
	local on
	echo CONNLIMIT_PER_IP=1000000 >"$here/limits.env"
	for on in coroutine thread; do
		"$BUILD/tests/arguments" $on >"$here/without"
		CONNLIMIT_FILE="$here/limits.env" LD_PRELOAD="$PRELOAD" "$BUILD/tests/arguments" $on >"$here/with"
		[ "$(wc -l <"$here/without")" -gt 10000 ]
		diff "$here/without" "$here/with"
	done
}
