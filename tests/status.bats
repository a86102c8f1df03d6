#!/usr/bin/env bats
# connlimit status: what it shows is so, for people and for programs.

load daemon

request='GET / HTTP/1.1\r\nHost: test\r\n\r\n'

start_server() {
	limited python3 -u -m http.server --bind 127.0.0.1 --protocol HTTP/1.1 --directory "$here" "$port"
}

json() { "$CONNLIMIT" status --json "test-$port" | python3 -c "import json, sys; t = json.load(sys.stdin)['tables'][0]; print($1)"; }

@test "status: clients with open, limit, refused, peak; limits and where they came from" {
	printf 'CONNLIMIT_PER_IP=2\nCONNLIMIT_RULES=127.0.0.9/32=7\n' >"$limits"
	start_server
	hold 127.0.0.1 served
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	let_go 127.0.0.1
	hold 127.0.0.9 served
	until_true counted_is 127.0.0.1 1
	run own_status
	echo "$output"
	[[ $output == *$'\n127.0.0.1\t1\t2\t2\t1\t'* ]]
	[[ $output == *$'\n127.0.0.9\t1\t7\t1\t0\t'* ]]
	[[ $output == *"CONNLIMIT_PER_IP=2 (file)"* ]]
	[[ $output == *"CONNLIMIT_TABLE=test-$port (environment)"* ]]
	[[ $output == *"coverage 2 of 2"* ]]
	[[ $output != *$'\033'* ]] # no colours but on a terminal
}

@test "status: as JSON" {
	limit_is 1
	start_server
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	[ "$(json "t['clients'][0]['client'], t['clients'][0]['open'], t['clients'][0]['limit'], t['clients'][0]['refused']")" = "127.0.0.1 1 1 1" ]
	[ "$(json "t['settings']['PER_IP']")" = "{'value': '1', 'origin': 'file'}" ]
	[ "$(json "t['refused_for']['per-ip'], t['uncounted'], t['checked'], t['coverage']['table'], t['coverage']['kernel']")" = "1 0 True 1 1" ]
	[ "$(json "t['reload_failure']")" = None ]
	limit_is many
	kill -HUP "$daemon"
	until_true eval "[[ \$(json \"t['reload_failure']\") == *\"'many' is not a number\"* ]]"
}

@test "status: of one table, of one process, of none" {
	limit_is 1
	start_server
	[ "$("$CONNLIMIT" status "test-$port" | grep -c '^table')" -eq 1 ]
	"$CONNLIMIT" status "$daemon" | grep -q "^table test-$port$"
	run -1 "$CONNLIMIT" status no-such-table
	[[ $output == *"there is no table 'no-such-table'"* ]]
	run -1 "$CONNLIMIT" status $$
	[[ $output == *"process $$ has no table"* ]]
	run -2 "$CONNLIMIT" status --nonsense
}

@test "status: a daemon that was killed is not shown" {
	limit_is 5
	start_server
	hold 127.0.0.1 served
	hold 127.0.0.1 served
	kill -KILL "$daemon"
	hold_nothing
	until_true no_table
}
