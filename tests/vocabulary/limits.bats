#!/usr/bin/env bats
# Which limit applies to whom: rules, the total, rates, prefixes, modes; and how they change while connections are open.

load vocabulary

@test "rules: by network, by port, by both; deny and unlimited; the most specific wins" {
	other=$(free_port)
	limits PER_IP=1 "RULES=127.0.1.0/24=2 127.0.1.7=deny 127.0.2.0/24=unlimited :$other=3 127.0.1.0/24:$other=1 127.0.1.7:$other=2"
	start_nginx "$other"
	hold 127.0.0.1 served; hold 127.0.0.1 refused
	hold 127.0.1.1 served; hold 127.0.1.1 served; hold 127.0.1.1 refused
	hold 127.0.1.7 refused
	for _ in $(seq 20); do hold 127.0.2.1 served; done
	first=$port
	hold_nothing
	until_true nothing_counted
	port=$other
	hold 127.0.0.1 served; hold 127.0.0.1 served; hold 127.0.0.1 served; hold 127.0.0.1 refused
	hold 127.0.1.1 served; hold 127.0.1.1 refused
	hold 127.0.1.7 served; hold 127.0.1.7 served; hold 127.0.1.7 refused
	for _ in $(seq 20); do hold 127.0.2.1 served; done
	port=$first
}

nothing_counted() { own_status | awk '/^ *127\./ && $2 > 0 { held = 1 } END { exit held }'; }

@test "rules: a daemon with 10 000 of them is reloaded under load, and no accept waits for it" {
	rules() { for i in $(seq 0 9998); do printf '10.%d.%d.0/24=%d\n' $((i / 256)) $((i % 256)) $((i % 1000 + 1)); done; }
	many=$(rules | tr '\n' ' ')
	limits PER_IP=1000 "RULES=${many}127.0.0.9=1"
	start_nginx
	hold 127.0.0.9 served; hold 127.0.0.9 refused
	python3 - "$port" "$daemon" "$limits" <<-'PYTHON'
		import os, signal, socket, sys, threading, time
		port, daemon, limits = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
		slowest, served, done = 0, 0, False
		def connect():
		    global slowest, served
		    while not done:
		        began = time.monotonic()
		        with socket.create_connection(("127.0.0.1", port)) as s:
		            s.send(b"GET / HTTP/1.0\r\n\r\n")
		            assert b"200" in s.recv(4096)
		        slowest = max(slowest, time.monotonic() - began)
		        served += 1
		threads = [threading.Thread(target=connect) for _ in range(2)]
		for t in threads: t.start()
		text = open(limits).read()
		for n in range(20):
		    with open(limits + ".new", "w") as f:
		        f.write(text.replace("127.0.0.9=1", f"127.0.0.9={2 + n}"))
		    os.rename(limits + ".new", limits)
		    os.kill(daemon, signal.SIGURG)
		    time.sleep(0.1)
		done = True
		for t in threads: t.join()
		print(f"{served} served, the slowest in {slowest * 1000:.1f} ms")
		assert served > 100
	PYTHON
	hold_until_refused 127.0.0.9 21
}

# hold_until_refused ADDRESS N: N fit with those already held, no more.
hold_until_refused() {
	while ((refused_at++ < 100)) && hold "$1" served 2>/dev/null; do :; done
	counted_is "$1" "$2"
}

@test "a rule that is there twice is an error that names it, and nothing starts" {
	limits 'RULES=10.0.0.0/8=1 :80=2 10.0.0.0/8=3'
	run -78 "$CONNLIMIT" run --file "$limits" -- true
	[[ $output == *CONNLIMIT_RULES*10.0.0.0/8=3*"the same network and port"* ]]
}

@test "total: all clients together, over both workers; set, lowered and unset while connections are open" {
	limits PER_IP=100
	start_nginx
	for i in 1 2 3 4; do hold 127.0.0.$i served; done
	limits PER_IP=101 TOTAL=5
	reload
	hold 127.0.0.5 served
	hold 127.0.0.6 refused; hold 127.0.0.1 refused
	let_go 127.0.0.3
	admitted_soon 127.0.0.6
	hold 127.0.0.7 refused
	limits PER_IP=102 TOTAL=3
	reload
	# Lowered: nobody is closed, and nobody admitted until the number is under it.
	[[ $(established) -eq 5 ]]
	for i in 1 2; do let_go 127.0.0.$i; until_true established_is $((5 - i)); hold 127.0.0.7 refused; done
	let_go 127.0.0.4
	admitted_soon 127.0.0.7
	hold 127.0.0.7 refused
	limits PER_IP=103
	reload
	for i in 1 2 3 4 5; do hold 127.0.0.7 served; done
	limits PER_IP=104 TOTAL=9
	reload
	hold 127.0.0.8 served; hold 127.0.0.8 refused
}

established_is() { [[ $(established) -eq $1 ]]; }

@test "total: connections of a worker that was killed refuse nobody" {
	limits PER_IP=100 TOTAL=4
	start_nginx
	for i in 1 2 3 4; do hold 127.0.0.$i served; done
	hold 127.0.0.5 refused
	for worker in $(pgrep -P "$daemon"); do kill -KILL "$worker" || true; done
	for i in 5 6 7 8; do admitted_soon 127.0.0.$i; done
	hold 127.0.0.9 refused
}

@test "rate: a burst, then refused, then more as time goes on; other clients have their own" {
	limits 'RATE="1/h burst=3"'
	start_nginx
	for _ in 1 2 3; do hold 127.0.0.1 served; done
	for _ in 1 2 3; do hold 127.0.0.1 refused; done
	[[ $(counted 127.0.0.1) == 3 ]]
	let_go 127.0.0.1 # closing gives nothing back
	hold 127.0.0.1 refused
	hold 127.0.0.2 served
	limits PER_IP=77 'RATE="20/s burst=3"'
	reload
	admitted_soon 127.0.0.1
	began=$SECONDS
	rounds 127.0.0.1 400
	[[ $answer -le $((3 + 20 * (SECONDS - began + 2))) ]]
}

@test "prefixes: how much of an address is one client" {
	limits PER_IP=2 IPV4_PREFIX=24
	start_nginx
	hold 127.0.5.1 served; hold 127.0.5.2 served; hold 127.0.5.3 refused
	hold 127.0.6.1 served
	[[ $(counted 127.0.5.0/24) == 2 ]]
}

@test "prefixes: changed by a reload, they hold for what is open already" {
	limits PER_IP=3
	start_nginx
	for i in 1 2 3 4; do hold 127.0.5.$i served; done
	limits PER_IP=4 IPV4_PREFIX=24
	reload
	counted_is 127.0.5.0/24 4
	hold 127.0.5.9 refused
	let_go 127.0.5.2
	admitted_soon 127.0.5.9
	limits PER_IP=1 IPV4_PREFIX=32
	reload
	hold 127.0.5.1 refused
	counted_is 127.0.5.9 1
	hold 127.0.5.7 served
}

@test "lowering the limit closes nobody, and admits nobody until the count is under it" {
	limits PER_IP=5
	start_nginx
	for _ in 1 2 3 4 5; do hold 127.0.0.1 served; done
	limits PER_IP=2
	reload
	counted_is 127.0.0.1 5
	for left in 4 3 2; do
		hold 127.0.0.1 refused
		let_go 127.0.0.1
		until_true counted_is 127.0.0.1 $left
	done
	hold 127.0.0.1 refused
	let_go 127.0.0.1
	admitted_soon 127.0.0.1
	hold 127.0.0.1 refused
}

@test "observe: refuses nobody, and counts and tells what would have been refused" {
	limits PER_IP=1 TOTAL=3 MODE=observe
	start_nginx
	for _ in 1 2 3 4; do hold 127.0.0.1 served; done
	[[ $(refusals 127.0.0.1) == 0 ]]
	[[ $(own_status | awk -F '\t' '$1 == "127.0.0.1" { print $NF }') == 3 ]]
	own_status | grep -qP '\tOLDEST\tOBSERVED$'
	own_status | grep -q '^  refused  0, would have refused 3 in mode enforce (per_ip 2, total 1)$' || own_status | grep -q '(per_ip 3)'
	counted_is 127.0.0.1 4
	grep -q "would refuse 127.0.0.1 at port $port of table test-$port (limit 1 per client)" "$here/log"
	limits PER_IP=2 MODE=enforce
	reload
	hold 127.0.0.1 refused
	for _ in 1 2 3; do let_go 127.0.0.1; done
	admitted_soon 127.0.0.1
	hold 127.0.0.1 refused
}

@test "off: counts nothing new, releases what was counted, and can be turned on again" {
	limits PER_IP=2
	start_nginx
	hold 127.0.0.1 served; hold 127.0.0.1 served; hold 127.0.0.1 refused
	limits PER_IP=3 MODE=off
	reload
	for _ in 1 2 3; do hold 127.0.0.1 served; done
	counted_is 127.0.0.1 2
	let_go 127.0.0.1; let_go 127.0.0.1
	until_true counted_is 127.0.0.1 0
	limits PER_IP=1
	reload
	hold 127.0.0.1 served; hold 127.0.0.1 refused
}

@test "signal: another signal reloads, and SIGHUP is the daemon's own again" {
	reload_signal=USR2
	limits PER_IP=1
	limited python3 -u -c '
import http.server, signal, sys
signal.signal(signal.SIGHUP, lambda *_: print("hung up", flush=True))
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()' "$port"
	in_force 1
	limits PER_IP=2
	kill -HUP "$daemon"
	until_true grep -q 'hung up' "$here/out"
	in_force 1
	reload
	in_force 2
}

@test "capacity: past it, connections are served, and it is said that they are not counted" {
	limits PER_IP=2 CAPACITY=64
	start_nginx
	for i in $(seq 70); do hold 127.0.7.$i served; done
	grep -q 'connections admitted uncounted so far: table test-[0-9]* has room for 64 (CONNLIMIT_CAPACITY)' "$here/log"
	[[ $(grep -c 'admitted uncounted' "$here/log") -le 2 ]]
	own_status | grep -q 'admitted uncounted'
}
