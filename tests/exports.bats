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
