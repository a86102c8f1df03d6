#!/usr/bin/env bats
# Programs that no library reaches are limited by a supervisor of their accept calls.

load daemon

accepting="$BUILD/tests/accepting"

teardown_more() {
	[[ -n ${BATS_TEST_COMPLETED:-} ]] || tail -n 20 "$here/errors" 2>/dev/null || true
}

two_supervise() { [[ $(supervisors | wc -l) == 2 ]]; }
none_supervises() { [[ -z $(supervisors) ]]; }

fails() { if "$@" 2>/dev/null; then return 1; fi; }

all_gone() { # PIDS
	local pid
	for pid in $1; do
		! kill -0 "$pid" 2>/dev/null || [[ $(ps -o stat= -p "$pid") == Z* ]] || return 1
	done
}

full() { # ADDRESS N
	local i
	for ((i = 0; i < $2; i++)); do hold "$1" served; done
	hold "$1" refused
}

serves_two_of() { # COMMAND...
	limit_is 2
	limited "$@"
	full 127.0.0.1 2
	hold 127.0.0.2 served
	agrees 127.0.0.1
	let_go 127.0.0.1
	until_true established_is 127.0.0.1 1
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	agrees 127.0.0.1
}
established_is() { [[ $(established "$1") == "$2" ]]; }

# Nothing that accept gave was wrong.
no_wrong_accept() { if grep -a '^accept:' "$here/errors"; then return 1; fi; }

@test "a static server that waits in accept, a thread for each connection" {
	serves_two_of "$accepting" "$port" blocking
	grep -q 'limited by a supervisor: it is statically linked' "$here/errors"
	no_wrong_accept
}
@test "a static server of which many threads wait in accept" { serves_two_of "$accepting" "$port" threads; no_wrong_accept; }
@test "a static server that forks" { serves_two_of "$accepting" "$port" forks; no_wrong_accept; }
@test "a static server whose listener does not block" { serves_two_of "$accepting" "$port" polling; no_wrong_accept; }

@test "a server of another libc" {
	command -v musl-gcc >/dev/null || skip "musl-gcc is not installed"
	musl-gcc -O2 -D_GNU_SOURCE "$SOURCE/tests/programs/accepting.c" -o "$here/musl"
	serves_two_of "$here/musl" "$port" blocking
	grep -q "limited by a supervisor: its loader is" "$here/errors"
	no_wrong_accept
}

@test "busybox httpd" {
	command -v busybox >/dev/null && [[ $(file -L "$(command -v busybox)") == *statically* ]] || skip "busybox is not there, or not static"
	mkdir "$here/www"
	head -c 5000000 /dev/zero >"$here/www/index.html" # so that it is at it as long as the client has not read it
	request='GET / HTTP/1.0\r\n\r\n'
	serves_two_of busybox httpd -f -p "127.0.0.1:$port" -h "$here/www"
}

@test "a program may be supervised that could be preloaded" {
	limit_is 2
	"$CONNLIMIT" run --way=supervise --file "$limits" --table "test-$port" -- python3 -m http.server --bind 127.0.0.1 "$port" \
		>"$here/out" 2>"$here/errors" 3>&- </dev/null &
	daemon=$!
	pids+=("$daemon")
	until_true listening
	request='GET / HTTP/1.1\r\n\r\n'
	hold 127.0.0.1 served
	two_supervise
	fails grep -q libconnlimit "/proc/$daemon/maps"
}

@test "calls, most of them wrong, come back the same" {
	"$BUILD/tests/call_semantics" >"$here/without"
	"$CONNLIMIT" run --per-ip 5 --way=supervise -- "$BUILD/tests/call_semantics" >"$here/with"
	diff "$here/without" "$here/with"
}

@test "the program is the process that was started: its exit status, its signals, its children" {
	run "$CONNLIMIT" run --way=supervise -- sh -c 'exit 7'
	[ "$status" -eq 7 ]
	run "$CONNLIMIT" run --way=supervise -- sh -c 'kill -TERM $$'
	[ "$status" -eq 143 ]
	run "$CONNLIMIT" run --way=supervise --per-ip 5 -- python3 -c 'import os
try: os.waitpid(-1, 0)
except ChildProcessError: print("no child")'
	[ "$output" = "no child" ]
	limit_is 2
	limited "$accepting" "$port" blocking
	[[ $(readlink "/proc/$daemon/exe") == "$accepting" ]]
	two_supervise
	[[ -z $(pgrep -P "$daemon") ]]
	supervised=$(supervisors)
	# What ends the service and the session is not for them.
	for signal in HUP INT TERM USR1; do
		for pid in $supervised; do kill -"$signal" "$pid"; done
	done
	hold 127.0.0.1 served
	kill -TERM "$daemon"
	wait "$daemon" || [ $? -eq 143 ]
	until_true no_table
	until_true all_gone "$supervised"
}

@test "the first process of a container, and one without standard descriptors" {
	((EUID == 0)) || skip "needs root"
	run unshare --pid --fork --mount-proc "$CONNLIMIT" run --way=supervise --per-ip 5 -- python3 -c 'import os
print("pid", os.getpid())
try: os.waitpid(-1, 0)
except ChildProcessError: print("no child")'
	[[ $output == *"pid 1"*"no child"* ]]
	echo CONNLIMIT_PER_IP=1 >"$limits"
	"$CONNLIMIT" run --file "$limits" --table "test-$port" -- "$accepting" "$port" blocking 3>&- <&- >&- 2>&- &
	daemon=$!
	pids+=("$daemon")
	until_true listening
	full 127.0.0.1 1 # of which a line would be written
	for ((i = 0; i < 3; i++)); do
		admitted_soon 127.0.0.2 # once the program has closed the last one
		let_go 127.0.0.2
	done
}

@test "kill -9 of one supervisor after the other: no accept fails, no client is lost, no count" {
	limit_is 5
	limited "$accepting" "$port" "${way:-blocking}"
	hold 127.0.0.1 served
	rounds 127.0.0.2 1
	for ((i = 0; i < 12; i++)); do
		until_true two_supervise
		# shellcheck disable=SC2046 # two words
		kill -KILL $(supervisors | shuf -n 1)
		rounds 127.0.0.2 2
		[ "$answer" -eq 2 ]
	done
	until_true two_supervise
	no_wrong_accept
	hold 127.0.0.1 served
	hold 127.0.0.1 served
	hold 127.0.0.1 served
	full 127.0.0.1 1
	agrees 127.0.0.1
	[ "$(supervisors | xargs -I{} sh -c 'ls /proc/{}/fd | wc -l' | sort -n | tail -1)" -lt 20 ]
}

@test "under load, the supervisor killed at any moment: all clients are served" {
	limit_is 100000
	for way in blocking polling; do
		limited "$accepting" "$port" "$way"
		python3 - "$port" >"$here/load" <<-'PYTHON' &
			import socket, sys, threading
			served = 0
			wrong = []
			def clients():
			    global served
			    for _ in range(1500):
			        try:
			            s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=10)
			            assert s.recv(6) == b"hello\n"
			            s.close()
			            served += 1
			        except (OSError, AssertionError) as e:
			            wrong.append(e)
			threads = [threading.Thread(target=clients) for _ in range(3)]
			for t in threads: t.start()
			for t in threads: t.join()
			print(len(wrong), wrong[:3])
		PYTHON
		load=$!
		while kill -0 "$load" 2>/dev/null; do
			until_true two_supervise
			# shellcheck disable=SC2046
			kill -KILL $(supervisors | shuf -n 1) || true
		done
		wait "$load"
		[ "$(cut -d' ' -f1 "$here/load")" -eq 0 ] || { cat "$here/load"; false; }
		no_wrong_accept
		kill_tree "$daemon"
		wait "$daemon" || true
	done
}

@test "kill -9 of the program, and of all: nothing stays, and the next start serves" {
	limit_is 2
	limited "$accepting" "$port" forks
	full 127.0.0.1 2
	all=$(supervisors)
	children=$(pgrep -P "$daemon")
	kill -KILL "$daemon"
	# shellcheck disable=SC2086 # several
	kill -KILL $children
	wait "$daemon" || true
	until_true no_table
	until_true all_gone "$all"
	hold_nothing
	limited "$accepting" "$port" threads
	full 127.0.0.1 2
	# shellcheck disable=SC2046 # several
	kill -KILL "$daemon" $(supervisors)
	wait "$daemon" || true
	until_true no_table
	hold_nothing
	limited "$accepting" "$port" threads
	full 127.0.0.1 2
}

@test "a client that comes back thousands of times a second is not refused for what is gone" {
	limit_is 10
	limited "$accepting" "$port" polling
	run python3 - "$port" <<-'PYTHON'
		import socket, sys
		served = 0
		for _ in range(6000):
		    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=10) as s:
		        try:
		            served += s.recv(6) == b"hello\n"
		        except ConnectionResetError:
		            pass
		print(served)
	PYTHON
	[ "$output" -eq 6000 ]
}

@test "signals in between lose no connection" {
	limit_is 1000
	for signals in restart interrupt; do
		for way in blocking forks polling; do
			limited "$accepting" "$port" "$way" "$signals"
			rounds 127.0.0.1 150
			[ "$answer" -eq 150 ]
			no_wrong_accept
			kill_tree "$daemon"
			wait "$daemon" || true
			until_true nothing_listens
		done
	done
}
@test "a program that polls, and is interrupted in accept, gets the connection all the same" {
	for kind in ipv4 dual ipv6 deferred unix path namespace; do
		[[ $kind != namespace ]] || ((EUID == 0)) || continue
		run --separate-stderr env TMPDIR="$here" timeout 60 "$CONNLIMIT" run --way=supervise --per-ip 1000 --per-uid 1000 -- \
			python3 "$SOURCE/tests/programs/interrupted.py" "$kind" 1000
		echo "$kind: $output $stderr" >&2
		[ "$output" = 1000 ]
	done
}

nothing_listens() { [[ -z $(ss -Htln "sport = :$port") ]]; }

@test "who waits in accept is interrupted by signals, and by its time" {
	cat >"$here/waits.py" <<-'PYTHON'
		import signal, socket, struct, sys, threading, time
		s = socket.create_server(("127.0.0.1", 0))
		signal.signal(signal.SIGALRM, lambda *_: sys.exit(3))
		s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 200000))
		begun = time.monotonic()
		try:
		    s.accept()
		except BlockingIOError:
		    print("in its time" if 0.15 < time.monotonic() - begun < 2 else "late")
		s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 0))
		signal.setitimer(signal.ITIMER_REAL, 0.2)
		sys.stdout.flush()
		s.accept()
	PYTHON
	run timeout 20 "$CONNLIMIT" run --way=supervise --per-ip 2 -- python3 "$here/waits.py"
	[ "$status" -eq 3 ]
	[[ $output == *"in its time"* ]]
}

@test "a listener that the program closes is closed" {
	cat >"$here/closes.py" <<-'PYTHON'
		import signal, socket
		s = socket.socket()
		s.bind(("127.0.0.1", 0))
		s.listen()
		where = s.getsockname()
		class Woken(Exception): pass
		def wake(*_): raise Woken
		signal.signal(signal.SIGALRM, wake)
		signal.setitimer(signal.ITIMER_REAL, 0.2)
		try:
		    s.accept()
		except Woken:
		    pass
		s.close()
		try:
		    socket.create_connection(where)
		except ConnectionRefusedError:
		    print("closed")
		again = socket.socket()
		again.bind(where)
		print("free")
	PYTHON
	run timeout 20 "$CONNLIMIT" run --way=supervise --per-ip 2 -- python3 "$here/closes.py"
	[ "$status" -eq 0 ]
	[[ $output == *closed*free* ]]
}

@test "a program without descriptors is told so, and takes the connection when it has one" {
	limit_is 10
	prlimit --nofile=9:1024 "$CONNLIMIT" run --file "$limits" --table "test-$port" -- "$accepting" "$port" polling >"$here/out" 2>"$here/errors" 3>&- </dev/null &
	daemon=$!
	pids+=("$daemon")
	until_true listening
	open=$(find "/proc/$daemon/fd" -mindepth 1 -name '[0-8]' | wc -l)
	for ((i = open; i < 9; i++)); do hold 127.0.0.1 served; done
	timeout 20 curl -sN --http0.9 "http://127.0.0.1:$port/" >"$here/late" & # it waits
	late=$!
	until_true grep -q 'accept: Too many open files' "$here/errors"
	[ ! -s "$here/late" ]
	let_go 127.0.0.1
	until_true grep -q hello "$here/late"
	kill "$late"
}

@test "refused clients are answered" {
	echo CONNLIMIT_REFUSE=http >"$limits"
	echo CONNLIMIT_PER_IP=1 >>"$limits"
	for way in blocking polling; do
		limited "$accepting" "$port" "$way"
		hold 127.0.0.1 served
		run curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/"
		[ "$output" = 429 ]
		no_wrong_accept
		kill_tree "$daemon"
		wait "$daemon" || true
		hold_nothing
	done
}

@test "the file of limits is followed, and connlimit reload works" {
	limit_is 1
	limited "$accepting" "$port" blocking
	full 127.0.0.1 1
	limit_is 2
	until_true in_force 2
	full 127.0.0.1 1
	echo CONNLIMIT_PER_IP=3 >"$here/new"
	mv "$here/new" "$limits"
	until_true in_force 3
	echo CONNLIMIT_PER_IP=ten >"$limits"
	until_true grep -q 'reload failed, the old limits stand' "$here/errors"
	in_force 3
	limit_is 4
	"$CONNLIMIT" reload "test-$port"
	in_force 4
	"$CONNLIMIT" set "test-$port" per-ip=5
	in_force 5
}
in_force() { own_status | grep -q "limit  *$1 per client"; }

@test "it is found by any of its processes, shown, and its clients are disconnected" {
	limit_is 3
	limited "$accepting" "$port" forks
	hold 127.0.0.1 served
	hold 127.0.0.2 served
	for pid in "$daemon" $(pgrep -P "$daemon"); do
		"$CONNLIMIT" status "$pid" | grep -q "daemon  *accepting, started as pid $daemon, 5 processes," # two are the supervisor's
	done
	"$CONNLIMIT" clients 127.0.0.1 "test-$port" | grep -q "^127.0.0.1"
	"$CONNLIMIT" metrics | grep -q "test-$port"
	"$CONNLIMIT" disconnect 127.0.0.1 "test-$port" | grep -q '1 of 1 connections ended'
	until_true established_is 127.0.0.1 0
	[ "$(established 127.0.0.2)" -eq 1 ]
	full 127.0.0.1 3
}

@test "a program that gives up its privileges, one that is in a chroot, one that is not root's" {
	((EUID == 0)) || skip "needs root"
	limit_is 2
	"$CONNLIMIT" run --way=supervise --file "$limits" --table "test-$port" -- setpriv --reuid=65534 --regid=65534 --clear-groups "$accepting" "$port" blocking >"$here/out" 2>"$here/errors" 3>&- </dev/null &
	daemon=$!
	pids+=("$daemon")
	until_true listening
	full 127.0.0.1 2
	kill_tree "$daemon"
	wait "$daemon" || true
	hold_nothing
	cp "$accepting" "$here/accepting"
	"$CONNLIMIT" run --way=supervise --file "$limits" --table "test-$port" -- chroot --userspec=65534:65534 "$here" /accepting "$port" forks >"$here/out" 2>"$here/errors" 3>&- </dev/null &
	daemon=$!
	pids+=("$daemon")
	until_true listening
	full 127.0.0.1 2
	kill_tree "$daemon"
	wait "$daemon" || true
	hold_nothing
	cp "$CONNLIMIT" "$PRELOAD" "$here"
	chown 65534 "$limits"
	CONNLIMIT=$here/connlimit
	setpriv --reuid=65534 --regid=65534 --clear-groups "$CONNLIMIT" run --file "$limits" --table "test-$port" -- "$here/accepting" "$port" threads >"$here/out" 2>"$here/errors" 3>&- </dev/null &
	daemon=$!
	pids+=("$daemon")
	until_true listening
	full 127.0.0.1 2
	run setpriv --reuid=65534 --regid=65534 --clear-groups "$CONNLIMIT" check "$here/accepting"
	[[ $output == *"can be limited, by a supervisor"*"note: it gets no_new_privs"* ]]
}

@test "a service of systemd's: its main process is the program, and it stops at once" {
	root=$here/root
	mkdir -p "$root/usr/bin" "$root/srv" "$root/etc/systemd/system" "$root/etc/connlimit"
	cp "$CONNLIMIT" "$root/usr/bin/"
	cp "$accepting" "$root/srv/"
	echo CONNLIMIT_PER_IP=2 >"$root/etc/connlimit/static.env"
	cat >"$root/etc/systemd/system/static.service" <<-'UNIT'
		[Service]
		ExecStart=/usr/bin/connlimit run --file /etc/connlimit/static.env -- /srv/accepting 8001 blocking
		Restart=on-failure
	UNIT
	cat >"$here/trial" <<-'TRIAL'
		systemctl start static
		for i in $(seq 100); do ss -Htln 'sport = :8001' | grep -q . && break; sleep 0.1; done
		pid=$(systemctl show -p MainPID --value static)
		echo "main: $(readlink /proc/$pid/exe)"
		clients() { python3 -c 'import socket
		held = [socket.create_connection(("127.0.0.1", 8001)) for _ in range(3)]
		def first(s):
		    try: return s.recv(5).decode()
		    except OSError: return "refused"
		print("clients:", *[first(s) for s in held])'; }
		clients
		kill -KILL "$pid"
		for i in $(seq 100); do again=$(systemctl show -p MainPID --value static); [ "$again" != 0 ] && [ "$again" != "$pid" ] && break; sleep 0.1; done
		for i in $(seq 100); do ss -Htln 'sport = :8001' | grep -q . && break; sleep 0.1; done
		clients
		begun=$(date +%s)
		systemctl stop static
		echo "stopped: $(systemctl show -p ActiveState --value static) $(($(date +%s) - begun < 30))"
		echo "left: $(pgrep -c -x connlimit)"
	TRIAL
	sed -i 's/^\t\t//' "$here/trial"
	run "$SOURCE/tests/programs/booted" "$root" "$here/trial"
	[ "$status" -ne 77 ] || skip "there is no booting here: $output"
	echo "$output"
	[[ $output == *"main: /srv/accepting"* ]]
	[ "$(grep -c 'clients: hello hello refused' <<<"$output")" -eq 2 ]
	[[ $output == *"stopped: inactive 1"* && $output == *"left: 0"* ]]
}

@test "where the kernel does not help, it is refused, with the reason" {
	run -126 "$CONNLIMIT" run --way=supervise -- "$CONNLIMIT" run -- "$accepting" "$port" blocking
	[[ $output == *"cannot be supervised: seccomp: Device or resource busy: another supervisor is above"* ]]
	run -126 "$CONNLIMIT" run --way=supervise -- "$CONNLIMIT" check "$accepting"
	[[ $output == *"cannot be limited"*"because: it is statically linked"*"because: it cannot be supervised either: "* ]]
	run -126 "$CONNLIMIT" run --way=preload -- "$accepting" "$port" blocking
	[[ $output == *"cannot be limited: it is statically linked"* ]]
	run -2 "$CONNLIMIT" run --way=sometimes -- "$accepting" "$port" blocking
	[[ $output == *"--way: 'sometimes' is neither 'preload' nor 'supervise'"* ]]
}

@test "io_uring is kept from it, with either way, or left to it" {
	cat >"$here/ring.c" <<-'C'
		#include <arpa/inet.h>
		#include <liburing.h>
		#include <stdio.h>
		#include <stdlib.h>
		#include <unistd.h>

		int main(int number, char **words)
		{
			struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(atoi(words[1]))};
			int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
			struct io_uring ring;
			struct io_uring_cqe *done;
			int rings = number > 0 && io_uring_queue_init(8, &ring, 0) == 0;

			setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
			if (bind(listener, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(listener, 16) != 0)
				return 1;
			fprintf(stderr, rings ? "by ring\n" : "by accept\n");
			for (;;) {
				int connection;
				if (rings) {
					io_uring_prep_accept(io_uring_get_sqe(&ring), listener, NULL, NULL, 0);
					io_uring_submit(&ring);
					if (io_uring_wait_cqe(&ring, &done) != 0)
						return 1;
					connection = done->res;
					io_uring_cqe_seen(&ring, done);
				} else {
					connection = accept(listener, NULL, NULL);
				}
				if (connection >= 0 && write(connection, "hello\n", 6) < 0)
					close(connection);
			}
		}
	C
	gcc "$here/ring.c" -o "$here/ring" -luring || skip "liburing-dev is not installed"
	rings() { # WORD SEEN OPTION...
		local seen=$1 third=$2
		shift 2
		limit_is 2
		: >"$here/errors"
		"$CONNLIMIT" run "$@" --file "$limits" --table "test-$port" -- "$here/ring" "$port" >"$here/out" 2>>"$here/errors" 3>&- </dev/null &
		daemon=$!
		pids+=("$daemon")
		until_true listening
		hold 127.0.0.1 served
		hold 127.0.0.1 served
		hold 127.0.0.1 "$third"
		grep -q "$seen" "$here/errors"
		kill_tree "$daemon"
		wait "$daemon" || true
		hold_nothing
		until_true nothing_listens # the kernel ends an accept through a ring after its process
	}
	if (timeout 0.3 "$here/ring" "$port" || true) 2>&1 | grep -q "by accept"; then skip "io_uring is not to be had here"; fi
	until_true nothing_listens
	rings "by ring" served --way=preload
	rings "by accept" refused --way=preload --no-io-uring
	rings "by accept" refused --way=supervise
	rings "by ring" served --way=supervise --io-uring
}
