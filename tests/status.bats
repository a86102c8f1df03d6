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
	[[ $output == *"CONNLIMIT_TABLE=test-$port (option)"* ]]
	[[ $output == *"coverage 2 of 2"* ]]
	[[ $output != *$'\033'* ]] # no colours but on a terminal
}

@test "status: as JSON" {
	limit_is 1
	start_server
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	[ "$(json "t['clients'][0]['client'], t['clients'][0]['open'], t['clients'][0]['limit'], t['clients'][0]['refused']")" = "127.0.0.1 1 1 1" ]
	[ "$(json "t['settings']['per_ip'], t['settings']['total']")" = "{'value': 1, 'origin': 'file'} {'value': None, 'origin': 'default'}" ]
	[ "$(json "t['refused_for']['per_ip'], t['uncounted'], t['checked'], t['coverage']['table'], t['coverage']['kernel']")" = "1 0 True 1 1" ]
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

@test "status: where each setting came from" {
	printf 'CONNLIMIT_PER_IP=2\n' >"$limits"
	CONNLIMIT_TOTAL=50 limited socat "TCP-LISTEN:$port,bind=127.0.0.1,reuseaddr,fork" PIPE
	request=x
	hold 127.0.0.1 served
	"$CONNLIMIT" set "test-$port" mode=observe
	[ "$(json "[t['settings'][n]['origin'] for n in ('per_ip', 'total', 'table', 'mode', 'log')]")" = \
		"['file', 'environment', 'option', 'set', 'default']" ]
	own_status | grep -q "CONNLIMIT_TOTAL=50 (environment)"
	own_status | grep -q "mode observe (set)"
	own_status | grep -qE "^  reload   none since connlimit set, [0-9]+s ago$"
	"$CONNLIMIT" reload "test-$port"
	[ "$(json "t['settings']['mode']['origin'], t['publications']")" = "default 3" ]
	own_status | grep -qE "^  reload   done [0-9]+s ago$"
}

@test "status: connections that a program took past us are not covered" {
	limit_is 5
	cat >"$here/daemon.py" <<-'PYTHON'
		import os, socket, subprocess, sys
		listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
		first, _ = listener.accept()
		first.send(first.recv(10))
		os.dup2(listener.fileno(), 3)
		serve = 'open(L, "+<&=3"); while (accept(my $c, L)) { sysread($c, $b, 10); syswrite($c, $b); push(@kept, $c) }'
		subprocess.run(["env", "-u", "LD_PRELOAD", "perl", "-MSocket", "-e", serve], pass_fds=[3])
	PYTHON
	limited python3 "$here/daemon.py" "$port"
	request=x
	hold 127.0.0.1 served
	[ "$(json "t['coverage']['table'], t['coverage']['kernel'], 'uncovered_connections' in [d['name'] for d in t['degraded']]")" = "1 1 False" ]
	hold 127.0.0.1 served
	[ "$(json "t['coverage']['table'], t['coverage']['kernel'], [d['name'] for d in t['degraded']]")" = "1 2 ['uncovered_connections']" ]
	own_status | grep -q "warning  the kernel has 1 connections to this daemon that the table does not hold"
}

@test "status: tables of one user that have one name, as in two containers, are one name" {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	unshare --ipc true || skip "no IPC namespaces"
	local other
	limit_is 1
	limited "$BUILD/tests/chaos_server" "$port" fork
	other=$(free_port)
	CONNLIMIT_FILE=$limits CONNLIMIT_TABLE="test-$port" LD_PRELOAD=$PRELOAD unshare --ipc "$BUILD/tests/chaos_server" "$other" fork >/dev/null 2>&1 3>&- &
	pids+=("$!")
	accepts_at() { (exec 3<>"/dev/tcp/127.0.0.1/$other") 2>/dev/null; }
	until_true accepts_at
	[ "$("$CONNLIMIT" status "test-$port" | grep -c "^table test-$port@root$\|^table test-$port$")" -eq 2 ]
	[ "$("$CONNLIMIT" status --names 2>/dev/null | grep "^test-$port")" = "test-$port" ]
	run "$CONNLIMIT" status no-such-table
	[ "$(grep -o "test-$port[^ ]*" <<<"$output")" = "test-$port" ]
}

@test "status: a table is shown once, though a worker has it mapped in an IPC namespace of its own" {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	unshare --ipc true || skip "no IPC namespaces"
	limit_is 2
	cat >"$here/daemon.py" <<-'PYTHON'
		import ctypes, os, socket, sys

		listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
		while True:
		    connection, _ = listener.accept()
		    if os.fork() == 0:
		        ctypes.CDLL(None).unshare(0x08000000)  # CLONE_NEWIPC
		        try:
		            connection.sendall(connection.recv(1))
		            connection.recv(1)
		        except OSError:
		            pass
		        os._exit(0)
		    connection.close()
	PYTHON
	limited python3 "$here/daemon.py" "$port"
	request=x
	hold 127.0.0.1 served
	hold 127.0.0.1 served
	[ "$(own_status | grep -c '^table ')" -eq 1 ]
	counted_is 127.0.0.1 2
}

@test "status: tables in anonymous memory, and of containers, through their processes" {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	unshare --ipc true || skip "no IPC namespaces"
	limit_is 2
	cat >"$here/without" <<-'SCRIPT'
		#!/bin/sh
		echo 0 >/proc/sys/kernel/shmmni && exec "$@"
	SCRIPT
	cat >"$here/with" <<-'SCRIPT'
		#!/bin/sh
		exec "$@"
	SCRIPT
	chmod 755 "$here/without" "$here/with"
	request=x
	for kind in without with; do
		port=$(free_port)
		unshare --ipc "$here/$kind" "$CONNLIMIT" run --file "$limits" --table "test-$port" -- \
			socat "TCP-LISTEN:$port,bind=127.0.0.1,reuseaddr,fork" PIPE >"$here/out" 2>>"$here/errors" 3>&- </dev/null &
		daemon=$!
		pids+=("$daemon")
		until_true listening
		hold_nothing
		hold 127.0.0.1 served
		hold 127.0.0.1 served
		hold 127.0.0.1 refused
		counted_is 127.0.0.1 2
		if [ "$kind" = without ]; then
			[ "$(json "t['memory'], [d['name'] for d in t['degraded']]")" = "anonymous ['anonymous_memory']" ]
			own_status | grep -q 'in anonymous memory$'
		else
			[ "$(json "t['memory'], t['degraded']")" = "elsewhere []" ]
		fi
		# What is found through processes can be steered too.
		"$CONNLIMIT" set "$daemon" per-ip=3
		hold 127.0.0.1 served
		until_true counted_is 127.0.0.1 3
	done
}

@test "status: --watch goes on; on a terminal columns are aligned and coloured, NO_COLOR and TERM=dumb heeded" {
	limit_is 1
	limited socat "TCP-LISTEN:$port,bind=127.0.0.1,reuseaddr,fork" PIPE
	request=x
	hold 127.0.0.1 served
	[ "$(timeout 60 "$CONNLIMIT" status --watch=1 "test-$port" | grep -m 2 -c "^table")" -eq 2 ]
	[ "$(timeout 60 "$CONNLIMIT" status "test-$port" --watch 1 | grep -m 2 -c "^table")" -eq 2 ]
	timeout 60 "$CONNLIMIT" status --json --compact --watch 1 "test-$port" | head -2 | python3 -c "import json, sys; assert [len(json.loads(l)['tables']) for l in sys.stdin] == [1, 1]"
	run script -qec "env -u NO_COLOR TERM=xterm $CONNLIMIT status test-$port" /dev/null
	[[ $output =~ $'\e[33m127.0.0.1'\ +1\ +1\ +1\ +0\  ]]
	for without in NO_COLOR=1 TERM=dumb; do
		run script -qec "env TERM=xterm $without $CONNLIMIT status test-$port" /dev/null
		[[ $output =~ $'\n  127.0.0.1'\ +1\ +1\ +1\ +0\  && $output != *$'\e'* ]]
	done
	"$CONNLIMIT" status --names | grep -qx "test-$port"
}

@test "status: as wide as COLUMNS says, and nothing that a client is known by is cut off" {
	limit_is 1
	[ -e /proc/net/if_inet6 ] || skip "no IPv6"
	limited socat "TCP6-LISTEN:$port,bind=[::1],reuseaddr,fork" PIPE
	request=x
	hold ::1 served
	"$CONNLIMIT" set "test-$port" ipv6-prefix=127
	hold ::1 refused
	[ -z "$(script -qec "env NO_COLOR=1 TERM=xterm COLUMNS=80 $CONNLIMIT status test-$port 2>'$here/said'" /dev/null | tr -d '\r' | awk 'length($0) > 80')" ]
	for columns in 80 36; do
		# What it says of tables that others have, and are not readable, is no column.
		run script -qec "env NO_COLOR=1 TERM=xterm COLUMNS=$columns $CONNLIMIT status test-$port 2>'$here/said'" /dev/null
		echo "$output"
		[[ $output == *CLIENT*OPEN*LIMIT*REFUSED* && $output == *"  ::/127 "* ]]
		[ -z "$(grep -A9 '^  CLIENT' <<<"$output" | tr -d '\r' | awk -v most=$columns 'length($0) > most')" ]
		if ((columns == 80)); then [[ $output == *OLDEST* ]]; else [[ $output != *OLDEST* ]]; fi
	done
}

@test "status: a limit is told in the words of the settings" {
	printf 'CONNLIMIT_RULES="127.0.0.8=deny 127.0.0.9=unlimited"\n' >"$limits"
	limited socat "TCP-LISTEN:$port,bind=127.0.0.1,reuseaddr,fork" PIPE
	request=x
	hold 127.0.0.8 refused
	hold 127.0.0.9 served
	own_status | grep -q "^  limit    unlimited per client (default;"
	[ "$(own_status | awk -F '\t' '$1 ~ /^127/ { print $1, $3 }' | sort | tr '\n' ' ')" = "127.0.0.8 deny 127.0.0.9 unlimited " ]
	[ "$(json "{c['client']: (c['limit'], c['oldest_seconds'] is None, c['remote']) for c in t['clients']}['127.0.0.8']")" = "(0, True, None)" ]
	[ "$(json "{c['client']: c['limit'] for c in t['clients']}['127.0.0.9']")" = None ]
	# What is not so is null, and what it may be is in connlimit(1).
	[ "$(json "[t[n] for n in ('reload_failed_seconds_ago', 'reload_failure', 'fleet_heard_seconds_ago', 'fleet_lease_ms', 'fleet_sidecar')]")" = \
		"[None, None, None, None, None]" ]
	[ "$(json "[n for n in list(t) + list(t['settings']) + list(t['refused_for']) if n != n.lower() or '-' in n]")" = "[]" ]
}

@test "status: a daemon that may not ask by netlink asks /proc, which is told for people, for programs and in metrics" {
	limit_is 1
	limited python3 "$SOURCE/tests/programs/without_netlink.py" socat "TCP-LISTEN:$port,bind=127.0.0.1,reuseaddr,fork" PIPE
	request=x
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	[ "$(json "t['asked']['sock_diag'], t['asked']['proc'] > 0, [d['name'] for d in t['degraded']]")" = "0 True ['proc_net_tcp']" ]
	own_status | grep -q "warning  sock_diag was not available"
	"$CONNLIMIT" metrics | grep -q "^connlimit_degraded{table=\"test-$port\".*,what=\"proc_net_tcp\"} 1"
	# And finds there who is gone.
	let_go 127.0.0.1
	admitted_soon 127.0.0.1
}

@test "status: a large table takes little memory, as text and as JSON" {
	# Where no connection can be found that is not there, and beside no other table.
	local apart=(unshare --net --ipc --pid --fork --kill-child --mount-proc)
	"${apart[@]}" true 2>/dev/null || skip "no namespaces"
	echo 0 >"$here/rate"
	"${apart[@]}" python3 - "$BUILD/tests/fleet_table" "$here/rate" "$CONNLIMIT" <<-'PYTHON'
		import json, os, subprocess, sys
		holder, rate, command = sys.argv[1:]
		held = subprocess.Popen([holder, "large", "0", "200000", "1000000", rate, "60", "1000"], stdout=subprocess.PIPE)
		assert held.stdout.readline() == b"ready\n"
		ways = ([], ["--json"], ["--json", "--compact"])
		for i, how in enumerate(ways):
		    with open(f"{rate}-{i}", "w") as text:
		        shown = subprocess.Popen([command, "status", "large", *how], stdout=text)
		    _, status, used = os.wait4(shown.pid, 0)
		    print(how, used.ru_maxrss, "KiB")
		    assert status == 0
		    assert used.ru_maxrss < 120 << 10, "of the largest process"
		for i, how in enumerate(ways):
		    text = open(f"{rate}-{i}").read()
		    if how:
		        (found,) = json.loads(text)["tables"]
		        assert len(found["clients"]) == found["open"] == 200000 and found["networks"] == []
		    else:
		        assert text.count("\n10.") == 200000
	PYTHON
}

@test "status: compares the counts of a daemon that was in a chroot without /proc when it began to listen" {
	((EUID == 0)) || skip "needs root"
	mkdir "$here/empty"
	cat >"$here/server.py" <<-'PYTHON'
		import os, socket, sys

		os.chroot(os.path.dirname(sys.argv[0]) + "/empty")
		listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
		held = []
		while True:
		    client, _ = listener.accept()
		    client.recv(1000)
		    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		    held.append(client)
	PYTHON
	limit_is 2
	limited python3 "$here/server.py" "$port"
	hold 127.0.0.1 served
	until_true covers_one
	[ "$(json "t['degraded']")" = "[]" ]
}
covers_one() { [[ $("$CONNLIMIT" status "test-$port") == *"coverage 1 of 1"* ]]; }
