#!/usr/bin/env bats
# Four processes of four threads, 64 clients: never one connection over the limit, and in the end nothing counted. The time is
# STRESS_SECONDS (20); the order of things follows STRESS_SEED, which is printed.

load daemon

stress() { # nonblocking|blocking|plain SECONDS
	local seed=${STRESS_SEED:-$RANDOM} seconds=$2
	echo "STRESS_SEED=$seed"
	limit_is 5
	limited "$BUILD/tests/stress_server" "$port" 4 4 5 "$1"
	"$BUILD/tests/stress_client" "$port" 64 8 "$seconds" "$seed" >"$here/client"
	cat "$here/client"
	read -r _ served _ refused <<<"$(tr -d , <"$here/client")"
	[ "$served" -gt 100 ]
	[ "$refused" -gt 100 ]
	until_true nothing_counted
	[ "$(established)" -eq 0 ]
	# and each client can open exactly its limit again
	for _ in 1 2 3 4 5; do hold 127.0.0.7 served; done
	hold 127.0.0.7 refused
	counted_is 127.0.0.7 5
	hold_nothing
	until_true nothing_counted
	kill -TERM "$daemon"
	wait "$daemon"
	cat "$here/out"
	grep -q 'over 0, left 0' "$here/out"
	grep -q 'most open 5' "$here/out" # the limit was reached, or nothing was tried
}

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
