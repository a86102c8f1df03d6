#!/usr/bin/env bats
# Includes run one way, as lib/README.md and shim/README.md say, and neither headers nor calls go round in a circle.

load daemon

# Which wings' headers each wing may include, besides its own.
arrows() {
	cat <<-'END'
		lib/values:
		lib/settings: values
		lib/table: values settings
		lib/kernel: values
		lib/decisions: values settings table kernel
		lib: values settings table kernel decisions
		shim/process: values settings table kernel decisions
		shim/calls: values settings table kernel decisions process
		shim/command: values settings table kernel decisions
		shim/command/supervise: values settings table kernel decisions process command
	END
}

# Includes that are known to run back, and are to go. Nothing is added here.
known() {
	cat <<-'END'
	END
}

# What runs against the arrows in the tree at $1: a line "FILE HEADER" for each.
wrong_includes() {
	(cd "$1" && grep -rHo --include='*.[ch]' '^#include "[^"]*\.h"' lib shim) | sed 's/:#include "\(.*\)"$/ \1/' | LC_ALL=C sort |
		awk 'NR == FNR { wing = $1; sub(":", "", wing); $1 = ""; may[wing] = $0 " "; next }
			{
				split($1, part, "/")
				wing = part[1] (part[3] == "" ? "" : "/" part[2]) (part[3] == "supervise" ? "/supervise" : "")
				# connlimit.h is the door, and what is within does not go through it.
				if (split($2, header, "/") == 1 ? wing != "lib" : wing != part[1] "/" header[1] && !index(may[wing], " " header[1] " "))
					print
			}' <(arrows) -
}

@test "wings: includes run one way" {
	diff <(known) <(wrong_includes "$SOURCE")
}

@test "wings: an include that runs back is found" {
	mkdir -p "$here/lib/values" "$here/lib/kernel" "$here/shim/command/top" "$here/shim/process"
	echo '#include "table/table.h"' >"$here/lib/values/address.c"
	echo '#include "decisions/admit.h"' >"$here/lib/kernel/kernel.c"
	echo '#include "process/limiter.h"' >"$here/shim/command/top/top.c"
	echo '#include "calls/fork.h"' >"$here/shim/process/limiter.c"
	printf '#include <stdio.h>\n#include "values/address.h"\n' >"$here/shim/process/log.c"
	[ "$(wrong_includes "$here" | wc -l)" -eq 4 ]
}

@test "wings: every wing is in the README above it, and every source in meson.build" {
	diff <(cd "$SOURCE" && find lib shim -name '*.c' | LC_ALL=C sort) \
		<(grep -o "'\(lib\|shim\)/[^']*\.c'" "$SOURCE/meson.build" | tr -d "'" | LC_ALL=C sort -u)
	for part in lib shim; do
		diff <(cd "$SOURCE/$part" && find . -mindepth 2 -name '*.c' -printf '%P\n' | sed 's,/[^/]*$,,' | LC_ALL=C sort -u) \
			<(sed -n 's,^- \*\*\(.*\)/\*\* .*,\1,p' "$SOURCE/$part/README.md" | LC_ALL=C sort)
	done
}

# ---- circles ----

# circles: reads pairs "A B", of which A needs B, and prints those files that need each other in a circle.
circles() { LC_ALL=C sort -u | tsort 2>&1 >/dev/null | sed -n "s/^tsort: \([^ ]*\)\$/\1/p"; }

# Which header includes which.
header_pairs() {
	(cd "$1" && for wing in lib shim; do
		(cd $wing && grep -rHo --include='*.h' '^#include "[^"]*\.h"' . | sed 's/^\.\/\(.*\):#include "\(.*\)"$/\1 \2/')
	done)
}

# Which source calls, or uses a variable of, which.
call_pairs() { # OBJECT...
	nm -A --no-sort "$@" | sed 's/^[^ ]*\/\(lib\|shim\)_\([^:]*\)\.c\.o:/\1_\2 /' |
		awk '{ kind = $(NF - 1); symbol = $NF }
			kind == "U" { if (!(($1, symbol) in seen)) { seen[$1, symbol]; user[++n] = $1; wanted[n] = symbol } next }
			kind ~ /^[TDBRVW]$/ { home[symbol] = $1 }
			END { for (i = 1; i <= n; i++) if (wanted[i] in home && home[wanted[i]] != user[i]) print user[i], home[wanted[i]] }'
}

@test "wings: no header includes itself by others" {
	[ "$(header_pairs "$SOURCE" | wc -l)" -gt 50 ]
	diff /dev/null <(header_pairs "$SOURCE" | circles)
}

@test "wings: no source calls itself by others" {
	local product objects
	for product in libconnlimit_internal.a libconnlimit_preload.so connlimit; do
		mapfile -t objects < <(find "$BUILD/$product.p" -name '*.c.o')
		[ "$product" = libconnlimit_internal.a ] || mapfile -t -O ${#objects[@]} objects < <(find "$BUILD/libconnlimit_internal.a.p" -name '*.c.o')
		[ "$(call_pairs "${objects[@]}" | wc -l)" -gt 30 ]
		diff /dev/null <(call_pairs "${objects[@]}" | circles)
	done
}

@test "wings: a circle is found" {
	[ "$(printf '%s\n' 'a b' 'b c' 'c a' 'c d' | circles | wc -l)" -eq 3 ]
	[ "$(printf '%s\n' 'a b' 'b c' 'a c' | circles | wc -l)" -eq 0 ]
}
