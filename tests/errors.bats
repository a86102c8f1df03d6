#!/usr/bin/env bats
# What goes wrong is said: what, where, what is allowed; with the exit status that connlimit(1) has for it.

load daemon

request=x

start_daemon() { limited socat "TCP-LISTEN:$port,bind=127.0.0.1,reuseaddr,fork" PIPE; }

wrong() { # STATUS TEXT COMMAND...
	local wanted=$1 text=$2
	shift 2
	run -"$wanted" "$@"
	echo "$output"
	[[ $output == *"$text"* ]]
}

@test "called wrongly: every command says what, and where help is" {
	for command in check status top clients disconnect reload set suggest metrics sync; do
		wrong 2 "Try 'connlimit $command --help'" "$CONNLIMIT" "$command" --nonsense
	done
	wrong 2 "connlimit status: unknown option --nonsense" "$CONNLIMIT" status --nonsense
	wrong 2 "unknown option -x" "$CONNLIMIT" status -x
	wrong 2 "--json takes no value" "$CONNLIMIT" status --json=yes
	wrong 2 "'more' is one argument too many" "$CONNLIMIT" status one more
	wrong 2 "--watch: '0' is not a number of seconds from 1 to 3600" "$CONNLIMIT" status --watch=0
	wrong 2 "an argument is missing" "$CONNLIMIT" clients
	wrong 2 "'10.0.0.1/8'" "$CONNLIMIT" clients 10.0.0.1/8
	wrong 2 "allowed: 192.0.2.1, 192.0.2.0/24" "$CONNLIMIT" disconnect nowhere
	wrong 2 "'\\x1b[2J'" "$CONNLIMIT" clients $'\e[2J'
	wrong 2 "--output needs a value" "$CONNLIMIT" metrics --output
	for number in 0 65536 http -1 99999999999999999999; do
		wrong 2 "--listen: '$number' is not a port from 1 to 65535" "$CONNLIMIT" metrics --listen "$number"
	done
	wrong 2 "--output and --listen exclude each other" "$CONNLIMIT" metrics --listen 9000 --output x
	wrong 2 "NAME=VALUE is missing, as in: connlimit set nginx per-ip=20" "$CONNLIMIT" set nginx
	wrong 2 "'mode' is not NAME=VALUE" "$CONNLIMIT" set nginx per-ip=3 mode
	wrong 2 "there is no command 'stats'; did you mean status?" "$CONNLIMIT" stats
	wrong 2 "there is no command 'hlep'; did you mean help?" "$CONNLIMIT" hlep status
	wrong 2 "there is no command 'walk'; there are: run check status" "$CONNLIMIT" walk
	wrong 2 "'\\x1b[2J'" "$CONNLIMIT" $'\e[2J'
	wrong 2 "--watch: '5000' is not a number of seconds from 1 to 3600; a PID goes before --watch" "$CONNLIMIT" status --watch 5000
	wrong 2 "--all and 'nginx' exclude each other" "$CONNLIMIT" disconnect --all 127.0.0.1 nginx
	wrong 2 "'nginx' is one argument too many" "$CONNLIMIT" reload --all nginx
	wrong 2 "--older-than: '1' has no unit: s, m or h; allowed: 30s, 10m, 1h" "$CONNLIMIT" disconnect --older-than 1 127.0.0.1
	wrong 2 "--older-than: '1d' is not a time" "$CONNLIMIT" disconnect --older-than=1d
	wrong 2 "--older-than: '0s' is out of range" "$CONNLIMIT" disconnect --older-than 0s
	wrong 2 "--idle: '1001h' is out of range" "$CONNLIMIT" disconnect --idle 1001h
	wrong 2 "--idle needs a value" "$CONNLIMIT" disconnect --idle
	wrong 2 "--dry-run takes no value" "$CONNLIMIT" disconnect --dry-run=yes
	wrong 2 "an argument is missing" "$CONNLIMIT" disconnect --all
	wrong 2 "an argument is missing" "$CONNLIMIT" disconnect --dry-run
	wrong 2 "--all and 'nginx' exclude each other" "$CONNLIMIT" disconnect --older-than 1h --all nginx
	wrong 2 "--all and 'nginx' exclude each other" "$CONNLIMIT" disconnect --older-than 1h --all 127.0.0.1 nginx
	wrong 2 "'nowhere' is not" "$CONNLIMIT" disconnect --older-than 1h nowhere nginx
	wrong 2 "there is no command 'stats'" "$CONNLIMIT" help stats
}

@test "no such table or process; several, and none named; one whose daemon is gone" {
	limit_is 2
	start_daemon
	first=$port
	port=$(free_port)
	start_daemon
	for command in "status" "reload" "suggest" "clients 127.0.0.1" "disconnect 127.0.0.1" "disconnect --idle 1h"; do
		# shellcheck disable=SC2086
		wrong 1 "there is no table 'no-such-table'; there are:" "$CONNLIMIT" $command no-such-table
		[[ $output == *" test-$first"* && $output == *" test-$port"* ]]
	done
	wrong 1 "there is no table 'no-such-table'" "$CONNLIMIT" set no-such-table per-ip=3
	wrong 1 "process $$ has no table: it was not started under connlimit" "$CONNLIMIT" status $$
	wrong 1 "process 99999999 does not exist" "$CONNLIMIT" status 99999999
	LD_PRELOAD=$here/libconnlimit_preload.so sleep 30 2>/dev/null 3>&- &
	pids+=("$!")
	until_true grep -qs "^sleep" "/proc/$!/cmdline"
	wrong 1 "LD_PRELOAD names $here/libconnlimit_preload.so, which cannot be read: No such file or directory" "$CONNLIMIT" status "$!"
	LD_PRELOAD=$PRELOAD sleep 30 3>&- &
	pids+=("$!")
	until_true grep -qs "libconnlimit_preload.so" "/proc/$!/maps"
	wrong 1 "it has the preload object, but does not listen yet" "$CONNLIMIT" status "$!"
	wrong 2 "there are several tables; name one, or give --all:" "$CONNLIMIT" reload
	wrong 2 "there are several tables; name one, or give --all:" "$CONNLIMIT" set per-ip=3
	"$CONNLIMIT" set "$daemon" per-ip=3 # a process names its table
	own_status | grep -q 'limit  *3 per client (set;'
	kill_tree "$daemon"
	until_true no_table
	wrong 1 "there is no table 'test-$port'" "$CONNLIMIT" status "test-$port"
	wrong 1 "there is no table 'test-$port'" "$CONNLIMIT" reload "test-$port"
}

# ignored WHY COMMAND...: a program that the loader does not preload for, and why status says so.
ignored() {
	local why=$1 given=${object:-$here/libconnlimit_preload.so}
	shift
	LD_PRELOAD=$given "$@" >/dev/null 2>&1 3>&- &
	pids+=("$!")
	is_up() { [[ $(tr '\0' ' ' <"/proc/$!/cmdline") == *"sleep"* ]]; }
	until_true is_up
	wrong 1 "process $! has no table: LD_PRELOAD names $given, $why" "$CONNLIMIT" status "$!"
}

@test "why the loader has not preloaded: setuid, static, another architecture, no such object" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to make a program setuid"
	cp "$PRELOAD" "$here/libconnlimit_preload.so"
	cp "$(readlink -f /usr/bin/sleep)" "$here/sleep"
	chmod 4755 "$here/sleep"
	ignored "and the loader ignored it, as it does for what runs setuid" setpriv --reuid=65534 --clear-groups "$here/sleep" 60
	setcap cap_net_raw+ep "$here/sleep" 2>/dev/null && chmod 755 "$here/sleep" &&
		ignored "and the loader ignored it, as it does for what runs setuid" setpriv --reuid=65534 --clear-groups "$here/sleep" 60
	echo '#include <unistd.h>
int main(void) { for (;;) pause(); }' >"$here/p.c"
	cc -static -o "$here/sleep-static" "$here/p.c"
	ignored "but the program is statically linked" "$here/sleep-static"
	mkdir "$here/arm" "$here/cut"
	{ head -c 18 "$PRELOAD" && printf '\x28\x00' && tail -c +21 "$PRELOAD"; } >"$here/arm/libconnlimit_preload.so"
	object=$here/arm/libconnlimit_preload.so ignored "which is built for another architecture than the program" sleep 60
	head -c 100 "$PRELOAD" >"$here/cut/libconnlimit_preload.so"
	object=$here/cut/libconnlimit_preload.so ignored 'and the loader ignored it: look for "cannot be preloaded" in' sleep 60
	object=libconnlimit_preload.so.not ignored 'and the loader ignored it: look for "cannot be preloaded" in' sleep 60
	# In a root of its own the path is that root's.
	mkdir -p "$here/root/bin" && cp "$here/sleep-static" "$here/root/bin/sleep"
	ignored "which cannot be read: No such file or directory" chroot "$here/root" /bin/sleep
}

@test "a table of another user: whose it is, and who may see it" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to be another user"
	limit_is 2
	start_daemon
	cp "$CONNLIMIT" "$here/connlimit"
	chmod 755 "$here/connlimit"
	other=(setpriv --reuid=$((port + 40000)) --regid=65534 --clear-groups "$here/connlimit") # who has no table of his own
	wrong 77 "there is no table 'test-$port'" "${other[@]}" status "test-$port"
	[[ $output == *" of other users ("*") may be read only by them and by root"* ]]
	wrong 77 "process $daemon belongs to another user: only that user and root may inspect it" "${other[@]}" status "$daemon"
	wrong 77 "may be read only by them and by root" "${other[@]}" reload "test-$port"
	wrong 77 "may be read only by them and by root" "${other[@]}" set "test-$port" per-ip=3
	wrong 77 "of other users not shown" "${other[@]}" status
	wrong 77 "connlimit: no daemon of yours runs under connlimit" "${other[@]}" clients 127.0.0.1
	wrong 77 '"tables": [' "${other[@]}" status --json
	[[ $output != *"test-$port"* ]]
	wrong 77 "cannot create a file next to it: Permission denied" "${other[@]}" metrics --output "$here/x.prom"
}

@test "disconnect without the privilege says which it takes" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to give privileges away"
	limit_is 2
	start_daemon
	hold 127.0.0.81 served
	run setpriv --bounding-set=-net_admin --inh-caps=-net_admin "$CONNLIMIT" disconnect 127.0.0.81 "test-$port"
	[[ $output != *CONFIG_INET_DIAG_DESTROY* ]] || skip "a kernel that cannot end connections"
	[ "$status" -eq 77 ]
	[[ $output == *"ending connections needs CAP_NET_ADMIN"* ]]
	counted_is 127.0.0.81 1
	wrong 0 "0 of 0 connections ended" "$CONNLIMIT" disconnect 192.0.2.1 "test-$port"
	wrong 0 "192.0.2.1 has no open connection" "$CONNLIMIT" clients 192.0.2.1 "test-$port"
}

@test "standard output that cannot be written to is an error" {
	[ -e /dev/full ] || skip "no /dev/full"
	for command in "status" "status --json" "metrics" "clients 127.0.0.1" "--help"; do
		limit_is 2
		[ -n "${daemon:-}" ] || { start_daemon; hold 127.0.0.1 served; }
		# shellcheck disable=SC2086
		run -1 sh -c "$CONNLIMIT $command >/dev/full"
		[[ $output == *"standard output: No space left on device"* ]]
	done
}

@test "a port that is taken, a file that cannot be made" {
	limit_is 2
	start_daemon
	wrong 1 "cannot listen on 127.0.0.1 port $port: Address already in use" "$CONNLIMIT" metrics --listen "$port"
	wrong 1 "/none/x.prom" "$CONNLIMIT" metrics --output "$here/none/x.prom"
	mkdir "$here/directory.prom"
	wrong 1 "cannot be written" "$CONNLIMIT" metrics --output "$here/directory.prom"
	[ -z "$(find "$here" -name '*.prom.*')" ] # nothing half-done is left
}

@test "a total that the table has no room for: at the start, on reload and by set, both are named" {
	local both="CONNLIMIT_TOTAL=100 is more than the table has room for, CONNLIMIT_CAPACITY=64"
	wrong 78 "$both" env CONNLIMIT_CAPACITY=64 CONNLIMIT_TOTAL=100 LD_PRELOAD="$PRELOAD" true
	printf 'CONNLIMIT_TOTAL=100\n' >"$limits"
	wrong 78 "$both" env CONNLIMIT_CAPACITY=64 CONNLIMIT_FILE="$limits" LD_PRELOAD="$PRELOAD" true
	run -0 env CONNLIMIT_CAPACITY=128 CONNLIMIT_FILE="$limits" LD_PRELOAD="$PRELOAD" true
	printf 'CONNLIMIT_TOTAL=64\n' >"$limits"
	CONNLIMIT_CAPACITY=64 start_daemon
	hold 127.0.0.1 served
	wrong 78 "$both" "$CONNLIMIT" set "test-$port" total=100
	printf 'CONNLIMIT_TOTAL=100\n' >"$limits"
	wrong 78 "$both" "$CONNLIMIT" reload "test-$port"
}

# A daemon that is started with a limit that is none.
starts_not() {
	local result=0
	env CONNLIMIT_PER_IP=ten LD_PRELOAD="$PRELOAD" /bin/true || result=$?
	[ "$result" -eq 78 ]
}
says_why() { grep -q "^connlimit: CONNLIMIT_PER_IP: 'ten'" "$1"; }

@test "a wrong setting tells why it does not start, whatever standard error is" {
	starts_not 2>"$here/file"
	says_why "$here/file"
	echo "before" >"$here/appended"
	starts_not 2>>"$here/appended"
	says_why "$here/appended"
	starts_not 2> >(cat >"$here/pipe")
	until_true says_why "$here/pipe"
	script -qec "env CONNLIMIT_PER_IP=ten LD_PRELOAD=$PRELOAD /bin/true; echo status \$?" /dev/null 3>&- </dev/null >"$here/terminal"
	says_why "$here/terminal"
	grep -q "status 78" "$here/terminal"
	env CONNLIMIT_PER_IP=ten python3 -c '
import os, socket, subprocess, sys
# As systemd connects it to the journal, and as inetd a client: that one gets nothing.
ours, theirs = socket.socketpair()
assert subprocess.call(["env", "LD_PRELOAD=" + sys.argv[1], "true"], stderr=theirs) == 78
assert b"CONNLIMIT_PER_IP: " in ours.recv(1000)
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
accepted, _ = listener.accept()
assert subprocess.call(["env", "LD_PRELOAD=" + sys.argv[1], "true"], stderr=accepted) == 78
accepted.close()
assert client.recv(1000) == b""
# Nobody reads it, and it is full: a second later it is let be.
out, into = os.pipe()
os.set_blocking(into, False)
try:
    while True:
        os.write(into, b"x" * 4096)
except BlockingIOError:
    pass
os.set_blocking(into, True)
assert subprocess.call(["env", "LD_PRELOAD=" + sys.argv[1], "true"], stderr=into, timeout=20) == 78
os.close(out)
assert subprocess.call(["env", "LD_PRELOAD=" + sys.argv[1], "true"], stderr=into, timeout=20) == 78
' "$PRELOAD" 3>&-
}

@test "a wrong setting does not keep systemd from reloading and stopping the daemon, but whoever listens does not start" {
	local variable
	echo CONNLIMIT_PRE_IP=3 >"$limits"
	for variable in MAINPID=1 SERVICE_RESULT=success; do
		wrong 78 "'CONNLIMIT_PRE_IP'" env CONNLIMIT_FILE="$limits" LD_PRELOAD="$PRELOAD" /bin/true
		env "$variable" CONNLIMIT_FILE="$limits" LD_PRELOAD="$PRELOAD" /bin/true
		env "$variable" CONNLIMIT_PER_IP=ten LD_PRELOAD="$PRELOAD" sh -c /bin/true
		wrong 78 "'CONNLIMIT_PRE_IP'" env "$variable" CONNLIMIT_FILE="$limits" LD_PRELOAD="$PRELOAD" \
			"$BUILD/tests/chaos_server" "$(free_port)" threads
		wrong 78 "CONNLIMIT_PER_IP: 'ten'" env "$variable" CONNLIMIT_PER_IP=ten LD_PRELOAD="$PRELOAD" \
			"$BUILD/tests/chaos_server" "$(free_port)" threads
	done
}

@test "a wrong setting tells syslog why it does not start, where standard error is closed or nobody's" {
	if ! unshare --mount true 2>/dev/null; then skip "no mount namespaces here"; fi
	unshare --mount bash -c '
		mount --make-rprivate / && mkdir "$1/dev" && mount -t tmpfs none "$1/dev" &&
			for node in null zero urandom random; do touch "$1/dev/$node"; mount --bind "/dev/$node" "$1/dev/$node"; done
		mount --rbind "$1/dev" /dev || exit 1
		exec python3 - "$2" <<-"PYTHON"
			import os, socket, subprocess, sys
			log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
			log.bind("/dev/log")
			log.settimeout(20)
			for what in ("2>&-", "2>/dev/null", "2</dev/null"):
			    environment = os.environ | {"CONNLIMIT_PER_IP": "ten"}
			    status = subprocess.call(["sh", "-c", f"exec {what}; LD_PRELOAD={sys.argv[1]} /bin/true"], env=environment)
			    assert status == 78, status
			    line = log.recv(2000)
			    assert line.startswith(b"<28>connlimit[") and b"]: CONNLIMIT_PER_IP: \x27ten\x27" in line, line
			# A daemon that went to the background before it listens, with another one\x27s table.
			listens = "import socket, time; s = socket.create_server((\x27127.0.0.1\x27, 0)); print(1, flush=True); time.sleep(60)"
			environment = os.environ | {"CONNLIMIT_TABLE": "no-start-%d" % os.getpid()}
			daemon = ["env", "LD_PRELOAD=" + sys.argv[1], "python3", "-c", listens]
			first = subprocess.Popen(daemon, env=environment | {"CONNLIMIT_PER_IP": "1"}, stdout=subprocess.PIPE)
			try:
			    first.stdout.readline()
			    for what in ("2>&-", "2>/dev/null"):
			        other = ["sh", "-c", f"exec {what}; exec \"$@\"", "-", *daemon]
			        status = subprocess.call(other, env=environment | {"CONNLIMIT_PER_IP": "2"}, timeout=20)
			        assert status == 78, status
			        line = log.recv(2000)
			        assert b"belongs to another daemon, pid %d, which" % first.pid in line, line
			finally:
			    first.kill()
		PYTHON' - "$here" "$PRELOAD" 3>&-
}

@test "a daemon that executes itself as another than its real user, before it listens, is told that it is not limited" {
	((EUID == 0)) || skip "needs root"
	cat >"$here/server.py" <<-'PYTHON'
		import os, socket, sys, time

		if sys.argv[2] == "again":
		    kept = socket.create_server(("127.0.0.1", int(sys.argv[1])))
		    time.sleep(60)
		os.setresuid(0 if sys.argv[2] == "same" else 65534, 0, 0)
		os.execv(sys.executable, [sys.executable, sys.argv[0], sys.argv[1], "again"])
	PYTHON
	limit_is 1
	limited python3 "$here/server.py" "$port" other
	until_true grep -q "^connlimit: note: .* preloads are ignored: .* NOT limited" "$here/errors"
	no_table
	kill_tree "$daemon"
	: >"$here/errors"
	limited python3 "$here/server.py" "$port" same
	own_status | grep -q 'limit .*1 per client'
	[ ! -s "$here/errors" ]
}
