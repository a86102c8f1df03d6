#!/usr/bin/env bats
# Lists of networks that CONNLIMIT_RULES names: what they mean, how they are read, what is wrong with them.

load daemon

request=x

setup_more() { mkdir "$here/beside"; limits=$here/beside/limits.env; }

rules_are() { printf '%s\n' CONNLIMIT_PER_IP=1 "CONNLIMIT_RULES=\"$1\"" >"$limits"; }
list_is() { printf '%s\n' "${@:2}" >"$here/beside/$1"; }

started() { # WAY
	cat >"$here/server.py" <<-'PYTHON'
		import selectors, socket, sys

		selector = selectors.DefaultSelector()
		selector.register(socket.create_server(("", int(sys.argv[1]))), selectors.EVENT_READ)
		kept = []
		while True:
		    for key, _ in selector.select():
		        connection, _ = key.fileobj.accept()
		        try:
		            connection.sendall(connection.recv(1))
		        except OSError:
		            pass
		        kept.append(connection)
	PYTHON
	setsid "$CONNLIMIT" run --way "${1:-preload}" --file "$limits" --table "test-$port" -- python3 "$here/server.py" "$port" \
		>"$here/out" 2>>"$here/errors" 3>&- </dev/null &
	daemon=$!
	pids+=("$daemon")
	until_true listening
}

reload_fails() { # WORDS
	run "$CONNLIMIT" reload "test-$port"
	echo "$output"
	[ "$status" -eq 78 ]
	[[ $output == *"the old limits stand: $1"* ]]
}

@test "networks of a list, and no others, have its limit; a reload reads it again, and both ways of limiting do" {
	for way in preload supervise; do
		list_is office.list "# the office" "127.0.0.2" "  127.0.0.8/30 ; its branch" ""
		rules_are "@office.list=unlimited 127.0.0.9=2"
		started "$way"
		hold 127.0.0.2 served
		hold 127.0.0.2 served
		hold 127.0.0.10 served
		hold 127.0.0.10 served
		hold 127.0.0.3 served
		hold 127.0.0.3 refused
		hold 127.0.0.9 served
		hold 127.0.0.9 served
		hold 127.0.0.9 refused
		list_is office.list 127.0.0.3
		"$CONNLIMIT" reload "test-$port"
		hold 127.0.0.3 served
		hold 127.0.0.2 refused
		hold 127.0.0.10 refused
		hold_nothing
		kill_tree "$daemon"
		port=$(free_port)
	done
}

@test "the reload signal reads a list again; a supervised program's when the file of limits is written" {
	list_is office.list 127.0.0.2
	rules_are "@office.list=3"
	cat >"$here/handles.py" <<-'PYTHON'
		import signal, sys
		signal.signal(signal.SIGHUP, lambda *_: None)
		sys.argv = sys.argv[1:]
		exec(open(sys.argv[0]).read())
	PYTHON
	started
	kill_tree "$daemon"
	setsid "$CONNLIMIT" run --file "$limits" --table "test-$port" -- python3 "$here/handles.py" "$here/server.py" "$port" \
		>"$here/out" 2>>"$here/errors" 3>&- </dev/null &
	daemon=$!
	pids+=("$daemon")
	until_true listening
	hold 127.0.0.3 served
	hold 127.0.0.3 refused
	list_is office.list 127.0.0.3
	kill -HUP "$daemon"
	admitted_soon 127.0.0.3
	kill_tree "$daemon"
	hold_nothing
	port=$(free_port)
	list_is office.list 127.0.0.2
	started supervise
	hold 127.0.0.3 served
	hold 127.0.0.3 refused
	list_is office.list 127.0.0.3
	touch "$limits"
	echo "# written" >>"$limits"
	admitted_soon 127.0.0.3
}

@test "a list that is wrong changes nothing: the error names it, with line and column" {
	list_is office.list 127.0.0.2
	list_is other.list 127.0.0.4
	rules_are "@office.list=2 @other.list=3"
	started
	hold 127.0.0.2 served
	list_is office.list 127.0.0.3 "" "  127.0.0.1/24 # more bits"
	reload_fails "$here/beside/office.list:3:3: '127.0.0.1/24' has bits set after its prefix; the network is 127.0.0.0/24; allowed:"
	list_is office.list "127.0.0.3" "10.0.0.256"
	reload_fails "$here/beside/office.list:2:"
	list_is office.list "127.0.0.3 127.0.0.5"
	reload_fails "$here/beside/office.list:1:1"
	list_is office.list "127.0.0.3" "127.0.0.4"
	reload_fails "$here/beside/other.list:1:1: the network is in the list 'office.list' too"
	list_is office.list "$(printf '#%01100d' 0)"
	reload_fails "$here/beside/office.list:1:1001: a line has more than 1000 bytes"
	rm "$here/beside/office.list"
	reload_fails "$here/beside/office.list: cannot be opened: No such file or directory"
	mkfifo "$here/beside/office.list"
	reload_fails "$here/beside/office.list: is not a regular file"
	rm "$here/beside/office.list"
	list_is office.list 127.0.0.3
	chmod o+w "$here/beside/office.list"
	reload_fails "$here/beside/office.list: is ignored: others may write to it"
	if ((EUID == 0)); then
		chmod 644 "$here/beside/office.list"
		chown 12345 "$here/beside/office.list"
		reload_fails "$here/beside/office.list: is ignored: it belongs neither to root nor to the daemon's user"
	fi
	own_status | grep -q "$here/beside/office.list: is ignored"
	hold 127.0.0.2 served
	hold 127.0.0.2 refused
	hold 127.0.0.3 served
	hold 127.0.0.3 refused
}

@test "a daemon does not start with a list that is wrong, from the file or the environment" {
	list_is office.list nowhere
	rules_are "@office.list=2"
	run "$CONNLIMIT" run --file "$limits" -- true
	[ "$status" -eq 78 ]
	[[ $output == *"$here/beside/office.list:1:1: 'nowhere'"* ]]
	run env LD_PRELOAD="$PRELOAD" CONNLIMIT_FILE="$limits" true
	[ "$status" -eq 78 ]
	[[ $output == *"$here/beside/office.list:1:1: 'nowhere'"* ]]
	run env LD_PRELOAD="$PRELOAD" CONNLIMIT_RULES="@$here/beside/office.list=2" true
	[ "$status" -eq 78 ]
	[[ $output == *"$here/beside/office.list:1:1: 'nowhere'"* ]]
	run env LD_PRELOAD="$PRELOAD" CONNLIMIT_RULES="@office.list=2" true
	[ "$status" -eq 78 ]
	[[ $output == *"the list 'office.list' has a relative path, and there is no file of limits; allowed: an absolute path"* ]]
}

@test "a list of the environment alone is read too" {
	list_is office.list 127.0.0.2
	: >"$limits"
	CONNLIMIT_PER_IP=1 CONNLIMIT_RULES="@$here/beside/office.list=2" started
	hold 127.0.0.2 served
	hold 127.0.0.2 served
	hold 127.0.0.2 refused
	hold 127.0.0.3 served
	hold 127.0.0.3 refused
}

@test "connlimit set leaves lists as they are, and takes none" {
	list_is office.list 127.0.0.2
	rules_are "@office.list=2"
	started
	"$CONNLIMIT" set "test-$port" total=50
	hold 127.0.0.2 served
	hold 127.0.0.2 served
	hold 127.0.0.2 refused
	own_status | grep -q "CONNLIMIT_RULES=@office.list=2 (file)"
	run "$CONNLIMIT" set "test-$port" rules="@office.list=3"
	[ "$status" -eq 78 ]
	[[ $output == *"lists can only be named in the file of limits or the environment"* ]]
	hold 127.0.0.2 refused
	"$CONNLIMIT" set "test-$port" rules=127.0.0.2=3
	hold 127.0.0.2 served
	hold 127.0.0.2 refused
}

networks() { # N: as many, unsorted, none twice
	python3 -c "
import ipaddress, sys
for i in range($1):
    print(f'{ipaddress.ip_address(0x0b000000 + i * 7919 % 0x1000000)}/32' if i % 2 else f'2001:db8:{i % 65536:x}:{i // 65536:x}::/64')"
}

@test "100 000 networks in all, found as one is, and what they take; one more is an error" {
	networks 99999 >"$here/beside/many.list"
	list_is office.list 127.0.0.2
	rules_are "@many.list=7 @office.list=2"
	run "$CONNLIMIT" check --rules "$limits"
	echo "$output"
	[ "$output" = "$limits: valid; rules: 0, lists: 2"$'\n'"  @many.list: networks: 99999"$'\n'"  @office.list: networks: 1" ]
	run "$CONNLIMIT" check --rules "$limits" 11.0.30.239
	[[ $output == *": 11.0.30.239=7, from the list @many.list" ]]
	started
	hold 127.0.0.2 served
	hold 127.0.0.2 served
	hold 127.0.0.2 refused
	"$CONNLIMIT" reload "test-$port"
	hold 127.0.0.2 refused
	hold 127.0.0.3 served
	list_is office.list 127.0.0.2 127.0.0.3
	reload_fails "$here/beside/office.list:2:1: is one network too many: all lists together have at most 100000"
}

resident() { awk '/^Rss/ { sum += $2 } END { print sum }' "/proc/$daemon/smaps_rollup"; }

@test "who has no lists has none of their memory resident" {
	limit_is 5
	started
	without=$(resident)
	kill_tree "$daemon"
	port=$(free_port)
	networks 100000 >"$here/beside/many.list"
	rules_are "@many.list=7"
	started
	with=$(resident)
	echo "# resident: $without KiB without lists, $with KiB with 100 000 networks" >&3
	((with - without > 2000 && with - without < 4500))
}

@test "check --rules says what applies to an address and port, and why" {
	list_is office.list 192.0.2.0/24 2001:db8::/32
	printf '%s\n' CONNLIMIT_PER_IP=4 CONNLIMIT_RATE=9/s 'CONNLIMIT_RULES="@office.list=unlimited 192.0.2.0/26=5 192.0.2.0/24:22=deny :8443=20,3/s"' >"$limits"
	said() { # ADDRESS [PORT] WORDS
		run "$CONNLIMIT" check --rules "$limits" "${@:1:$#-1}"
		echo "$output"
		[ "$status" -eq 0 ]
		[ "$output" = "${*: -1}" ]
	}
	said 192.0.2.200 "192.0.2.200 at ports that no rule names: 192.0.2.0/24=unlimited, from the list @office.list"
	said 192.0.2.200 22 "192.0.2.200 at port 22: 192.0.2.0/24:22=deny, a rule in CONNLIMIT_RULES"
	said 192.0.2.200 443 "192.0.2.200 at port 443: 192.0.2.0/24=unlimited, from the list @office.list"
	said 192.0.2.1 22 "192.0.2.1 at port 22: 192.0.2.0/26=5, a rule in CONNLIMIT_RULES; CONNLIMIT_RATE=9/s burst=9"
	said 2001:db8::1 8443 "2001:db8::1 at port 8443: 2001:db8::/32=unlimited, from the list @office.list"
	said 203.0.113.1 8443 "203.0.113.1 at port 8443: :8443=20,3/s,burst=3, a rule in CONNLIMIT_RULES"
	said 203.0.113.1 "203.0.113.1 at ports that no rule names: no rule applies: CONNLIMIT_PER_IP=4, CONNLIMIT_RATE=9/s burst=9"
	run "$CONNLIMIT" check --rules "$here/none.env"
	[ "$status" -eq 78 ]
	[[ $output == *"none.env: cannot be opened"* ]]
	for wrong in 192.0.2.0/24 nowhere "192.0.2.1 0" "192.0.2.1 http" "192.0.2.1 22 33"; do
		# shellcheck disable=SC2086
		run "$CONNLIMIT" check --rules "$limits" $wrong
		[ "$status" -eq 2 ]
	done
}
