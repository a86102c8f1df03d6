#!/usr/bin/env bats
# Bans, with a real daemon: who is refused too often is refused for a time, whatever it holds; what an operator bans and unbans; what
# is shown of it.

load daemon

request=x

# started [WAY]
started() {
	cat >"$here/server.py" <<-'PYTHON'
		import os, selectors, signal, socket, sys

		signal.signal(signal.SIGHUP, lambda *_: None)
		listener = socket.create_server(("", int(sys.argv[1])))
		if "forks" in sys.argv[2:]:
		    for _ in range(2):
		        if os.fork() == 0:
		            break
		listener.setblocking(False)
		selector = selectors.DefaultSelector()
		selector.register(listener, selectors.EVENT_READ)
		while True:
		    for key, _ in selector.select():
		        try:
		            if key.fileobj is listener:
		                connection, _ = listener.accept()
		                connection.sendall(connection.recv(1))
		                selector.register(connection, selectors.EVENT_READ)
		            elif not key.fileobj.recv(100):
		                selector.unregister(key.fileobj)
		                key.fileobj.close()
		        except OSError:
		            if key.fileobj is not listener:
		                selector.unregister(key.fileobj)
		                key.fileobj.close()
	PYTHON
	setsid "$CONNLIMIT" run --way "${1:-preload}" --file "$limits" --table "test-$port" -- \
		python3 "$here/server.py" "$port" "${@:2}" >"$here/out" 2>>"$here/errors" 3>&- </dev/null &
	daemon=$!
	pids+=("$daemon")
	until_true listening
}

# limits_are LINE...
limits_are() { printf '%s\n' "$@" >"$limits"; }

refused_times() { # ADDRESS N
	local i
	for ((i = 0; i < $2; i++)); do hold "$1" refused; done
}

# json EXPRESSION: of `t`, this test's table
json() {
	"$CONNLIMIT" status --json "test-$port" | python3 -c "
import json, sys
t = json.load(sys.stdin)['tables'][0]
c = {c['client']: c for c in t['clients']}
print($1)"
}

json_is() { # WANTED EXPRESSION
	local found
	found=$(json "$2")
	echo "$2: $found, wanted: $1"
	[ "$found" = "$1" ]
}

# Connections that the kernel has established on the daemon's port from a client.
established() { ss -Htn state established "sport = :$port" "dst $1" | wc -l; }

@test "who is refused too often is refused whatever it holds, and nobody else is; both ways of limiting do" {
	for way in preload supervise; do
		echo "$way"
		limits_are CONNLIMIT_PER_IP=2 'CONNLIMIT_BAN="4/m for 10m"'
		started "$way"
		hold 127.0.0.1 served
		hold 127.0.0.1 served
		refused_times 127.0.0.1 4
		let_go 127.0.0.1
		let_go 127.0.0.1
		until_true eval '[ "$(established 127.0.0.1)" -eq 0 ]'
		refused_times 127.0.0.1 3
		hold 127.0.0.2 served
		json_is "4 3 1 1 True" "t['refused_for']['per_ip'], t['refused_for']['ban'], t['banned'], t['bans'], c['127.0.0.1']['banned']"
		json_is "True False None" "500 < c['127.0.0.1']['banned_seconds'] <= 600, c['127.0.0.2']['banned'], c['127.0.0.2']['banned_seconds']"
		grep "refused 127.0.0.1 at port $port of table test-$port (limit 2 per client), and banned for 600 s" "$here/errors"
		hold_nothing
		kill_tree "$daemon"
		port=$(free_port)
	done
}

@test "its open connections stay" {
	limits_are CONNLIMIT_PER_IP=2 'CONNLIMIT_BAN="1/h for 10m"'
	started
	hold 127.0.0.1 served
	hold 127.0.0.1 served
	refused_times 127.0.0.1 3
	[ "$(established 127.0.0.1)" -eq 2 ]
	json_is "2 2" "t['open'], c['127.0.0.1']['open']"
}

@test "it is off by default, and refusals for all clients' limit ban nobody" {
	limits_are CONNLIMIT_PER_IP=1
	started
	hold 127.0.0.1 served
	refused_times 127.0.0.1 50
	let_go 127.0.0.1
	admitted_soon 127.0.0.1
	limits_are CONNLIMIT_TOTAL=1 'CONNLIMIT_BAN="2/h for 10m"'
	"$CONNLIMIT" reload "test-$port"
	refused_times 127.0.0.2 10
	json_is "0 0" "t['banned'], t['bans']"
	let_go 127.0.0.1
	admitted_soon 127.0.0.2
}

@test "who is unlimited by a rule is never banned, neither for refusals nor by hand" {
	limits_are CONNLIMIT_PER_IP=1 'CONNLIMIT_BAN="2/h for 10m"' 'CONNLIMIT_RULES="127.0.0.2=unlimited"'
	started
	for _ in 1 2 3 4 5; do hold 127.0.0.2 served; done
	run -1 "$CONNLIMIT" ban 127.0.0.2 for 1h "test-$port"
	[[ $output == *"127.0.0.2 is unlimited by a rule"* ]]
	"$CONNLIMIT" ban 127.0.0.3 "test-$port"
	hold 127.0.0.3 refused
	limits_are CONNLIMIT_PER_IP=1 'CONNLIMIT_RULES="127.0.0.3=unlimited"'
	"$CONNLIMIT" reload "test-$port"
	hold 127.0.0.3 served
	hold 127.0.0.3 served
}

@test "an operator bans and unbans a client, at once in all processes, and by NETWORK/PREFIX many" {
	limits_are CONNLIMIT_PER_IP=0
	started preload forks
	hold 127.0.0.1 served
	run --separate-stderr -0 "$CONNLIMIT" ban 127.0.0.1 for 90s "test-$port"
	[ "$output" = "127.0.0.1 banned in table test-$port for 1m 30s" ]
	run --separate-stderr -0 "$CONNLIMIT" ban 127.0.0.2 "test-$port"
	[ "$output" = "127.0.0.2 banned in table test-$port until it is unbanned" ]
	"$CONNLIMIT" ban ::1 for 1000h "test-$port"
	refused_times 127.0.0.1 12
	refused_times 127.0.0.2 12
	json_is "3 3 True None" "t['banned'], t['bans'], c['127.0.0.2']['banned'], c['127.0.0.2']['banned_seconds']"
	run --separate-stderr -0 "$CONNLIMIT" unban 127.0.0.1 "test-$port"
	[ "$output" = "127.0.0.1 unbanned in table test-$port" ]
	for _ in 1 2 3 4 5 6; do hold 127.0.0.1 served; done
	hold 127.0.0.2 refused
	run -1 "$CONNLIMIT" unban 127.0.0.1 "test-$port"
	[[ $output == *"127.0.0.1 is not banned"* ]]
	"$CONNLIMIT" ban 127.0.0.1 "test-$port"
	run --separate-stderr -0 "$CONNLIMIT" unban 127.0.0.0/8 "test-$port"
	[ "${#lines[@]}" -eq 2 ]
	hold 127.0.0.1 served
	hold 127.0.0.2 served
	json_is "1 True" "t['banned'], [v['banned'] for k, v in c.items() if k.startswith('::')][0]"
}

@test "a client is banned by its prefix, and more than one client is not" {
	limits_are CONNLIMIT_PER_IP=0 CONNLIMIT_IPV4_PREFIX=24
	started
	"$CONNLIMIT" ban 127.0.0.7 "test-$port"
	hold 127.0.0.1 refused
	hold 127.0.1.1 served
	run -2 "$CONNLIMIT" ban 127.0.0.0/16 "test-$port"
	[[ $output == *"127.0.0.0/16 is more than one client, which is 127.0.0.0/24"*"127.0.0.0/16=deny"* ]]
	"$CONNLIMIT" ban 127.0.1.0/24 "test-$port"
	hold 127.0.1.1 refused
	"$CONNLIMIT" unban 127.0.1.9 "test-$port"
	hold 127.0.1.1 served
}

@test "a ban outlasts a reload, also one that turns bans off, and is gone with another prefix" {
	limits_are CONNLIMIT_PER_IP=1 'CONNLIMIT_BAN="2/h for 10m"'
	started
	hold 127.0.0.1 served
	refused_times 127.0.0.1 2
	let_go 127.0.0.1
	hold 127.0.0.1 refused
	limits_are CONNLIMIT_PER_IP=9
	kill -HUP "$daemon"
	until_true json_is 2 "t['publications']"
	hold 127.0.0.1 refused
	json_is "1 None" "t['banned'], t['settings']['ban']['value']"
	limits_are CONNLIMIT_PER_IP=9 CONNLIMIT_IPV4_PREFIX=30
	"$CONNLIMIT" reload "test-$port"
	hold 127.0.0.1 served
	json_is "0" "t['banned']"
}

@test "a ban outlasts a restart where the table does" {
	limits_are CONNLIMIT_PER_IP=0
	started
	# A worker that still has the table, as while an old instance drains.
	CONNLIMIT_FILE=$limits CONNLIMIT_TABLE="test-$port" CONNLIMIT_JOIN=yes LD_PRELOAD=$PRELOAD \
		python3 -c "import socket, time; socket.create_server(('', 0)); time.sleep(300)" 3>&- &
	pids+=($!)
	until_true json_is 2 "t['processes']"
	"$CONNLIMIT" ban 127.0.0.1 for 1h "test-$port"
	hold 127.0.0.1 refused
	hold_nothing
	kill_tree "$daemon"
	started
	hold 127.0.0.1 refused
	hold 127.0.0.2 served
}

@test "mode observe refuses nobody, and says what would have been" {
	limits_are CONNLIMIT_PER_IP=1 CONNLIMIT_MODE=observe 'CONNLIMIT_BAN="2/h for 10m"'
	started
	for _ in 1 2 3 4 5; do hold 127.0.0.1 served; done
	json_is "0 4 2 2" "t['refused'], t['observed'], t['refused_for']['per_ip'], t['refused_for']['ban']"
	grep "would refuse 127.0.0.1 .*(limit 1 per client) and ban it for 600 s" "$here/errors"
}

@test "status, metrics and clients show it, with tabs where they are not on a terminal" {
	limits_are CONNLIMIT_PER_IP=0
	started
	run ! grep BANNED <(own_status)
	"$CONNLIMIT" ban 192.0.2.1 for 10m "test-$port"
	"$CONNLIMIT" ban 192.0.2.2 "test-$port"
	own_status | grep -x '  banned   2 clients, of 2 bans so far'
	own_status | grep -P '^192\.0\.2\.1\t0\t.*\t(600|59\d)$'
	own_status | grep -P '^192\.0\.2\.2\t0\t.*\tfor ever$'
	"$CONNLIMIT" metrics >"$here/metrics"
	grep "connlimit_clients_banned{table=\"test-$port\",.*} 2$" "$here/metrics"
	grep "connlimit_bans_total{table=\"test-$port\",.*} 2$" "$here/metrics"
	grep "connlimit_refusals_total{table=\"test-$port\",.*reason=\"ban\"} 0$" "$here/metrics"
}

@test "wrong words are told, and change nothing" {
	limits_are CONNLIMIT_PER_IP=0
	started
	run -2 "$CONNLIMIT" ban
	run -2 "$CONNLIMIT" ban 127.0.0.1 for
	run -2 "$CONNLIMIT" ban 127.0.0.1 for 10 "test-$port"
	[[ $output == *"for 10: has no unit: s, m or h; allowed: 30s, 10m, 1h, up to 1000h"* ]]
	run -2 "$CONNLIMIT" ban 127.0.0.1 for 1001h "test-$port"
	run -2 "$CONNLIMIT" ban 127.0.0 "test-$port"
	run -2 "$CONNLIMIT" unban
	run -2 "$CONNLIMIT" unban x "test-$port"
	run -1 "$CONNLIMIT" ban 127.0.0.1 for 1h "no-$port"
	run -1 "$CONNLIMIT" unban 127.0.0.1 "no-$port"
	hold 127.0.0.1 served
	json_is 0 "t['banned']"
}

@test "another user's table is not his to ban in" {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	limits_are CONNLIMIT_PER_IP=0
	started
	run -77 setpriv --reuid 65534 --clear-groups "$CONNLIMIT" ban 127.0.0.1 "test-$port"
	hold 127.0.0.1 served
}
