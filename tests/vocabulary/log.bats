#!/usr/bin/env bats
# What an operator is told about refusals and reloads, and where.

load vocabulary

lines() { grep -c "refused $1 " "$here/errors" || true; }

@test "log: one line for a burst, with the limit; the next says how many were left out" {
	limits PER_IP=1
	start_blocking_server
	hold 127.0.0.1 served
	for _ in $(seq 50); do hold 127.0.0.1 refused; done
	[[ $(lines 127.0.0.1) -eq 1 ]]
	grep -qx "connlimit: refused 127.0.0.1 at port $port of table test-$port (limit 1 per client)" "$here/errors"
	[[ $(refusals 127.0.0.1) -eq 50 ]]
	until_true says_left_out
	# All but the two that have a line.
	more=$(($(refusals 127.0.0.1) - 2))
	grep -qxE "connlimit: refused 127\.0\.0\.1 at port $port of table test-$port \(limit 1 per client\); $more more in the last 1[0-9] s not shown" "$here/errors"
}
says_left_out() { hold 127.0.0.1 refused; [[ $(lines 127.0.0.1) -eq 2 ]]; }

@test "log: a flood from many addresses makes few lines" {
	limits PER_IP=1 RULES=127.9.0.0/16=deny
	start_blocking_server
	began=$SECONDS
	for i in $(seq 200); do hold 127.9.0.$i refused; done
	# Ten at once, and ten a second.
	[[ $(grep -c 'denied by rule' "$here/errors") -le $((10 + 10 * (SECONDS - began + 2))) ]]
	[[ $(grep -c 'denied by rule' "$here/errors") -ge 10 ]]
}

@test "log: off says nothing, and a reload turns it on" {
	limits PER_IP=1 LOG=off
	start_blocking_server
	hold 127.0.0.1 served; hold 127.0.0.1 refused
	run ! grep connlimit "$here/errors"
	limits PER_IP=ten LOG=off
	kill -"$reload_signal" "$daemon"
	until_true eval 'own_status | grep -q "reload.*failed.*ten"'
	run ! grep connlimit "$here/errors"
	limits PER_IP=2
	reload
	hold 127.0.0.1 served; hold 127.0.0.1 refused
	until_true grep -q "refused 127.0.0.1 at port $port of table test-$port (limit 2 per client)" "$here/errors"
}

@test "log: syslog gets a datagram, and standard error nothing; without a syslog, standard error does" {
	if ! unshare --mount true 2>/dev/null; then skip "no mount namespaces here"; fi
	limits PER_IP=1 LOG=syslog
	cat >"$here/start" <<-'SCRIPT'
		#!/bin/bash
		# A /dev of our own, so that /dev/log is ours.
		mount --make-rprivate / && mkdir "$1/dev" && mount -t tmpfs none "$1/dev" &&
			for node in null zero urandom random; do touch "$1/dev/$node"; mount --bind "/dev/$node" "$1/dev/$node"; done
		mount --rbind "$1/dev" /dev || exit 1
		python3 - "$1/log" "$1/ready" <<-'PYTHON' &
			import socket, sys
			s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
			s.bind("/dev/log")
			open(sys.argv[2], "w").close()
			while True:
			    line = s.recv(2000)
			    with open(sys.argv[1], "ab") as f: f.write(line + b"\n")
		PYTHON
		receiver=$!
		for _ in {1..400}; do [[ ! -e $1/ready ]] || break; sleep 0.05; done
		echo "$receiver" >"$1/receiver"
		shift
		exec "$@"
	SCRIPT
	chmod +x "$here/start"
	"$CONNLIMIT" run --file "$limits" --table "test-$port" -- true
	unshare --mount "$here/start" "$here" "$CONNLIMIT" run --file "$limits" --table "test-$port" -- \
		python3 -m http.server --bind 127.0.0.1 --protocol HTTP/1.1 --directory "$here" "$port" >"$here/out" 2>>"$here/errors" 3>&- </dev/null &
	pids+=($!)
	daemon=$!
	until_true listening
	hold 127.0.0.1 served; hold 127.0.0.1 refused
	until_true grep -qE "^<28>connlimit\[[0-9]+\]: refused 127\.0\.0\.1 at port $port of table test-$port \(limit 1 per client\)\$" "$here/log"
	run ! grep '^connlimit: refused' "$here/errors"
	kill "$(cat "$here/receiver")"
	until_true eval '[[ $(ps -o stat= -p "$(cat "$here/receiver")") == "" || $(ps -o stat= -p "$(cat "$here/receiver")") == Z* ]]'
	hold 127.0.0.2 served; hold 127.0.0.2 refused
	until_true grep -q '^connlimit: refused 127.0.0.2' "$here/errors"
}

@test "log: a daemon that has something else as number 2 keeps it clean" {
	limits PER_IP=1
	limited python3 -u -c '
import os, sys, http.server
os.close(2)
assert os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT) == 2
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), type("H", (http.server.SimpleHTTPRequestHandler,), {"protocol_version": "HTTP/1.1", "log_message": lambda *_: None})).serve_forever()' "$port" "$here/data"
	hold 127.0.0.1 served; hold 127.0.0.1 refused
	[[ $(refusals 127.0.0.1) -ge 1 ]]
	run ! grep -q connlimit "$here/data"
}

# The addresses that fail2ban would count in the lines of $1. Its own <ADDR> is a pattern for an address, and what stands for the time goes first.
banned() {
	python3 - "$SOURCE/shim/command/fail2ban/connlimit.conf" "$1" <<-'PYTHON'
		import re, sys
		expression = re.search(r"^failregex = (.*)$", open(sys.argv[1]).read(), re.M)[1]
		expression = re.compile(expression.replace("<ADDR>", r"(?P<address>[0-9.]+|[0-9a-fA-F:]*:[0-9a-fA-F:.]+)"))
		for line in open(sys.argv[2]):
		    if found := expression.search(line):
		        print(found["address"])
	PYTHON
}

@test "log: a refusal has the very address beside its client, and the fail2ban filter takes that" {
	limits PER_IP=1 IPV4_PREFIX=24
	start_blocking_server
	hold 127.0.5.1 served; hold 127.0.5.77 refused
	grep -qx "connlimit: refused 127.0.5.77 at port $port of table test-$port (limit 1 per client, 127.0.5.0/24)" "$here/errors"
	[ "$(banned "$here/errors")" = 127.0.5.77 ]
	line="refused 2001:db8::7 at port 443 of table nginx (limit 1 per client, 2001:db8::/64)"
	printf '%s\n' "connlimit: $line" "web nginx[812]: connlimit: $line; 3 more in the last 12 s not shown" " web connlimit[812]: $line" >"$here/lines" # behind a time
	[ "$(banned "$here/lines" | grep -cx 2001:db8::7)" -eq 3 ]
	# Text that a client had logged, what would have been refused, other lines.
	printf '%s\n' "web nginx[812]: 192.0.2.1 - GET /connlimit: $line" "web nginx[812]: GET connlimit: $line" "connlimit: would ${line/refused/refuse}" \
		"connlimit: reload failed, the old limits stand: refused 192.0.2.1 at port 443 of table nginx (" >"$here/lines"
	[ -z "$(banned "$here/lines")" ]
	! command -v fail2ban-regex >/dev/null ||
		fail2ban-regex "$here/errors" "$SOURCE/shim/command/fail2ban/connlimit.conf" | grep -qE '^Lines: .* 1 matched'
}

@test "log: json is one object a line with what a program asks for, whatever is in the words, of both ways of limiting" {
	for way in preload supervise; do
		echo "$way"
		limits PER_IP=1 LOG=json IPV4_PREFIX=24 'BAN="2/h for 10m"'
		setsid "$CONNLIMIT" run --way "$way" --file "$limits" --table "test-$port" -- \
			python3 -u -m http.server --bind 127.0.0.1 --protocol HTTP/1.1 --directory "$here" "$port" >"$here/out" 2>"$here/errors" 3>&- </dev/null &
		daemon=$!
		pids+=("$daemon")
		until_true listening
		hold 127.0.5.1 served; hold 127.0.5.7 refused; hold 127.0.5.7 refused
		until_true grep -q '"banned"' "$here/errors"
		printf 'CONNLIMIT_PER_IP=%s\n' "'\"\\\\\\\\ \xc3\xa9$(printf '%0600d' 0)'" >"$limits.new"
		mv "$limits.new" "$limits"
		[ "$way" = supervise ] || kill -"$reload_signal" "$daemon"
		until_true grep -q reload_failed "$here/errors"
		grep '^{' "$here/errors" >"$here/lines"
		run ! grep '^connlimit' "$here/errors"
		python3 - "$here/lines" "test-$port" "$port" <<-'PYTHON'
			import datetime, json, sys
			refused, banned, failed = lines = [json.loads(line) for line in open(sys.argv[1])][:3]
			now = datetime.datetime.now(datetime.timezone.utc)
			for line in lines:
			    print(line)
			    at = datetime.datetime.strptime(line.pop("time"), "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=datetime.timezone.utc)
			    assert abs((now - at).total_seconds()) < 600, at
			    assert line.pop("table") == sys.argv[2]
			message = refused.pop("message")
			assert message.startswith("refused 127.0.5.7 at port "), message
			of_both = {"client": "127.0.5.0/24", "address": "127.0.5.7", "port": int(sys.argv[3]), "reason": "per_ip", "limit": 1}
			assert refused == {"event": "refused", **of_both}, refused
			assert "banned for 600 s" in banned.pop("message")
			assert banned == {"event": "banned", **of_both, "banned_seconds": 600}, banned
			assert failed["event"] == "reload_failed" and failed["message"].startswith("reload failed, the old limits stand: "), failed
			assert '\'"\\' in failed["message"], failed
		PYTHON
		hold_nothing
		kill_tree "$daemon"
		port=$(free_port)
	done
}

@test "log: the journal gets an entry with fields, and standard error nothing; without a journal, standard error does" {
	if ! unshare --mount true 2>/dev/null; then skip "no mount namespaces here"; fi
	limits PER_IP=1 LOG=journal 'RULES="127.0.0.9=deny"'
	cat >"$here/start" <<-'SCRIPT'
		#!/bin/bash
		# A /run of our own, so that the journal's socket is ours.
		mount --make-rprivate / && mount -t tmpfs none /run && mkdir -p /run/systemd/journal || exit 1
		python3 - "$1/log" "$1/ready" <<-'PYTHON' &
			import socket, sys
			s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
			s.bind("/run/systemd/journal/socket")
			open(sys.argv[2], "w").close()
			while True:
			    entry = s.recv(2000)
			    with open(sys.argv[1], "ab") as f: f.write(entry + b"\n")
		PYTHON
		echo "$!" >"$1/receiver"
		for _ in {1..400}; do [[ ! -e $1/ready ]] || break; sleep 0.05; done
		shift
		exec "$@"
	SCRIPT
	chmod +x "$here/start"
	unshare --mount "$here/start" "$here" "$CONNLIMIT" run --file "$limits" --table "test-$port" -- \
		python3 -m http.server --bind 127.0.0.1 --protocol HTTP/1.1 --directory "$here" "$port" >"$here/out" 2>>"$here/errors" 3>&- </dev/null &
	pids+=($!)
	daemon=$!
	until_true listening
	hold 127.0.0.9 refused
	until_true grep -qx "MESSAGE=refused 127.0.0.9 at port $port of table test-$port (denied by rule)" "$here/log"
	# The fields in the order of the page that names them, nothing twice, and an empty line after each entry.
	diff <(printf '%s\n' PRIORITY=4 SYSLOG_FACILITY=3 SYSLOG_IDENTIFIER=connlimit MESSAGE_ID=fed597dbf1ca4848a7cf7c0bf7f4870b \
		CONNLIMIT_EVENT=refused "CONNLIMIT_TABLE=test-$port" CONNLIMIT_CLIENT=127.0.0.9 CONNLIMIT_ADDRESS=127.0.0.9 "CONNLIMIT_PORT=$port" \
		CONNLIMIT_REASON=rule CONNLIMIT_LIMIT=0 "MESSAGE=refused 127.0.0.9 at port $port of table test-$port (denied by rule)" "") "$here/log"
	run ! grep 'refused' "$here/errors"
	kill "$(cat "$here/receiver")"
	until_true eval '[[ $(ps -o stat= -p "$(cat "$here/receiver")") == "" || $(ps -o stat= -p "$(cat "$here/receiver")") == Z* ]]'
	hold 127.0.0.2 served; hold 127.0.0.2 refused
	until_true grep -q '^connlimit: refused 127.0.0.2' "$here/errors"
}
