#!/usr/bin/env bats
# CONNLIMIT_KEEPALIVE: a client whose machine is gone stops counting, and what a daemon chooses itself stands.

load daemon

teardown_more() {
	[[ -z ${machine:-} ]] || ip netns delete "$machine"
}

# started WAY HOW...: the daemon (programs/keepalive_server.py) under limits in that way
started() {
	setsid "$CONNLIMIT" run --way "$1" --file "$limits" --table "test-$port" -- \
		python3 "$SOURCE/tests/programs/keepalive_server.py" "$port" "${@:2}" >"$here/out" 2>>"$here/errors" 3>&- </dev/null &
	daemon=$!
	pids+=("$daemon")
	until_true listening
}

keepalive_is() { printf '%s\n' CONNLIMIT_PER_IP=9 "CONNLIMIT_KEEPALIVE=$1" >"$limits"; }

# told: what the daemon tells a client of its connection
told() {
	python3 -c "
import socket
print(socket.create_connection(('127.0.0.1', $port), 20).makefile().readline(), end='')"
}

told_is() {
	local said
	said=$(told)
	echo "$said"
	[ "$said" = "$1" ]
}

standard() { echo "0 $(cat /proc/sys/net/ipv4/tcp_keepalive_time) $(cat /proc/sys/net/ipv4/tcp_keepalive_intvl) 0"; }

# ---- another machine ----

machine_there() {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	ip netns add "cut-$port" || skip "no network namespaces"
	machine=cut-$port
	host=198.18.$((port / 128 % 256)).$((port % 64 * 4 + 1))
	client=${host%.*}.$((${host##*.} + 1))
	ip link add "c$port" type veth peer name far netns "$machine"
	ip address add "$host/30" dev "c$port"
	ip link set "c$port" up
	ip -n "$machine" address add "$client/30" dev far
	ip -n "$machine" link set far up
}

# It has a connection, and is gone: no end of the connection comes.
machine_connects() {
	ip netns exec "$machine" python3 -c "
import socket, time
connection = socket.create_connection(('$host', $port), 20)
connection.recv(1)
print('connected', flush=True)
time.sleep(300)" >"$here/connected" 3>&- &
	pids+=($!)
	until_true grep -q connected "$here/connected"
	until_true counted_is "$client" 1
}

machine_gone_within() { # SECONDS
	ip -n "$machine" link set far down
	local cut=$SECONDS
	until_true counted_is "$client" 0
	echo "after $((SECONDS - cut)) s"
	((SECONDS - cut <= $1 + 1))
}

@test "a client whose link is cut stops counting within the time, of an idle daemon" {
	machine_there
	keepalive_is 8s
	started preload
	machine_connects
	machine_gone_within 8
}

@test "a client whose link is cut stops counting within the time, of a daemon that sends to it" {
	machine_there
	keepalive_is 8s
	started preload talks
	machine_connects
	machine_gone_within 8
}

@test "a client whose link is cut stops counting within the time, of a supervised daemon" {
	machine_there
	keepalive_is 8s
	started supervise
	machine_connects
	machine_gone_within 8
}

# ---- what is set ----

sets_and_follows() { # WAY HOW...
	keepalive_is 120s
	started "$@"
	told_is "1 60 7 95999"
	keepalive_is 40m
	"$CONNLIMIT" reload "test-$port"
	told_is "1 1200 150 1919999"
	told_is "1 1200 150 1919999"
	keepalive_is 0
	"$CONNLIMIT" reload "test-$port"
	told_is "1 $(standard | cut -d' ' -f2-)"
	"$CONNLIMIT" set "test-$port" keepalive=8s
	told_is "1 4 1 6399"
	"$CONNLIMIT" status --json "test-$port" | python3 -c "
import json, sys
assert json.load(sys.stdin)['tables'][0]['settings']['keepalive']['value'] == 8"
	run ! grep KEEPALIVE "$here/errors"
}

@test "a listener has it before its first connection, and follows each change" { sets_and_follows preload; }
@test "a listener of which another process accepts follows each change" { sets_and_follows preload forks; }
@test "a supervised program's listener has it, and follows each change" { sets_and_follows supervise; }

@test "it is off by default" {
	limit_is 9
	started preload
	told_is "$(standard)"
}

@test "what the daemon chooses itself stands, wherever it sets it, also after a reload" {
	for way in preload supervise; do
		for when in before after accepted; do
			echo "$way, $when"
			keepalive_is 120s
			started "$way" "$when"
			told_is "1 300 7 95999"
			keepalive_is 60s
			"$CONNLIMIT" reload "test-$port"
			told_is "1 300 3 47999"
			kill_tree "$daemon"
			port=$(free_port)
		done
	done
}

@test "a listener that came from another program has it too" {
	keepalive_is 120s
	cat >"$here/hands_on.py" <<-'PYTHON'
		import os, socket, sys
		listener = socket.create_server(("", int(sys.argv[1])))
		os.set_inheritable(listener.fileno(), True)
		os.environ["LD_PRELOAD"] = sys.argv[2]
		os.environ["CONNLIMIT_KEEPALIVE"] = "120s"
		os.execvp("python3", ["python3", "-c", f"""if True:
		    import socket
		    connection, _ = socket.socket(fileno={listener.fileno()}).accept()
		    get = connection.getsockopt
		    connection.sendall(b'%d %d' % (get(socket.SOL_SOCKET, socket.SO_KEEPALIVE), get(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)))
		"""])
	PYTHON
	python3 "$here/hands_on.py" "$port" "$PRELOAD" 3>&- &
	pids+=($!)
	until_true listening
	told_is "1 60"
}
