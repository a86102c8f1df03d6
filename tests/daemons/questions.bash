# The questions that every daemon is asked. A daemon's file supplies how it is started and spoken to:
#
#   program         what is tested, for the version in scripts/compatibility; note: what is to be said there
#   protocol        what client.py speaks with it
#   ready           a function, if anything is to be made ready (needs PROGRAM..., as_root_or_skip)
#   start           a function: writes what the daemon needs into $here and calls `launch COMMAND...`
#   rounds_asked    how many rounds of connect, serve, disconnect (1000)
#   behind_asked    how many refusals with another client right behind (15)
#   refused_asked   how many are refused, or served without us, beside those that are held (3)
#   log             its log, beside its standard output and error
#   stop_signal     what ends it (TERM)
#   on_hangup       what SIGHUP does to it: keeps its connections (stays), or ends them by and by (renews), or ends itself (ends), or
#                   nothing (ignores)
#   known_complaint what it says, beside what it does, of an answer of ours that the manual allows: with the reason
#
# shellcheck shell=bash disable=SC2034,SC2153,SC2154

load ../daemon

rounds_asked=1000
behind_asked=15
refused_asked=3
stop_signal=TERM
on_hangup=stays
log=
limited=yes
named=()
place=()

# What is tested is copied to where a daemon that runs as another user can read it, as an installed one could.
setup_more() {
	mkdir "$here/bin"
	cp "$CONNLIMIT" "$PRELOAD" "$here/bin"
	CONNLIMIT=$here/bin/connlimit
	log=$here/log
	if declare -F ready >/dev/null; then ready; fi
}

teardown_more() {
	[[ -z ${BATS_TEST_COMPLETED:-} && -z ${BATS_TEST_SKIPPED:-} ]] || return 0
	tail -n 20 "$here/out" "$here/errors" "$log" 2>/dev/null || true
}

as_root_or_skip() { ((EUID == 0)) || skip "needs root"; }

needs() {
	local program
	for program; do
		command -v "$program" >/dev/null || skip "$program is not installed"
	done
}

# unpacked PACKAGE USER GROUP...: what is launched finds a package that is only unpacked (scripts/packages) lying over this system, $here/etc
# over /etc, and these users and groups.
unpacked() {
	local id=61100 name
	as_root_or_skip
	[[ -d /opt/connlimit-test/$1 ]] || skip "$1 is not unpacked"
	unshare --mount mount -t overlay overlay -o "lowerdir=/opt/connlimit-test/$1/usr:/usr" /usr || skip "no overlays"
	mkdir "$here/etc"
	cp /etc/passwd /etc/group "$here/etc"
	for name in "${@:2}"; do
		id=$((id + 1))
		grep -q "^$name:" "$here/etc/group" || echo "$name:x:$id:" >>"$here/etc/group"
		grep -q "^$name:" "$here/etc/passwd" || echo "$name:x:$id:$id::/nonexistent:/usr/sbin/nologin" >>"$here/etc/passwd"
	done
	cat >"$here/in-place" <<-PLACE
		#!/bin/sh
		mount -t overlay overlay -o "lowerdir=/opt/connlimit-test/$1/usr:/usr" /usr
		mount -t overlay overlay -o "lowerdir=$here/etc:/etc" /etc
		exec "\$@"
	PLACE
	chmod 755 "$here/in-place"
	place=(unshare --mount "$here/in-place")
}

# launch COMMAND...: under limits, or without us where the two are compared.
launch() {
	launched=$*
	local command=("$CONNLIMIT" run --file "$limits" "${named[@]}" --)
	[[ $limited == yes ]] || command=()
	# In a session of its own: some send signals to their whole process group.
	setsid "${place[@]}" "${command[@]}" "$@" >>"$here/out" 2>>"$here/errors" 3>&- </dev/null &
	daemon=$!
	pids+=("$daemon")
	until_true listening
}

start_client() {
	coproc CLIENT { exec python3 "$SOURCE/tests/daemons/client.py" "$protocol" "$port" 3>&-; }
	client_pid=$CLIENT_PID
	client_in=${CLIENT[1]}
	client_out=${CLIENT[0]}
}

# The client says "closed" when the kernel has let go of the daemon's side.
let_go() {
	tell_client "close $1"
	[[ $answer == closed ]] || { echo "from $1: $answer, not closed" >&2; return 1; }
}

# Where a process for each client closes the connection some time before it ends: it counts until then.
let_go_with_its_process() {
	local sessions
	sessions=$(pgrep -cP "$daemon")
	tell_client "close $1"
	[[ $answer == closed ]] || return 1
	until_true fewer_than "$sessions"
}
fewer_than() { (($(pgrep -cP "$daemon") < $1)); }

# What there is to wait for when many sessions have ended. For such a daemon: rounds_ended() { until_true fewer_than 1; }
rounds_ended() { :; }

drop_all() {
	tell_client drop
	until_true nothing_open
}
nothing_open() { [[ $(established) == 0 ]]; }

# This daemon's part of `connlimit status`: other tests may run beside. A table is made for each start, as for most people, or has a name.
own_status() {
	"$CONNLIMIT" status | awk -v pid="$daemon" -v table="${named[1]-}" '
		/^table / { mine = $2 == table; name = $0; if (mine) print; next }
		table == "" && $0 ~ "started as pid " pid "," { mine = 1; print name }
		mine'
}
own_table() { own_status | awk '/^table / { print $2; exit }'; }
limit_in_force_is() { own_status | grep -q "limit  *$1 per client"; }
status_is_empty() { [[ -z $(own_status) ]]; }

# Processes that hold the daemon's connections from an address.
serving() { ss -Htnp state established "sport = :$port" "dst = $1" | grep -o 'pid=[0-9]*' | cut -d= -f2 | sort -u; }

# The daemon's table, as the segment that it has mapped, or its supervisor.
segments() {
	local pid
	for pid in "$daemon" $(supervisors); do
		awk '/\/SYSV/ { print $5 }' "/proc/$pid/maps"
	done | sort -u
}
# What a killed process had last is removed by the next to look or start.
segment_gone() { own_status >/dev/null; ! ipcs -m | grep -q "^0x[0-9a-f]*  *$1 "; }

stop() {
	local status=0
	kill -"$stop_signal" "$daemon"
	until_true ended
	wait "$daemon" || status=$?
	stopped_with=$status
}

# Ends what a test started: the daemon as it is meant to end, and then whatever is left of its session.
kill_tree() {
	local tries
	kill -"$stop_signal" "$1" 2>/dev/null || true
	for ((tries = 0; tries < 20; tries++)); do
		[[ $(ps -o stat= -p "$1") == [!Z]* ]] || break
		sleep 0.05
	done
	pkill -KILL -s "$1" 2>/dev/null || true
	kill -KILL "$1" 2>/dev/null || true
}

ended() { ! kill -0 "$daemon" 2>/dev/null || [[ $(ps -o stat= -p "$daemon") == Z* ]]; }

# For what must fail: a bare "!" would not end the test.
fails() { if "$@"; then return 1; fi; }

full() { # ADDRESS N: that many and no more
	local i
	for ((i = 0; i < $2; i++)); do
		hold "$1" served
	done
	hold "$1" refused
}

# ---- the questions ----

holds_the_limit() {
	limit_is 3
	start
	full 127.0.0.1 3
	hold 127.0.0.1 refused
	full 127.0.0.2 3
	[ "$(counted 127.0.0.1)" -eq 3 ]
	agrees 127.0.0.1
	agrees 127.0.0.2
	tell_client alive
	[ "$answer" -eq 6 ]
}

admits_after_a_close() {
	local i
	limit_is 2
	start
	full 127.0.0.1 2
	for ((i = 0; i < 5; i++)); do
		let_go 127.0.0.1
		hold 127.0.0.1 served
		hold 127.0.0.1 refused
	done
	agrees 127.0.0.1
}

counts_true_after_rounds() {
	limit_is 3
	start
	rounds 127.0.0.1 "$rounds_asked"
	echo "served $answer of $rounds_asked" >&2
	[ "$answer" -eq "$rounds_asked" ]
	until_true agrees 127.0.0.1
	[ "$(counted 127.0.0.1)" -eq 0 ]
	rounds_ended
	full 127.0.0.1 3
	agrees 127.0.0.1
}

limit_changes() {
	limit_is 2
	start
	full 127.0.0.1 2
	limit_is 4
	if [[ $on_hangup == ignores ]]; then
		kill -HUP "$daemon"
		sleep 0.3
		limit_in_force_is 2
	elif [[ $on_hangup != ends ]]; then
		hang_up 4
		until_true held_up_to 4
		hold 127.0.0.1 refused
		limit_is 2
		hang_up 2
		if [[ $on_hangup == stays ]]; then
			tell_client alive # lowering closes nobody
			[ "$answer" -eq 4 ]
			hold 127.0.0.1 refused
		fi
		drop_all
		full 127.0.0.1 2
		drop_all
	fi
	limit_is 4
	"$CONNLIMIT" reload "$(own_table)"
	limit_in_force_is 4
	until_true held_up_to 4
	hold 127.0.0.1 refused
	limit_is 2
	"$CONNLIMIT" reload "$(own_table)"
	hold 127.0.0.1 refused
	let_go 127.0.0.1
	let_go 127.0.0.1
	hold 127.0.0.1 refused
	let_go 127.0.0.1
	admitted_soon 127.0.0.1 # when the daemon, or its child, has closed its side
	hold 127.0.0.1 refused
}

hang_up() {
	local old
	old=$(pgrep -P "$daemon") || true
	kill -HUP "$daemon"
	until_true limit_in_force_is "$1"
	if declare -F hung_up >/dev/null; then hung_up; fi
	if [[ $on_hangup == renews ]]; then
		drop_all
		until_true none_alive "$old"
	fi
}

none_alive() {
	local pid
	for pid in $1; do
		! kill -0 "$pid" 2>/dev/null || [[ $(ps -o stat= -p "$pid") == Z* ]] || return 1
	done
}

held_up_to() {
	local open
	tell_client alive
	open=$answer
	while ((open++ < $1)); do
		hold 127.0.0.1 served || return 1
	done
}

# The same clients with and without us. What the daemon complains of under limits, it also complains of without when a client
# resets its connection at once: for that is what a refusal looks like to it.
no_new_complaint() {
	limit_is 2
	visit refused
	mv "$here/complaints" "$here/complaints-limited"
	limited=no
	status_limited=$stopped_with
	visit served
	echo "exit status $status_limited with, $stopped_with without" >&2
	[ "$status_limited" -eq "$stopped_with" ]
	comm -23 "$here/complaints-limited" "$here/complaints" >"$here/new"
	sed 's/^/new: /' "$here/new" >&2
	[ ! -s "$here/new" ]
}

visit() { # WANTED: of the third at once
	local i
	: >"$here/errors"
	: >"$here/out"
	rm -f "$log"
	start
	hold 127.0.0.1 served
	hold 127.0.0.1 served
	for ((i = 0; i < refused_asked; i++)); do
		hold 127.0.0.1 "$1"
		tell_client "reset 127.0.0.1"
	done
	hold 127.0.0.2 served
	let_go 127.0.0.1
	let_go 127.0.0.2
	admitted_soon 127.0.0.1 # one that was reset may have been waiting, and counts until a check finds it dead
	drop_all
	rounds 127.0.0.1 5
	stop
	hold_nothing
	cat "$here/out" "$here/errors" "$log" 2>/dev/null | grep -v '^connlimit: ' |
		grep -vE "${known_complaint:-^$}" |
		grep -iE 'err|fail|warn|crit|alert|emerg|fatal|panic|denied|abort|cannot|can.t|could not|refus|invalid|unable|bad |corrupt|leak|exception|traceback' |
		sed -E 's/[0-9a-f]*[0-9][0-9a-f]*/N/g' | sort -u >"$here/complaints"
}

kill_frees_clients() {
	local pid
	limit_is 2
	named=(--table "test-$port") # what is started again finds the table of what was killed
	start
	full 127.0.0.1 2
	for pid in $(serving 127.0.0.1); do
		kill -KILL "$pid" || true # it may end with another of them
	done
	until_true nothing_open
	if gone_with_it; then
		wait "$daemon" || true
		start
	fi
	admitted_soon 127.0.0.1
	admitted_soon 127.0.0.1
	hold 127.0.0.1 refused
	agrees 127.0.0.1
}

# The daemon itself was killed, or ends because one of its processes was.
gone_with_it() {
	local tries
	for ((tries = 0; tries < 20; tries++)); do
		if ended; then return 0; fi
		sleep 0.05
	done
	return 1
}

# A daemon that forks closes its side of what a child still has, so the kernel is asked what has ended since. Two, where a child
# is still at its end when the next one comes.
peaks_are_of_open_ones() {
	limit_is 5
	start
	rounds 127.0.0.1 "$rounds_asked"
	[ "$answer" -eq "$rounds_asked" ]
	"$CONNLIMIT" suggest "$(own_table)" >"$here/suggested"
	awk -v most="${peak_most:-2}" '/^ *PEAK / { peaks = 1; next } peaks && NF { seen++; if ($2 > 0 && $1 + 0 > most) over = 1 } END { exit over || !seen }' \
		"$here/suggested" || { cat "$here/suggested"; false; }
	"$CONNLIMIT" status --json "$(own_table)" | python3 -c '
import json, sys
table, = json.load(sys.stdin)["tables"]
print("refused", table["refused"], "checks", table["checks"]["number"], "of", sys.argv[1])
sys.exit(table["refused"] > 0 or table["checks"]["number"] > 1.5 * int(sys.argv[1]))' "$rounds_asked"
}

leaves_nothing_behind() {
	local id ids
	limit_is 2
	start
	full 127.0.0.1 2
	ids=$(segments)
	[ -n "$ids" ]
	stop
	tell_client drop # where a client's process outlives the daemon
	until_true nothing_open
	until_true status_is_empty
	for id in $ids; do until_true segment_gone "$id"; done
	start
	full 127.0.0.1 2
	agrees 127.0.0.1
}

# The one that is refused costs the others no wait, however the daemon takes it.
serves_others_at_once() {
	limit_is 1
	start
	hold 127.0.0.1 served
	tell_client "behind 127.0.0.1 $behind_asked"
	echo "behind a refusal $answer ms longer" >&2
	[ "$answer" -lt 100 ]
	tell_client alive
	[ "$answer" -eq 1 ]
	run ! ended
}
