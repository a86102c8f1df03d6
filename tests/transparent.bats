#!/usr/bin/env bats
# The daemon is as it would be without us: foreign test suites end as they do bare. scripts/transparent runs all of them, this a part.

load built

@test "foreign test suites end as without us, preloaded and with a table open" {
	[[ -n $(ls /usr/lib/python3.*/test/test_signal.py 2>/dev/null) ]] || skip "CPython's test suite is not installed"
	[ -d /usr/share/installed-tests/glib ] || skip "GLib's test suite is not installed"
	run -0 "$SOURCE/scripts/transparent" quick
	echo "$output"
	[[ ${lines[-1]} == "9 suites, 0 tests different" ]]
	[[ $output == *"test_signal: "[1-9]*" ok"* ]]
}

@test "a suite that ends otherwise is told, test by test" {
	mkdir -p "$BATS_TEST_TMPDIR/tests"
	cp "$BUILD/tests/listens_first.so" "$BATS_TEST_TMPDIR/tests/"
	echo 'int flock(void) { return -1; }' | gcc -shared -fPIC -x c - -o "$BATS_TEST_TMPDIR/libconnlimit_preload.so"
	BUILD=$BATS_TEST_TMPDIR run -1 "$SOURCE/scripts/transparent" quick test_fcntl
	echo "$output"
	for way in preloaded armed; do
		[[ $output == *"DIFFERENT: test_fcntl test.test_fcntl.TestFcntl.test_flock: bare ok (6x), $way error (6x)"* ]]
	done
	[[ ${lines[-1]} == "1 suites, 2 tests different" ]]
}
