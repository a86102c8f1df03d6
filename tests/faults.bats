#!/usr/bin/env bats
# The table's algorithms in every order, with a fault planted to show that it would be seen; and the unit tests under the sanitizers and valgrind.

load built

@test "faults: interleavings of admissions, releases, mends and publications" {
	"$BUILD/tests/test_interleavings" >"$BATS_TEST_TMPDIR/out" || { cat "$BATS_TEST_TMPDIR/out"; false; }
	[ "$(grep -c '^ok' "$BATS_TEST_TMPDIR/out")" -eq 34 ]
}

@test "faults: without any one of its orderings the same check fails" {
	local ordering
	for ordering in 1 2 3 4; do
		run env LEFT_OUT=$ordering "$BUILD/tests/test_interleavings"
		[ "$status" -eq 1 ] || { echo "unnoticed: $ordering"; false; }
		[[ $output == *"not ok"* ]]
	done
}

@test "faults: what a process knows of its descriptors, in every order of three threads" {
	"$BUILD/tests/test_schedule" >"$BATS_TEST_TMPDIR/out" || { cat "$BATS_TEST_TMPDIR/out"; false; }
	[ "$(grep -c '^ok' "$BATS_TEST_TMPDIR/out")" -eq 16 ]
}

@test "faults: without any one of the orderings of sole holding a connection is released while it is open" {
	local ordering
	for ordering in 5 6 7 8; do
		run env LEFT_OUT=$ordering "$BUILD/tests/test_schedule"
		[ "$status" -eq 1 ] || { echo "unnoticed: $ordering"; false; }
		[[ $output == *"released while it is open"* ]]
	done
}

sanitized() { # SANITIZER
	local sources
	sources=$(find "$SOURCE/lib" -name '*.c' ! -name connlimit.c)
	# shellcheck disable=SC2086
	gcc -std=gnu17 -D_GNU_SOURCE -O1 -g $([[ $(uname -m) != x86_64 ]] || echo -mcx16) -I"$SOURCE/lib" -I"$BUILD/lib" "-fsanitize=$1" -o "$BATS_TEST_TMPDIR/table" \
		$sources "$SOURCE/tests/unit/test_table.c" -lcmocka -pthread
	"$BATS_TEST_TMPDIR/table" >"$BATS_TEST_TMPDIR/out" 2>&1 || { cat "$BATS_TEST_TMPDIR/out"; false; }
	run -1 grep -E 'WARNING: ThreadSanitizer|ERROR: AddressSanitizer|runtime error' "$BATS_TEST_TMPDIR/out"
}

@test "faults: the table under AddressSanitizer and UndefinedBehaviorSanitizer" { sanitized address,undefined; }

@test "faults: the table under ThreadSanitizer" {
	# One process' threads; what several processes do to each other it cannot see.
	TSAN_OPTIONS="history_size=7 halt_on_error=0 report_signal_unsafe=0 suppressions=$SOURCE/tests/faults/tsan.suppressions" sanitized thread
}

@test "faults: the library under valgrind" {
	valgrind -q --error-exitcode=9 --leak-check=no "$BUILD/tests/test_library" >"$BATS_TEST_TMPDIR/out" 2>&1 || {
		cat "$BATS_TEST_TMPDIR/out"
		false
	}
}
