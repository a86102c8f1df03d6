#!/usr/bin/env bats
# Short runs of the fuzzers, with a fixed seed: FUZZ_SECONDS (4) each. scripts/soak runs them longer.

fuzz() { # NAME
	local sources
	sources=$(find "$SOURCE/lib" -name '*.c' ! -name connlimit.c)
	[[ $1 != kernel ]] || sources=${sources//"$SOURCE/lib/kernel.c"/}
	mkdir -p "$BATS_TEST_TMPDIR/corpus"
	[[ ! -d $SOURCE/tests/fuzz/corpus/$1 ]] || cp "$SOURCE/tests/fuzz/corpus/$1"/* "$BATS_TEST_TMPDIR/corpus"
	# shellcheck disable=SC2086
	clang -std=gnu17 -D_GNU_SOURCE -O1 -g $([[ $(uname -m) != x86_64 ]] || echo -mcx16) -I"$SOURCE/lib" -fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=undefined -o "$BATS_TEST_TMPDIR/fuzz" $sources "$SOURCE/tests/fuzz/fuzz_$1.c"
	cd "$BATS_TEST_TMPDIR"
	./fuzz -seed="${FUZZ_SEED:-1}" -max_total_time="${FUZZ_SECONDS:-4}" -max_len=2000 -timeout=10 corpus >log 2>&1 || {
		tail -40 log
		return 1
	}
	grep -q '^Done [0-9]* runs' log
}

@test "fuzz: settings, from files and by value" { fuzz settings; }
@test "fuzz: addresses and networks" { fuzz network; }
@test "fuzz: the kernel's replies" { fuzz kernel; }
@test "fuzz: a table of garbage" { fuzz table; }
