#!/usr/bin/env bats
# python3's http.server: polls, then accepts on a blocking listener, one thread a connection, no handler for SIGHUP.

load daemon

request='GET / HTTP/1.1\r\nHost: test\r\n\r\n'

start_server() {
	limited python3 -u -m http.server --bind 127.0.0.1 --protocol HTTP/1.1 --directory "$here" "$port"
}

@test "http.server: the limit holds, other clients are not concerned, and it is not left hanging" {
	limit_is 2
	start_server
	hold 127.0.0.1 served
	hold 127.0.0.1 served
	for _ in 1 2 3; do hold 127.0.0.1 refused; done
	hold 127.0.0.2 served
	counted_is 127.0.0.1 2
	let_go 127.0.0.1
	admitted_soon 127.0.0.1
	kill -0 "$daemon"
}

@test "http.server: 300 connections come and go, and nothing is left counted" {
	limit_is 2
	start_server
	rounds 127.0.0.1 300
	[ "$answer" -gt 250 ]
	until_true nothing_held
}

@test "http.server: SIGHUP, which would end it, reloads" {
	limit_is 1
	start_server
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	limit_is 2
	kill -HUP "$daemon"
	admitted_soon 127.0.0.1
	kill -0 "$daemon"
	limit_is 1
	kill -HUP "$daemon"
	until_true limit_shown 1
	counted_is 127.0.0.1 2 # lowering closes nobody
	let_go 127.0.0.1
	until_true counted_is 127.0.0.1 1
	hold 127.0.0.1 refused # and admits nobody until the client is under it
	let_go 127.0.0.1
	admitted_soon 127.0.0.1
}

limit_shown() { own_status | grep -q "limit *$1 per client"; }

@test "http.server: a bad file on reload keeps the old limit and says so" {
	limit_is 1
	start_server
	hold 127.0.0.1 served
	printf 'CONNLIMIT_PER_IP=5\nCONNLIMIT_TOTAL=many\n' >"$limits"
	kill -HUP "$daemon"
	until_true grep -q "old limits stand: $limits:2:17: CONNLIMIT_TOTAL: 'many' is not a number" "$here/errors"
	hold 127.0.0.1 refused
	own_status | grep -q 'reload .*failed'
}

@test "http.server: a client of a dual-stack listener is one client by IPv4, whichever way it is written" {
	limit_is 1
	limited python3 -u -m http.server --bind :: --protocol HTTP/1.1 --directory "$here" "$port"
	hold 127.0.0.1 served # ::ffff:127.0.0.1 for the server
	hold 127.0.0.1 refused
	hold ::1 served
	hold 127.0.0.2 served
	counted_is 127.0.0.1 1
	counted_is 127.0.0.2 1
}

@test "http.server: kill -9 leaves no table that status would show" {
	limit_is 1
	start_server
	hold 127.0.0.1 served
	kill -KILL "$daemon"
	until_true no_table
}
