#!/usr/bin/env bats
# What other users of the machine, and a file that they may write to, can do to a daemon: nothing.

load daemon

server() { limited "$BUILD/tests/chaos_server" "$port" threads; }

@test "security: another user can neither attach the table, nor remove it, nor change whose it is" {
	limit_is 1
	server
	run "$BUILD/tests/hostile" --foreign "test-$port"
	echo "$status: $output"
	[ "$output" = ready ]
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	[ "$(ipcs -m | awk '$5 > 100000 && $4 != 600' | wc -l)" -eq 0 ] || ipcs -m
}

# hostile ARGUMENT...: another user at work until let_off; what it could do that it should not, it says then.
hostile() {
	local line
	coproc HOSTILE { exec "$BUILD/tests/hostile" "$@" 3>&-; }
	# shellcheck disable=SC2153 # bash sets it
	pids+=("$HOSTILE_PID")
	hostile_out=${HOSTILE[0]} hostile_in=${HOSTILE[1]} hostile_pid=$HOSTILE_PID
	read -r -t 20 line <&"$hostile_out"
	[ "$line" = ready ]
}

let_off() {
	local line
	exec {hostile_in}>&-
	if read -r -t 20 line <&"$hostile_out"; then echo "$line"; false; fi
	wait "$hostile_pid" || true
}

@test "security: segments that another user made first, or gave to us, are not believed; the limit holds without them" {
	limit_is 1
	hostile --first "test-$port"
	server
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	[ "$("$CONNLIMIT" status --json "test-$port" | python3 -c 'import json, sys
for t in json.load(sys.stdin)["tables"]: print(t["user"], t["memory"], t["open"])')" = "root segment 1" ]
	# They are that user's, the one that was given to us as well.
	[ "$("$CONNLIMIT" status --json | python3 -c 'import json, sys
print([t["user"] for t in json.load(sys.stdin)["tables"] if t["name"] == sys.argv[1]])' "test-$port")" = "['root', 'nobody', 'nobody']" ]
	let_off
}

@test "security: no segment has a key that another user could take first, nor the copy that a table leaves over an exec" {
	limit_is 1
	CONNLIMIT_FILE=$limits CONNLIMIT_TABLE="test-$port" LD_PRELOAD='' strace -f -E LD_PRELOAD="$PRELOAD" -e trace=shmget,execve -o "$here/trace" \
		python3 -c 'import os, socket, sys; s = socket.create_server(("127.0.0.1", int(sys.argv[1]))); os.execv("/bin/true", ["true"])' "$port"
	grep -A9 'execve.*/bin/true' "$here/trace" | grep -q 'execve.* = 0'
	[ "$(grep -c 'shmget(IPC_PRIVATE, .* = [0-9]' "$here/trace")" -ge 2 ]
	run -1 grep 'shmget([^I]' "$here/trace"
}

differing() { # SETTING...: a second daemon with the table of this test, under other settings
	run timeout 3 env "$@" CONNLIMIT_TABLE="test-$port" LD_PRELOAD="$PRELOAD" "$BUILD/tests/chaos_server" "$(free_port)" threads </dev/null
	echo "$status: $output"
}

@test "security: two daemons share a table only if both have said the same; the second changes nothing of the first's" {
	CONNLIMIT_PER_IP=1 CONNLIMIT_TABLE="test-$port" LD_PRELOAD="$PRELOAD" "$BUILD/tests/chaos_server" "$port" threads >"$here/out" 2>"$here/errors" 3>&- </dev/null &
	daemon=$!
	pids+=("$daemon")
	until_true listening
	differing CONNLIMIT_PER_IP=5
	[ "$status" -eq 78 ]
	[[ $output == *"table 'test-$port' belongs to another daemon, pid $daemon, which was started with CONNLIMIT_PER_IP=1, not 5"* ]]
	differing CONNLIMIT_PER_IP=1 CONNLIMIT_LOG=syslog
	[ "$status" -eq 78 ]
	differing CONNLIMIT_PER_IP=1 CONNLIMIT_RULES=10.0.0.0/8=3
	[ "$status" -eq 78 ]
	own_status | grep "limit    1 per client (environment"
	differing CONNLIMIT_PER_IP=1
	[ "$status" -eq 124 ] # it runs
	differing CONNLIMIT_PER_IP=5 CONNLIMIT_JOIN=yes
	[ "$status" -eq 124 ]
	[[ $output == *"its limits apply (CONNLIMIT_JOIN)"* ]]
	own_status | grep "limit    1 per client (environment"
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	# Nor where a worker that was taken over has had the table forget what the first has said.
	"$BUILD/tests/hostile" --forget "test-$port"
	differing CONNLIMIT_PER_IP=5
	[ "$status" -eq 78 ]
	[[ $output == *"table 'test-$port' belongs to another daemon, pid $daemon, and does not say with which settings that was started"* ]]
	# After its end it is no daemon any more that this would be another than.
	hold_nothing
	kill "$daemon"
	until_true no_table
	differing CONNLIMIT_PER_IP=5
	[ "$status" -eq 124 ]
}

# What executes a daemon may be preloaded too: then the daemon is a program of that start, and not of the one that has the table.
wrapped() { # SETTING...: as differing, in a shell that is preloaded and that ends what it executed
	run timeout 3 env "$@" CONNLIMIT_TABLE="test-$port" LD_PRELOAD="$PRELOAD" \
		sh -c "'$BUILD/tests/chaos_server' $(free_port) threads & trap 'kill \$!' TERM; wait \$!" </dev/null
	echo "$status: $output"
}

@test "security: a second daemon that a preloaded program executes is a second daemon; one that the first's executes is not" {
	CONNLIMIT_PER_IP=1 CONNLIMIT_TABLE="test-$port" LD_PRELOAD="$PRELOAD" \
		sh -c "'$BUILD/tests/chaos_server' $port threads & trap 'kill \$!' TERM; wait \$!" >"$here/out" 2>"$here/errors" 3>&- </dev/null &
	pids+=("$!")
	until_true listening
	wrapped CONNLIMIT_PER_IP=5
	[ "$status" -eq 78 ]
	[[ $output == *"table 'test-$port' belongs to another daemon, pid "*", which was started with CONNLIMIT_PER_IP=1, not 5"* ]]
	differing CONNLIMIT_PER_IP=5
	[ "$status" -eq 78 ]
	wrapped CONNLIMIT_PER_IP=1
	[ "$status" -eq 124 ] # it runs
	wrapped CONNLIMIT_PER_IP=5 CONNLIMIT_JOIN=yes
	[ "$status" -eq 124 ]
	own_status | grep "limit    1 per client (environment"
	# Two of one shell are one start: the second goes under the limits of the first, and says so.
	run timeout 3 env CONNLIMIT_PER_IP=2 CONNLIMIT_TABLE="test-$port-2" LD_PRELOAD="$PRELOAD" \
		sh -c "'$BUILD/tests/chaos_server' $(free_port) threads & one=\$!; sleep 0.5; CONNLIMIT_PER_IP=3 '$BUILD/tests/chaos_server' $(free_port) threads & trap \"kill \$! \$one\" TERM; wait" </dev/null
	echo "$output"
	[ "$status" -eq 124 ]
	[ "$(grep -c connlimit: <<<"$output")" -eq 1 ]
	[[ $output == *"table 'test-$port-2' belongs to another program of this daemon, which was started with CONNLIMIT_PER_IP=2, not 3: its limits apply"* ]]
	# A program that was given the same has nothing to say.
	run timeout 3 env CONNLIMIT_PER_IP=2 CONNLIMIT_TABLE="test-$port-2" LD_PRELOAD="$PRELOAD" \
		sh -c "'$BUILD/tests/chaos_server' $(free_port) threads & one=\$!; sleep 0.5; '$BUILD/tests/chaos_server' $(free_port) threads & trap \"kill \$! \$one\" TERM; wait" </dev/null
	[ "$status" -eq 124 ]
	[[ $output != *connlimit:* ]]
}

@test "security: of two daemons that begin at one moment, with one name and different settings, one begins" {
	local most one two
	for round in 1 2 3; do
		for most in 1 5; do
			CONNLIMIT_PER_IP=$most CONNLIMIT_TABLE="test-$port-$round" LD_PRELOAD="$PRELOAD" \
				timeout 3 "$BUILD/tests/chaos_server" "$(free_port)" threads >/dev/null 2>"$here/errors-$most" 3>&- </dev/null &
			pids+=("$!")
		done
		one=0 two=0
		wait "${pids[-2]}" || one=$?
		wait "${pids[-1]}" || two=$?
		echo "$one and $two"
		[[ $one:$two == 124:78 || $one:$two == 78:124 ]]
	done
	grep -h "belongs to another daemon, pid [0-9]*, which was started with CONNLIMIT_PER_IP" "$here"/errors-*
}

@test "security: a daemon that is supervised shares a table only if both have said the same, too" {
	CONNLIMIT_PER_IP=1 CONNLIMIT_TABLE="test-$port" LD_PRELOAD="$PRELOAD" "$BUILD/tests/chaos_server" "$port" threads >"$here/out" 2>"$here/errors" 3>&- </dev/null &
	pids+=("$!")
	until_true listening
	run timeout 3 "$CONNLIMIT" run --way supervise --table "test-$port" --per-ip 5 -- "$BUILD/tests/chaos_server" "$(free_port)" threads </dev/null
	[ "$status" -eq 78 ]
	[[ $output == *"which was started with CONNLIMIT_PER_IP=1, not 5"* ]]
	own_status | grep "limit    1 per client (environment"
	run timeout 3 "$CONNLIMIT" run --way supervise --table "test-$port" --per-ip 1 -- "$BUILD/tests/chaos_server" "$(free_port)" threads </dev/null
	[ "$status" -eq 124 ]
}

@test "security: who takes over the table that a killed daemon's child still has is its daemon to the next that comes" {
	local other of_before further
	further=$(free_port)
	CONNLIMIT_PER_IP=1 CONNLIMIT_TABLE="test-$port" LD_PRELOAD="$PRELOAD" python3 -c 'import os, signal, socket, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [10])
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
if os.fork(): os.kill(os.getpid(), 9)
s.close()
signal.sigwait([10])
os.execv(sys.argv[2], [sys.argv[2], sys.argv[3], "threads"])' "$port" "$BUILD/tests/chaos_server" "$further" >"$here/further" 2>&1 3>&- </dev/null || true
	of_before=$(pgrep -f "^python3 -c import os, signal.* $further\$")
	pids+=("$of_before")
	other=$("$CONNLIMIT" status --json "test-$port" | python3 -c 'import json, sys; print(json.load(sys.stdin)["tables"][0]["processes"])')
	[ "$other" -eq 1 ]
	CONNLIMIT_PER_IP=2 CONNLIMIT_TABLE="test-$port" LD_PRELOAD="$PRELOAD" "$BUILD/tests/chaos_server" "$port" threads >"$here/out" 2>"$here/errors" 3>&- </dev/null &
	daemon=$!
	pids+=("$daemon")
	until_true listening
	own_status | grep "limit    2 per client (environment"
	own_status | grep "started as pid $daemon,"
	differing CONNLIMIT_PER_IP=5
	[ "$status" -eq 78 ]
	[[ $output == *"table 'test-$port' belongs to another daemon, pid $daemon, which was started with CONNLIMIT_PER_IP=2, not 5"* ]]
	own_status | grep "limit    2 per client (environment"
	# What is left of the first start goes on, whatever it executes.
	kill -USR1 "$of_before"
	is_up() { (exec 3<>"/dev/tcp/127.0.0.1/$further") 2>/dev/null; }
	until_true is_up
	own_status | grep "limit    2 per client (environment"
}

# CPU seconds of a command and its children, which others' work on this machine has no part in.
cpu_of() {
	local TIMEFORMAT='%U %S'
	{ time "$@" >"$here/shown" 2>"$here/said"; } 2>"$here/time"
	awk '{ print $1 + $2 }' "$here/time"
}

# What a process's shared memory takes, in blocks of 512 bytes.
blocks_of() { grep -hF '/dev/zero (deleted)' "/proc/$1/maps" | while read -r range _; do stat -Lc %b "/proc/$1/map_files/$range"; done | awk '{ sum += $1 } END { print sum }'; }

@test "security: root's commands read a hundred sparse giants of another user in two seconds, and leave no memory behind" {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	local before after used
	limit_is 1
	server
	hostile --giants 100 giant
	# Others on this machine may look at these tables too, with whatever they have.
	for _ in 1 2 3 4 5; do
		before=$(blocks_of "$hostile_pid")
		used=$(cpu_of "$CONNLIMIT" status)
		after=$(blocks_of "$hostile_pid")
		echo "status: $used s, memory $before -> $after blocks"
		[ "$before" -gt 100 ]
		[ "$before" -ne "$after" ] || break
	done
	grep -q "^table test-$port$" "$here/shown"
	[ "$(($(grep -c '^table giant$' "$here/shown") + $(grep -c 'is not readable' "$here/said")))" -ge 100 ]
	awk -v used="$used" 'BEGIN { exit !(used < 2) }'
	[ "$before" -eq "$after" ]
	let_off
}

@test "security: a table that cannot be read costs its own line" {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	limit_is 1
	server
	hold 127.0.0.1 served
	hostile --giants 1 giant
	(ulimit -v 1000000 && "$CONNLIMIT" status) >"$here/shown" 2>"$here/said"
	grep -q "^table test-$port$" "$here/shown"
	grep -qx 'connlimit: a table of nobody (anonymous memory [0-9]*) is not readable: it cannot be attached: Cannot allocate memory' "$here/said"
	(ulimit -v 1000000 && "$CONNLIMIT" status --json) | python3 -c "
import json, sys
all = json.load(sys.stdin)
assert ['nobody', 'anonymous'] in [[t['user'], t['memory']] for t in all['not_readable']], all['not_readable']
assert 'test-$port' in [t['name'] for t in all['tables']]"
	(ulimit -v 1000000 && "$CONNLIMIT" metrics) | grep -qE '^connlimit_tables_not_readable [1-9]'
	let_off
}

@test "security: a table in which every word is a lie is read within a tenth of a second" {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	local used
	hostile --full full
	used=$(cpu_of "$CONNLIMIT" status full)
	echo "status: $used s"
	grep -q '^table full$' "$here/shown"
	awk -v used="$used" 'BEGIN { exit !(used < 0.25) }'
	let_off
}

@test "security: nothing in a table is shown but as printable characters, to people, as JSON and to Prometheus" {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	hostile --texts texts
	local command
	for command in status "status --json" "status --names" metrics suggest "clients 0.0.0.0/0" "set texts per-ip=20"; do
		# shellcheck disable=SC2086
		"$CONNLIMIT" $command >"$here/shown" 2>&1 || true
		[ -s "$here/shown" ]
		if LC_ALL=C grep -anvx $'[\t -~]*' "$here/shown" >"$here/raw"; then
			echo "$command: $(cat -v "$here/raw")"
			false
		fi
	done
	"$CONNLIMIT" status >"$here/shown" 2>"$here/said"
	grep -qF '\x1b[31m\xc2\x9b2J\x9b2J' "$here/shown"
	"$CONNLIMIT" status --json 2>"$here/said" | python3 -c 'import json, sys; json.load(sys.stdin)'
	# A label ends where it should, and there is one end.
	"$CONNLIMIT" metrics >"$here/shown" 2>"$here/said"
	[ "$(grep -c '^# EOF' "$here/shown")" -eq 1 ]
	run -1 grep -vE '^#|^[a-z_]+(\{([a-z_]+="([^"\\]|\\[\\"n])*",?)*\})? [-+0-9.e]+( [0-9.]+)?$' "$here/shown"
	let_off
}

@test "security: two users' tables of one name are told apart by their owners" {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	limit_is 1
	server
	hostile --giants 1 "test-$port"
	"$CONNLIMIT" status --names 2>"$here/said" | grep "^test-$port" >"$here/shown"
	[ "$(cat "$here/shown")" = "test-$port"$'\n'"test-$port@nobody" ]
	"$CONNLIMIT" status "test-$port@root" | grep -q '^  limit    1 per client'
	"$CONNLIMIT" status "test-$port@nobody" >"$here/shown"
	grep -q '^  limit    7 per client' "$here/shown"
	grep -qx '  user     nobody' "$here/shown"
	let_off
}

@test "security: a file is no table, whatever its path; and nobody's table is in the way of root's" {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	limit_is 1
	server
	hostile --file "test-$port"
	for _ in $(seq 20); do
		[ "$("$CONNLIMIT" status --names | grep -cx "test-$port")" -eq 1 ]
	done
	let_off
	hostile --full "test-$port"
	"$CONNLIMIT" set "test-$port" per-ip=2
	hold 127.0.0.1 served
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	"$CONNLIMIT" reload "test-$port"
	own_status | grep -q 'limit    1 per client (file'
	"$CONNLIMIT" status "test-$port@nobody" | grep -q 'limit    unlimited per client'
	[ "$("$CONNLIMIT" status | grep -cx "table test-$port")" -eq 2 ]
	"$CONNLIMIT" metrics >"$here/metrics"
	[ -z "$(grep -v '^#' "$here/metrics" | sed 's/ [^ ]*$//' | sort | uniq -d)" ] # no series twice
	let_off
}

@test "security: reload reads the daemon's own file as the daemon's user, and tells nobody else what stands there" {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	limit_is 1
	chmod 600 "$limits"
	server
	echo "CONNLIMIT_PER_IP=secret-word" >"$limits"
	run -78 "$CONNLIMIT" reload "test-$port"
	[[ $output == *"'secret-word' is not a number"* ]]
	[[ $(own_status) == *"limits.env:1:18: is wrong"* ]]
	[[ $(own_status) != *secret* ]]
	kill -HUP "$daemon"
	until_true grep -q secret-word "$here/errors" # to the daemon's log, not into the table
	[[ $(own_status) != *secret* ]]
	# Of a user's daemon a file is read that this user may read.
	echo "CONNLIMIT_PER_IP=7" >"$here/roots" && chmod 600 "$here/roots"
	cp "$BUILD/tests/chaos_server" "$PRELOAD" "$here"
	echo "CONNLIMIT_PER_IP=2" >"$here/users" && chown 65534 "$here/users"
	port=$(free_port)
	setpriv --reuid=65534 --regid=65534 --clear-groups env CONNLIMIT_FILE="$here/users" CONNLIMIT_TABLE="test-$port" \
		LD_PRELOAD="$here/libconnlimit_preload.so" "$here/chaos_server" "$port" threads >"$here/out" 2>&1 3>&- </dev/null &
	daemon=$!
	pids+=("$daemon")
	until_true listening
	ln -sf "$here/roots" "$here/users"
	run -78 "$CONNLIMIT" reload "test-$port@nobody"
	[[ $output == *"cannot be opened: Permission denied"* ]]
	"$CONNLIMIT" status "test-$port@nobody" | grep -q "limit    2 per client"
	"$CONNLIMIT" reload --file "$here/roots" "test-$port@nobody" # named by root, on the command line
	"$CONNLIMIT" status "test-$port@nobody" | grep -q "limit    7 per client"
}

@test "security: a table of another version is named as such, and neither misread nor joined; a restart beside it says so" {
	hostile --version "test-$port"
	"$CONNLIMIT" status >"$here/shown" 2>"$here/said"
	grep -qE "is not readable: its daemon, 'test-$port' \\(pid $hostile_pid\\), runs connlimit 0\.0\.9\\\\x1b\[31m, layout 0000000000000001, not [0-9a-f]{16}: restart it" "$here/said"
	limit_is 1
	server
	grep -F "table 'test-$port' is also used by a daemon under connlimit 0.0.9\\x1b[31m, another version" "$here/errors"
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	[ "$(own_status | grep -c '^table')" -eq 1 ]
	let_off
}

@test "security: a program that runs setuid is left alone" {
	cp "$(readlink -f /usr/bin/python3)" "$here/setuid"
	chmod 4755 "$here/setuid"
	# Whom we are preloaded into does not start with such a limit.
	run -78 setpriv --reuid=65534 --clear-groups env LD_PRELOAD="$PRELOAD" CONNLIMIT_PER_IP=junk python3 -c 'print("ran")'
	run -0 setpriv --reuid=65534 --clear-groups env LD_PRELOAD="$PRELOAD" CONNLIMIT_PER_IP=junk "$here/setuid" -c 'print("ran")'
	[[ $output == *ran* ]]
}

# Each file that must not be read, and what is said of it.
bad_files() {
	local big=$here/big
	echo CONNLIMIT_PER_IP=5 >"$here/foreign" && chown 65534 "$here/foreign"
	echo CONNLIMIT_PER_IP=5 >"$here/writable" && chmod 646 "$here/writable"
	echo CONNLIMIT_PER_IP=5 >"$here/group" && chown 0:65534 "$here/group" && chmod 664 "$here/group"
	cp -p "$here/foreign" "$here/aim"
	ln -s "$here/aim" "$here/link"
	ln -s "$here/loop" "$here/loop"
	mkfifo "$here/fifo"
	mkdir "$here/directory"
	python3 -c 'import sys; s = __import__("socket").socket(1); s.bind(sys.argv[1])' "$here/socket"
	truncate -s 2M "$big"
	head -c 1000000 /dev/urandom >"$here/noise"
	cat <<-FILES
		$here/foreign:belongs neither to root nor to the daemon's user
		$here/writable:others may write to it
		$here/group:a foreign group may write to it
		$here/link:belongs neither to root nor to the daemon's user
		$here/loop:cannot be opened
		$here/fifo:is not a regular file
		$here/directory:is not a regular file
		$here/socket:is not a regular file
		$here/none:cannot be opened
		/dev/zero:is not a regular file
		/dev/full:is not a regular file
		/proc/self/mem:is larger than 1048576 bytes|belongs neither|NUL|cannot be read|a line is
		$big:is larger than 1048576 bytes
		$here/noise::[0-9]+
	FILES
}

@test "security: what is no file of limits is not even opened: that alone does something to a device, or a FIFO" {
	mkfifo "$here/fifo"
	(exec echo written >"$here/fifo") &
	writer=$!
	sleep 0.3
	run -78 "$CONNLIMIT" run --file "$here/fifo" -- true
	[[ $output == *"is not a regular file"* ]]
	sleep 0.3
	kill -0 "$writer" # still waits for one who reads
	kill "$writer"
}

@test "security: a file of limits that others could write, or that is no file, stops the start at once" {
	local file said
	bad_files >"$here/files"
	while IFS=: read -r file said; do
		run timeout 20 env CONNLIMIT_FILE="$file" LD_PRELOAD="$PRELOAD" true </dev/null
		[ "$status" -eq 78 ] || { echo "$file: status $status"; false; }
		[[ $output =~ $said ]] || { echo "$file: $output"; false; }
	done <"$here/files"
}

@test "security: on reload it changes nothing, and the reason is logged" {
	local file said
	bad_files >"$here/files"
	limit_is 1
	server
	hold 127.0.0.1 served
	while IFS=: read -r file said; do
		[[ $file == "$here"/* ]] || continue
		: >"$here/errors"
		rm -rf "$limits"
		[[ ! -e $file && ! -L $file ]] || mv "$file" "$limits"
		kill -HUP "$daemon"
		until_true grep -qE "reload failed.*($said)" "$here/errors"
		hold 127.0.0.1 refused
	done <"$here/files"
	rm -rf "$limits"
	limit_is 2
	kill -HUP "$daemon"
	admitted_soon 127.0.0.1
	kill -0 "$daemon"
}
