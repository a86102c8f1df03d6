#!/usr/bin/env bats
# Many clients at once before an HTTP daemon that knows nothing of limits: of each exactly as many as its limit are served,
# again and again, whatever the others get; what a server with libconnlimit does, which tests/unit/test_library.c tries.

load vocabulary

# crowd ADDRESSES EACH: opens EACH connections from each of so many addresses at once, holds them all, and prints how many got
# what.
crowd() {
	python3 - "$port" "$1" "$2" <<-'PYTHON'
		import collections, socket, sys, threading
		port, addresses, each = map(int, sys.argv[1:])
		got = collections.Counter()
		lock, held, all_there = threading.Lock(), [], threading.Barrier(20)
		def visit(share):
		    all_there.wait()
		    for address in share:
		        s = socket.socket()
		        s.settimeout(30)
		        s.bind((address, 0))
		        try:
		            s.connect(("127.0.0.1", port))
		            s.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
		            answer = s.recv(4096)
		            what = answer[9:12].decode() if answer.startswith(b"HTTP/1.1 ") else "end"
		        except (ConnectionResetError, BrokenPipeError):
		            what = "reset"
		        with lock:
		            got[what] += 1
		            held.append(s)
		clients = [f"127.1.{i // 200}.{i % 200 + 1}" for i in range(addresses)] * each
		threads = [threading.Thread(target=visit, args=[clients[i::20]]) for i in range(20)]
		for t in threads: t.start()
		for t in threads: t.join()
		print(" ".join(f"{n} {what}" for what, n in sorted(got.items())))
	PYTHON
}

nobody_left() { [[ $(established) -eq 0 ]]; }

@test "crowd: of a thousand connections from a hundred addresses, five each are served, in two rounds" {
	ulimit -n 4096
	limits PER_IP=5
	start_nginx
	for _ in 1 2; do
		run -0 crowd 100 10
		[[ $output == "500 200 500 reset" ]] || { echo "$output"; false; }
		until_true nobody_left
	done
	own_status | grep -q 'refused *1000 (per_ip 1000)'
}

@test "crowd: one thread a connection, with and without a 429, and the limit changed in between" {
	for how in reset http; do
		limits PER_IP=5 REFUSE=$how
		start_blocking_server
		run -0 crowd 3 10
		[[ $output == $([[ $how == http ]] && echo "15 200 15 429" || echo "15 200 15 reset") ]] || { echo "$output"; false; }
		until_true nobody_left
		limits PER_IP=7 REFUSE=$how
		reload
		run -0 crowd 3 10
		[[ $output == "21 200 9 "* ]] || { echo "$output"; false; }
		kill_tree "$daemon"
		port=$(free_port)
	done
}
