#!/usr/bin/env bats
# Which connections a command means: by network, and by table.

load daemon

request=x

# One daemon on both families' loopback addresses: most of what is said of IPv4 is kept as IPv6.
start_both() {
	[ -e /proc/net/if_inet6 ] || skip "no IPv6"
	limit_is 5
	cat >"$here/both.py" <<-'PYTHON'
		import selectors, socket, sys

		selector = selectors.DefaultSelector()
		for family, address in ((socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1")):
		    listener = socket.create_server((address, int(sys.argv[1])), family=family)
		    selector.register(listener, selectors.EVENT_READ)
		kept = []
		while True:
		    for key, _ in selector.select():
		        connection, _ = key.fileobj.accept()
		        connection.sendall(connection.recv(1))
		        kept.append(connection)
	PYTHON
	limited python3 "$here/both.py" "$port"
	hold ::1 served
	hold 127.0.0.1 served
	hold 127.0.0.2 served
}

shown() { "$CONNLIMIT" clients "$1" "test-$port" | cut -f1 | sed 1d | sort | tr '\n' ' '; }

ended() { # TEXT COMMAND...
	local text=$1
	shift
	run "$@"
	[[ $output != *"cannot end connections"* ]] || skip "a kernel without CONFIG_INET_DIAG_DESTROY"
	[[ $output == *"$text"* ]]
}

@test "clients: IPv4 is in no network of IPv6's, not in ::/0 either" {
	start_both
	[ "$(shown ::/64)" = "::1 " ]
	[ "$(shown ::/0)" = "::1 " ]
	[ "$(shown 0.0.0.0/0)" = "127.0.0.1 127.0.0.2 " ]
	[ "$(shown ::ffff:0:0/96)" = "127.0.0.1 127.0.0.2 " ]
	[ "$(shown 127.0.0.2/31)" = "127.0.0.2 " ]
}

@test "disconnect: nor does it end them by such a network" {
	[ "$(id -u)" -eq 0 ] || skip "needs CAP_NET_ADMIN"
	start_both
	ended "1 of 1 connections ended" "$CONNLIMIT" disconnect ::/64 "test-$port"
	until_true eval '[ "$(established ::1)" -eq 0 ]'
	counted_is 127.0.0.1 1
	counted_is 127.0.0.2 1
	ended "2 of 2 connections ended" "$CONNLIMIT" disconnect 0.0.0.0/0 "test-$port"
}

@test "clients: no two columns have the same name" {
	start_both
	[ -z "$("$CONNLIMIT" clients 0.0.0.0/0 "test-$port" | head -1 | tr '\t' '\n' | sort | uniq -d)" ]
	"$CONNLIMIT" clients --json --compact 127.0.0.1 "test-$port" | python3 -c "
import json, sys
(line,) = sys.stdin
(one,) = json.loads(line)['connections']
assert one['client'] == '127.0.0.1' and one['local'] == '127.0.0.1' and one['local_port'] == $port and type(one['port']) is int, one"
}

@test "what changes something acts on one table, or on all where that is said; what looks takes all" {
	[ "$(id -u)" -eq 0 ] || skip "needs CAP_NET_ADMIN"
	unshare --ipc true || skip "no IPC namespace to be alone in"
	# In an IPC namespace of its own, --all means these two, and not what others run on this machine.
	limit_is 5
	other=$(free_port)
	cat >"$here/alone" <<-'SCRIPT'
		set -euo pipefail
		limits=$1
		ports=("${@:2}")
		for port in "${ports[@]}"; do
			"$CONNLIMIT" run --file "$limits" --table "t$port" -- socat "TCP-LISTEN:$port,bind=127.0.0.1,reuseaddr,fork" PIPE 2>/dev/null &
		done
		python3 - "${ports[@]}" <<-'PYTHON' &
			import socket, sys, time
			kept = []
			for port in sys.argv[1:]:
			    for _ in range(200):
			        try:
			            kept.append(socket.create_connection(("127.0.0.1", int(port))))
			            break
			        except OSError:
			            time.sleep(0.1)
			time.sleep(60)
		PYTHON
		for _ in $(seq 200); do
			[[ $("$CONNLIMIT" clients 127.0.0.1 2>/dev/null | grep -c ^127) -ne 2 ]] || break
			sleep 0.1
		done
		echo "looking: $("$CONNLIMIT" clients 127.0.0.1 | cut -f7 | sed 1d | sort | tr '\n' ' ')"
		for change in "disconnect 127.0.0.1" reload "set per-ip=3"; do
			said=$("$CONNLIMIT" $change 2>&1) && status=0 || status=$?
			echo "$change: $status ${said%%:*}: ${said#*:}" | head -1
		done
		echo "all: $("$CONNLIMIT" set --all per-ip=7; "$CONNLIMIT" status | grep -c 'limit    7 per client')"
		echo CONNLIMIT_PER_IP=9 >"$limits"
		echo "all: $("$CONNLIMIT" reload --all; "$CONNLIMIT" status | grep -c 'limit    9 per client')"
		"$CONNLIMIT" set "t${ports[0]}" per-ip=4
		echo "one: $("$CONNLIMIT" status | grep -c 'limit    [49] per client')"
		"$CONNLIMIT" disconnect 127.0.0.1 --all || true
	SCRIPT
	run unshare --ipc --pid --fork --kill-child --mount-proc bash "$here/alone" "$limits" "$port" "$other" 3>&-
	echo "$output"
	[[ $output == *"looking: $(printf 't%s\n' "$port" "$other" | sort | tr '\n' ' ')"* ]]
	for change in "disconnect 127.0.0.1" reload "set per-ip=3"; do
		[[ $output == *$'\n'"$change: 2 connlimit: "*"there are several tables; name one, or give --all:"* ]]
	done
	[ "$(grep -c '^all: 2$' <<<"$output")" -eq 2 ]
	[[ $output == *$'\none: 2'* ]]
	[[ $output == *"2 of 2 connections ended"* || $output == *"cannot end connections"* ]]
}
