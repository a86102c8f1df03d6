#!/usr/bin/env bats
# A fleet: daemons as nodes in network namespaces of their own, each with its sidecar, joined by a real redis-server in another.
# Every client is 127.0.0.1 or the like of its namespace: one address to the fleet. Without root all are on one machine.

# shellcheck disable=SC2016,SC2154 # expanded by eval; set by daemon.bash
load daemon

: "${REDIS_SERVER:=redis-server}" "${REDIS_CLI:=redis-cli}" # or valkey-server, valkey-cli

interval=50
lease=1000

setup_more() {
	also=()
	space=
	((EUID != 0)) || space=cl$$-$BATS_TEST_NUMBER
	redis_host=127.0.0.1
}

teardown_more() {
	local each
	[[ -n $space ]] || return 0
	for each in $(ip netns list | awk -v own="$space-" 'index($1, own) == 1 { print $1 }'); do ip netns del "$each"; done
}

# in_node N COMMAND...: in the node's namespace; node 0 has Redis.
in_node() {
	local n=$1
	shift
	${space:+ip netns exec "$space-$n"} "$@"
}

# The same to be run in the background: $! is then the command itself.
become_in_node() {
	local n=$1
	shift
	exec ${space:+ip netns exec "$space-$n"} "$@"
}

make_network() { # NODES
	local n
	[[ -n $space ]] || return 0
	redis_host=10.213.0.254
	for n in $(seq 0 "$1"); do
		ip netns add "$space-$n"
		ip -n "$space-$n" link set lo up
	done
	ip -n "$space-0" link add hub type bridge
	ip -n "$space-0" addr add $redis_host/24 dev hub
	ip -n "$space-0" link set hub up
	for n in $(seq "$1"); do
		ip -n "$space-0" link add "to$n" type veth peer name eth0 netns "$space-$n"
		ip -n "$space-0" link set "to$n" master hub up
		ip -n "$space-$n" addr add "10.213.0.$n/24" dev eth0
		ip -n "$space-$n" link set eth0 up
	done
}

# link N down|up
link() { ip -n "$space-0" link set "to$1" "$2"; }

start_daemon() { # N NAME
	port=$(free_port)
	become_in_node "$1" "$CONNLIMIT" run --file "$here/limits$1.env" --table "$2" -- \
		"$BUILD/tests/stress_server" "$port" 2 1 1000 nonblocking >"$here/out$2" 2>>"$here/errors" 3>&- &
	daemon=$!
	pids+=("$daemon")
	until_true eval "[[ -n \$(in_node $1 ss -Htln 'sport = :$port') ]]"
}

# Node N is a daemon on its own port, table and sidecar.
start_node() { # N
	echo "CONNLIMIT_CLUSTER_PER_IP=$fleet_limit" >"$here/limits$1.env"
	start_daemon "$1" "fleet-$$-$1"
	node_port[$1]=$port
	node_daemon[$1]=$daemon
	start_sidecar "$1"
}

start_sidecar() { # N
	become_in_node "$1" "$CONNLIMIT" sync --redis "redis://$redis_host:$redis_port/0" --cluster test --node "n$1" \
		--table "fleet-$$-$1" "${also[@]}" --interval $interval --lease $lease >>"$here/sync$1" 2>&1 3>&- &
	sidecar[$1]=$!
	pids+=("$!")
}

start_redis() {
	become_in_node 0 "$REDIS_SERVER" --port "$redis_port" --bind $redis_host --save '' --dir "$here" --protected-mode no >>"$here/redis.log" 2>&1 3>&- &
	redis=$!
	pids+=("$redis")
	until_true eval "redis ping 2>/dev/null | grep -q PONG"
}

redis() { in_node 0 "$REDIS_CLI" -h "$redis_host" -p "$redis_port" --raw "$@"; }

declare -a node_port node_daemon node_of sidecar client_of

setup_fleet() { # LIMIT NODES
	fleet_limit=$1
	make_network "$2"
	redis_port=$(free_port)
	start_redis
	for n in $(seq "$2"); do start_node "$n"; done
	until_true members "$2"
}

members() { [[ $(redis zcard 'connlimit:{test}:leases') == "$1" ]]; }
# Every client's total, one a line.
totals() {
	redis eval '
		local found = {}
		for _, key in ipairs(redis.call("KEYS", "connlimit:{test}:totals:*")) do
			for _, total in ipairs(redis.call("HVALS", key)) do found[#found + 1] = total end
		end
		return found' 0
}
total() { totals | awk '{ n += $1 } END { print n + 0 }'; }
total_is() { [[ $(total) == "$1" ]]; }

# at N: from now on hold, let_go and so on speak to node N. Each node has a client process of its own.
at() {
	port=${node_port[$1]}
	if [[ -n ${client_of[$1]:-} ]]; then
		read -r client_in client_out client_pid <<<"${client_of[$1]}"
		return
	fi
	mkfifo "$here/in$1" "$here/answers$1"
	become_in_node "${node_of[$1]:-$1}" python3 "$SOURCE/tests/programs/client.py" "$port" <"$here/in$1" >"$here/answers$1" 3>&- &
	client_pid=$!
	pids+=("$client_pid")
	exec {client_in}>"$here/in$1" {client_out}<"$here/answers$1"
	client_of[$1]="$client_in $client_out $client_pid"
}

# One attempt; what is served is not kept.
refused_now() { # [ADDRESS]
	tell_client "open ${1:-127.0.0.1}"
	[[ $answer == refused ]] || { tell_client "close_last ${1:-127.0.0.1}"; return 1; }
}

# knows N REMOTE [ADDRESS]: what `connlimit status` at node N says that others hold.
knows() {
	[[ $(in_node "$1" "$CONNLIMIT" status "fleet-$$-$1" | awk -v who="${3:-127.0.0.1}" '$1 == who { n = $NF } END { print n + 0 }') == "$2" ]]
}

@test "fleet: the limit holds over the nodes, and what one frees another gets" {
	setup_fleet 4 2
	at 1
	for _ in 1 2 3; do hold 127.0.0.1 served; done
	until_true knows 2 3
	at 2
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	until_true grep -q "^connlimit: refused 127.0.0.1 at port $port of table fleet-$$-2 (limit 4 per client over the fleet)" "$here/errors"
	hold 127.0.0.2 served # another client is not concerned
	until_true knows 1 1
	at 1
	hold 127.0.0.1 refused
	let_go 127.0.0.1
	let_go 127.0.0.1
	at 2
	admitted_soon 127.0.0.1
	admitted_soon 127.0.0.1
	hold 127.0.0.1 refused
}

@test "fleet: what three nodes admit at once, before they hear of each other, is no more than each admits alone" {
	setup_fleet 6 3
	for n in 1 2 3; do
		at $n
		for _ in $(seq 10); do echo "open 127.0.0.1"; done >&"$client_in"
	done
	served=0
	for n in 1 2 3; do
		at $n
		for _ in $(seq 10); do
			read -r -t 60 answer <&"$client_out"
			[[ $answer != served ]] || served=$((served + 1))
		done
	done
	echo "served $served"
	((served >= 6 && served <= 18))
	until_true total_is $served
	for n in 1 2 3; do
		at $n
		until_true refused_now
	done
	# Nobody is let in before the fleet is under its limit again.
	while ((served > 5)); do
		for n in 1 2 3; do
			at $n
			tell_client "close 127.0.0.1"
			[[ $answer != closed ]] || served=$((served - 1))
		done
		until_true total_is $served
	done
	at 2
	admitted_soon 127.0.0.1
}

@test "fleet: with Redis killed each machine goes on alone, and an empty Redis is filled again" {
	setup_fleet 3 2
	at 1
	for _ in 1 2 3; do hold 127.0.0.1 served; done
	until_true total_is 3
	at 2
	until_true refused_now
	kill -KILL "$redis"
	# For the lease, what was said counts on; then this machine's own count alone.
	admitted_soon 127.0.0.1
	until_true grep -q 'the fleet is not heard' "$here/sync2"
	until_true eval "in_node 2 '$CONNLIMIT' status fleet-$$-2 | grep -q 'the fleet is not heard'"
	in_node 2 "$CONNLIMIT" metrics | grep -q "^connlimit_fleet_heard{table=\"fleet-$$-2\".* 0$"
	start_redis
	until_true total_is 4
	until_true refused_now
	at 1
	until_true refused_now
	in_node 2 "$CONNLIMIT" metrics | grep -q "^connlimit_fleet_heard{table=\"fleet-$$-2\".* 1$"
	in_node 2 "$CONNLIMIT" status "fleet-$$-2" | grep -q "fleet    in step, heard .*s ago by connlimit sync, pid [0-9]*, valid for 1.0 s"
}

@test "fleet: with Redis stopped nobody waits, and it converges when it goes on" {
	setup_fleet 3 2
	at 1
	hold 127.0.0.1 served
	hold 127.0.0.1 served
	until_true knows 2 2
	kill -STOP "$redis"
	at 2
	hold 127.0.0.2 served # at once, as ever
	until_true knows 2 0  # the lease passes
	for _ in 1 2 3; do hold 127.0.0.1 served; done # what the machine allows alone
	hold 127.0.0.1 refused
	kill -CONT "$redis"
	until_true total_is 6
	at 1
	until_true refused_now # five are open in the fleet: nobody is closed, nobody admitted
}

@test "fleet: a Redis that lost the last changes is told them again" {
	setup_fleet 4 2
	at 1
	hold 127.0.0.1 served
	hold 127.0.0.2 served
	until_true total_is 2
	redis save
	hold 127.0.0.1 served
	let_go 127.0.0.2
	hold 127.0.0.3 served
	until_true total_is 3
	kill -KILL "$redis"
	until_true eval "! kill -0 $redis 2>/dev/null"
	start_redis # from what was saved: the same members, an older state
	until_true eval '[[ $(totals | sort -n | xargs) == "1 2" ]]'
	until_true knows 2 2
}

@test "fleet: a node whose sidecar was killed is forgotten with its lease, and not counted twice when it comes back" {
	lease=5000 # a busy machine starts one again in less
	setup_fleet 3 2
	at 1
	for _ in 1 2 3; do hold 127.0.0.1 served; done
	until_true total_is 3
	at 2
	until_true refused_now
	# Started again within the lease, it is at no moment not counted.
	kill -KILL "${sidecar[1]}"
	start_sidecar 1
	for _ in $(seq 20); do total_is 3; done
	let_go 127.0.0.1 || true
	kill -KILL "${sidecar[1]}"
	until_true total_is 0
	members 1
	admitted_soon 127.0.0.1
	start_sidecar 1
	until_true total_is 4
	at 1
	let_go 127.0.0.1
	until_true total_is 3
}

@test "fleet: a daemon that ends, and its sidecar with it, and both come back under the same name" {
	setup_fleet 3 2
	at 1
	for _ in 1 2; do hold 127.0.0.1 served; done
	until_true knows 2 2
	kill -KILL "${sidecar[1]}"
	kill_tree "${node_daemon[1]}"
	start_node 1
	client_of[1]=
	rm "$here/in1" "$here/answers1"
	until_true total_is 0
	at 1
	hold 127.0.0.1 served
	until_true total_is 1
	kill_tree "${node_daemon[1]}" # the daemon alone
	until_true total_is 0
}

@test "fleet: a sidecar that is stopped in order leaves nothing behind" {
	setup_fleet 3 2
	at 1
	hold 127.0.0.1 served
	until_true total_is 1
	kill -TERM "${sidecar[1]}"
	until_true total_is 0
	members 1
	until_true eval "! kill -0 ${sidecar[1]} 2>/dev/null"
	in_node 1 "$CONNLIMIT" status "fleet-$$-1" | grep -q 'the fleet is not heard'
}

@test "fleet: a node that is cut off goes on alone and rejoins" {
	[[ -n $space ]] || skip "network namespaces need root"
	setup_fleet 2 2
	at 1
	hold 127.0.0.1 served
	hold 127.0.0.1 served
	until_true knows 2 2
	at 2
	until_true refused_now
	link 2 down
	admitted_soon 127.0.0.1 # alone, it has room
	until_true members 1    # and the others count it no more
	link 2 up
	until_true members 2
	until_true total_is 3
	until_true refused_now
}

@test "fleet: connections of a process that was killed hold up nobody on another machine" {
	setup_fleet 3 2
	at 1
	for _ in 1 2 3; do hold 127.0.0.1 served; done
	at 2
	until_true knows 2 3
	hold 127.0.0.1 refused
	for pid in $(pgrep -P "${node_daemon[1]}"); do kill -KILL "$pid" || true; done
	admitted_soon 127.0.0.1 # nobody asks at node 1
	until_true total_is 1
}

@test "fleet: two daemons of one machine share the limit, by one sidecar; tables come and go; rules exempt" {
	also=(--table "fleet-$$-second")
	setup_fleet 3 1
	at 1
	hold 127.0.0.1 served
	hold 127.0.0.1 served
	echo 'CONNLIMIT_RULES="127.0.0.7/32=unlimited 127.0.0.8/32=deny"' >>"$here/limits1.env"
	start_daemon 1 "fleet-$$-second"
	node_port[2]=$port node_of[2]=1
	at 2
	admitted_soon 127.0.0.1
	until_true refused_now
	for _ in 1 2 3 4 5; do hold 127.0.0.7 served; done
	hold 127.0.0.8 refused
	until_true total_is 8
	kill_tree "$daemon"
	until_true total_is 2
}

@test "fleet: a node with a lower limit, and one that is given it by a reload, hear of what they need" {
	setup_fleet 20 2
	at 1
	for _ in 1 2 3 4; do hold 127.0.0.1 served; done
	until_true total_is 4
	knows 2 0 # far from any limit: nobody need know
	echo CONNLIMIT_CLUSTER_PER_IP=4 >"$here/limits2.env"
	"$CONNLIMIT" reload "fleet-$$-2"
	until_true knows 2 4
	at 2
	hold 127.0.0.1 refused
	at 1
	let_go 127.0.0.1
	let_go 127.0.0.1
	until_true knows 2 2
	let_go 127.0.0.1
	until_true knows 2 0 # under half of the lower limit
	hold 127.0.0.1 served
	hold 127.0.0.1 served
	until_true knows 2 3
}

@test "fleet: clients by another prefix are counted apart, and that is said" {
	setup_fleet 2 2
	echo CONNLIMIT_IPV4_PREFIX=24 >>"$here/limits2.env"
	"$CONNLIMIT" reload "fleet-$$-2"
	at 1
	hold 127.0.0.1 served
	hold 127.0.0.1 served
	until_true grep -q 'take another prefix' "$here/sync2"
	at 2
	hold 127.0.0.1 served
	hold 127.0.0.2 served # one client: 127.0.0.0/24
	hold 127.0.0.3 refused
	until_true eval '[[ $(totals | wc -l) == 2 ]]'
	[[ $(in_node 2 "$CONNLIMIT" status "fleet-$$-2") != *" 127.0.0.1 "* ]]
}

@test "fleet: in a flood at all nodes none admits what it must know better, so the limit is exceeded by what comes meanwhile alone" {
	space= # all on this machine
	redis_port=$(free_port)
	start_redis
	for n in 0 1 2 3; do
		"$CONNLIMIT" sync --redis "redis://127.0.0.1:$redis_port" --cluster test --node "n$n" --table "flood-$$-$n" --interval 100 \
			--lease 30000 >>"$here/sync$n" 2>&1 3>&- &
		pids+=("$!")
	done
	timeout 200 "$BUILD/tests/fleet_lag" "flood-$$" 4 3 40
}

@test "fleet: whatever is deleted, changed or restarted, totals become what the tables hold" {
	for seed in 1 2; do timeout 100 python3 "$SOURCE/tests/programs/fleet_model.py" $seed 2; done
}

@test "fleet: a key that is deleted is found out, put right, said and counted" {
	lease=3000
	setup_fleet 4 2
	mended() { in_node "$1" "$CONNLIMIT" metrics | awk "/^connlimit_fleet_mended_total.*fleet-$$-$1\"/ { print \$NF }"; }
	at 1
	for _ in 1 2 3; do hold 127.0.0.1 served; done
	until_true knows 2 3
	[ "$(mended 1)$(mended 2)" = 00 ]
	redis eval 'for _, key in ipairs(redis.call("KEYS", "*:node:n1:*")) do redis.call("DEL", key) end' 0
	let_go 127.0.0.1 # would leave a total of three, with nobody who holds them
	let_go 127.0.0.1
	hold 127.0.0.2 served
	until_true total_is 2
	redis eval 'for _, key in ipairs(redis.call("KEYS", "*:totals:*")) do redis.call("DEL", key) end' 0
	until_true total_is 2
	(($(mended 1) + $(mended 2) >= 2))
	cat "$here/sync1" "$here/sync2" | grep -q 'were corrected'
	redis flushall
	until_true total_is 2
	until_true grep -q 'the fleet had lost this node' "$here/sync1"
}

# ---- bans ----

banned_at() { # N [ADDRESS]
	in_node "$1" "$CONNLIMIT" status --json "fleet-$$-$1" | python3 -c "
import json, sys
t = json.load(sys.stdin)['tables'][0]
sys.exit(not any(c['client'] == sys.argv[1] and c['banned'] for c in t['clients']))" "${2:-127.0.0.1}"
}
free_at() { ! banned_at "$@"; }
left_at() { # N: seconds of 127.0.0.1's ban
	in_node "$1" "$CONNLIMIT" status --json "fleet-$$-$1" | python3 -c "
import json, sys
print([c['banned_seconds'] for c in json.load(sys.stdin)['tables'][0]['clients'] if c['client'] == '127.0.0.1'][0])"
}
ban_at() { in_node "$1" "$CONNLIMIT" "${@:2}" "fleet-$$-$1"; }

@test "fleet: with --bans, who is banned at one node is refused at all for the rest of the time, and unbanned at all" {
	also=(--bans)
	setup_fleet 9 3
	ban_at 1 ban 127.0.0.1 for 10m
	for n in 2 3; do
		until_true banned_at $n
		at $n
		hold 127.0.0.1 refused
		hold 127.0.0.2 served
		(($(left_at $n) >= 560 && $(left_at $n) <= 603))
	done
	ban_at 3 ban 127.0.0.1 for 2h # another end, which holds everywhere
	until_true eval '(($(left_at 1) > 6000 && $(left_at 2) > 6000))'
	ban_at 2 unban 127.0.0.1
	for n in 1 2 3; do
		until_true free_at $n
		at $n
		hold 127.0.0.1 served
	done
	sleep 1 # nobody brings it back
	for n in 1 2 3; do free_at $n; done
	ban_at 2 ban 127.0.0.1
	until_true banned_at 1
	until_true banned_at 3
	[ "$(left_at 3)" = None ]
	ban_at 1 unban 127.0.0.0/8
	until_true free_at 3
	ban_at 1 ban 127.0.0.1 for 4s
	until_true banned_at 3
	until_true free_at 3
	until_true free_at 1
}

@test "fleet: with --bans, who is refused too often at one node is banned at all, but not where it is unlimited" {
	also=(--bans)
	setup_fleet 1 3
	printf '%s\n' CONNLIMIT_CLUSTER_PER_IP=1 'CONNLIMIT_BAN="3/m for 10m"' >"$here/limits1.env"
	printf '%s\n' CONNLIMIT_CLUSTER_PER_IP=1 CONNLIMIT_RULES=127.0.0.1=unlimited >"$here/limits3.env"
	"$CONNLIMIT" reload "fleet-$$-1"
	"$CONNLIMIT" reload "fleet-$$-3"
	at 1
	hold 127.0.0.1 served
	for _ in 1 2 3; do hold 127.0.0.1 refused; done
	let_go 127.0.0.1
	until_true total_is 0
	hold 127.0.0.1 refused
	until_true banned_at 2
	at 2
	hold 127.0.0.1 refused
	at 3
	for _ in 1 2 3; do hold 127.0.0.1 served; done
	free_at 3
	# It is not unlimited any more: the rest of the ban is for it.
	echo CONNLIMIT_CLUSTER_PER_IP=1 >"$here/limits3.env"
	"$CONNLIMIT" reload "fleet-$$-3"
	until_true banned_at 3
}

@test "fleet: without --bans a node neither tells bans nor hears of them" {
	setup_fleet 9 1
	ban_at 1 ban 127.0.0.1 for 10m
	kill -TERM "${sidecar[1]}"
	until_true members 0
	[ -z "$(redis --scan --pattern '*:bans:*')" ]
	also=(--bans)
	start_sidecar 1
	until_true eval '[ -n "$(redis --scan --pattern "*:bans:*")" ]'
	until_true members 1
	also=()
	kill -TERM "${sidecar[1]}"
	until_true members 0
	ban_at 1 unban 127.0.0.1
	start_sidecar 1
	until_true members 1
	sleep 1
	free_at 1
}

@test "fleet: bans survive the loss of all keys, a daemon's and a sidecar's restart, and being cut off" {
	also=(--bans)
	setup_fleet 9 2
	ban_at 1 ban 127.0.0.1 for 10m
	until_true banned_at 2
	redis flushall
	until_true eval '[ -n "$(redis --scan --pattern "*:bans:*")" ]' # as the node joins again
	redis eval 'for _, key in ipairs(redis.call("KEYS", "*:bans:*")) do redis.call("DEL", key) end' 0
	until_true eval '[ -n "$(redis --scan --pattern "*:bans:*")" ]' # in rotation
	# A daemon that starts anew, with an empty table.
	kill_tree "${node_daemon[2]}"
	start_daemon 2 "fleet-$$-2"
	node_port[2]=$port node_daemon[2]=$daemon
	until_true banned_at 2
	(($(left_at 2) <= 603))
	# A sidecar that was not there when the ban was lifted.
	kill -KILL "${sidecar[1]}"
	ban_at 2 unban 127.0.0.1
	until_true eval 'redis hvals "$(redis --scan --pattern "*:bans:*")" | grep -q -- -$'
	banned_at 1
	start_sidecar 1
	until_true free_at 1
	sleep 1
	free_at 2
	# One that was without Redis when it was lifted, and one that lifts without Redis.
	ban_at 1 ban 127.0.0.1 for 10m
	until_true banned_at 2
	kill -STOP "$redis"
	ban_at 2 unban 127.0.0.1
	sleep 1.5
	kill -CONT "$redis"
	until_true free_at 1
	kill -KILL "$redis"
	ban_at 1 ban 127.0.0.1 for 10m
	sleep 0.5
	start_redis
	until_true banned_at 2
	at 2
	hold 127.0.0.1 refused
}
