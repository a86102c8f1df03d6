#!/usr/bin/env bats
# The limit on networks beside that on clients: both hold, whatever the daemon does with its processes, and all that shows limits
# shows networks.

load vocabulary

in_network() { ss -Htn state established state close-wait "sport = :$port" "dst = $1" | wc -l; }
network_has() { [ "$(own_networks | awk -v who="$1" '$1 == who { print $2 }')" = "$2" ]; }
own_networks() { "$CONNLIMIT" status --networks "test-$port"; }
json() { "$CONNLIMIT" status --json "test-$port" | python3 -c "import json, sys; t = json.load(sys.stdin)['tables'][0]; print($1)"; }
metric() { "$CONNLIMIT" metrics | awk -v name="$1" -v own="table=\"test-$port\"" 'index($1, name "{") == 1 && index($0, own) { print $NF }'; }

two_full() {
	hold 127.0.1.1 served; hold 127.0.1.1 served
	hold 127.0.1.2 served; hold 127.0.1.2 served
}

@test "networks: both limits hold over all workers, and the kernel has no more" {
	limits PER_IP=2 PER_NETWORK=4
	start_nginx
	two_full
	hold 127.0.1.1 refused
	for i in 3 4 5; do hold 127.0.1.$i refused; done
	hold 127.0.2.3 served
	[ "$(in_network 127.0.1.0/24)" -eq 4 ]
	let_go 127.0.1.1
	admitted_soon 127.0.1.3
	hold 127.0.1.1 refused
	[ "$(in_network 127.0.1.0/24)" -eq 4 ]
	until_true network_has 127.0.1.0/24 4
}

@test "networks: the log, status, JSON, metrics and suggest say which limit it was, and of which network" {
	limits PER_IP=2 PER_NETWORK=4
	start_nginx
	two_full
	hold 127.0.1.2 refused
	hold 127.0.1.3 refused
	grep -q "connlimit: refused 127.0.1.2 at port $port of table test-$port (limit 2 per client)" "$here/log"
	grep -q "connlimit: refused 127.0.1.3 at port $port of table test-$port (limit 4 per network, 127.0.1.0/24)" "$here/log"
	own_status | grep -q "limit *2 per client (file; IPv4 /32, IPv6 /64), 4 per network (file; IPv4 /24, IPv6 /48), mode"
	own_status | grep -q "refused *2 (per_ip 1, per_network 1)"
	own_networks | grep -qP "^NETWORK\tOPEN\tLIMIT\tPEAK\tREFUSED\tOLDEST$"
	own_networks | grep -qP "^127.0.1.0/24\t4\t4\t4\t1\t"
	[ -z "$(own_networks | grep "^127.0.1.1")" ]
	[ -z "$(own_status | grep "^127.0.1.0/24")" ]
	[ "$(json "t['refused_for']['per_network'], t['networks_at_limit'], t['settings']['per_network']['value']")" = "1 1 4" ]
	[ "$(json "[(n['network'], n['open'], n['limit'], n['peak'], n['refused'], n['observed']) for n in t['networks']]")" = \
		"[('127.0.1.0/24', 4, 4, 4, 1, 0)]" ]
	[ "$(metric connlimit_networks) $(metric connlimit_networks_at_limit) $(metric connlimit_network_connections_most)" = "1 1 4" ]
	[ "$(metric connlimit_limit_per_network)" = 4 ]
	"$CONNLIMIT" metrics | grep "table=\"test-$port\"" | grep -q '^connlimit_refusals_total{.*reason="per_network"} 1$'
	"$CONNLIMIT" suggest "test-$port" | grep -q '^  2 clients seen'
	"$CONNLIMIT" suggest "test-$port" | grep -q '^  1 network seen'
	"$CONNLIMIT" suggest "test-$port" | sed '1,/network seen/d' | grep -qE '^ +4  none$'
}

@test "networks: nothing is shown of them where there is no limit on them" {
	limits PER_IP=2
	start_nginx
	hold 127.0.1.1 served
	[ -z "$(own_status | grep network)" ]
	[ "$(json "t['networks'], t['networks_at_limit']")" = "[] 0" ]
	[ -z "$(metric connlimit_networks)" ]
	[ -z "$("$CONNLIMIT" suggest "test-$port" | grep network)" ]
}

@test "networks: the limit is set, lowered and removed while connections are open" {
	limits PER_IP=100
	start_nginx
	for i in 1 2 3 4; do hold 127.0.1.$i served; done
	limits PER_IP=101 PER_NETWORK=5
	reload
	hold 127.0.1.5 served
	hold 127.0.1.6 refused
	hold 127.0.2.6 served
	limits PER_IP=102 PER_NETWORK=5 NETWORK_IPV4_PREFIX=16
	reload
	hold 127.0.2.6 refused
	let_go 127.0.1.1
	let_go 127.0.1.2
	until_true network_has 127.0.0.0/16 4
	hold 127.0.3.1 served
	hold 127.0.3.1 refused
	limits PER_IP=103
	reload
	hold 127.0.3.1 served
	[ "$(in_network 127.0.0.0/16)" -eq 6 ]
}

@test "networks: a rule sets another limit for them, or exempts" {
	limits PER_IP=10 PER_NETWORK=2 "RULES=127.0.5.0/24=2,network=3 127.0.6.0/24=unlimited 127.0.7.1=unlimited"
	start_nginx
	hold 127.0.5.1 served; hold 127.0.5.1 served; hold 127.0.5.1 refused
	hold 127.0.5.2 served; hold 127.0.5.3 refused
	hold 127.0.4.1 served; hold 127.0.4.2 served; hold 127.0.4.3 refused
	for i in 1 2 3 4; do hold 127.0.6.$i served; done
	# Who is exempt counts as well: the others of its network find it full.
	hold 127.0.7.1 served; hold 127.0.7.1 served; hold 127.0.7.1 served
	hold 127.0.7.2 refused
	until_true network_has 127.0.7.0/24 3
	limits PER_IP=10 PER_NETWORK=2 "RULES=127.0.5.0/24=2,network=3,1/s"
	run -0 "$CONNLIMIT" check --rules "$limits" 127.0.5.1
	[[ $output == *"127.0.5.0/24=2,1/s,burst=1,network=3"* ]]
	run -0 "$CONNLIMIT" check --rules "$limits" 127.0.4.1
	[[ $output == *"CONNLIMIT_PER_NETWORK=2"* ]]
}

@test "networks: a client larger than its network is an error that names both, at the start and on a reload" {
	limits PER_NETWORK=5 IPV4_PREFIX=16
	run -78 "$CONNLIMIT" run --file "$limits" -- true
	[[ $output == *"CONNLIMIT_IPV4_PREFIX=16 is wider than CONNLIMIT_NETWORK_IPV4_PREFIX=24"* ]]
	run -78 "$CONNLIMIT" run --per-network 5 --ipv6-prefix 32 -- true
	[[ $output == *"CONNLIMIT_IPV6_PREFIX=32 is wider than CONNLIMIT_NETWORK_IPV6_PREFIX=48"* ]]
	limits PER_IP=2 PER_NETWORK=2
	start_nginx
	limits PER_IP=3 PER_NETWORK=2 IPV4_PREFIX=16
	run "$CONNLIMIT" reload "test-$port"
	[ "$status" -eq 78 ]
	[[ $output == *"the old limits stand"*"is wider than"* ]]
	hold 127.0.1.1 served
	hold 127.0.1.2 served
	hold 127.0.1.3 refused
}

@test "networks: an IPv4 client of a socket of both families is in IPv4's network; a supervised program has the limit too" {
	cat >"$here/both.py" <<-'PYTHON'
		import socket, sys

		listener = socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
		kept = []
		while True:
		    kept.append(listener.accept()[0])
		    try:
		        kept[-1].sendall(b"x")
		    except OSError:
		        pass
	PYTHON
	[ -e /proc/net/if_inet6 ] || skip "no IPv6"
	request=
	for way in preload supervise; do
		limits PER_NETWORK=2
		setsid "$CONNLIMIT" run --way "$way" --file "$limits" --table "test-$port" -- python3 "$here/both.py" "$port" >"$here/out" \
			2>>"$here/errors" 3>&- </dev/null &
		pids+=("$!")
		until_true listening
		hold 127.0.1.1 served; hold 127.0.1.2 served; hold 127.0.1.3 refused
		hold ::1 served; hold ::1 served; hold ::1 refused
		own_networks | grep -q '^127.0.1.0/24'
		own_networks | grep -q '^::/48'
		hold_nothing
		port=$(free_port)
	done
}

# Sessions one after another, of clients that are each new to the daemon, whose children end unseen: the network's count rests on
# the kernel's word.
@test "networks: nobody is refused because of sessions of others in the network that are over" {
	cat >"$here/forking.py" <<-'PYTHON'
		import os, signal, socket, sys

		signal.signal(signal.SIGCHLD, signal.SIG_IGN)
		listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
		while True:
		    connection, _ = listener.accept()
		    if os.fork() == 0:
		        listener.close()
		        connection.sendall(b"served\n")
		        connection.recv(1)
		        os._exit(0)
		    connection.close()
	PYTHON
	limits PER_NETWORK=30
	request=
	limited python3 "$here/forking.py" "$port"
	for i in $(seq 15); do
		hold 127.0.1.$i served
		let_go 127.0.1.$i
		until_true eval '[ "$(established)" -eq 0 ]'
	done
	hold 127.0.1.30 served
	# Counts were right all along, so the peak is. (The kernel may have been asked later once, where the machine is busy.)
	[ "$(json "t['networks'][0]['peak']")" -le 3 ]
	let_go 127.0.1.30
	"$CONNLIMIT" set "test-$port" per-network=3
	for i in $(seq 30); do
		hold 127.0.1.$i served
		let_go 127.0.1.$i
	done
	hold 127.0.1.31 served; hold 127.0.1.32 served; hold 127.0.1.33 served
	hold 127.0.1.34 refused
	[ "$(in_network 127.0.1.0/24)" -eq 3 ]
}

@test "networks: workers that hold a full network are killed, and as many others of it are all served at once" {
	limits PER_IP=3 PER_NETWORK=12 LOG=off
	limited python3 "$SOURCE/tests/programs/network_race.py" "$port" 4
	run -0 python3 "$SOURCE/tests/programs/network_race.py" run "$port" 15
	echo "# $output" >&3
}
