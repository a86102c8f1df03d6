#!/usr/bin/env bats
# connlimit events: what happens to a daemon's limits is shown as it happens.

load daemon

request='GET / HTTP/1.1\r\nHost: test\r\n\r\n'

start_server() { # [WAY]
	setsid "$CONNLIMIT" run --way "${1:-preload}" --file "$limits" --table "test-$port" -- \
		python3 -u -m http.server --bind 127.0.0.1 --protocol HTTP/1.1 --directory "$here" "$port" >"$here/out" 2>>"$here/errors" 3>&- </dev/null &
	daemon=$!
	pids+=("$daemon")
	until_true listening
}

# follow [OPTION]...: of this test's table, into $here/events
follow() {
	"$CONNLIMIT" events "$@" "test-$port" >"$here/events" 2>>"$here/errors" 3>&- &
	pids+=($!)
}

# happened EVENT...: exactly these, in this order
happened() { [[ $(awk '{ print $3 }' "$here/events" | paste -sd' ') == "$*" ]]; }

@test "refusals, bans, reloads, starts and ends are followed, in order, of both ways of limiting" {
	for way in preload supervise; do
		echo "$way"
		printf '%s\n' CONNLIMIT_PER_IP=1 'CONNLIMIT_BAN="2/h for 10m"' CONNLIMIT_LOG=off >"$limits"
		start_server "$way"
		follow
		until_true happened started
		hold 127.0.0.1 served; hold 127.0.0.1 refused; hold 127.0.0.1 refused; hold 127.0.0.1 refused
		until_true happened started refused banned refused
		"$CONNLIMIT" ban 127.0.0.2 for 1h "test-$port"
		"$CONNLIMIT" unban 127.0.0.1 "test-$port"
		"$CONNLIMIT" set "test-$port" per-ip=3
		until_true happened started refused banned refused banned unbanned reloaded
		echo CONNLIMIT_PER_IP=ten >"$limits"
		run "$CONNLIMIT" reload "test-$port"
		# A supervisor sees the file as well.
		until_true grep -q reload_failed "$here/events"
		hold_nothing
		kill_tree "$daemon"
		until_true grep -q ' ended ' "$here/events"
		cat "$here/events"
		stamp='[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}'
		grep -qxE "$stamp refused test-$port 127\.0\.0\.1 at port $port by per_ip 1" "$here/events"
		grep -qxE "$stamp banned test-$port 127\.0\.0\.1 at port $port by per_ip 1, banned for 10m 0s" "$here/events"
		grep -qxE "$stamp refused test-$port 127\.0\.0\.1( at port $port)? by ban, banned for (10m 0s|9m 5[0-9]s)" "$here/events"
		grep -qxE "$stamp banned test-$port 127\.0\.0\.2, banned for 1h 0m" "$here/events"
		grep -qxE "$stamp unbanned test-$port 127\.0\.0\.1" "$here/events"
		port=$(free_port)
	done
}

@test "--json is one object a line, --once what is kept, and a network and its address are both told" {
	printf '%s\n' CONNLIMIT_PER_IP=1 CONNLIMIT_IPV4_PREFIX=24 >"$limits"
	start_server
	hold 127.0.0.1 served; hold 127.0.0.7 refused
	"$CONNLIMIT" events --once --json "test-$port" >"$here/events"
	cat "$here/events"
	python3 - "$here/events" "test-$port" "$port" <<-'PYTHON'
		import datetime, json, sys
		started, refused = [json.loads(line) for line in open(sys.argv[1])]
		for event in started, refused:
		    at = datetime.datetime.strptime(event.pop("time"), "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=datetime.timezone.utc)
		    assert abs((datetime.datetime.now(datetime.timezone.utc) - at).total_seconds()) < 600
		    assert event.pop("table") == sys.argv[2]
		assert started == {"event": "started"}, started
		assert refused == {"event": "refused", "client": "127.0.0.0/24", "address": "127.0.0.7", "port": int(sys.argv[3]),
		                   "reason": "per_ip", "limit": 1}, refused
	PYTHON
	run -0 "$CONNLIMIT" events --once "test-$port"
	[[ $output == *" refused test-$port 127.0.0.0/24 (127.0.0.7) at port $port by per_ip 1"* ]]
}

@test "mode observe says what would have been refused" {
	printf '%s\n' CONNLIMIT_PER_IP=1 CONNLIMIT_MODE=observe >"$limits"
	start_server
	hold 127.0.0.1 served; hold 127.0.0.1 served
	until_true eval '"$CONNLIMIT" events --once "test-$port" | grep -q " observed test-$port 127.0.0.1 at port $port by per_ip 1"'
}

@test "a flood leaves the rest, and says how many it left out" {
	limit_is 1
	cat >"$here/server.py" <<-'PYTHON'
		import socket, sys
		listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1000)
		while True:
		    try:
		        listener.accept()[0].close()
		    except OSError:
		        pass
	PYTHON
	limited python3 "$here/server.py" "$port"
	"$CONNLIMIT" set "test-$port" rules=127.9.0.0/16=deny
	# More than are shown at once.
	python3 - "$port" 300 <<-'PYTHON'
		import socket, sys
		for i in range(int(sys.argv[2])):
		    try:
		        socket.create_connection(("127.0.0.1", int(sys.argv[1])), source_address=("127.9.0.%d" % (i % 250 + 1), 0)).recv(1)
		    except OSError:
		        pass
	PYTHON
	until_true says_left_out
	grep -q " started test-$port" "$here/events"
	grep -q " reloaded test-$port" "$here/events"
	[ "$(wc -l <"$here/events")" -le 512 ]
}
says_left_out() {
	hold 127.9.0.1 refused
	"$CONNLIMIT" events --once "test-$port" >"$here/events"
	grep -qE '; [0-9]+ before it left out' "$here/events"
}

@test "a table that comes later is followed too, and one that is not there is said" {
	limit_is 1
	run -1 "$CONNLIMIT" events "no-$port"
	run -2 "$CONNLIMIT" events --bad
	run -2 "$CONNLIMIT" events one two
	"$CONNLIMIT" events >"$here/events" 2>/dev/null 3>&- &
	pids+=($!)
	start_server
	until_true grep -q " started test-$port$" "$here/events"
	hold 127.0.0.1 served; hold 127.0.0.1 refused
	until_true grep -q " refused test-$port 127.0.0.1 " "$here/events"
	hold_nothing
	kill_tree "$daemon"
	until_true grep -q " ended test-$port$" "$here/events"
}

@test "whatever stands in the ring, what is shown is printable" {
	limit_is 1
	start_server
	hold 127.0.0.1 served; hold 127.0.0.1 refused
	# The daemon itself scribbles over the ring: the page behind the header.
	cat >"$here/scribble.py" <<-'PYTHON'
		import ctypes, os, random, sys
		libc = ctypes.CDLL(None, use_errno=True)
		libc.shmat.restype = ctypes.c_void_p
		for line in open("/proc/sysvipc/shm").read().splitlines()[1:]:
		    at = libc.shmat(int(line.split()[1]), None, 0)
		    if at in (None, 2**64 - 1) or ctypes.string_at(at + 32, 64).split(b"\0")[0].decode() != sys.argv[1]:
		        continue
		    random.seed(7)
		    for slot in range(512):
		        to = at + 4096 + 64 + 64 * slot
		        ctypes.memmove(to + 8, random.randbytes(56), 56)
		        ctypes.memmove(to, (slot << 1).to_bytes(8, "little"), 8)
		    ctypes.memmove(at + 4096, (512).to_bytes(8, "little"), 8)
		    print("scribbled")
	PYTHON
	[ "$(python3 "$here/scribble.py" "test-$port")" = scribbled ]
	for how in "" --json; do
		"$CONNLIMIT" events --once $how "test-$port" >"$here/events"
		[ "$(wc -l <"$here/events")" -eq 512 ]
		LC_ALL=C run -1 grep -anvx '[ -~]*' "$here/events"
		[ -z "$how" ] || python3 -c "import json, sys; [json.loads(line) for line in open(sys.argv[1])]" "$here/events"
	done
}
