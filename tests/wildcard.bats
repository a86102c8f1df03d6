#!/usr/bin/env bats
# A daemon that listens on the wildcard address, and is reached at several: of a client far from its limit it is not asked where its
# connections arrive, and the limit holds as exactly as anywhere.

load daemon

request='hello\n'

start_socat() { # [COMMAND...] before it
	limited "$@" socat -t 0.01 "TCP-LISTEN:$port,fork,reuseaddr" EXEC:cat
}

# The children serve, and so their deaths go unseen.
kill_children() {
	local child
	for child in $(pgrep -P "$daemon"); do kill -KILL "$child" || true; done
	until_true no_children
}
no_children() { [[ -z $(pgrep -P "$daemon") ]]; }

# holds N ADDRESS AT: so many, and no more, from there to AT
holds() {
	local i
	for i in $(seq "$1"); do admitted_soon "$2" "$3"; done
}

@test "wildcard: a client far from its limit costs no system call" {
	local calls
	calls=$(CONNLIMIT_PER_IP=10 LD_PRELOAD=$PRELOAD WILDCARD=1 strace -f -e trace=getsockname "$BUILD/tests/repeat" connection 100 2>&1 |
		grep -c getsockname || true)
	echo "# $calls calls of getsockname for 100 connections" >&3
	((calls < 10))
}

limit_holds() {
	hold 127.0.0.9 served 127.0.0.1
	hold 127.0.0.9 served 127.0.0.2
	hold 127.0.0.9 served 127.0.0.3
	hold 127.0.0.9 served 127.0.0.2
	hold 127.0.0.9 served 127.0.0.4
	hold 127.0.0.9 served 127.0.0.1
	for _ in 1 2 3; do
		hold 127.0.0.9 refused 127.0.0.2
		hold 127.0.0.9 refused 127.0.0.5
	done
	counted_is 127.0.0.9 6
	agrees 127.0.0.9
	kill_children
	holds 6 127.0.0.9 127.0.0.3
	hold 127.0.0.9 refused 127.0.0.3
	hold 127.0.0.9 refused 127.0.0.1
	agrees 127.0.0.9
}

@test "wildcard: the limit is that of all addresses together, and what was killed is free, wherever it had arrived" {
	limit_is 6
	start_socat
	limit_holds
	own_status | grep -Eq "refused +[0-9]+"
}

@test "wildcard: the same where netlink is forbidden" {
	limit_is 6
	start_socat python3 "$SOURCE/tests/programs/without_netlink.py"
	limit_holds
}

@test "wildcard: clients are shown where they arrived" {
	limit_is 10
	start_socat
	hold 127.0.0.9 served 127.0.0.2
	hold 127.0.0.9 served 127.0.0.1
	[ "$("$CONNLIMIT" clients 127.0.0.9 "test-$port" | awk 'NR > 1 { print $3 }' | sort | paste -sd' ')" = "127.0.0.1 127.0.0.2" ]
	kill_children
	"$CONNLIMIT" clients 127.0.0.9 "test-$port" 2>&1 | grep -qx "connlimit: 127.0.0.9 has no open connection"
}

@test "wildcard: a rule by port needs no asking either" {
	echo "CONNLIMIT_RULES=\":$port=2\"" >"$limits"
	start_socat
	hold 127.0.0.9 served 127.0.0.1
	hold 127.0.0.9 served 127.0.0.2
	hold 127.0.0.9 refused 127.0.0.3
}

@test "wildcard: IPv4 and IPv6 clients of one listener" {
	limit_is 4
	limited socat -t 0.01 "TCP6-LISTEN:$port,fork,reuseaddr,ipv6only=0" EXEC:cat
	hold ::1 served
	hold ::1 served
	for _ in 1 2 3 4; do hold 127.0.0.9 served 127.0.0.2; done
	hold 127.0.0.9 refused 127.0.0.1
	hold ::1 served
	hold ::1 served
	hold ::1 refused
	kill_children
	holds 4 ::1 ::1
	holds 4 127.0.0.9 127.0.0.1
	hold ::1 refused
	hold 127.0.0.9 refused 127.0.0.2
}
