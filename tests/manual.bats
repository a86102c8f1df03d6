#!/usr/bin/env bats
# The manual pages are complete and well-formed.

@test "every setting is in connlimit(7), and the page has no errors" {
	"$CONNLIMIT" manual >"$BATS_TEST_TMPDIR/connlimit.7"
	"$CONNLIMIT" run --help | sed -n 's/^  --\([a-z0-9-]*\)=.*/\1/p' | tr 'a-z-' 'A-Z_' | while read -r name; do
		grep -q "CONNLIMIT_$name=" "$BATS_TEST_TMPDIR/connlimit.7" || { echo "$name is missing"; exit 1; }
	done
	command -v groff >/dev/null || skip "no groff"
	for page in "$BATS_TEST_TMPDIR/connlimit.7" "$SOURCE/shim/command/connlimit.1" "$SOURCE/lib/libconnlimit.3"; do
		[ -z "$(groff -man -Tutf8 -ww "$page" 2>&1 >/dev/null)" ]
	done
}

@test "every command is in connlimit(1)" {
	"$CONNLIMIT" | sed -n 's/^  connlimit \([a-z]*\) .*/\1/p' | sort -u | while read -r command; do
		grep -q "\b$command\b" "$SOURCE/shim/command/connlimit.1" || { echo "$command is missing"; exit 1; }
	done
}

@test "every function of the library is in libconnlimit(3)" {
	sed -n 's/^CONNLIMIT_PUBLIC.*\(connlimit_[a-z0-9_]*\)(.*/\1/p' "$SOURCE/lib/connlimit.h" | while read -r function; do
		grep -q "\b$function(" "$SOURCE/lib/libconnlimit.3" || { echo "$function is missing"; exit 1; }
	done
}
