#!/usr/bin/env bats
# A client's count is never lower than what it has open, whatever beside it copies, shares or passes descriptors; and right again
# in the end. Each case for NEVER_BELOW_SECONDS (0.3); more of them are in scripts/soak.

load built

never_below() { # CASE
	run env CONNLIMIT_PER_IP=5 CONNLIMIT_TABLE="below$$x$BATS_TEST_NUMBER" LD_PRELOAD="$PRELOAD" \
		timeout 60 "$BUILD/tests/never_below" "$1" "${NEVER_BELOW_SECONDS:-0.3}"
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *" 0 times below, 0 left"* ]]
}

@test "never below: fork" { never_below "fork"; }
@test "never below: vfork" { never_below "vfork"; }
@test "never below: vfork, and an exec that fails" { never_below "vfork, and an exec that fails"; }
@test "never below: posix_spawn" { never_below "posix_spawn"; }
@test "never below: system" { never_below "system"; }
@test "never below: popen" { never_below "popen"; }
@test "never below: wordexp" { never_below "wordexp"; }
@test "never below: an exec that fails" { never_below "an exec that fails"; }
@test "never below: an exec by who accepted" { never_below "an exec by who accepted"; }
@test "never below: dup" { never_below "dup"; }
@test "never below: dup2" { never_below "dup2"; }
@test "never below: sendmsg" { never_below "sendmsg"; }
@test "never below: passing on" { never_below "passing on"; }
@test "never below: close_range" { never_below "close_range"; }
@test "never below: close_range with a table of its own" { never_below "close_range with a table of its own"; }
@test "never below: unshare" { never_below "unshare"; }
@test "never below: a child that shares descriptors, and forks" { never_below "a child that shares descriptors, and forks"; }
@test "never below: a child that shares memory" { never_below "a child that shares memory"; }
@test "never below: a fork without a name" { never_below "a fork without a name"; }
@test "never below: daemon" { never_below "daemon"; }
@test "never below: forkpty" { never_below "forkpty"; }
@test "never below: a fork in a handler" { never_below "a fork in a handler"; }
@test "never below: cancellation" { never_below "cancellation"; }
@test "never below: a jump out of close" { never_below "a jump out of close"; }

@test "never below: every case has its test" {
	local name
	while read -r name; do
		grep -qF "{ never_below \"$name\"; }" "$BATS_TEST_FILENAME" || { echo "none: $name"; false; }
	done < <("$BUILD/tests/never_below")
}
