#!/usr/bin/env bats
# Other objects that are preloaded beside ours, before it and behind it.

load built

setup() {
	here=$(mktemp -d)
	export CONNLIMIT_FILE=$here/limits.env CONNLIMIT_TABLE=preloads-$BATS_TEST_NUMBER-$$
	ulimit -c 0
}

teardown() { rm -rf "$here"; }

trap_of() { # NAME LIMIT
	echo "CONNLIMIT_PER_IP=$2" >"$CONNLIMIT_FILE"
	timeout 60 env LD_PRELOAD="$preload" "$BUILD/tests/traps" "$1" || { echo "$1 with $preload" && return 1; }
}

beside() { # OBJECT
	local name
	for preload in "$PRELOAD $1" "$1 $PRELOAD"; do
		for name in forks unseen_fork streams passing signals; do trap_of "$name" 0; done
		for name in ends no_netlink; do trap_of "$name" 1; done
	done
}

installed() { find /usr/lib -path "*/$1" | head -1; }

@test "preloads: jemalloc, mimalloc, tcmalloc" {
	for other in libjemalloc.so.2 libmimalloc.so.2 libtcmalloc_minimal.so.4; do
		other=$(installed "$other")
		[ -n "$other" ]
		beside "$other"
	done
}

@test "preloads: eatmydata, and faketime with a clock that runs, runs fast, and stands" {
	beside "$(installed libeatmydata.so)"
	for FAKETIME in "@2020-01-01 00:00:00" "-15d x10" "2020-01-01 00:00:00"; do
		export FAKETIME
		beside "$(installed faketime/libfaketime.so.1)"
	done
	beside "$(installed faketime/libfaketimeMT.so.1)"
}

@test "preloads: ASan's runtime" {
	export ASAN_OPTIONS=detect_leaks=0:verify_asan_link_order=0
	beside "$(readlink -f "$(gcc -print-file-name=libasan.so)")"
}

@test "preloads: fakeroot, as somebody who is not root" {
	((EUID == 0)) || skip "needs root to become somebody else"
	cp "$PRELOAD" "$BUILD/tests/traps" "$here"
	chmod -R a+rX "$here"
	for order in ours theirs; do
		for name in passing streams ends; do
			echo "CONNLIMIT_PER_IP=$([[ $name == ends ]] && echo 1 || echo 0)" >"$CONNLIMIT_FILE"
			# shellcheck disable=SC2016 # for that shell
			run -0 timeout 60 setpriv --reuid=65534 --regid=65534 --clear-groups fakeroot sh -c '
				[ "$(id -u)" = 0 ] || exit 1
				if [ "$1" = ours ]; then LD_PRELOAD="$2:$LD_PRELOAD"; else LD_PRELOAD="$LD_PRELOAD:$2"; fi
				exec "$3" "$4"' - $order "$here/libconnlimit_preload.so" "$here/traps" $name
			[[ $output != *"no shared memory"* ]]
		done
	done
}

@test "preloads: one behind ours that shows other peers limits by what it shows" {
	echo CONNLIMIT_PER_IP=1 >"$CONNLIMIT_FILE"
	cat >"$here/server.py" <<-'PYTHON'
		import socket
		listener = socket.create_server(("127.0.0.1", 0))
		held = {}
		def comes(who):
		    client = socket.create_connection(listener.getsockname())
		    client.send(who)
		    server, peer = listener.accept()
		    try: served = server.send(b"+") == 1 and client.recv(1) == b"+"
		    except OSError: served = False
		    if served: held[who] = client, server, peer
		    return served
		assert comes(b"A") and held[b"A"][2] == ("192.0.2.65", 1), held
		assert comes(b"B")
		assert not comes(b"A")
		assert not comes(b"B")
		for end in held[b"A"][:2]: end.close()
		assert comes(b"A")
		assert not comes(b"A")
	PYTHON
	LD_PRELOAD="$PRELOAD $BUILD/tests/shows_peers.so" python3 "$here/server.py"
}
