#!/usr/bin/env bats
# What is shipped builds without a warning under the other compiler, too.

load built

setup() { here=$(mktemp -d); }
teardown() { rm -rf "$here"; }

@test "clang builds the preload object, the library and the command without a warning" {
	CC=clang meson setup "$here/build" "$SOURCE" >"$here/log" || { cat "$here/log" && false; }
	ninja -C "$here/build" libconnlimit_preload.so libconnlimit.a connlimit >"$here/log" || { tail -n 40 "$here/log" && false; }
	run nm -D --undefined-only "$here/build/libconnlimit_preload.so"
	[ "$status" -eq 0 ]
	[[ $output != *__atomic_* ]] # libatomic would be one library more
}
