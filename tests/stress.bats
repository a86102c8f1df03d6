#!/usr/bin/env bats
# Four processes of four threads, 64 clients: never one connection over the limit, and in the end nothing counted. The time is
# STRESS_SECONDS (20); the order of things follows STRESS_SEED, which is printed.

load daemon

stress() { # nonblocking|blocking|plain SECONDS
	local seed=${STRESS_SEED:-$RANDOM} seconds=$2 again all_served=0 all_refused=0
	echo "STRESS_SEED=$seed"
	limit_is 5
	start_server "$1"
	# On a busy machine, and under valgrind, it takes longer until enough has happened.
	for again in $(seq 12); do
		keep_reloading "$seconds" &
		"$BUILD/tests/stress_client" "$port" 64 8 "$seconds" "$((seed + again - 1))" >"$here/client"
		wait $!
		cat "$here/client"
		read -r _ served _ refused <<<"$(tr -d , <"$here/client")"
		((all_served += served, all_refused += refused)) || true
		((all_served <= 100 || all_refused <= ${at_least:-100})) || break
	done
	[ "$all_served" -gt 100 ]
	[ "$all_refused" -gt "${at_least:-100}" ]
	until_true nothing_counted
	[ "$(established)" -eq 0 ]
	# and each client can open exactly its limit again, as soon as what was asked on its account is paid for
	for _ in 1 2 3 4 5; do admitted_soon 127.0.0.7; done
	hold 127.0.0.7 refused
	counted_is 127.0.0.7 5
	hold_nothing
	until_true nothing_counted
	[[ $(own_status) != *'reload   none'* ]]
	kill -TERM "$daemon"
	wait "$daemon"
	cat "$here/out"
	grep -q 'over 0, left 0' "$here/out"
	grep -q 'most open 5' "$here/out" # the limit was reached, or nothing was tried
}

start_server() { limited "$BUILD/tests/stress_server" "$port" 4 4 5 "$1"; }

# Under load; and somebody asks the kernel about everything. A worker would end by the signal, as without us.
keep_reloading() { # SECONDS
	local until=$((SECONDS + $1))
	while ((SECONDS < until)); do
		kill -HUP "$daemon"
		own_status >/dev/null
		sleep 0.3
	done
} 3>&-

nothing_counted() { [ "$(own_status | awk '/^ *127\./ { sum += $2 } END { print sum + 0 }')" -eq 0 ]; }

@test "stress: never over the limit, non-blocking listener" {
	stress nonblocking "${STRESS_SECONDS:-20}"
}

@test "stress: never over the limit, polled blocking listener" {
	stress blocking "$((${STRESS_SECONDS:-20} / 2))"
}

@test "stress: never over the limit, all threads asleep in accept" {
	stress plain "$((${STRESS_SECONDS:-20} / 4))"
}

# ---- the same, watched ----

# Sanitizers take over calls themselves, and ThreadSanitizer cannot come into a process by a preload of ours: so here all of it is
# linked into the server. Its calls then find ours first, and ours find the sanitizer's behind them, as RTLD_NEXT says.
sanitized() { # SANITIZERS nonblocking|blocking|plain
	local at_least=10
	find "$SOURCE"/lib "$SOURCE"/shim -name '*.c' ! -name connlimit.c ! -path '*/command/*' | xargs -P 2 -I{} sh -c \
		'gcc -std=gnu17 -D_GNU_SOURCE -U_FILE_OFFSET_BITS -I"$SOURCE/lib" -I"$BUILD/lib" -I"$SOURCE/shim" -O1 -g -fvisibility=hidden $2 $3 -c "$1" -o "$0/$(basename "$(dirname "$1")")_$(basename "$1").o"' \
		"$here" {} "$([[ $(uname -m) != x86_64 ]] || echo -mcx16)" "-fsanitize=$1"
	gcc -std=gnu17 -D_GNU_SOURCE -O1 -g "-fsanitize=$1" -rdynamic -o "$here/server" "$here"/*.o "$SOURCE/tests/programs/stress_server.c" -pthread
	start_server() {
		CONNLIMIT_FILE=$limits CONNLIMIT_TABLE=test-$port ASAN_OPTIONS=detect_leaks=0:log_path="$here/log" UBSAN_OPTIONS=log_path="$here/log" \
			TSAN_OPTIONS="history_size=7 report_signal_unsafe=0 suppressions=$SOURCE/tests/faults/tsan.suppressions log_path=$here/log" \
			setsid "$here/server" "$port" 4 4 5 "$1" >"$here/out" 2>"$here/errors" 3>&- </dev/null &
		daemon=$!
		pids+=("$daemon")
		until_true listening
	}
	stress "$2" "$((${STRESS_SECONDS:-20} / 4))"
	saw_nothing
}

saw_nothing() {
	if cat "$here"/log* 2>/dev/null | grep .; then return 1; fi
	if grep 'runtime error' "$here/errors"; then return 1; fi
}

@test "stress: under ThreadSanitizer" { sanitized thread nonblocking; }

@test "stress: under AddressSanitizer and UndefinedBehaviorSanitizer" { sanitized address,undefined blocking; }

@test "stress: the preload object under valgrind" {
	local at_least=10
	# It lets one thread run at a time; those that are processes do run beside each other.
	start_server() {
		limited valgrind -q --trace-children=yes --fair-sched=yes --error-exitcode=9 --log-file="$here/log.%p" \
			"$BUILD/tests/stress_server" "$port" 4 4 5 "$1"
	}
	stress nonblocking "$((${STRESS_SECONDS:-20} / 4))"
	saw_nothing
}
