#!/usr/bin/env bats
# connlimit top, as a person sees it: in a terminal that tmux draws.

load daemon

request=x

setup_more() {
	limit_is 2
	limited socat "TCP-LISTEN:$port,bind=127.0.0.1,reuseaddr,fork" PIPE
	terminals=0
}

teardown_more() { "${tmux[@]}" kill-server 2>/dev/null || true; }

# on_terminal COLUMNS LINES COMMAND...: in a terminal of its own. Its status is in $here/status when it has ended. Each has a server
# of its own, known by its socket: one that was told to end may still answer on its own for a moment.
on_terminal() {
	local columns=$1 lines=$2
	shift 2
	tmux=(tmux -S "$here/tmux.$((++terminals))" -f /dev/null)
	"${tmux[@]}" new-session -d -x "$columns" -y "$lines" "$(printf '%q ' "$@"); echo \$? >$here/status; exec cat" 3>&-
}
keys() { "${tmux[@]}" send-keys "$@"; }
screen() { "${tmux[@]}" capture-pane -p "$@"; }
shows() { screen | grep -qE -- "$1"; }
shows_not() { ! shows "$1"; }
coloured() { [[ $(screen -e) =~ $'\e['[0-9\;]*3$1m ]]; } # a colour 30..37
row() { screen | grep -nE "^test-$port +$1 " | cut -d: -f1; }
ended_with() { [[ $(cat "$here/status" 2>/dev/null) == "$1" ]]; }
start_top() { on_terminal 110 24 "$CONNLIMIT" top "$@" "test-$port"; }

@test "top: clients, sorted and filtered by keys; the counts follow; q leaves the terminal as it was" {
	hold 127.0.0.1 served
	hold 127.0.0.2 served
	hold 127.0.0.2 served
	hold 127.0.0.3 served
	start_top
	until_true shows "^test-$port +127\.0\.0\.2 +2 +2 +2 +0 +"
	[ "$(row 127.0.0.2)" -lt "$(row 127.0.0.1)" ] # by connections
	keys c
	until_true eval '[ "$(row 127.0.0.1)" -lt "$(row 127.0.0.2)" ]'
	keys c
	until_true eval '[ "$(row 127.0.0.3)" -lt "$(row 127.0.0.1)" ]'
	keys /0.3
	until_true shows_not '127\.0\.0\.1 '
	shows 'filter: 0\.3'
	keys Escape
	until_true shows '127\.0\.0\.1 '
	let_go 127.0.0.2
	until_true shows "^test-$port +127\.0\.0\.2 +1 "
	hold 127.0.0.2 served
	hold 127.0.0.2 refused
	until_true shows "^test-$port +127\.0\.0\.2 +2 +2 +2 +1 "
	shows "^test-$port +socat .* 4/65536 +2 +1 +1 +4/4 enforce"
	keys h
	until_true shows 'q quits'
	keys Escape
	until_true shows '^TABLE +CLIENT'
	keys q
	until_true ended_with 0
	until_true shows_not 'CLIENT'
}

@test "top: one client's connections, and their end" {
	hold 127.0.0.1 served
	hold 127.0.0.2 served
	hold 127.0.0.2 served
	start_top
	until_true shows "^test-$port +127\.0\.0\.2 +2 "
	keys Enter
	until_true shows "^127\.0\.0\.2 in table test-$port: 2 connections"
	# Held by the child that was made for it.
	[ "$(screen | grep -E "^127\.0\.0\.2 +[0-9]+ +127\.0\.0\.1 +$port +[0-9]+s +[0-9]+" | awk '{ print $6 }' | xargs ps -o ppid= -p | grep -cw "$daemon")" -eq 2 ]
	keys Escape
	until_true shows '^TABLE +CLIENT'
	keys k
	until_true shows "end the 2 connections of 127\.0\.0\.2 in table test-$port\? y/n"
	keys n
	until_true shows_not 'y/n'
	counted_is 127.0.0.2 2
	keys k
	until_true shows 'y/n'
	keys y
	until_true shows 'connections ended'
	if shows 'cannot end connections|not permitted'; then skip "the kernel or the user may not"; fi
	shows '2 of 2 connections ended'
	until_true counted_is 127.0.0.2 0
	counted_is 127.0.0.1 1
	keys q
	until_true ended_with 0
}

@test "top: another user sees how many daemons are not shown, and ends with 77" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to be another user"
	cp "$CONNLIMIT" "$here/connlimit"
	on_terminal 110 24 setpriv --reuid=$((port + 40000)) --regid=65534 --clear-groups "$here/connlimit" top
	until_true shows '^connlimit top .* 0 daemons \([1-9][0-9]* not shown\), 0 clients'
	keys q
	until_true ended_with 77
	until_true shows 'of other users not shown: only they and root may read'
}

@test "top: any size of terminal, and tables that go and come" {
	hold 127.0.0.1 served
	start_top
	until_true shows "^test-$port +127\.0\.0\.1 +1 "
	for size in 60x12 20x5 1x1 300x60 80x24; do
		"${tmux[@]}" resize-window -x "${size%x*}" -y "${size#*x}"
		until_true eval '[[ $("${tmux[@]}" display -p "#{window_width}x#{window_height}") == "$size" ]]'
		sleep 0.3
	done
	until_true shows "^test-$port +127\.0\.0\.1 +1 "
	[ -z "$(screen | awk 'length($0) > 80')" ]
	kill_tree "$daemon"
	until_true shows 'that table is gone; waiting for it'
	hold_nothing
	setup_more
	hold 127.0.0.1 served
	until_true shows "^test-$port +127\.0\.0\.1 +1 "
	keys C-c
	until_true ended_with 0
}

@test "top: at 80 and at 40 columns addresses and numbers are whole, or marked" {
	[ -e /proc/net/if_inet6 ] || skip "no IPv6"
	kill_tree "$daemon"
	until_true eval '! listening'
	limited socat "TCP6-LISTEN:$port,bind=[::1],reuseaddr,fork" PIPE
	"$CONNLIMIT" set "test-$port" ipv6-prefix=128 rules='[::1]/128=16000000'
	hold ::1 served
	hold ::1 served
	# What the table says of the client's history may have any size: there is no room for it in seven columns.
	for size in 80 40; do
		on_terminal $size 24 "$CONNLIMIT" top "test-$port"
		until_true shows "::1 +2 +16000000 "
		until_true shows "^test-$port .*2/65536 "
		[ -z "$(screen | awk -v most=$size 'length($0) > most')" ]
		keys Enter
		until_true shows "^::1 +[0-9]+ +(::1 +)?($port +)?[0-9]+s"
		[ "$(screen | grep -cE '^CLIENT')" -eq 1 ]
		# Sentences do not fit 40 columns, and show it.
		((size > 40)) || [ "$(screen | grep -cE '^.{39}~$')" -ge 1 ]
		keys q
		until_true ended_with 0
		rm "$here/status"
		"${tmux[@]}" kill-server
	done
	# A name that is longer than there is room for.
	on_terminal 24 12 "$CONNLIMIT" top "test-$port"
	until_true shows '^.{23}~$'
}

@test "top: what would be refused has a column, and is not among the refused" {
	"$CONNLIMIT" set "test-$port" mode=observe
	for _ in 1 2 3; do hold 127.0.0.1 served; done
	start_top
	until_true shows "OBSERVED"
	until_true shows "^test-$port +127\.0\.0\.1 +3 +2 +3 +0 +0\.0 +1 "
}

@test "top: who is banned has a column, with how long still" {
	hold 127.0.0.1 served
	"$CONNLIMIT" ban 127.0.0.1 for 2h "test-$port"
	start_top
	until_true shows "BANNED"
	until_true shows "^test-$port +127\.0\.0\.1 +1 +2 +1 +0 +0\.0 .*1h 59m"
	"$CONNLIMIT" unban 127.0.0.1 "test-$port"
	until_true eval '! shows "BANNED"'
}

@test "top: NO_COLOR is heeded" {
	hold 127.0.0.1 served
	hold 127.0.0.1 served
	start_top
	until_true shows "127\.0\.0\.1 +2 "
	until_true coloured 3
	keys q
	until_true ended_with 0
	rm "$here/status"
	"${tmux[@]}" kill-server
	on_terminal 110 24 env NO_COLOR=1 "$CONNLIMIT" top "test-$port"
	until_true shows "127\.0\.0\.1 +2 "
	run -1 coloured '[0-7]'
	keys q
	until_true ended_with 0
}

@test "top: where nothing can be drawn it says so" {
	run -1 "$CONNLIMIT" top
	[[ $output == "connlimit top: standard input and output must be a terminal"* ]]
	for terminal in "TERM=" "TERM=dumb" "TERM=no-such-terminal"; do
		rm -f "$here/said" "$here/status"
		on_terminal 80 24 sh -c "exec env $terminal $CONNLIMIT top 2>$here/said"
		until_true ended_with 1
		grep -q "^connlimit top: TERM.*'connlimit status --watch' needs no terminal" "$here/said"
		"${tmux[@]}" kill-server
	done
	TERM=xterm run -1 script -qec "$CONNLIMIT top no-such-table" /dev/null
	[[ $output == *"there is no table 'no-such-table'"* ]]
	run -2 "$CONNLIMIT" top --delay 0
	[[ $output == *"--delay: '0' is not a number of seconds from 1 to 3600"* ]]
}

@test "top: n shows networks in place of clients, where there is a limit on them, and back" {
	hold 127.0.0.1 served
	hold 127.0.0.2 served
	start_top
	until_true shows "^test-$port +127\.0\.0\.2 +1 +2 "
	keys n
	until_true shows "no daemon has a limit on networks"
	"$CONNLIMIT" set "test-$port" per-network=3
	until_true eval 'keys n; sleep 0.3; shows "^TABLE +NETWORK +OPEN"'
	until_true shows "^test-$port +127\.0\.0\.0/24 +2 +3 +2 +0 +"
	shows_not "127\.0\.0\.2 +1 "
	hold 127.0.0.3 served
	hold 127.0.0.4 refused
	until_true shows "^test-$port +127\.0\.0\.0/24 +3 +3 +3 +1 +"
	keys Enter
	until_true shows "127.0.0.0/24 in table test-$port: 3 connections"
	keys Escape
	keys n
	until_true shows "^TABLE +CLIENT +OPEN"
	until_true shows "^test-$port +127\.0\.0\.2 +1 +2 "
}
