#!/usr/bin/env bats
# Daemons under load from many addresses while their processes are killed, stopped and continued at random. Nobody is over the
# limit meanwhile; afterwards the table and the kernel agree on every client, and each can open exactly its limit again. And the
# same while a worker that was taken over scribbles over the table: what then holds is that nobody crashes or hangs, and that
# the limits are right again with the next start.
#
# CHAOS_SECONDS (12) each; the choices follow SEED, which is printed.

load daemon

request='GET / HTTP/1.1\r\nHost: test\r\n\r\n'
addresses=40
limit=3

setup_more() {
	seed=${SEED:-$RANDOM}
	seconds=${CHAOS_SECONDS:-12}
	echo "SEED=$seed"
	RANDOM=$((seed % 32768))
	limit_is $limit
}

start_nginx() {
	cat >"$here/nginx.conf" <<-NGINX
		worker_processes 3; daemon off; pid $here/pid; error_log $here/log notice;
		events { worker_connections 512; }
		http {
			access_log off; keepalive_timeout 600; keepalive_requests 100000;
			client_body_temp_path $here; proxy_temp_path $here; fastcgi_temp_path $here; uwsgi_temp_path $here; scgi_temp_path $here;
			server { listen 127.0.0.1:$port; location / { return 200 "hello\n"; } }
		}
	NGINX
	limited nginx -p "$here" -c "$here/nginx.conf"
}

load_begins() { # REQUEST
	coproc LOAD { exec "$BUILD/tests/chaos_client" "$port" $addresses $limit "$seconds" "$seed" "$1" 3>&- 2>&1; }
	# shellcheck disable=SC2153 # bash sets it
	load_pid=$LOAD_PID
	load_in=${LOAD[1]}
	load_out=${LOAD[0]}
	pids+=("$load_pid")
}

# Reads the client's lines until one begins with WORD, which becomes $line.
load_says() { # WORD
	while read -r -t 120 line <&"$load_out"; do
		echo "$line"
		[[ $line != "$1"* ]] || return 0
	done
	echo "the client never said $1"
	return 1
}

processes() { pgrep -P "$daemon"; }

# Kills, stops and continues; now and then something else that the daemon is used to.
chaos() { # SECONDS [COMMAND...]
	local until=$((SECONDS + $1)) stopped=() pid all
	shift
	while ((SECONDS < until)); do
		mapfile -t all < <(processes)
		((${#all[@]})) || { sleep 0.05; continue; }
		pid=${all[RANDOM % ${#all[@]}]}
		case $((RANDOM % 10)) in
		0 | 1 | 2) kill -KILL "$pid" 2>/dev/null || true ;;
		3 | 4 | 5) ! kill -STOP "$pid" 2>/dev/null || stopped+=("$pid") ;;
		6) [[ $# -eq 0 ]] || "$@" ;;
		*)
			((!${#stopped[@]})) || kill -CONT "${stopped[0]}" 2>/dev/null || true
			stopped=("${stopped[@]:1}")
			;;
		esac
		sleep "0.0$((RANDOM % 9 + 1))"
	done
	for pid in "${stopped[@]}" $(processes); do kill -CONT "$pid" 2>/dev/null || true; done
}

stop_and_continue_daemon() {
	kill -STOP "$daemon"
	sleep 0.05
	kill -CONT "$daemon"
}

reload_daemon() { kill -HUP "$daemon"; }

accepted_all() { [[ $(ss -Htln "sport = :$port" | awk '{ print $2 }') == 0 ]]; }

# For every client: as many in the table as the kernel has.
same_as_the_kernel() {
	"$CONNLIMIT" status --json "test-$port" >"$here/status"
	ss -Htn state established state close-wait "sport = :$port" >"$here/ss"
	python3 - "$here" <<-'PYTHON'
		import collections, json, sys

		here = sys.argv[1]
		table = {c["client"]: c["open"] for c in json.load(open(here + "/status"))["tables"][0]["clients"] if c["open"]}
		kernel = collections.Counter(line.split()[-1].rsplit(":", 1)[0] for line in open(here + "/ss"))
		differ = {a: (table.get(a, 0), kernel.get(a, 0)) for a in set(table) | set(kernel) if table.get(a, 0) != kernel.get(a, 0)}
		print(sum(table.values()), "open;", "table and kernel differ:" if differ else "the same in the kernel", differ or "")
		sys.exit(1 if differ else 0)
	PYTHON
}

order_again() {
	load_says held
	[[ $line == *"over 0" ]]
	[[ $line != *"served 0"* ]]
	until_true accepted_all
	until_true same_as_the_kernel
	echo close >&"$load_in"
	load_says closed
	until_true same_as_the_kernel
	echo check >&"$load_in"
	load_says checked
	[[ $line == *"wrong 0" ]]
	wait "$load_pid"
}

nobody_crashed() {
	kill -TERM "$daemon"
	wait "$daemon"
	grep -qx 'crashed 0' "$here/out"
}

@test "chaos: nginx" {
	start_nginx
	load_begins $'GET / HTTP/1.1\r\nHost: test\r\n\r\n'
	chaos "$seconds" reload_daemon
	order_again
	[ -z "$(grep 'exited on signal' "$here/log" | grep -v 'exited on signal 9')" ]
}

@test "chaos: a server that forks" {
	limited "$BUILD/tests/chaos_server" "$port" fork
	load_begins ''
	chaos "$seconds" stop_and_continue_daemon
	order_again
	nobody_crashed
}

@test "chaos: a server with threads" {
	limited "$BUILD/tests/chaos_server" "$port" threads
	load_begins ''
	chaos "$seconds"
	order_again
	nobody_crashed
}

# ---- a hostile worker ----

hostile_begins() {
	"$BUILD/tests/hostile" "test-$port" "$seed" >"$here/hostile" 3>&- &
	hostile_pid=$!
	pids+=("$hostile_pid")
	until_true grep -q ready "$here/hostile"
	[[ $(<"$here/hostile") == ready ]] || { cat "$here/hostile"; false; }
}

# Those who look at the table neither crash nor hang.
look_at_it() {
	local status argument
	for argument in status 'status --json' metrics 'clients 127.0.0.0/8' "reload test-$port"; do
		status=0
		# shellcheck disable=SC2086
		timeout 60 "$CONNLIMIT" $argument >"$here/looked" 2>&1 || status=$?
		((status < 124)) || { echo "connlimit $argument: status $status"; return 1; }
		! tr -d '\n\t' <"$here/looked" | LC_ALL=C grep -q '[[:cntrl:]]' || {
			echo "connlimit $argument: control characters"
			cat -v "$here/looked"
			return 1
		}
	done
}

hostile_chaos() {
	local until=$((SECONDS + seconds))
	hostile_begins
	while ((SECONDS < until)); do
		chaos 2
		look_at_it
	done
	kill -KILL "$hostile_pid"
	wait "$hostile_pid" || true
}

# With a new start of the daemon, under the same name, everything is right.
renewed() {
	load_says held
	echo close >&"$load_in"
	load_says closed
	echo end >&"$load_in"
	wait "$load_pid" || true
	kill -TERM "$daemon"
	wait "$daemon" || true
	run -1 grep 'crashed [1-9]' "$here/out"
	: >"$here/errors"
	"$@"
	seconds=2
	load_begins "${load_request:-}"
	order_again
	[ ! -s "$here/errors" ] || grep -q refused "$here/errors"
}

@test "hostile: a server with threads" {
	limited "$BUILD/tests/chaos_server" "$port" threads
	load_begins ''
	hostile_chaos
	until_true listening
	renewed limited "$BUILD/tests/chaos_server" "$port" threads
	nobody_crashed
}

@test "hostile: nginx" {
	start_nginx
	load_request=$'GET / HTTP/1.1\r\nHost: test\r\n\r\n'
	load_begins "$load_request"
	hostile_chaos
	[ -z "$(grep 'exited on signal' "$here/log" | grep -v 'exited on signal 9')" ]
	renewed start_nginx
}
