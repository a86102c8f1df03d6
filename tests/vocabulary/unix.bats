#!/usr/bin/env bats
# Unix-domain listeners: limits by the peer's user.

load vocabulary

# A server on a Unix socket that answers each connection and keeps it, and a client that holds connections as a user.
start_unix_server() {
	cat >"$here/server.py" <<-'PYTHON'
		import os, socket, sys, threading
		listener = socket.socket(socket.AF_UNIX)
		listener.bind(sys.argv[1])
		os.chmod(sys.argv[1], 0o777)
		listener.listen(64)
		def serve(s):
		    try:
		        s.send(b"hello")
		        while s.recv(100): pass
		    except OSError as error: print(type(error).__name__, flush=True)
		    s.close()
		while True:
		    s, peer = listener.accept()
		    if os.path.exists(sys.argv[1] + ".fork"):
		        if os.fork() == 0:
		            listener.close()
		            serve(s)
		            os._exit(0)
		        s.close()
		        continue
		    threading.Thread(target=serve, args=[s], daemon=True).start()
	PYTHON
	cat >"$here/client.py" <<-'PYTHON'
		import os, socket, sys
		os.setuid(int(sys.argv[2]))
		kept = []
		for line in sys.stdin:
		    if line.startswith("close"):
		        kept.pop(0).close()
		        print("closed", flush=True)
		        continue
		    s = socket.socket(socket.AF_UNIX)
		    s.settimeout(10)
		    s.connect(sys.argv[1])
		    try: answer = "served" if s.recv(100) == b"hello" else "refused"
		    except OSError: answer = "refused"
		    if answer == "served": kept.append(s)
		    print(answer, flush=True)
	PYTHON
	"$CONNLIMIT" run --file "$limits" --table "test-$port" -- python3 "$here/server.py" "$here/socket" >"$here/out" 2>>"$here/errors" 3>&- &
	daemon=$!
	pids+=("$daemon")
	until_true [ -S "$here/socket" ]
	coproc ONE { exec python3 "$here/client.py" "$here/socket" 1001 3>&-; }
	one_in=${ONE[1]} one_out=${ONE[0]} one=$ONE_PID
	coproc TWO { exec python3 "$here/client.py" "$here/socket" 1002 3>&-; } 2>/dev/null
	two_in=${TWO[1]} two_out=${TWO[0]} two=$TWO_PID
	pids+=("$one" "$two")
}

ask_one() { echo "$1" >&"$one_in"; read -r -t 30 answer <&"$one_out"; [[ $answer == "$2" ]]; }
ask_two() { echo "$1" >&"$two_in"; read -r -t 30 answer <&"$two_out"; [[ $answer == "$2" ]]; }
counted_user() { own_status | awk -v who="$1" '$1 == "uid" && $2 == who { print $3; seen = 1 } END { if (!seen) print 0 }'; }
counted_user_is() { [[ $(counted_user "$1") == "$2" ]]; }

@test "per user: the limit holds for one user, another is not concerned, status shows both" {
	limits PER_UID=2
	start_unix_server
	ask_one open served; ask_one open served
	ask_one open refused; ask_one open refused
	ask_two open served
	counted_user_is 1001 2
	counted_user_is 1002 1
	ask_one close closed
	until_true ask_one open served
	ask_one open refused
	kill -0 "$daemon"
}

@test "per user: what a child held that was killed is found to be gone" {
	limits PER_UID=2
	start_unix_server
	touch "$here/socket.fork"
	ask_one open served; ask_one open served; ask_one open refused
	for child in $(pgrep -P "$daemon"); do kill -KILL "$child" || true; done
	ask_one close closed; ask_one close closed
	until_true ask_one open served
}

@test "per user: a client in another network namespace, whose sockets the kernel does not show us, is not taken for gone" {
	unshare --net true 2>/dev/null || skip "no network namespaces here"
	limits PER_UID=1
	start_unix_server
	coproc AWAY { exec unshare --net python3 "$here/client.py" "$here/socket" 1003 3>&-; } 2>/dev/null
	away_in=${AWAY[1]} away_out=${AWAY[0]}
	pids+=("$AWAY_PID")
	ask_away() { echo "$1" >&"$away_in"; read -r -t 30 answer <&"$away_out"; [[ $answer == "$2" ]]; }
	ask_away open served
	for _ in 1 2 3 4 5; do ask_away open refused; done
	counted_user_is 1003 1
	ask_away close closed
	until_true ask_away open served
}

@test "per user: without the setting Unix connections are not counted" {
	limits PER_IP=1
	start_unix_server
	for _ in 1 2 3 4; do ask_one open served; done
	[[ -z $(own_status | grep uid) ]]
}

@test "per user: a text for the refused" {
	limits PER_UID=1 'REFUSE="text:busy"'
	start_unix_server
	ask_one open served
	[[ $(python3 -c '
import os, socket, sys
os.setuid(1001)
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(s.recv(100), s.recv(100))' "$here/socket") == "b'busy' b''" ]]
	# To the daemon it is a client that went away.
	until_true grep -qE 'ConnectionResetError|BrokenPipeError' "$here/out"
	run ! grep -vE 'ConnectionResetError|BrokenPipeError' "$here/out"
}
