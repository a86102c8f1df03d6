#!/usr/bin/env bats
# A forking socat: the child serves, the parent closes at once; a blocking listener and a plain loop over accept.

load daemon

request='hello\n'

# A child ends soon after its client has closed its side, not half a second later.
start_socat() {
	limited socat -t 0.01 "TCP-LISTEN:$port,bind=127.0.0.1,fork,reuseaddr" EXEC:cat
}

@test "socat: the limit holds although the parent closes, other clients are not concerned" {
	limit_is 2
	start_socat
	hold 127.0.0.1 served
	hold 127.0.0.1 served
	for _ in 1 2 3; do hold 127.0.0.1 refused; done
	hold 127.0.0.2 served
	counted_is 127.0.0.1 2
	agrees 127.0.0.1
	let_go 127.0.0.1
	admitted_soon 127.0.0.1
	hold 127.0.0.1 refused
}

@test "socat: 200 connections come and go, and nothing is left counted" {
	limit_is 2
	start_socat
	for _ in $(seq 200); do
		admitted_soon 127.0.0.1
		let_go 127.0.0.1
	done
	until_true nothing_held
}

@test "socat: a child that is killed frees its client" {
	limit_is 1
	start_socat
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	# One that was handed what was refused may end by itself meanwhile. A child's cat comes to the end of its input.
	for child in $(pgrep -P "$daemon"); do kill -KILL "$child" || true; done
	admitted_soon 127.0.0.1
}

@test "socat: stop leaves nothing behind" {
	limit_is 2
	start_socat
	hold 127.0.0.1 served
	hold_nothing
	until_true nothing_held # the children serve on when the parent has ended
	kill -TERM "$daemon"
	wait "$daemon" || true
	until_true no_table
}

@test "socat: SIGHUP reloads, and socat does what it does with it" {
	limit_is 1
	start_socat
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	limit_is 2
	kill -HUP "$daemon"
	wait "$daemon" || status=$?
	[ "$status" -eq 129 ] # socat's own handler ends it, as without us
}
