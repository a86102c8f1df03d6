#!/usr/bin/env bats
# connlimit reload and set: limits change without a signal, whole or not at all.

load daemon

request='GET / HTTP/1.1\r\nHost: test\r\n\r\n'

start_server() {
	limited python3 -u -m http.server --bind 127.0.0.1 --protocol HTTP/1.1 --directory "$here" "$port"
}

@test "reload: reads the file again, and keeps what the environment said" {
	printf 'CONNLIMIT_PER_IP=1\n' >"$limits"
	export CONNLIMIT_RULES=127.0.0.2/32=2
	start_server
	unset CONNLIMIT_RULES
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	printf 'CONNLIMIT_PER_IP=2\n' >"$limits"
	"$CONNLIMIT" reload "test-$port"
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	hold 127.0.0.2 served
	hold 127.0.0.2 served
	hold 127.0.0.2 refused
}

@test "reload: a bad file is an error and changes nothing" {
	limit_is 1
	start_server
	limit_is many
	run -78 "$CONNLIMIT" reload "test-$port"
	[[ $output == *"the old limits stand: $limits:1:18: CONNLIMIT_PER_IP: 'many' is not a number"* ]]
	own_status | grep -q 'reload .*failed'
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
}

@test "set: changes until the next reload" {
	limit_is 1
	start_server
	hold 127.0.0.1 served
	"$CONNLIMIT" set "test-$port" per-ip=2 mode=enforce
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	"$CONNLIMIT" reload "test-$port"
	hold 127.0.0.1 refused
	let_go 127.0.0.1
	until_true counted_is 127.0.0.1 1
	hold 127.0.0.1 refused
}

@test "set: what cannot be is said, and nothing of it is done" {
	limit_is 1
	start_server
	run -78 "$CONNLIMIT" set "test-$port" per-ip=5 total=x
	[[ $output == *"CONNLIMIT_TOTAL: 'x' is not a number"* ]]
	run -78 "$CONNLIMIT" set "test-$port" capacity=100
	[[ $output == *"cannot change while the daemon runs"* ]]
	run -78 "$CONNLIMIT" set "test-$port" per-pi=5
	[[ $output == *"did you mean per-ip?"* ]]
	run -2 "$CONNLIMIT" set "test-$port"
	run -1 "$CONNLIMIT" set no-such-table per-ip=5
	[[ $output == *"there is no table 'no-such-table'"* ]]
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
}

@test "reload: finds the file's name in a process with much read-only memory" {
	cat >"$here/server.py" <<-'PYTHON'
		import mmap, socket, sys

		listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
		pages = mmap.mmap(-1, 1000 * mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ)
		print("mapped", flush=True)
		while True:
		    listener.accept()
	PYTHON
	limit_is 1
	limited python3 "$here/server.py" "$port"
	until_true grep -q mapped "$here/out"
	limit_is 2
	"$CONNLIMIT" reload "test-$port"
	own_status | grep -q 'limit .*2 per client'
}
