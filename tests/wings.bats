#!/usr/bin/env bats
# Includes run one way, as lib/README.md and shim/README.md say.

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
