#!/usr/bin/env bats
# connlimit sync and Redis: what it says to it, what it takes from it, and what it does when Redis is not as it should be.

load daemon

: "${REDIS_SERVER:=redis-server}" "${REDIS_CLI:=redis-cli}" # or valkey-server, valkey-cli

interval=50
lease=1000

start_redis() { # [OPTION]...
	redis_port=$(free_port)
	"$REDIS_SERVER" --port "$redis_port" --bind 127.0.0.1 --save '' --dir "$here" "$@" >"$here/redis.log" 2>&1 3>&- &
	redis=$!
	pids+=("$redis")
	until_true eval "redis ping 2>/dev/null | grep -q PONG"
}

redis() { "$REDIS_CLI" -p "$redis_port" --raw "$@"; }

# sidecar NODE [OPTION]...: what it says is in $here/NODE.
sidecar() {
	local node=$1
	shift
	"$CONNLIMIT" sync --redis "${url:-redis://127.0.0.1:$redis_port}" --cluster test --node "$node" --interval $interval --lease $lease \
		--table none "$@" >>"$here/$node" 2>&1 3>&- &
	sidecar=$!
	pids+=("$sidecar")
}

members() { [[ $(redis zrange 'connlimit:{test}:leases' 0 -1 | sort | xargs) == "$1" ]]; }
joined() { redis zrange 'connlimit:{test}:leases' 0 -1 | grep -qx "$1"; }
says() { grep -q -- "$2" "$here/$1"; } # NODE TEXT
alive() { kill -0 "$sidecar"; }
resident_kib() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; }

# A node that died, with 20 000 clients: one to five connections each.
bury_alive() {
	redis eval '
		for i = 1, 20000 do
			local client = string.format("%016d", i) .. "\128"
			redis.call("HSET", KEYS[1] .. "node:dead:" .. i % 1024, client, i % 5 + 1)
			redis.call("HINCRBY", KEYS[1] .. "totals:" .. i % 1024, client, i % 5 + 1)
		end
		redis.call("HSET", KEYS[1] .. "incarnations", "dead", "x")
		redis.call("ZADD", KEYS[1] .. "leases", 1, "dead")
		redis.call("ZADD", KEYS[1] .. "thresholds", 1, "dead")
		return "buried"' 1 'connlimit:{test}:'
}

nothing_left() { [[ -z $(redis keys '*' | grep -v -e leases -e incarnations -e thresholds -e changes -e clock -e compared) ]]; }

@test "sync: a node with very many clients that died is forgotten whole" {
	start_redis
	bury_alive
	sidecar a
	until_true members a
	until_true nothing_left
	# Those at or over its threshold were news.
	[ "$(redis xlen 'connlimit:{test}:changes')" -ge 20 ]
}

@test "sync: with the Redis user that its README gives, and no more" {
	acl=$(sed -n 's/^ACL SETUSER connlimit //p' "$SOURCE/shim/command/fleet/README.md")
	[ -n "$acl" ]
	start_redis
	# shellcheck disable=SC2086 # words
	[ "$(redis acl setuser connlimit $acl)" = OK ]
	bury_alive
	url="redis://connlimit:secret@127.0.0.1:$redis_port" sidecar a --verbose
	until_true members a
	until_true nothing_left
	redis script flush
	redis del 'connlimit:{test}:leases' 'connlimit:{test}:incarnations'
	until_true members a
	kill -TERM "$sidecar"
	wait "$sidecar"
	[ -z "$(redis keys '*' | grep -v -e changes -e clock -e compared)" ]
	# Nothing was denied, but what it did not need to ask for.
	[ -z "$(redis acl log | grep -A1 '^object')" ]
	run -1 says a 'not heard'
}

@test "sync: with a Redis user that may not do all of it the command is named, once, until it may" {
	acl=$(sed -n 's/^ACL SETUSER connlimit //p' "$SOURCE/shim/command/fleet/README.md")
	start_redis
	# shellcheck disable=SC2086 # words
	[ "$(redis acl setuser connlimit ${acl/+hvals/})" = OK ]
	url="redis://connlimit:secret@127.0.0.1:$redis_port" sidecar a
	until_true says a "may not run HVALS.*: the fleet is not heard"
	sleep 3
	[ "$(grep -c 'heard' "$here/a")" = 1 ]
	redis acl setuser connlimit +hvals
	until_true says a 'the fleet is heard again'
	joined a
}

@test "sync: a user with a password, from the URL, the environment, a file; one without any" {
	redis() { REDISCLI_AUTH='se cret@/' "$REDIS_CLI" -p "$redis_port" --raw "$@"; }
	start_redis --requirepass 'se cret@/'
	redis acl setuser free on nopass '~*' '+@all'
	echo "redis://:se%20cret%40%2f@127.0.0.1:$redis_port/3" >"$here/url"
	url= sidecar none
	until_true says none NOAUTH
	"$CONNLIMIT" sync --redis-file "$here/url" --cluster test --node file --table none 2>>"$here/file" 3>&- &
	pids+=("$!")
	until_true eval '[[ $(redis -n 3 zcard "connlimit:{test}:leases") == 1 ]]'
	REDISCLI_AUTH='se cret@/' sidecar environment
	url="redis://free@127.0.0.1:$redis_port" sidecar free
	url="redis://:se%20cret%40%2f@127.0.0.1:$redis_port" sidecar argument
	until_true members "argument environment free"
	until_true says argument 'can be seen'
	# ps does not show it.
	[[ $(tr '\0' ' ' <"/proc/$sidecar/cmdline") != *cret* ]]
	run -1 says environment 'can be seen'
	REDISCLI_AUTH=wrong sidecar wrong
	until_true says wrong WRONGPASS
	until_true alive
}

@test "sync: two machines of one name: the one that came last has it, the other says so and comes back when it is free" {
	start_redis
	sidecar one --node same
	until_true members same
	first=$sidecar
	sidecar two --node same
	until_true says one 'another machine uses the name of node same'
	incarnation=$(redis hget 'connlimit:{test}:incarnations' same)
	sleep 1
	[ "$(redis hget 'connlimit:{test}:incarnations' same)" = "$incarnation" ]
	run -1 says two 'not heard'
	kill -KILL "$sidecar"
	until_true says one 'heard again'
	kill -0 "$first"
}

@test "sync: a replica, a full Redis, a database that is not there: each said once, and gone on from when it is over" {
	start_redis
	sidecar a
	until_true joined a
	redis replicaof 127.0.0.1 1
	until_true says a READONLY
	redis replicaof no one
	until_true eval '[[ $(grep -c "heard again" "$here/a") == 1 ]]'
	redis config set maxmemory 1
	bury_alive || true
	until_true says a OOM
	redis config set maxmemory 0
	until_true eval '[[ $(grep -c "heard again" "$here/a") == 2 ]]'
	[ "$(grep -c 'the fleet is not heard' "$here/a")" = 2 ]
	url="redis://127.0.0.1:$redis_port/99" sidecar b
	until_true says b 'out of range'
	until_true members a
}

@test "sync: what a full Redis refused half of the time leaves totals that are the sum of what nodes hold" {
	start_redis
	bury_alive
	redis config set maxmemory 1
	sidecar a
	until_true says a OOM
	sleep 0.5
	sum() {
		redis eval '
			local n = 0
			for _, key in ipairs(redis.call("KEYS", KEYS[1] .. ":*")) do
				for _, v in ipairs(redis.call("HVALS", key)) do n = n + v end
			end
			return n' 1 "connlimit:{test}:$1"
	}
	[ "$(sum totals)" = "$(sum node:dead)" ]
	redis config set maxmemory 0
	until_true nothing_left
}

@test "sync: scripts lost, news lost, members lost: it goes on" {
	start_redis
	sidecar a
	until_true joined a
	redis script flush
	redis xadd 'connlimit:{test}:changes' 5-0 x y
	redis del 'connlimit:{test}:leases'
	until_true joined a
	redis del 'connlimit:{test}:changes'
	redis flushall
	until_true joined a
	run -1 says a 'not heard'
}

@test "sync: a server that is none, or a hostile one, neither ends it nor makes it grow" {
	for how in garbage string list nested more drip loading empty close endless escapes; do
		redis_port=$(free_port)
		python3 "$SOURCE/tests/programs/fake_redis.py" "$redis_port" $how >"$here/fake-$how" 3>&- &
		pids+=("$!")
		until_true eval "[[ -n \$(ss -Htln 'sport = :$redis_port') ]]"
		# What is tried is done quickly, but for the one whose answer is read here: it must be heard in time on a busy machine too.
		sidecar $how --lease "$([[ $how == loading ]] && echo 4000 || echo 250)"
		bad[${#bad[@]}]=$sidecar
	done
	for how in garbage string list nested more drip loading empty close escapes; do
		until_true says $how 'the fleet is not heard'
		until_true eval "[[ \$(wc -l <$here/fake-$how) -ge 3 ]]" # tried again
		# Once for each reason: on a busy machine it may be late as well.
		[ "$(sort "$here/$how" | uniq -d | wc -l)" = 0 ]
		[ "$(wc -l <"$here/$how")" -le 3 ]
	done
	LC_ALL=C run -1 grep -anvx '[ -~]*' "$here/escapes"
	grep -qF 'ERR \x1b[31mred\x07 \xc2\x9b2J\x9b2J \xff\xe2\x80\xae "quoted" and so on' "$here/escapes"
	until_true says loading LOADING
	for pid in "${bad[@]}"; do
		kill -0 "$pid"
		echo "$pid $(resident_kib "$pid") KiB"
		[ "$(resident_kib "$pid")" -lt 400000 ]
		kill -TERM "$pid"
		until_true eval "! kill -0 $pid 2>/dev/null"
	done
}

@test "sync: TLS: the certificate must be for the name asked for, and one may be asked of us" {
	start_tls() { # SUBJECT_ALT_NAME [OPTION]...
		redis_port=$(free_port)
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -addext "subjectAltName=$1" \
			-keyout "$here/key" -out "$here/cert" 2>/dev/null
		shift
		"$REDIS_SERVER" --port 0 --tls-port "$redis_port" --tls-cert-file "$here/cert" --tls-key-file "$here/key" \
			--tls-ca-cert-file "$here/cert" --bind 127.0.0.1 --save '' "$@" >"$here/redis.log" 2>&1 3>&- &
		pids+=("$!")
		until_true eval "redis ping 2>/dev/null | grep -q PONG"
	}
	redis() { "$REDIS_CLI" -p "$redis_port" --raw --tls --cacert "$here/cert" --cert "$here/cert" --key "$here/key" "$@"; }
	start_tls DNS:localhost --tls-auth-clients yes
	url="rediss://localhost:$redis_port" sidecar anonymous --ca "$here/cert"
	url="rediss://127.0.0.1:$redis_port" sidecar address --ca "$here/cert" --cert "$here/cert" --key "$here/key"
	url="rediss://localhost:$redis_port" sidecar named --ca "$here/cert" --cert "$here/cert" --key "$here/key"
	until_true members named
	until_true says address 'TLS: certificate verify failed: IP address mismatch'
	until_true says anonymous 'TLS: .*certificate required'
	url="rediss://localhost:$redis_port" sidecar untrusted --cert "$here/cert" --key "$here/key"
	until_true says untrusted 'TLS: certificate verify failed: self'
	start_tls DNS:elsewhere.example --tls-auth-clients no
	url="rediss://localhost:$redis_port" sidecar other --ca "$here/cert"
	until_true says other 'TLS: certificate verify failed: hostname mismatch'
	members ''
}

# node_as USER LIMIT: a table of that user's; what is written to $node_in is done (tests/programs/fleet_node.c).
node_as() {
	table=sync-$BATS_TEST_NUMBER-$$
	mkfifo "$here/node_in"
	cp "$BUILD/tests/fleet_node" "$here/fleet_node"
	chmod 755 "$here"
	setpriv --reuid="$1" --clear-groups "$here/fleet_node" "$table" "$2" <"$here/node_in" >"$here/node_out" 3>&- &
	node=$!
	pids+=("$node")
	exec {node_in}>"$here/node_in"
}
total_of_one() { redis eval 'local k = redis.call("KEYS", "*:totals:*") return k[1] and redis.call("HVALS", k[1]) or {}' 0; }

@test "sync: tables of other users are joined only if they are named, and giving one to root does not help" {
	((EUID == 0)) || skip "needs root"
	start_redis
	node_as 65534 10
	for _ in 1 2 3; do echo admit 1; done >&"$node_in"
	until_true eval '[[ $(wc -l <"$here/node_out") == 3 ]]'
	sidecar a --table "$table"
	until_true joined a
	sleep 0.5
	[ -z "$(total_of_one)" ]
	# shellcheck disable=SC2016 # awk's
	setpriv --reuid=65534 --clear-groups python3 - "$(awk -v pid="$node" '$5 == pid { print $2 }' /proc/sysvipc/shm)" <<-'PYTHON'
		import ctypes, sys
		libc, segment, facts = ctypes.CDLL(None), int(sys.argv[1]), ctypes.create_string_buffer(256)
		assert libc.shmctl(segment, 2, facts) == 0  # IPC_STAT
		facts[4:8] = bytes(4)  # shm_perm.uid
		assert libc.shmctl(segment, 1, facts) == 0  # IPC_SET
	PYTHON
	sleep 1.5 # it would be looked at again
	[ -z "$(total_of_one)" ]
	kill -TERM "$sidecar"
	wait "$sidecar"
	sidecar a --table "$table" --user nobody
	until_true eval '[[ $(total_of_one) == 3 ]]'
	run "$CONNLIMIT" sync --redis redis://127.0.0.1 --user no-such-user
	[ "$status" -eq 2 ]
}

@test "sync: segments of huge pages, of which there may be none left when they are touched, do not end it" {
	((EUID == 0)) || skip "needs root"
	start_redis
	node_as 0 10
	echo admit 1 >&"$node_in"
	until_true eval '[[ $(wc -l <"$here/node_out") == 1 ]]'
	# shellcheck disable=SC2016 # awk's
	size=$(awk -v pid="$node" '$5 == pid { print $4 }' /proc/sysvipc/shm)
	setpriv --reuid=65534 --clear-groups --bounding-set=-all --inh-caps=-all python3 - "$size" >"$here/huge" 3>&- <<-'PYTHON' &
		import ctypes, os, sys, time
		libc = ctypes.CDLL(None, use_errno=True)
		libc.shmat.restype = ctypes.c_void_p
		for owner in None, 0:  # of a named user, and given to root by whoever made it
		    segment = libc.shmget(0, ctypes.c_size_t(int(sys.argv[1])), 0o15600)  # IPC_CREAT, SHM_HUGETLB, SHM_NORESERVE
		    if segment < 0 or libc.shmat(segment, None, 0) in (None, 2**64 - 1):
		        print("cannot", os.strerror(ctypes.get_errno()), flush=True)
		        continue
		    facts = ctypes.create_string_buffer(256)
		    assert libc.shmctl(segment, 2, facts) == 0  # IPC_STAT
		    if owner is not None:
		        facts[4:8] = owner.to_bytes(4, sys.byteorder)  # shm_perm.uid
		        assert libc.shmctl(segment, 1, facts) == 0  # IPC_SET
		    assert libc.shmctl(segment, 0, None) == 0  # IPC_RMID: until we end
		    print("made", flush=True)
		time.sleep(60)
	PYTHON
	pids+=("$!")
	until_true eval '[[ $(wc -l <"$here/huge") == 2 ]]'
	! grep cannot "$here/huge" || skip "there are no segments of huge pages"
	sidecar a --table "$table" --user nobody
	until_true joined a
	until_true eval '[[ $(total_of_one) == 1 ]]'
	sleep 1.5 # they are looked at again
	alive
	run -0 "$CONNLIMIT" status "$table"
}

@test "sync: a table that says that it holds more than it can is believed up to its capacity, and that is said" {
	start_redis
	node_as "$EUID" 10
	sidecar a --table "$table"
	until_true joined a
	for client in 1 2 3; do echo admit $client; done >&"$node_in"
	sum() { redis eval 'local n = 0
		for _, key in ipairs(redis.call("KEYS", "*:totals:*")) do for _, v in ipairs(redis.call("HVALS", key)) do n = n + v end end
		return n' 0; }
	until_true eval '[[ $(sum) == 3 ]]'
	for client in 1 2 3; do echo claim $client; done >&"$node_in"
	until_true says a "says that it holds more than its capacity, 4096 connections"
	[ "$(sum)" -le 4096 ]
	[ "$(grep -c 'more than its capacity' "$here/a")" = 1 ]
	run -1 says a mended
}

@test "sync: a table without room for all who are near the fleet's limit is named, once" {
	start_redis
	bury_alive >/dev/null
	redis zrem 'connlimit:{test}:thresholds' dead
	redis zadd 'connlimit:{test}:leases' 99999999999999 dead # it lives
	node_as "$EUID" 4 # which 20 000 are near, of whom its table has room for a third
	sidecar a --table "$table"
	until_true says a "no room for all of the [0-9]* clients near the fleet's limit"
	sleep 2.5
	[ "$(grep -c 'no room' "$here/a")" = 1 ]
}

@test "sync: systemd is told" {
	python3 - "$here/socket" >"$here/told" 3>&- <<-'PYTHON' &
		import socket, sys
		s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		s.bind(sys.argv[1])
		while True:
		    print(s.recv(4096).decode(), flush=True)
	PYTHON
	pids+=("$!")
	until_true test -S "$here/socket"
	redis_port=$(free_port)
	export NOTIFY_SOCKET=$here/socket
	sidecar a
	until_true grep -q '^READY=1' "$here/told"
	until_true grep -q '^STATUS=.*Connection refused: the fleet is not heard' "$here/told"
	redis_port_before=$redis_port
	free_port() { echo "$redis_port_before"; }
	start_redis
	until_true grep -q '^STATUS=the fleet is heard again' "$here/told"
	kill -TERM "$sidecar"
	until_true grep -q '^STOPPING=1' "$here/told"
}

@test "sync: bad arguments" {
	run "$CONNLIMIT" sync
	[ "$status" -eq 2 ]
	for url in localhost redis:// redis://host:port redis://host/x http://host redis://:%zz@host; do
		run "$CONNLIMIT" sync --redis "$url"
		[ "$status" -eq 2 ]
		[[ $output == *"--redis URL"* ]]
	done
	for options in '--interval 1' '--node a,b' '--lease 100' '--cert x' '--ca x' '--redis-file x'; do
		# shellcheck disable=SC2086 # words
		run "$CONNLIMIT" sync --redis redis://127.0.0.1 $options
		[ "$status" -eq 2 ]
	done
	run "$CONNLIMIT" sync --redis-file /does/not/exist
	[ "$status" -eq 2 ]
	[[ $output == *"No such file"* ]]
}

# The sidecar ends after SIGTERM, well before any lease.
ends_soon() {
	local began
	began=$(date +%s%3N)
	kill -TERM "$sidecar"
	wait "$sidecar"
	echo "ended after $(($(date +%s%3N) - began)) ms"
	(($(date +%s%3N) - began <= 20000))
}

@test "sync: SIGTERM ends it, whatever the lease: with Redis, a silent one, a stopped one, one that drips" {
	start_redis
	sidecar a --lease 3600000
	until_true joined a
	ends_soon
	members ''
	sidecar a --lease 3600000
	until_true joined a
	kill -STOP "$redis"
	sleep 0.3
	ends_soon
	for how in silent drip endless; do
		redis_port=$(free_port)
		python3 "$SOURCE/tests/programs/fake_redis.py" "$redis_port" $how >"$here/fake" 3>&- &
		pids+=("$!")
		until_true eval "[[ -n \$(ss -Htln 'sport = :$redis_port') ]]"
		sidecar $how --lease 60000
		until_true eval '[[ -s $here/fake ]]'
		sleep 0.3
		ends_soon
	done
}

@test "sync: SIGTERM ends it when a name server says nothing, and the lease passes" {
	((EUID == 0)) || skip "needs root, for /etc/resolv.conf in a namespace"
	echo 'nameserver 127.0.0.1' >"$here/resolv.conf" # in a network namespace of its own: bound by one that reads nothing
	unshare --net --mount bash -c '
		ip link set lo up
		mount --bind "$1/resolv.conf" /etc/resolv.conf
		python3 -c "import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((\"127.0.0.1\", 53)); time.sleep(60)" &
		sleep 0.3
		"$CONNLIMIT" sync --redis redis://redis.example --table none --lease 1000 2>"$1/said" &
		sidecar=$!
		sleep 2.5
		began=$(date +%s%3N)
		kill -TERM $sidecar
		wait $sidecar
		echo $(($(date +%s%3N) - began)) >"$1/took"
		kill %1' bash "$here"
	echo "$(cat "$here/took") ms"
	[ "$(cat "$here/took")" -le 4000 ] # getaddrinfo would wait ten seconds
	grep -q 'redis.example: no answer from the name servers in time: the fleet is not heard' "$here/said"
	[ "$(wc -l <"$here/said")" = 1 ]
}

@test "sync: each reason is said once, in full: a password that was changed, TLS on a port without, silence, FLUSHALL" {
	start_redis
	redis acl setuser sync on '>first' '~*' '+@all'
	url="redis://sync:first@127.0.0.1:$redis_port" sidecar a
	until_true joined a
	redis acl setuser sync resetpass '>second'
	redis client kill type normal skipme yes
	until_true says a 'WRONGPASS.*the fleet is'
	redis acl setuser sync resetpass '>first'
	until_true says a 'heard again'
	redis flushall
	until_true says a 'had lost this node.s counts'
	[ "$(grep -c WRONGPASS "$here/a")" = 1 ]
	url="rediss://127.0.0.1:$redis_port" sidecar tls
	until_true says tls 'no answer to the TLS handshake in time: does this port use TLS'
	kill -STOP "$redis"
	until_true says a 'no answer in time: the fleet is not heard'
	kill -CONT "$redis"
	until_true eval '[[ $(grep -c "heard again" "$here/a") == 2 ]]'
}

@test "sync: Redis that may evict the fleet's keys: said at start and when it changes, and shown" {
	start_redis --maxmemory-policy allkeys-lru
	node_as "$EUID" 10
	echo admit 1 >&"$node_in"
	sidecar a --table "$table"
	until_true says a 'maxmemory-policy allkeys'
	until_true eval '"$CONNLIMIT" status "$table" | grep -q "Redis is configured to evict"'
	"$CONNLIMIT" metrics | grep -q "^connlimit_degraded{table=\"$table\".*fleet_evicted\"} 1"
	redis config set maxmemory-policy volatile-lru
	kill -KILL "$sidecar"
	sidecar a --table "$table"
	until_true joined a
	until_true eval '"$CONNLIMIT" metrics | grep -q "^connlimit_degraded{table=\"$table\".*fleet_evicted\"} 0"'
	[ "$(grep -c 'maxmemory-policy allkeys' "$here/a")" = 1 ]
}

@test "sync: Redis that evicts all the time: what was lost is said once for each reason, and told again; the metric counts all of it" {
	start_redis --maxmemory-policy allkeys-random
	node_as "$EUID" 10
	for client in $(seq 200); do echo admit "$client"; done >&"$node_in"
	until_true eval '[[ $(wc -l <"$here/node_out") == 200 ]]'
	sidecar a --table "$table" --lease 2000
	until_true joined a
	evict() { # what is in it does not fit any more
		redis config set maxmemory $(($(redis info memory | sed -n 's/^used_memory:\([0-9]*\).*/\1/p') - 20000))
		redis eval 'for i = 1, 200 do redis.call("SET", "other:" .. i, string.rep("x", 1000)) end' 0
		redis config set maxmemory 0
	} >/dev/null
	mended() { "$CONNLIMIT" metrics | awk "/^connlimit_fleet_mended_total.*$table\"/ { print \$NF }"; }
	more_was_mended() {
		((tries++ % 30 != 0)) || evict
		[[ $(mended) -gt $before ]]
	}
	for reason in 'had lost this node' 'were corrected'; do
		tries=0
		said() { # what is lost again and again is told again, and not compared meanwhile
			((tries++ % 30 != 0)) || evict
			says a "$reason"
		}
		until_true said || until_true said
	done
	for _ in 1 2 3; do
		before=$(mended)
		until_true more_was_mended
	done
	[ "$(grep -c 'had lost this node' "$here/a")" = 1 ]
	[ "$(grep -c 'were corrected' "$here/a")" = 1 ]
	sum() {
		redis eval 'local n = 0
			for _, key in ipairs(redis.call("KEYS", "*:totals:*")) do for _, v in ipairs(redis.call("HVALS", key)) do n = n + v end end
			return n' 0
	}
	until_true eval '[[ $(sum) == 200 ]]'
}

@test "sync: that other clients are near after a limit was lowered is no correction" {
	start_redis
	node_as "$EUID" 10
	for _ in 1 2 3; do echo admit 1; done >&"$node_in"
	sidecar a --table "$table" --lease 500
	until_true eval '[[ $(total_of_one) == 3 ]]'
	until_true eval '[[ $(redis hlen "connlimit:{test}:compared") == 1024 ]]'
	near() { redis keys 'connlimit:{test}:near:*' | grep -q .; }
	run -1 near
	redis zadd 'connlimit:{test}:thresholds' 1 other # it did not get to adding them itself
	until_true near
	sleep 1
	run -1 says a 'were corrected'
	[ "$("$CONNLIMIT" metrics | awk "/^connlimit_fleet_mended_total.*$table\"/ { print \$NF }")" = 0 ]
}

@test "sync: Redis's clock set forward and back by hours: nobody is lost, and the dead are forgotten in time" {
	LD_PRELOAD=$BUILD/tests/other_clock.so OTHER_CLOCK=$here/clock start_redis
	set_clock() { echo "$1" >"$here/clock.new" && mv "$here/clock.new" "$here/clock"; }
	incarnations() { redis hgetall 'connlimit:{test}:incarnations' | xargs -n 2 | sort | xargs; }
	sidecar a
	sidecar b
	until_true members "a b"
	before=$(incarnations)
	for clock in 18000 -18000 0; do
		set_clock $clock
		sleep 1.2
		members "a b"
		[ "$(incarnations)" = "$before" ]
	done
	kill -KILL "$sidecar"
	set_clock -32400
	[ "$(redis time | head -1)" -lt $(($(date +%s) - 32000)) ]
	until_true members a
	sidecar c
	until_true members "a c"
	set_clock 32400
	killed=$(date +%s%3N)
	kill -KILL "$sidecar"
	sleep 0.3
	left=$(redis zrange 'connlimit:{test}:leases' 0 -1 | sort | xargs)
	# Not at once either; unless the machine is so busy that the lease is over.
	[[ $left == "a c" ]] || (($(date +%s%3N) - killed > lease / 2))
	until_true members a
	run -1 says a 'had forgotten'
}

@test "sync: SIGHUP has the file of URLs read again; a bad one changes nothing" {
	redis() { REDISCLI_AUTH=one "$REDIS_CLI" -p "$redis_port" --raw "$@"; }
	start_redis --requirepass one
	echo "redis://:wrong@127.0.0.1:$redis_port" >"$here/urls"
	"$CONNLIMIT" sync --redis-file "$here/urls" --cluster test --node a --table none --interval $interval --lease $lease 2>>"$here/a" 3>&- &
	sidecar=$!
	pids+=("$sidecar")
	until_true says a WRONGPASS
	printf '# the new one\nredis://127.0.0.1:1\nredis://:one@127.0.0.1:%s\n' "$redis_port" >"$here/urls"
	kill -HUP "$sidecar"
	until_true joined a
	echo http://x >"$here/urls"
	kill -HUP "$sidecar"
	until_true says a 'the previous content stays in use'
	sleep 0.5
	members a
	alive
}
