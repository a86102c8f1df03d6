#!/usr/bin/env bats
# What SIGHUP does, as README's table says: to a daemon that handles it, ignores it, or does not know it.

load daemon

request='GET / HTTP/1.1\r\nHost: test\r\n\r\n'

setup_more() { limit_is 1; }

# preloaded COMMAND...: as a daemon is started, without a terminal. Of the test's program the port is its own.
preloaded() { CONNLIMIT_FILE=$limits CONNLIMIT_TABLE=test-$port LD_PRELOAD=$PRELOAD setsid --wait "$@" 3>&-; }
bare() { setsid --wait "$@" 3>&-; }

# A server in Python: serves until the client goes, and says when it is told to.
prepare_server() {
	cat >"$here/server.py" <<-'PYTHON'
		import os, signal, socket, subprocess, sys, threading, time

		port = int(sys.argv[1])

		def listen(reuse=False):
		    listener = socket.socket()
		    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
		    if reuse:
		        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
		    listener.bind(("127.0.0.1", port))
		    listener.listen(64)
		    return listener

		def answer(client):
		    try:
		        while client.recv(1000):
		            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		    except OSError:
		        pass
		    client.close()

		def serve(listener):
		    while True:
		        client, _ = listener.accept()
		        threading.Thread(target=answer, args=(client,), daemon=True).start()

		def note(name):
		    with open(os.path.join(os.path.dirname(sys.argv[0]), name + ".new"), "w") as file:
		        file.write(str(os.getpid()))
		    os.rename(file.name, file.name[:-4])
	PYTHON
	cat >>"$here/server.py"
}

noted() { [[ -e $here/$1 ]]; }
gone() { ! kill -0 "$1" 2>/dev/null || [[ $(ps -o stat= -p "$1") == Z* ]]; }

# The limit goes from 1 to 2 by a signal to $1.
reloads_by() {
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	limit_is 2
	kill -HUP "$1"
	admitted_soon 127.0.0.1
	hold 127.0.0.1 refused
	kill -0 "$1"
}

@test "signals: ends, dispositions, what programs inherit, pending and interrupted calls are as without us" {
	bare "$BUILD/tests/signals" same >"$here/bare"
	preloaded "$BUILD/tests/signals" same >"$here/preloaded"
	diff "$here/bare" "$here/preloaded"
	grep -q 'a worker: ended by HUP' "$here/bare"
}

@test "signals: the same with a signal named by hand" {
	echo CONNLIMIT_SIGNAL=USR1 >>"$limits"
	bare "$BUILD/tests/signals" same >"$here/bare"
	preloaded "$BUILD/tests/signals" same >"$here/preloaded"
	diff "$here/bare" "$here/preloaded"
}

@test "signals: a daemon ends by its own raise, kill, queue, timer and thread, and after SA_RESETHAND" {
	for how in raise kill queue timer thread again reset group; do
		run bare "$BUILD/tests/signals" end "$how"
		[ "$status" -ne 0 ]
		wanted=$status
		run preloaded "$BUILD/tests/signals" end "$how"
		[ "$status" -eq "$wanted" ] || { echo "$how: $status, not $wanted" && return 1; }
	done
}

@test "signals: a worker ends whatever it has forbidden itself, and nobody else gets the signal" {
	((EUID == 0)) || skip "needs root for a pid namespace"
	preloaded timeout 100 unshare --pid --fork --kill-child "$BUILD/tests/signals" confined
}

@test "signals: reloads by any handler, by a signalfd however it is read, and after a handler jumped out of one" {
	preloaded "$BUILD/tests/signals" reload
}

@test "signals: a reload in a handler takes at most 1 KiB of its stack, and an end half of that" {
	for used in $(preloaded "$BUILD/tests/signals" stack 2>/dev/null); do
		[ "$used" -le 1024 ]
		sizes+=("$used")
	done
	[ "${#sizes[@]}" -eq 4 ]
	[ "${sizes[3]}" -le 512 ]
}

@test "signals: at its default it reloads where the parent sends it, as runit does, and its workers die" {
	prepare_server <<-'PYTHON'
		listener = listen()
		worker = os.fork()
		if worker == 0:
		    note("worker")
		    signal.pause()
		def hang_up(*_):
		    os.kill(worker, signal.SIGHUP)
		    if os.waitpid(worker, 0)[1] == signal.SIGHUP:
		        note("hung_up")
		signal.signal(signal.SIGUSR1, hang_up)
		serve(listener)
	PYTHON
	limited python3 "$here/server.py" "$port"
	reloads_by "$daemon"
	until_true noted worker
	kill -USR1 "$daemon"
	until_true noted hung_up
}

@test "signals: a program that the daemon executes as its worker dies when it hangs it up" {
	prepare_server <<-'PYTHON'
		if len(sys.argv) > 2:
		    note("worker")
		    serve(socket.socket(fileno=int(sys.argv[2])))
		listener = listen()
		os.set_inheritable(listener.fileno(), True)
		worker = subprocess.Popen(["python3", sys.argv[0], sys.argv[1], str(listener.fileno())], close_fds=False)
		def hang_up(*_):
		    worker.send_signal(signal.SIGHUP)
		    if worker.wait() == -signal.SIGHUP:
		        note("hung_up")
		signal.signal(signal.SIGUSR1, hang_up)
		while True:
		    signal.pause()
	PYTHON
	limited python3 "$here/server.py" "$port"
	until_true noted worker
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	kill -USR1 "$daemon"
	until_true noted hung_up
}

@test "signals: a worker that its master executes and that listens for itself dies when it hangs it up, even if the master shows a title" {
	for shows in nothing title; do
		prepare_server <<-'PYTHON'
			import ctypes
			if len(sys.argv) > 3:
			    listener = listen()
			    note("worker")
			    serve(listener)
			if sys.argv[2] == "title":
			    # As setproctitle does: the title lies where the environment was.
			    fields = open("/proc/self/stat").read().rpartition(")")[2].split()
			    start, end = (int(field) for field in fields[47:49])
			    ctypes.memset(start, 0, end - start)
			worker = subprocess.Popen(["/usr/bin/python3", *sys.argv, "worker"], env=dict(os.environ))
			while not os.path.exists(os.path.join(os.path.dirname(sys.argv[0]), "worker")):
			    time.sleep(0.05)
			worker.send_signal(signal.SIGHUP)
			try:
			    sys.exit(worker.wait(20) != -signal.SIGHUP)
			finally:
			    worker.kill()
		PYTHON
		rm -f "$here/worker"
		preloaded /usr/bin/python3 "$here/server.py" "$port" "$shows"
	done
}

@test "signals: a daemon that goes to the background after it listens reloads, and its workers die" {
	for twice in once twice unreaped; do
		prepare_server <<-'PYTHON'
			listener = listen()
			if os.fork():
			    os._exit(0)
			os.setsid()
			if sys.argv[2] != "once" and os.fork():
			    os._exit(0)
			worker = os.fork()
			if worker == 0:
			    note("worker")
			    signal.pause()
			note("background")
			serve(listener)
		PYTHON
		rm -f "$here/worker" "$here/background"
		# Who has started it may wait for its end later, or never.
		waits=(setsid --wait)
		[[ $twice != unreaped ]] || waits=(python3 -c 'import subprocess, sys, time
subprocess.Popen(sys.argv[1:], start_new_session=True)
time.sleep(60)')
		"${waits[@]}" "$CONNLIMIT" run --file "$limits" --table "test-$port" -- python3 "$here/server.py" "$port" "$twice" \
			>"$here/out" 2>>"$here/errors" 3>&- </dev/null &
		pids+=("$!")
		until_true noted background
		until_true noted worker
		daemon=$(cat "$here/background")
		pids+=("$daemon")
		reloads_by "$daemon"
		kill -HUP "$(cat "$here/worker")"
		until_true gone "$(cat "$here/worker")"
		kill_tree "$daemon"
		hold_nothing
		limit_is 1
	done
}

@test "signals: workers that listen for themselves reload by their master's handler" {
	prepare_server <<-'PYTHON'
		signal.signal(signal.SIGHUP, lambda *_: note("handled"))
		worker = os.fork()
		if worker == 0:
		    signal.signal(signal.SIGHUP, signal.SIG_DFL)
		    serve(listen(reuse=True))
		while True:
		    signal.pause()
	PYTHON
	limited python3 "$here/server.py" "$port"
	reloads_by "$daemon"
	until_true noted handled
	worker=$(pgrep -P "$daemon")
	kill -HUP "$worker"
	until_true gone "$worker"
	kill -0 "$daemon"
}

@test "signals: a bad file in such a master's handler changes nothing, and is said" {
	prepare_server <<-'PYTHON'
		signal.signal(signal.SIGHUP, lambda *_: note("handled"))
		if os.fork() == 0:
		    serve(listen(reuse=True))
		while True:
		    signal.pause()
	PYTHON
	limited python3 "$here/server.py" "$port"
	hold 127.0.0.1 served
	limit_is many
	kill -HUP "$daemon"
	until_true grep -q "the old limits stand: .*'many'" "$here/errors"
	hold 127.0.0.1 refused
}

# What the kernel answers such a call with from now on: confine(NUMBER, ANSWER, FIRST_ARGUMENT).
confines() {
	cat <<-'PYTHON'
		import ctypes, platform, struct

		ARM = platform.machine() == "aarch64"

		def confine(number, answer, first=None):
		    steps = [(0x20, 0, 0, 0), (0x15, 0, 3 if first is not None else 1, number)]  # seccomp(2), classic BPF
		    steps += [(0x20, 0, 0, 16), (0x15, 0, 1, first)] if first is not None else []
		    steps += [(0x06, 0, 0, answer), (0x06, 0, 0, 0x7FFF0000)]
		    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
		    filter_ = struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(program))
		    libc = ctypes.CDLL(None)
		    assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, filter_, 0, 0) == 0
	PYTHON
}

is_confined() { grep -q '^Seccomp:	2' "/proc/$daemon/status"; }

@test "signals: a daemon that has forbidden itself to block signals reloads; one that may not open the file says so" {
	prepare_server < <(
		confines
		cat <<-'PYTHON'
			listener = listen()
			signal.signal(signal.SIGHUP, lambda *_: None)
			if os.path.exists(sys.argv[0] + ".no-open"):
			    confine(56 if ARM else 257, 0x80000000)  # openat: killed
			else:
			    confine(135 if ARM else 14, 0x00050000 | 1, signal.SIG_BLOCK)  # rt_sigprocmask: EPERM
			held = []
			while True:
			    client, _ = listener.accept()
			    try:
			        if client.recv(1000):
			            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			            held.append(client)
			    except OSError:
			        pass
		PYTHON
	)
	limited python3 "$here/server.py" "$port"
	until_true is_confined
	reloads_by "$daemon"
	kill_tree "$daemon"
	hold_nothing
	limit_is 1
	: >"$here/server.py.no-open"
	limited python3 "$here/server.py" "$port"
	until_true is_confined
	hold 127.0.0.1 served
	limit_is 2
	kill -HUP "$daemon"
	until_true grep -q "the old limits stand: this process has forbidden itself to read the file (seccomp(2)): use connlimit reload" "$here/errors"
	own_status | grep -q 'reload .*failed'
	hold 127.0.0.1 refused
	"$CONNLIMIT" reload "test-$port"
	hold 127.0.0.1 served
	kill -0 "$daemon"
}

@test "signals: workers that may not read the file leave a reload to their master, and status does not say that it failed" {
	((EUID == 0)) || skip "needs root, whose file it is"
	prepare_server <<-'PYTHON'
		listener = listen()
		signal.signal(signal.SIGHUP, lambda *_: None)
		for number in range(3):
		    if os.fork() == 0:
		        os.setgroups([])
		        os.setresgid(65534, 65534, 65534)
		        os.setresuid(65534, 65534, 65534)
		        serve(listener)
		note("ready")
		while True:
		    signal.pause()
	PYTHON
	limited python3 "$here/server.py" "$port"
	until_true noted ready
	chmod 600 "$limits"
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	for limit in 2 3 4; do
		limit_is "$limit"
		kill -HUP -- "-$daemon"
		admitted_soon 127.0.0.1
		hold 127.0.0.1 refused
		run -1 grep -E 'reload .*failed' <(own_status)
	done
	[ "$(grep -c 'reload failed' "$here/errors")" -eq 0 ]
	until_true grep -q "leaves a reload to the others: .*$limits" "$here/errors"
}

@test "signals: named by hand, it reloads where the daemon ignores it, and programs inherit that it does" {
	prepare_server <<-'PYTHON'
		signal.signal(signal.SIGHUP, signal.SIG_IGN)
		listener = listen()
		if os.fork() == 0:
		    os.execvp("grep", ["grep", "SigIgn:.*[13579bdf]$", "/proc/self/status"])
		assert os.wait()[1] == 0
		serve(listener)
	PYTHON
	limited python3 "$here/server.py" "$port"
	hold 127.0.0.1 served
	limit_is 2
	kill -HUP "$daemon"
	sleep 0.3
	hold 127.0.0.1 refused
	kill_tree "$daemon"
	hold_nothing
	printf 'CONNLIMIT_PER_IP=1\nCONNLIMIT_SIGNAL=HUP\n' >"$limits"
	limited python3 "$here/server.py" "$port"
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	printf 'CONNLIMIT_PER_IP=2\nCONNLIMIT_SIGNAL=HUP\n' >"$limits"
	kill -HUP "$daemon"
	admitted_soon 127.0.0.1
}

@test "signals: in a terminal it ends the daemon, whether a process, the shell or the terminal sends it" {
	prepare_server <<<'serve(listen())'
	for who in process terminal shell; do
		timeout 60 python3 - "$who" "$port" "$CONNLIMIT" run --file "$limits" --table "test-$port" -- \
			python3 "$here/server.py" "$port" 3>&- <<-'PYTHON'
				import os, pty, signal, socket, subprocess, sys, time

				who, port, command = sys.argv[1], int(sys.argv[2]), sys.argv[3:]

				def listening():
				    try:
				        socket.create_connection(("127.0.0.1", port), 1).close()
				        return True
				    except OSError:
				        return False

				def until(what):
				    for _ in range(200):
				        if what():
				            return
				        time.sleep(0.05)
				    sys.exit(f"{who}: never came true")

				signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the test may run under nohup
				pid, terminal = pty.fork()
				if pid == 0:
				    if who == "shell":
				        os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
				    os.execvp(command[0], command)
				if who == "shell":
				    # A job in the background, and one behind it, so that the terminal's own signal reaches another.
				    os.write(terminal, (" ".join(command) + " & sleep 100\n").encode())
				until(listening)
				if who == "process":
				    os.kill(pid, signal.SIGHUP)
				else:
				    os.close(terminal)
				if who != "shell":
				    status = os.waitpid(pid, 0)[1]
				    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGHUP, status
				until(lambda: not listening())
			PYTHON
	done
}
