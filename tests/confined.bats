#!/usr/bin/env bats
# A process that forbids itself system calls on pain of death does not die of ours: each is forbidden in turn, in all that we do, and by the
# arguments that filters look at.

load built

# What each act, or that one, is killed by, beside what kills it without us.
killed() { # [ACT]
	local act here=$BATS_TEST_TMPDIR
	CONNLIMIT_FILE=$here/limits CONNLIMIT_TABLE=confined-$$ LD_PRELOAD=$PRELOAD "$BUILD/tests/confined" "$@" >"$here/with" 2>/dev/null
	for act in $(cut -d' ' -f1 "$here/with" | sort -u); do
		# shellcheck disable=SC2046 # each is a word
		"$BUILD/tests/confined" "$act" $(awk -v act="$act" '$1 == act { print $2 }' "$here/with")
	done >"$here/without"
	grep -q . "$here/without" # an act's own calls do kill it
	comm -23 <(sort "$here/with") <(sort "$here/without") || true
}

@test "confined: no call of ours ends a process, where the refused are reset" {
	echo CONNLIMIT_PER_IP=1 >"$BATS_TEST_TMPDIR/limits"
	run -0 killed
	[ -z "$output" ]
}

@test "confined: no call of ours ends a process, where the refused are answered, and that is logged" {
	printf 'CONNLIMIT_%s\n' PER_IP=1 REFUSE=http LOG=syslog >"$BATS_TEST_TMPDIR/limits"
	for act in refuse-blocking refuse-polling; do
		run -0 killed $act
		[ -z "$output" ]
	done
}
