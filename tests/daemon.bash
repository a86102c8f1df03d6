# What every test of a daemon needs: a directory, a port, starting under limits, clients that hold connections, and an end by pid.
# shellcheck shell=bash

load "${BASH_SOURCE[0]%/*}/built"

setup() {
	here=$(mktemp -d)
	chmod 755 "$here"
	port=$(free_port)
	limits=$here/limits.env
	pids=()
	ulimit -c 0
	if declare -F setup_more >/dev/null; then setup_more; fi
}

teardown() {
	local pid
	hold_nothing
	for pid in "${pids[@]}"; do
		kill_tree "$pid"
	done
	if declare -F teardown_more >/dev/null; then teardown_more; fi
	rm -rf "$here"
}

# Ends a process and its descendants, and waits until they are gone.
kill_tree() {
	local pid=$1 child tries
	for child in $(pgrep -P "$pid"); do
		kill_tree "$child"
	done
	kill -CONT "$pid" 2>/dev/null || true
	kill -TERM "$pid" 2>/dev/null || return 0
	for tries in $(seq 50); do
		kill -0 "$pid" 2>/dev/null || return 0
		[[ $(ps -o stat= -p "$pid" 2>/dev/null) != Z* ]] || return 0
		((tries < 25)) || kill -KILL "$pid" 2>/dev/null || true
		sleep 0.1
	done
}

# Below the ports that clients are given (ip_local_port_range): none of theirs can take it before the daemon does.
free_port() {
	python3 - <<-'PYTHON'
		import random, socket

		while True:
		    port = random.randint(10000, 30000)
		    try:
		        socket.create_server(("127.0.0.1", port)).close()
		        break
		    except OSError:
		        pass
		print(port)
	PYTHON
}

# until_true COMMAND...: waits, at most twenty seconds, for it to succeed.
until_true() {
	local tries
	for tries in $(seq 200); do
		if "$@"; then return 0; fi
		sleep 0.1
	done
	echo "never came true: $*" >&2
	return 1
}

listening() { [[ -n $(ss -Htln "sport = :$port") ]]; }

# limited COMMAND...: starts a daemon in the background under $limits, as init would, in a session without a terminal; $daemon is
# its pid, $here/errors its standard error.
limited() {
	setsid "$CONNLIMIT" run --file "$limits" --table "test-$port" -- "$@" >"$here/out" 2>>"$here/errors" 3>&- </dev/null &
	daemon=$!
	pids+=("$daemon")
	until_true listening
}

# Processes that supervise the daemon, if it is limited so: the kernel knows whom they hold a pidfd of.
supervisors() {
	local pid
	for pid in $(pgrep -x connlimit); do
		[[ $(ps -o stat= -p "$pid") == Z* ]] || ! grep -qs "^Pid:	$daemon$" "/proc/$pid/fdinfo/"* || echo "$pid"
	done
}

limit_is() { echo "CONNLIMIT_PER_IP=$1" >"$limits"; }

# Clients. One helper process holds connections for the test: hold ADDRESS sets $answer to served, refused or silent.
start_client() {
	coproc CLIENT { exec python3 "$SOURCE/tests/programs/client.py" "$port" "${request:-}" 3>&-; }
	# shellcheck disable=SC2034,SC2153 # bash sets it
	client_pid=$CLIENT_PID
	client_in=${CLIENT[1]}
	client_out=${CLIENT[0]}
}

tell_client() {
	[[ -n ${client_pid:-} ]] || start_client
	echo "$*" >&"$client_in"
	read -r -t 60 answer <&"$client_out"
}

# hold ADDRESS WANTED [AT]: opens a connection from there (to AT), and keeps it if it is served.
hold() {
	tell_client "open $1 ${3:-}"
	[[ $answer == "$2" ]] || { echo "from $1: $answer, not $2" >&2; return 1; }
}

# let_go ADDRESS: closes the oldest one held from there.
let_go() {
	tell_client "close $1"
	[[ $answer == closed ]]
}

# rounds ADDRESS N: opens, is served and closes, N times; $answer is how often it was served. In small parts, each of which may take
# its time on a busy machine.
rounds() {
	local left=$2 some total=0
	while ((left > 0)); do
		some=$((left < 5 ? left : 5))
		tell_client "rounds $1 $some"
		((total += answer, left -= some)) || true
	done
	answer=$total
}

hold_nothing() {
	[[ -n ${client_pid:-} ]] || return 0
	kill "$client_pid" 2>/dev/null || true
	wait "$client_pid" 2>/dev/null || true
	client_pid=
}

admitted_soon() { # ADDRESS [AT]: for what may take a moment
	local tries
	for tries in $(seq 100); do
		tell_client "open $1 ${2:-}"
		[[ $answer != served ]] || return 0
		sleep 0.05
	done
	echo "from $1: still $answer" >&2
	return 1
}

# What `connlimit status` says about this test's table; others may be there.
own_status() { "$CONNLIMIT" status | awk -v own="test-$port" '$1 == "table" { shown = $2 == own } shown'; }

# Connections that `connlimit status` counts for a client, and that the kernel has established on the daemon's port.
counted() { own_status | awk -v who="$1" '$1 == who { print $2; seen = 1 } END { if (!seen) print 0 }'; }
established() { ss -Htn state established state close-wait "sport = :$port" ${1:+"dst = $1"} | wc -l; }
counted_is() { [[ $(counted "$1") == "$2" ]]; }
agrees() { [[ $(counted "$1") == "$(established "$1")" ]]; }
nothing_held() { [[ $(counted 127.0.0.1) == 0 && $(established) == 0 ]]; }
no_table() { [[ -z $(own_status) ]]; }
