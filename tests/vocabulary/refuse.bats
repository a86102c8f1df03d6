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

@test "refuse http: clients that never close cost the daemon no descriptors and no time, and are cut off" {
	limits PER_IP=1 REFUSE=http
	start_nginx
	hold 127.0.0.1 served
	python3 - "$port" "$daemon" <<-'PYTHON'
		import os, select, socket, subprocess, sys, time
		port, daemon = int(sys.argv[1]), sys.argv[2]
		processes = [daemon] + subprocess.run(["pgrep", "-P", daemon], capture_output=True, text=True).stdout.split()
		descriptors = lambda: sum(len(os.listdir(f"/proc/{p}/fd")) for p in processes)
		kept = lambda: len(subprocess.run(["ss", "-Htn", "state", "fin-wait-2", f"sport = :{port}"], capture_output=True).stdout.splitlines())
		before = descriptors()
		stubborn = []
		most = 0
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
		    if len(stubborn) % 50 == 0:
		        most = max(most, kept())  # on a slow machine the first are cut off before the last have come
		# What is under way passes; what is kept for those that never close would not.
		deadline = time.monotonic() + 20
		while descriptors() - before > 4 and time.monotonic() < deadline:
		    time.sleep(0.05)
		assert descriptors() - before <= 4, (before, descriptors())
		assert most > 32, most
		# Other clients are served at once in between; and after the deadline the next accepts of each process end what it has left.
		deadline = time.monotonic() + 30
		while kept() > 0 and time.monotonic() < deadline:
		    others = []
		    for number in range(32):
		        other = socket.socket()
		        other.bind((f"127.0.1.{number + 1}", 0))
		        other.connect(("127.0.0.1", port))
		        others.append(other)
		    for other in others:
		        other.send(b"GET / HTTP/1.0\r\n\r\n")
		        assert b"200" in other.recv(4096)
		        other.close()
		    time.sleep(0.1)
		assert kept() == 0, kept()
		deadline = time.monotonic() + 20
		while descriptors() > before + 2 and time.monotonic() < deadline:
		    time.sleep(0.05)
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

# A server that answers whoever is not dead when it comes, and does after each refusal what its argument says.
write_server() {
	cat >"$here/server.py" <<-'PYTHON'
		import os, resource, select, socket, sys
		def after_refusal():
		    if how == "every descriptor":  # is closed that is not known, and files are opened in their place
		        mine = {0, 1, 2} | {f.fileno() for f in [listener] + kept + opened}
		        for fd in map(int, os.listdir("/proc/self/fd")):
		            if fd not in mine:
		                try: os.close(fd)
		                except OSError: pass  # that of the listing itself
		        opened.extend(open(f"{sys.argv[0]}.data", "w") for _ in range(4))
		        for f in opened:
		            f.write("x"); f.flush()
		        print("checked", flush=True)
		    elif how == "forks":  # and is there a socket in the memory of either?
		        maps = lambda: open("/proc/self/maps").read().count("socket:")
		        here = maps()
		        child = os.fork()
		        if child == 0: os._exit(maps())
		        print(f"{here} and {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}", flush=True)
		    elif how == "descriptors":  # are all there
		        to_be_had = free()
		        print("all" if to_be_had == at_first - len(kept) else f"{to_be_had} of {at_first}", flush=True)
		def free():
		    taken = []
		    try:
		        while True: taken.append(os.open("/etc/passwd", os.O_RDONLY))
		    except OSError: pass
		    for fd in taken: os.close(fd)
		    return len(taken)
		how = sys.argv[2]
		listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
		listener.setblocking(False)
		kept, opened = [], []
		resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
		at_first = free()
		while True:
		    select.select([listener], [], [])
		    s, peer = listener.accept()  # never fails: somebody was there
		    try:
		        s.send(b"hello")
		        kept.append(s)
		    except OSError:
		        s.close()
		        after_refusal()
	PYTHON
}

@test "refuse http: a daemon that closes what it does not know keeps its own files, and clients their answers" {
	limits PER_IP=1 REFUSE=http
	write_server
	limited python3 "$here/server.py" "$port" "every descriptor"
	hold 127.0.0.1 served
	for _ in 1 2 3 4 5; do [[ $(status_from 127.0.0.1) == 429 ]]; done
	until_true eval '[[ $(grep -c checked "$here/out") -ge 5 ]]'
	run ! grep -q 'Error' "$here/errors"
	kill -0 "$daemon"
}

@test "refuse http: a daemon with few descriptors has them all, however many clients are still reading their answers" {
	limits PER_IP=1 REFUSE=http
	write_server
	limited python3 "$here/server.py" "$port" descriptors
	hold 127.0.0.1 served
	python3 - "$port" <<-'PYTHON'
		import socket, sys
		clients = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(40)]
		for s in clients:
		    s.settimeout(20)
		    assert b"429" in s.recv(100)
	PYTHON
	until_true grep -q all "$here/out"
	run ! grep -v '^all$' "$here/out"
}

@test "refuse http: what is still to be read is kept by the process that refused, and by none that it forks" {
	limits PER_IP=1 REFUSE=http
	write_server
	limited python3 "$here/server.py" "$port" forks
	hold 127.0.0.1 served
	for _ in 1 2 3; do [[ $(status_from 127.0.0.1) == 429 ]]; done
	until_true eval '[[ $(wc -l <"$here/out") == 3 ]]'
	diff "$here/out" <(printf '%s and 0\n' 1 2 3)
}

@test "refused: what accept returns blocks, or does not, as it was asked to" {
	cat >"$here/asks.py" <<-'PYTHON'
		import ctypes, os, socket
		libc = ctypes.CDLL(None)
		for family in socket.AF_INET, socket.AF_UNIX:
		    listener = socket.socket(family)
		    listener.bind(("127.0.0.1", 0) if family == socket.AF_INET else "")
		    listener.listen()
		    clients = [socket.socket(family) for _ in range(4)]
		    for client in clients:
		        client.connect(listener.getsockname())
		    blocks = [os.get_blocking(libc.accept4(listener.fileno(), None, None, flags)) for flags in (0, os.O_NONBLOCK) * 2]
		    assert blocks == [True, False] * 2, blocks
	PYTHON
	for how in reset close http text:busy; do
		for way in preload supervise; do
			echo "$how $way"
			timeout 60 "$CONNLIMIT" run --way $way --per-ip 1 --per-uid 1 --refuse "$how" -- python3 "$here/asks.py"
		done
	done
}

@test "refused: close waits for nobody, where the daemon has its own closes wait" {
	unshare --net true 2>/dev/null || skip "no network namespaces here"
	cat >"$here/waits.py" <<-'PYTHON'
		import os, socket, struct, sys, time
		listener = socket.create_server(("127.0.0.1", 0))
		listener.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 30))
		listener.settimeout(0 if sys.argv[1] == "polls" else None)
		def client():
		    s = socket.socket()
		    s.bind(("127.0.0.3", 0))
		    s.connect(listener.getsockname())
		    return s
		held = [client(), listener.accept()[0], client(), client()]
		held[1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes(8))
		# From here on nothing reaches the client, and so it acknowledges nothing.
		assert os.system("ip route add blackhole 127.0.0.3 table local") == 0
		began = time.monotonic()
		for _ in range(2):
		    try: listener.accept()[0].close()
		    except BlockingIOError: break
		took = time.monotonic() - began
		assert took < 20, took
	PYTHON
	for how in close http text:busy reset; do
		for listener in polls blocks; do
			echo "$how $listener"
			run -0 timeout 60 unshare --net env LD_PRELOAD="$PRELOAD" CONNLIMIT_PER_IP=1 CONNLIMIT_TABLE="test-$port" "CONNLIMIT_REFUSE=$how" \
				sh -c 'ip link set lo up && exec python3 "$@"' - "$here/waits.py" $listener
		done
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
