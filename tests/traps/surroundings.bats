#!/usr/bin/env bats
# Places where daemons run: terminals, sandboxes, little room. A server of Python's, with real clients.

load ../daemon

request='GET / HTTP/1.1\r\nHost: test\r\n\r\n'
server=(python3 -u -m http.server --bind 127.0.0.1 --protocol HTTP/1.1 --directory /var/empty)

limit_of_one_holds() {
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	hold 127.0.0.2 served
	let_go 127.0.0.1
	admitted_soon 127.0.0.1
}

started_by() { # COMMAND...: as limited, through another program
	"$@" "$CONNLIMIT" run --file "$limits" --table "test-$port" -- "${server[@]}" "$port" >"$here/out" 2>>"$here/errors" 3>&- </dev/null &
	daemon=$!
	pids+=("$daemon")
	until_true listening
}

setup_more() {
	mkdir -p /var/empty
	limit_is 1
}

@test "nohup: SIGHUP is ignored as ever, and connlimit reload serves" {
	started_by nohup
	limit_of_one_holds
	limit_is 2
	kill -HUP "$daemon"
	sleep 0.3
	hold 127.0.0.1 refused
	"$CONNLIMIT" reload "test-$port"
	admitted_soon 127.0.0.1
	kill -0 "$daemon"
}

@test "read-only /run and /dev/shm" {
	started_by unshare -m bash -c 'mount -t tmpfs -o ro none /run && mount -t tmpfs -o ro none /dev/shm && exec "$@"' -
	limit_of_one_holds
}

@test "64 KiB of /dev/shm" {
	started_by unshare -m bash -c 'mount -t tmpfs -o size=64k none /dev/shm && exec "$@"' -
	limit_of_one_holds
}

@test "no /proc" {
	unshare -m bash -c 'mount -t tmpfs none /proc && exec env "$@"' - CONNLIMIT_FILE="$limits" CONNLIMIT_TABLE="test-$port" \
		LD_PRELOAD="$PRELOAD" "${server[@]}" "$port" >"$here/out" 2>>"$here/errors" 3>&- </dev/null &
	daemon=$!
	pids+=("$daemon")
	until_true listening
	limit_of_one_holds
}

@test "little address space" {
	started_by bash -c 'ulimit -v 400000 && exec "$@"' -
	limit_of_one_holds
}

@test "a pid namespace of its own" {
	started_by unshare --pid --fork --kill-child
	limit_of_one_holds
}

# A listener that was there before the program, as descriptor 3; two workers accept from it, each for itself.
inherits_a_listener() {
	limit_is 1
	cat >"$here/server.py" <<-'PYTHON'
		import os
		import socket
		import threading

		def serve(client):
		    while client.recv(1000):
		        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

		listener = socket.socket(fileno=3)
		os.fork()
		while True:
		    client, _ = listener.accept()
		    threading.Thread(target=serve, args=(client,), daemon=True).start()
	PYTHON
	limit_of_one_holds
	hold 127.0.0.1 refused
	[[ $(own_status) == *"coverage 2 of 2"* ]]
}

@test "a listener that was opened before connlimit, systemd's way, shared by two workers" {
	command -v systemd-socket-activate >/dev/null || skip "systemd-socket-activate is not installed"
	systemd-socket-activate -l "127.0.0.1:$port" "$CONNLIMIT" run --file "$limits" --table "test-$port" -- \
		python3 "$here/server.py" >"$here/out" 2>>"$here/errors" 3>&- </dev/null &
	daemon=$!
	pids+=("$daemon")
	until_true listening
	inherits_a_listener
}

@test "IPv6: clients by /64, by link with a scope, and IPv4 ones of the same socket" {
	ip netns add "traps-$port"
	ip -n "traps-$port" link set lo up
	ip -n "traps-$port" link add one type veth peer name two
	ip -n "traps-$port" link set one up
	ip -n "traps-$port" link set two up
	for address in fd00:1::1 fd00:1::2 fd00:2::1; do
		ip -n "traps-$port" address add "$address/128" dev lo
	done
	ip netns exec "traps-$port" "$CONNLIMIT" run --file "$limits" --table "test-$port" -- \
		python3 "$SOURCE/tests/programs/two_families.py" 3>&-
}

teardown_more() { ip netns delete "traps-$port" 2>/dev/null || true; }
