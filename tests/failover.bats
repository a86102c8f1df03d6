#!/usr/bin/env bats
# connlimit sync and more than one Redis: replicas, several addresses, Sentinel, a cluster. Real servers all.

# shellcheck disable=SC2016,SC2154 # expanded by eval; set by daemon.bash
load daemon

interval=100
lease=3000
: "${REDIS_SERVER:=redis-server}" "${REDIS_CLI:=redis-cli}"

# start PORT [OPTION]...: a server there; $server is its pid.
start() {
	local at=$1
	shift
	mkdir -p "$here/$at"
	"$REDIS_SERVER" --port "$at" --bind "${bind:-127.0.0.1}" --save '' --dir "$here/$at" "$@" >>"$here/$at/log" 2>&1 3>&- &
	server=$!
	pids+=("$server")
	until_true eval "at $at ping 2>/dev/null | grep -q PONG"
}

at() { # PORT COMMAND...
	local port=$1
	shift
	"$REDIS_CLI" -h "${host:-127.0.0.1}" -p "$port" --raw "$@"
}

sidecar() { # NODE URL [OPTION]...
	local node=$1
	"$CONNLIMIT" sync --redis "$2" --cluster test --node "$node" --interval $interval --lease $lease --table "${table:-none}" "${@:3}" \
		>>"$here/$node" 2>&1 3>&- &
	sidecar=$!
	pids+=("$sidecar")
}

member_at() { at "$1" zrange 'connlimit:{test}:leases' 0 -1 2>/dev/null | grep -qx "$2"; } # PORT NODE
says() { grep -q -- "$2" "$here/$1"; }
now_ms() { date +%s%3N; }
soon() { # COMMAND...: looks every 10 ms, for 20 s
	for _ in $(seq 2000); do
		if "$@"; then return 0; fi
		sleep 0.01
	done
	echo "never: $*" >&2
	return 1
}

@test "failover: of several servers the one that takes writes is found and kept, and so is its successor" {
	one=$(free_port) two=$(free_port) three=$(free_port)
	start "$one"
	first=$server
	start "$two" --replicaof 127.0.0.1 "$one"
	sidecar a "redis://127.0.0.1:$two,127.0.0.1:$one"
	until_true member_at "$one" a
	"$CONNLIMIT" sync --redis "redis://127.0.0.1:$three" --redis "redis://127.0.0.1:$two" --redis "redis://127.0.0.1:$one" --cluster test \
		--node b --table none 2>>"$here/b" 3>&- &
	pids+=("$!")
	until_true member_at "$one" b
	run -1 says a 'not heard'
	kill -KILL "$first"
	until_true says a 'the fleet is not heard'
	at "$two" replicaof no one
	until_true member_at "$two" a
	until_true member_at "$two" b
}

@test "failover: a name with two addresses, of which the first is a replica's, with a user who may not ask for INFO" {
	((EUID == 0)) || skip "needs root, for /etc/hosts in a namespace"
	export one two
	one=$(free_port)
	bind=127.0.0.2 host=127.0.0.2 start "$one"
	bind=127.0.0.3 host=127.0.0.3 start "$one" --replicaof 127.0.0.2 "$one"
	printf '127.0.0.3 several.example\n127.0.0.2 several.example\n' >"$here/hosts"
	for address in 127.0.0.2 127.0.0.3; do host=$address at "$one" acl setuser limited on nopass '~*' +@all -info; done
	for user in default limited; do
		unshare --mount bash -c 'mount --bind "$1/hosts" /etc/hosts; exec "$CONNLIMIT" sync --redis "redis://$2@several.example:$one" \
			--cluster test --node "$2" --table none --interval 100' bash "$here" $user 2>>"$here/$user" 3>&- &
		pids+=("$!")
		host=127.0.0.2 until_true member_at "$one" $user
	done
	[ ! -s "$here/default" ]
	says limited READONLY # by which it finds out
	until_true says limited 'heard again'
}

sentinels() { # MASTER_PORT
	local n
	for n in 1 2 3; do
		sentinel[n]=$(free_port)
		mkdir -p "$here/${sentinel[n]}"
		cat >"$here/sentinel$n.conf" <<-CONF
			port ${sentinel[n]}
			bind 127.0.0.1
			dir $here/${sentinel[n]}
			sentinel monitor main 127.0.0.1 $1 2
			sentinel down-after-milliseconds main 700
			sentinel failover-timeout main 4000
		CONF
		"$REDIS_SERVER" "$here/sentinel$n.conf" --sentinel >"$here/sentinel$n.log" 2>&1 3>&- &
		pids+=("$!")
	done
	for n in 1 2 3; do
		until_true eval "at ${sentinel[n]} sentinel master main 2>/dev/null | grep -A1 num-other-sentinels | grep -qx 2"
		until_true eval "at ${sentinel[n]} sentinel master main | grep -A1 num-slaves | grep -qx 2"
	done
}

master() { at "${sentinel[2]}" sentinel get-master-addr-by-name main | tail -1; }

# The time from when a Sentinel names another master until the fleet is joined there; scripts/fleet --sentinel measures it.
costs_no_more_than_its_election() { # HOW
	local old elected joined
	old=$(master)
	kill "-$1" "${redis[$old]}"
	soon eval "[[ \$(master) != $old ]]"
	elected=$(now_ms)
	new=$(master)
	soon member_at "$new" a
	joined=$(now_ms)
	echo "# $1: joined at $new $((joined - elected)) ms after the election" >&3
	((joined - elected < 10000))
}

@test "failover: three Sentinels: a master that is killed, and one that stands still, cost no more than the election" {
	declare -A redis
	declare -a sentinel
	one=$(free_port) two=$(free_port) three=$(free_port)
	start "$one"
	redis[$one]=$server
	for port in $two $three; do
		start "$port" --replicaof 127.0.0.1 "$one" --repl-diskless-sync-delay 0 --repl-timeout 2
		redis[$port]=$server
	done
	sentinels "$one"
	silent=$(free_port) # as of a machine that is gone
	python3 "$SOURCE/tests/programs/fake_redis.py" "$silent" silent >/dev/null 3>&- &
	pids+=("$!")
	sidecar a "redis+sentinel://127.0.0.1:1,127.0.0.1:$silent,127.0.0.1:${sentinel[1]},127.0.0.1:${sentinel[2]},127.0.0.1:${sentinel[3]}/main"
	until_true member_at "$one" a
	costs_no_more_than_its_election KILL
	until_true says a 'heard again'
	start "$one" --replicaof 127.0.0.1 "$new"
	redis[$one]=$server
	until_true eval "at ${sentinel[2]} sentinel replicas main | grep -A1 '^flags' | grep -qx slave"
	sleep 1
	costs_no_more_than_its_election STOP
	sidecar b "redis+sentinel://127.0.0.1:${sentinel[1]}/other"
	until_true says b 'Sentinel does not know a master of this name'
}

# fake_sentinel N MASTER_PORT EPOCH: one that says so, or from now on does.
fake_sentinel() {
	echo "$2 $3" >"$here/word$1.new" && mv "$here/word$1.new" "$here/word$1"
	[[ -z ${sentinel[$1]:-} ]] || return 0
	sentinel[$1]=$(free_port)
	python3 "$SOURCE/tests/programs/fake_redis.py" "${sentinel[$1]}" sentinel "$here/word$1" >/dev/null 3>&- &
	fake[$1]=$!
	pids+=("$!")
	until_true eval "[[ -n \$(ss -Htln 'sport = :${sentinel[$1]}') ]]"
}

@test "failover: the Sentinel with the newest configuration is believed: not one that was cut off with the old master, nor one that learned later" {
	declare -a sentinel fake
	old=$(free_port) new=$(free_port)
	start "$old" # takes writes all the time
	start "$new"
	for n in 1 2 3; do fake_sentinel $n "$old" 1; done
	sidecar a "redis+sentinel://127.0.0.1:${sentinel[1]},127.0.0.1:${sentinel[2]},127.0.0.1:${sentinel[3]}/main"
	until_true member_at "$old" a
	fake_sentinel 3 "$new" 2
	until_true member_at "$new" a
	incarnation=$(at "$new" hget 'connlimit:{test}:incarnations' a)
	sleep 2.5 # the others are asked again, twice
	fake_sentinel 2 "$new" 2
	sleep 1.5
	kill -STOP "${fake[3]}"
	sleep 1.5
	[ "$(at "$new" hget 'connlimit:{test}:incarnations' a)" = "$incarnation" ] # it stayed
	kill -CONT "${fake[3]}"
	kill -KILL "$sidecar"
	sidecar b "redis+sentinel://127.0.0.1:${sentinel[1]},127.0.0.1:${sentinel[2]},127.0.0.1:${sentinel[3]}/main"
	until_true member_at "$new" b
	run -1 member_at "$old" b
}

@test "failover: a cluster: MOVED and ASK are followed, while a slot moves and after" {
	one=$(free_port) two=$(free_port)
	start "$one" --cluster-enabled yes --cluster-port "$(free_port)"
	start "$two" --cluster-enabled yes --cluster-port "$(free_port)"
	slot=$(at "$one" cluster keyslot 'connlimit:{test}:')
	at "$one" cluster addslotsrange 0 16383
	at "$one" cluster meet 127.0.0.1 "$two" "$(at "$two" config get cluster-port | tail -1)"
	until_true eval "at $two cluster info | grep -q cluster_state:ok"
	table=failover-$$
	mkfifo "$here/node_in"
	"$BUILD/tests/fleet_node" "$table" 10 <"$here/node_in" >"$here/node_out" 3>&- &
	pids+=("$!")
	exec {node_in}>"$here/node_in"
	for _ in 1 2 3; do echo admit 1; done >&"$node_in"
	sidecar a "redis://127.0.0.1:$two" # which has none of the slots
	until_true member_at "$one" a
	run -1 says a 'not heard'
	here_and_there() { at "$1" -c eval 'local n = 0
		for _, key in ipairs(redis.call("KEYS", "*:totals:*")) do for _, v in ipairs(redis.call("HVALS", key)) do n = n + v end end
		return n' 1 'connlimit:{test}:leases'; }
	until_true eval "[[ \$(here_and_there $one) == 3 ]]"
	from=$(at "$one" cluster myid) to=$(at "$two" cluster myid)
	at "$two" cluster setslot "$slot" importing "$from"
	at "$one" cluster setslot "$slot" migrating "$to"
	for key in leases incarnations; do at "$one" migrate 127.0.0.1 "$two" "connlimit:{test}:$key" 0 1000; done
	until_true eval "at $two -c --help >/dev/null; { echo asking; echo 'zrange connlimit:{test}:leases 0 -1'; } | at $two | grep -qx a"
	echo admit 1 >&"$node_in"
	for _ in 1 2 3; do
		at "$one" cluster getkeysinslot "$slot" 2000 | while read -r key; do at "$one" migrate 127.0.0.1 "$two" "$key" 0 1000 replace; done
	done >/dev/null
	for port in $two $one; do at "$port" cluster setslot "$slot" node "$to"; done
	until_true member_at "$two" a
	until_true eval "[[ \$(here_and_there $two) == 4 ]]"
}
