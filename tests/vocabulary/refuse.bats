#!/usr/bin/env bats
# What a refused client gets, in front of a daemon with a non-blocking listener and one with a blocking.

load vocabulary

get() { curl -sS -i --max-time 20 "http://127.0.0.1:$port/" "$@"; }
upload() { head -c "$1" /dev/zero | curl -sS -o /dev/null -w '%{http_code}' --max-time 30 -H 'Expect:' --data-binary @- "http://127.0.0.1:$port/"; }

whole_429() {
	local answer
	answer=$(get | tr -d '\r')
	grep -qx 'HTTP/1.1 429 Too Many Requests' <<<"$answer"
	grep -qx 'Retry-After: [0-9]*' <<<"$answer"
	grep -qx 'Connection: close' <<<"$answer"
	local promised body
	promised=$(sed -n 's/^Content-Length: //p' <<<"$answer")
	body=$(get | sed '1,/^\r$/d' | wc -c)
	[[ $promised == "$body" ]]
	# Nothing of how many are allowed, or held.
	[[ ! $(sed '1,/^$/d' <<<"$answer") =~ [0-9] ]]
}

@test "refuse http: a whole 429, from a daemon with a non-blocking listener" {
	limits PER_IP=1 REFUSE=http
	start_nginx
	hold 127.0.0.1 served
	whole_429
	for size in 0 100000 20000000; do [[ $(upload $size) == 429 ]]; done
	[[ $(status_from 127.0.0.2) == 200 ]]
	let_go 127.0.0.1
	until_true eval '[[ $(status_from 127.0.0.1) == 200 ]]'
}

@test "refuse http: a whole 429, from a daemon that blocks in accept, which goes on serving" {
	limits PER_IP=1 REFUSE=http
	start_blocking_server
	hold 127.0.0.1 served
	whole_429
	for size in 0 100000 20000000; do [[ $(upload $size) == 429 ]]; done
	[[ $(status_from 127.0.0.2) == 200 ]]
}

@test "refuse http: clients that never close cost the daemon few descriptors and no time, and are cut off" {
	limits PER_IP=1 REFUSE=http
	start_nginx
	hold 127.0.0.1 served
	python3 - "$port" "$daemon" <<-'PYTHON'
		import os, select, socket, subprocess, sys, time
		port, daemon = int(sys.argv[1]), sys.argv[2]
		processes = [daemon] + subprocess.run(["pgrep", "-P", daemon], capture_output=True, text=True).stdout.split()
		descriptors = lambda: sum(len(os.listdir(f"/proc/{p}/fd")) for p in processes)
		before = descriptors()
		stubborn = []
		for _ in range(300):
		    s = socket.create_connection(("127.0.0.1", port))
		    s.settimeout(20)
		    s.send(b"GET / HTTP/1.1\r\n")
		    answer = b""
		    while b"try again" not in answer:
		        more = s.recv(4096)
		        assert more, "the answer was cut off"
		        answer += more
		    stubborn.append(s)
		assert descriptors() - before <= 2 * 32 + 4, (before, descriptors())  # 32 a worker, and what is under way
		# Another client is served at once in between; and after the deadline the next accepts end what is left.
		deadline = time.monotonic() + 20
		while descriptors() > before + 2 and time.monotonic() < deadline:
		    with socket.socket() as other:
		        other.bind(("127.0.0.2", 0))
		        other.connect(("127.0.0.1", port))
		        other.send(b"GET / HTTP/1.0\r\n\r\n")
		        assert b"200" in other.recv(4096)
		    time.sleep(0.1)
		assert descriptors() <= before + 2, (before, descriptors())
	PYTHON
}

@test "refuse http: a client that sends slowly still gets the whole answer" {
	limits PER_IP=1 REFUSE=http
	start_nginx
	hold 127.0.0.1 served
	python3 - "$port" <<-'PYTHON'
		import socket, sys, time
		s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
		s.settimeout(20)
		for _ in range(10):  # after the answer was sent, so that a close would have reset it
		    s.send(b"x" * 1000)
		    time.sleep(0.05)
		answer = b""
		while more := s.recv(10):
		    answer += more
		assert answer.startswith(b"HTTP/1.1 429") and answer.endswith(b"later.\n"), answer
	PYTHON
}

@test "refuse text: the client reads it, with its escapes" {
	limits PER_IP=1 'REFUSE="text:421 too many of you\\r\\n"'
	for start in start_nginx start_blocking_server; do
		$start
		hold 127.0.0.1 served
		[[ $(python3 -c 'import socket, sys; s = socket.create_connection(("127.0.0.1", int(sys.argv[1]))); print(s.recv(100), s.recv(100))' "$port") == \
			"b'421 too many of you\\r\\n' b''" ]]
		hold_nothing
		kill_tree "$daemon"
		port=$(free_port)
	done
}

# What a client meets when it reads: reset, or an end without one.
meets() {
	[[ $(python3 -c '
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
try: print("end" if s.recv(1) == b"" else "bytes")
except ConnectionResetError: print("reset")' "$port") == "$1" ]]
}

@test "refuse reset and close: a reset, or an end" {
	for start in start_nginx start_blocking_server; do
		limits PER_IP=1
		$start
		hold 127.0.0.1 served
		meets reset
		limits PER_IP=1 REFUSE=close
		kill -"$reload_signal" "$daemon"
		until_true meets end
		hold_nothing
		kill_tree "$daemon"
		port=$(free_port)
	done
}

@test "refuse http: a daemon that closes what it does not know, seen and unseen, keeps its own files" {
	limits PER_IP=1 REFUSE=http
	cat >"$here/server.py" <<-'PYTHON'
		import ctypes, os, select, socket, sys
		libc = ctypes.CDLL(None)
		listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
		listener.setblocking(False)
		kept, opened = [], []
		while True:
		    select.select([listener], [], [])
		    try:
		        s, peer = listener.accept()
		    except BlockingIOError:
		        # The one that was refused lingers. Close every descriptor that is not ours, and open files in their place.
		        mine = {0, 1, 2, listener.fileno()} | {k.fileno() for k in kept} | {f.fileno() for f in opened}
		        strange = [int(fd) for fd in os.listdir("/proc/self/fd") if int(fd) not in mine]
		        for fd in strange:
		            close = os.close if sys.argv[3] == "seen" else getattr(libc, "__close")  # not a call that is interposed
		            try: close(fd)
		            except OSError: pass  # that of the listing itself
		        opened += [open(sys.argv[2], "w") for _ in range(4)]
		        for f in opened:
		            f.write("x"); f.flush()
		        print("checked", flush=True)
		        continue
		    s.send(b"hello")
		    kept.append(s)
	PYTHON
	for how in seen unseen; do
		limited python3 "$here/server.py" "$port" "$here/data" $how
		hold 127.0.0.1 served
		for _ in 1 2 3 4 5; do [[ $(status_from 127.0.0.1) == 429 ]]; done
		until_true eval '[[ $(grep -c checked "$here/out") -ge 5 ]]'
		run ! grep -q 'Error' "$here/errors"
		kill -0 "$daemon"
		hold_nothing
		kill_tree "$daemon"
		port=$(free_port)
	done
}

@test "refused: what a client sent is never served, whatever it gets" {
	for how in reset close http text:busy; do
		limits PER_IP=1 "REFUSE=$how"
		start_blocking_server
		hold 127.0.0.1 served
		python3 - "$port" "$daemon" <<-'PYTHON'
			import os, signal, socket, sys
			for _ in range(3):
			    # Stopped, so that the requests have come before the daemon accepts.
			    os.kill(int(sys.argv[2]), signal.SIGSTOP)
			    clients = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(4)]
			    for s in clients: s.send(b"GET /secret HTTP/1.0\r\n\r\n")
			    os.kill(int(sys.argv[2]), signal.SIGCONT)
			    for s in clients:
			        s.settimeout(20)
			        try:
			            while s.recv(1000): pass
			        except OSError as error:
			            assert not isinstance(error, TimeoutError)
		PYTHON
		run ! grep -q secret "$here/errors" "$here/out"
		hold_nothing
		kill_tree "$daemon"
		port=$(free_port)
	done
}
