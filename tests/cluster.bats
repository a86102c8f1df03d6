#!/usr/bin/env bats
# A fleet of daemons on one machine, each a node with its own sidecar, joined by a real redis-server: one limit over all of them.

load daemon

interval=50
lease=1000

# Node N is a daemon on its own port, table and sidecar.
start_node() { # N [NAMESPACE]
	local n=$1 inside=()
	[[ -z ${2:-} ]] || inside=(ip netns exec "$2")
	port=$(free_port)
	node_port[n]=$port
	echo "CONNLIMIT_CLUSTER_PER_IP=$fleet_limit" >"$here/limits$n.env"
	"${inside[@]}" "$CONNLIMIT" run --file "$here/limits$n.env" --table "fleet-$$-$n" -- \
		"$BUILD/tests/stress_server" "$port" 2 1 1000 nonblocking >"$here/out$n" 2>>"$here/errors" 3>&- &
	pids+=("$!")
	until_true "${inside[@]}" bash -c "[[ -n \$(ss -Htln 'sport = :$port') ]]"
	start_sidecar "$@"
}

start_sidecar() { # N [NAMESPACE]
	local n=$1 inside=()
	[[ -z ${2:-} ]] || inside=(ip netns exec "$2")
	"${inside[@]}" "$CONNLIMIT" sync --redis "redis://${redis_host:-127.0.0.1}:$redis_port/0" --cluster test --node "n$n" \
		--table "fleet-$$-$n" --interval $interval --lease $lease >>"$here/sync$n" 2>&1 3>&- &
	sidecar[n]=$!
	pids+=("$!")
}

start_redis() {
	redis-server --port "$redis_port" --bind "${redis_host:-127.0.0.1}" --save '' --protected-mode no >"$here/redis.log" 2>&1 3>&- &
	redis=$!
	pids+=("$redis")
	until_true eval "redis-cli -h ${redis_host:-127.0.0.1} -p $redis_port ping 2>/dev/null | grep -q PONG"
}

redis() { redis-cli -h "${redis_host:-127.0.0.1}" -p "$redis_port" "$@"; }

declare -a node_port sidecar client_of

setup_fleet() { # LIMIT NODES
	fleet_limit=$1
	redis_port=$(free_port)
	start_redis
	for n in $(seq "$2"); do start_node "$n"; done
	until_true members "$2"
}

members() { [[ $(redis zcard 'connlimit:{test}:leases') == "$1" ]]; }
total_is() { [[ $(redis --raw hvals 'connlimit:{test}:totals' | awk '{ n += $1 } END { print n + 0 }') == "$1" ]]; }
# at N: from now on hold, let_go and so on speak to node N. Each node has a client process of its own.
at() {
	port=${node_port[$1]}
	if [[ -n ${client_of[$1]:-} ]]; then
		read -r client_in client_out client_pid <<<"${client_of[$1]}"
		return
	fi
	mkfifo "$here/in$1" "$here/answers$1"
	python3 "$SOURCE/tests/programs/client.py" "$port" <"$here/in$1" >"$here/answers$1" 3>&- &
	client_pid=$!
	pids+=("$client_pid")
	exec {client_in}>"$here/in$1" {client_out}<"$here/answers$1"
	client_of[$1]="$client_in $client_out $client_pid"
}

# One attempt; what is served is not kept.
refused_now() {
	tell_client "open 127.0.0.1"
	[[ $answer == refused ]] || { tell_client "close_last 127.0.0.1"; return 1; }
}

@test "fleet: the limit holds over the nodes, and what one frees another gets" {
	setup_fleet 4 2
	at 1
	for _ in 1 2 3; do hold 127.0.0.1 served; done
	until_true total_is 3
	sleep 0.3 # well over an interval: the other node was told
	at 2
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	hold 127.0.0.2 served # another client is not concerned
	until_true total_is 5
	sleep 0.3
	at 1
	hold 127.0.0.1 refused
	let_go 127.0.0.1
	let_go 127.0.0.1
	at 2
	admitted_soon 127.0.0.1
	admitted_soon 127.0.0.1
	hold 127.0.0.1 refused
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
	start_redis
	until_true total_is 4
	until_true refused_now
	at 1
	until_true refused_now
}

@test "fleet: with Redis stopped nobody waits, and it converges when it goes on" {
	setup_fleet 3 2
	at 1
	hold 127.0.0.1 served
	hold 127.0.0.1 served
	until_true total_is 2
	kill -STOP "$redis"
	at 2
	hold 127.0.0.2 served # at once, as ever
	sleep 1.5 # the lease passes
	for _ in 1 2 3; do hold 127.0.0.1 served; done # what the machine allows alone
	hold 127.0.0.1 refused
	kill -CONT "$redis"
	until_true total_is 6
	at 1
	until_true refused_now # five are open in the fleet: nobody is closed, nobody admitted
}

@test "fleet: a node whose sidecar was killed is forgotten with its lease, and not counted twice when it comes back" {
	setup_fleet 3 2
	at 1
	for _ in 1 2 3; do hold 127.0.0.1 served; done
	until_true total_is 3
	at 2
	until_true refused_now
	kill -KILL "${sidecar[1]}"
	until_true total_is 0
	members 1
	admitted_soon 127.0.0.1
	start_sidecar 1
	until_true total_is 4
	sleep 0.5
	total_is 4
	at 1
	let_go 127.0.0.1
	until_true total_is 3
}

@test "fleet: a sidecar that is stopped in order leaves nothing behind" {
	setup_fleet 3 2
	at 1
	hold 127.0.0.1 served
	until_true total_is 1
	kill -TERM "${sidecar[1]}"
	wait "${sidecar[1]}"
	total_is 0
	members 1
}

@test "fleet: a node that is cut off goes on alone and rejoins" {
	[ "$(id -u)" -eq 0 ] || skip "network namespaces need root"
	ns=connlimit$$
	ip netns add "$ns"
	ip link add "cl$$" type veth peer name eth0 netns "$ns"
	ip addr add 10.213.7.1/24 dev "cl$$"
	ip link set "cl$$" up
	ip -n "$ns" addr add 10.213.7.2/24 dev eth0
	ip -n "$ns" link set eth0 up
	ip -n "$ns" link set lo up
	redis_host=10.213.7.1
	redis_port=$(free_port)
	fleet_limit=2
	start_redis
	start_node 1
	start_node 2 "$ns"
	until_true members 2
	at 1
	hold 127.0.0.1 served
	hold 127.0.0.1 served
	until_true total_is 2
	until_true inside_is refused
	ip link set "cl$$" down
	until_true inside_is served # alone, it has room
	ip link set "cl$$" up
	until_true members 2
	until_true inside_is refused
}

# What one who connects within the namespace gets; from the same address as the client outside.
inside_is() {
	[[ $(echo "open 127.0.0.1" | ip netns exec "$ns" python3 "$SOURCE/tests/programs/client.py" "${node_port[2]}") == "$1" ]]
}

teardown_more() {
	[[ -z ${ns:-} ]] || { ip netns del "$ns" || true; ip link del "cl$$" 2>/dev/null || true; }
}

@test "sync: TLS, with a certificate that is checked, and a password" {
	redis_port=$(free_port)
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -addext 'subjectAltName=IP:127.0.0.1' -keyout "$here/key" -out "$here/cert" \
		2>/dev/null
	redis-server --port 0 --tls-port "$redis_port" --tls-cert-file "$here/cert" --tls-key-file "$here/key" --tls-auth-clients no \
		--bind 127.0.0.1 --save '' --requirepass secret >"$here/redis.log" 2>&1 3>&- &
	pids+=("$!")
	over_tls() { redis-cli -p "$redis_port" --tls --cacert "$here/cert" -a secret --no-auth-warning "$@"; }
	until_true eval 'over_tls ping 2>/dev/null | grep -q PONG'
	REDISCLI_AUTH=secret "$CONNLIMIT" sync --redis "rediss://127.0.0.1:$redis_port" --ca "$here/cert" --cluster tls --node a --interval 50 \
		2>"$here/sync" 3>&- &
	pids+=("$!")
	until_true eval "[[ \$(over_tls zcard 'connlimit:{tls}:leases') == 1 ]]"
	# One that nobody vouches for, and a wrong password, are said and used for nothing.
	REDISCLI_AUTH=secret timeout 2 "$CONNLIMIT" sync --redis "rediss://127.0.0.1:$redis_port" --cluster tls --node b 2>"$here/untrusted" || true
	grep -q 'TLS: certificate verify failed' "$here/untrusted"
	REDISCLI_AUTH=wrong timeout 2 "$CONNLIMIT" sync --redis "rediss://127.0.0.1:$redis_port" --ca "$here/cert" --cluster tls --node b \
		2>"$here/wrong" || true
	grep -q WRONGPASS "$here/wrong"
	[ "$(over_tls zcard 'connlimit:{tls}:leases')" = 1 ]
}

@test "sync: bad arguments" {
	run "$CONNLIMIT" sync
	[ "$status" -eq 2 ]
	for url in localhost redis:// redis://host:port redis://host/x http://host redis://:%zz@host; do
		run "$CONNLIMIT" sync --redis "$url"
		[ "$status" -eq 2 ]
		[[ $output == *"--redis URL"* ]]
	done
	run "$CONNLIMIT" sync --redis redis://127.0.0.1 --interval 1
	[ "$status" -eq 2 ]
	run "$CONNLIMIT" sync --redis redis://127.0.0.1 --node 'a b'
	[ "$status" -eq 2 ]
}
