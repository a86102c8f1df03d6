#!/usr/bin/env bats
# A new start of a daemon has its own limits; a program that the daemon executes has those in force.

load daemon

request='GET / HTTP/1.1\r\nHost: test\r\n\r\n'

start_server() {
	limited python3 -u -m http.server --bind 127.0.0.1 --protocol HTTP/1.1 --directory "$here" "$port"
}

@test "restart: after kill -9 a table of the same name takes the new start's limits" {
	limit_is 1
	start_server
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	kill -KILL "$daemon"
	wait "$daemon" || true
	hold_nothing
	limit_is 2
	start_server
	hold 127.0.0.1 served
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
}

@test "restart: bad limits stop a new start although the old daemon's table is there" {
	limit_is 1
	start_server
	limit_is many
	run -78 "$CONNLIMIT" run --file "$limits" --table "test-$port" -- true
	run -78 env CONNLIMIT_FILE="$limits" CONNLIMIT_TABLE="test-$port" LD_PRELOAD="$PRELOAD" true
	[[ $output == *"'many' is not a number"* ]]
}

@test "restart: what is laid down at the start does not change on reload" {
	limit_is 1
	start_server
	printf 'CONNLIMIT_PER_IP=2\nCONNLIMIT_CAPACITY=128\n' >"$limits"
	kill -HUP "$daemon"
	until_true grep -q 'CONNLIMIT_CAPACITY cannot change while the daemon runs' "$here/errors"
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
}

@test "restart: the reload signal can be named in the file" {
	printf 'CONNLIMIT_PER_IP=1\nCONNLIMIT_SIGNAL=USR2\n' >"$limits"
	start_server
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	printf 'CONNLIMIT_PER_IP=2\nCONNLIMIT_SIGNAL=USR2\n' >"$limits"
	kill -USR2 "$daemon"
	admitted_soon 127.0.0.1
	kill -0 "$daemon"
}

# Accepts and holds; on a line on a connection executes itself, keeping its connections, and answers on them.
self_executing() {
	cat >"$here/server.py" <<'PYTHON'
import os, select, socket, sys

if len(sys.argv) > 2:
    listener, *held = [socket.socket(fileno=int(n)) for n in sys.argv[2].split(",")]
    for s in held:
        s.sendall(b"again")
else:
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    held = []
while True:
    for s in select.select([listener] + held, [], [])[0]:
        if s is listener:
            s = s.accept()[0]
            try:
                s.sendall(b"+")
                held.append(s)
            except OSError: # reset by the client meanwhile
                s.close()
            continue
        try:
            data = s.recv(100)
        except OSError:
            data = b""
        if data == b"exec":
            for s in [listener] + held:
                s.set_inheritable(True)
            os.execv(sys.executable, [sys.executable, *sys.argv[:2], ",".join(str(s.fileno()) for s in [listener] + held)])
        if not data:
            held.remove(s)
            s.close()
PYTHON
	request=
	limited python3 "$here/server.py" "$port"
}

@test "restart: a daemon that executes itself keeps its table, counts and limits" {
	limit_is 1
	self_executing
	hold 127.0.0.1 served
	limit_is 2
	kill -HUP "$daemon"
	admitted_soon 127.0.0.1
	hold 127.0.0.1 refused
	limit_is broken # what the file says now must not keep it from going on
	hold 127.0.0.2 served
	python3 - "$port" <<'PYTHON'
import socket, sys
s = socket.socket()
s.bind(("127.0.0.3", 0))
s.connect(("127.0.0.1", int(sys.argv[1])))
assert s.recv(1) == b"+"
s.sendall(b"exec")
assert s.recv(5) == b"again"
PYTHON
	counted_is 127.0.0.1 2
	agrees 127.0.0.1
	hold 127.0.0.1 refused
	let_go 127.0.0.1
	admitted_soon 127.0.0.1
	hold 127.0.0.1 refused
	hold_nothing
	until_true nothing_held
}

in_background() { pgrep -f "$here/background.py $port" >"$here/background"; }
segment_is_gone() { ! ipcs -m | grep -q "^0x[0-9a-f]*  *$1 "; }

@test "restart: what a daemon executes is told the table's name, behind a '='" {
	limit_is 2
	run env -i PATH="$PATH" CONNLIMIT_FILE="$limits" CONNLIMIT_TABLE="test-$port" LD_PRELOAD="$PRELOAD" python3 - "$CONNLIMIT" 3>&- <<-'PYTHON'
		import os, socket, subprocess, sys
		listener = socket.create_server(("127.0.0.1", 0))
		script = 'test "${CONNLIMIT_TABLE#=}" != "$CONNLIMIT_TABLE" && exec "$0" status "${CONNLIMIT_TABLE#=}"'
		sys.exit(subprocess.call(["sh", "-c", script, sys.argv[1]]))
	PYTHON
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"table test-$port"$'\n'* ]]
}

@test "restart: a daemon that goes into the background after it has begun to listen leaves no table behind" {
	limit_is 1
	cat >"$here/background.py" <<-'PYTHON'
		import os, signal, socket, sys

		listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
		if os.fork() > 0:
		    os._exit(0)
		os.setsid()
		signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
		while True:
		    connection, _ = listener.accept()
		    try:
		        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
		        connection.recv(1)
		    except OSError:
		        pass  # it was refused
	PYTHON
	"$CONNLIMIT" run --file "$limits" --table "test-$port" -- python3 "$here/background.py" "$port" 3>&- </dev/null
	until_true in_background
	daemon=$(cat "$here/background")
	pids+=("$daemon")
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	segment=$(awk '/\/SYSV/ { print $5 }' "/proc/$daemon/maps" | sort -u)
	[ -n "$segment" ]
	kill "$daemon"
	until_true segment_is_gone "$segment"
}
