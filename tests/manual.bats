#!/usr/bin/env bats
# The manual pages are complete and well-formed, and say what the command does.

load built

page=$SOURCE/shim/command/connlimit.1

# One command's or one section's part of connlimit(1), with its minus signs as they are typed.
section() { awk -v name="$1" '/^\.S[SH] / { shown = $2 == name } shown' "$page" | sed 's/\\-/-/g; s/\\f[BIRP]//g'; }
commands() { "$CONNLIMIT" | sed -n 's/^  \([a-z]*\) .*/\1/p' | grep -v connlimit; }

@test "every setting is in connlimit(7), and the page has no errors" {
	"$CONNLIMIT" manual >"$BATS_TEST_TMPDIR/connlimit.7"
	run ! grep "\`" "$BATS_TEST_TMPDIR/connlimit.7"
	"$CONNLIMIT" run --help | sed -n 's/^  --\([a-z0-9-]*\)=.*/\1/p' | tr 'a-z-' 'A-Z_' | while read -r name; do
		grep -q "CONNLIMIT_$name=" "$BATS_TEST_TMPDIR/connlimit.7" || { echo "$name is missing"; exit 1; }
	done
	command -v groff >/dev/null || skip "no groff"
	for each in "$BATS_TEST_TMPDIR/connlimit.7" "$page" "$SOURCE/lib/libconnlimit.3"; do
		[ -z "$(groff -man -Tutf8 -ww "$each" 2>&1 >/dev/null)" ]
	done
}

@test "connlimit(1) and --help: the same commands, options and exit statuses" {
	[ "$(commands | wc -l)" -ge 11 ]
	diff <(commands | sort) <(sed -n 's/^\.SS //p' "$page" | sort)
	for command in $(commands); do
		"$CONNLIMIT" "$command" --help >"$BATS_TEST_TMPDIR/help"
		[ "$("$CONNLIMIT" help "$command")" = "$(cat "$BATS_TEST_TMPDIR/help")" ]
		fits=$(awk 'length($0) > 80' "$BATS_TEST_TMPDIR/help")
		[ -z "$fits" ] || { echo "$command --help is wider than a screen: $fits"; exit 1; }
		section "$command" >"$BATS_TEST_TMPDIR/section"
		echo "$command"
		# `run` has the settings, which are in connlimit(7).
		[ "$command" = run ] || diff <(grep -oE '^  --[a-z-]+' "$BATS_TEST_TMPDIR/help" | tr -d ' ' | sort -u) \
			<(grep -E '^\.B[IR]? --' "$BATS_TEST_TMPDIR/section" | grep -oE -- '--[a-z-]+' | sort -u)
		diff <(statuses "$BATS_TEST_TMPDIR/help") <(statuses "$BATS_TEST_TMPDIR/section")
	done
}

@test "every function of the library is in libconnlimit(3)" {
	sed -n 's/^CONNLIMIT_PUBLIC.*\(connlimit_[a-z0-9_]*\)(.*/\1/p' "$SOURCE/lib/connlimit.h" | while read -r function; do
		grep -q "\b$function(" "$SOURCE/lib/libconnlimit.3" || { echo "$function is missing"; exit 1; }
	done
}

# The numbers behind "Exit status:".
statuses() { tr '\n' ' ' <"$1" | sed 's/.*Exit status://' | grep -oE '\b([0-9]|[0-9]{2}|1[0-9]{2})\b' | sort -nu; }

@test "every exit status is explained in connlimit(1)" {
	for command in $(commands); do
		"$CONNLIMIT" "$command" --help >"$BATS_TEST_TMPDIR/help"
		statuses "$BATS_TEST_TMPDIR/help"
	done | sort -nu >"$BATS_TEST_TMPDIR/used"
	cat "$BATS_TEST_TMPDIR/used"
	diff "$BATS_TEST_TMPDIR/used" <(section EXIT | sed -n 's/^\.B \([0-9]*\)$/\1/p')
}

@test "connlimit(1) and connlimit metrics: the same metrics" {
	diff <("$CONNLIMIT" metrics | sed -n 's/^# TYPE \([a-z_]*\) gauge/\1/p; s/^# TYPE \([a-z_]*\) counter/\1_total/p' | sort) \
		<(section METRICS | sed -n 's/^\.B \(connlimit_[a-z_]*\)$/\1/p' | sort)
}
