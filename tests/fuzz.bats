#!/usr/bin/env bats
# Short runs of the fuzzers, with a fixed seed: FUZZ_SECONDS (3) each. scripts/soak runs them longer.

load built

compiled() { # ARGUMENT...
	local -a wide=()
	[[ $(uname -m) != x86_64 ]] || wide=(-mcx16)
	clang -std=gnu17 -D_GNU_SOURCE -O1 -g "${wide[@]}" -I"$SOURCE/lib" -I"$BUILD/lib" -I"$SOURCE/shim" -fno-sanitize-recover=undefined "$@"
}

# The library is compiled once, for all of them.
setup_file() {
	export -f compiled
	find "$SOURCE/lib" -name '*.c' ! -name connlimit.c | xargs -P 2 -I{} bash -c \
		'compiled -fsanitize=fuzzer-no-link,address,undefined -c -o "$0/$(basename "$1").o" "$1"' "$BATS_FILE_TMPDIR" {}
	ar rcs "$BATS_FILE_TMPDIR/library.a" "$BATS_FILE_TMPDIR"/*.o
}

fuzz() { # NAME [SOURCE-OR-LIBRARY...]
	local corpus=$BATS_TEST_TMPDIR/corpus
	mkdir "$corpus"
	[[ ! -d $SOURCE/tests/fuzz/corpus/$1 ]] || cp "$SOURCE/tests/fuzz/corpus/$1"/* "$corpus"
	cd "$SOURCE"
	compiled -fsanitize=fuzzer,address,undefined -o "$BATS_TEST_TMPDIR/fuzz" "tests/fuzz/fuzz_$1.c" "${@:2}" "$BATS_FILE_TMPDIR/library.a"
	cd "$BATS_TEST_TMPDIR"
	./fuzz -seed="${FUZZ_SEED:-1}" -max_total_time="${FUZZ_SECONDS:-3}" -max_len=2000 -timeout=10 corpus >log 2>&1 || {
		tail -40 log
		return 1
	}
	grep -q '^Done [0-9]* runs' log
}

@test "fuzz: settings, from files and by value" { fuzz settings; }
@test "fuzz: lists of networks" { fuzz lists; }
@test "fuzz: settings, from an environment" { fuzz environment; }
@test "fuzz: addresses and networks" { fuzz network; }
@test "fuzz: the header of a balancer" { fuzz proxy; }
@test "fuzz: the kernel's replies, by netlink and in /proc" { fuzz kernel; }
@test "fuzz: the kernel's list of all connections, searched" { fuzz search; }
@test "fuzz: the kernel's replies about Unix sockets" { fuzz unix; }
@test "fuzz: the kernel's list of all sockets" { fuzz sockets; }
@test "fuzz: what Redis says to the sidecar" { fuzz fleet -I"$BUILD" "$SOURCE"/shim/command/fleet/fleet*.c "$SOURCE"/shim/command/fleet/wire.c "$SOURCE"/shim/command/fleet/resolve.c -lhiredis -lssl -lcrypto; }
@test "fuzz: a table of garbage" { fuzz table; }
