#!/usr/bin/env bats
# connlimit-sync.service as it is installed, under a systemd that is booted in a copy of this system: it joins, is reloaded, follows a
# failover, and stops. And the alerts for it.

load built

@test "fleet unit: joins, limits, is reloaded, follows a failover, stops within two seconds and leaves nothing" {
	((EUID == 0)) || skip "needs root"
	root=$BATS_TEST_TMPDIR/root
	libraries=$root/usr/lib/$(gcc -print-multiarch)
	units=$root/etc/systemd/system
	mkdir -p "$root/usr/bin" "$libraries" "$root/etc/connlimit" "$root/etc/default" "$units" "$root/srv"
	cp "$CONNLIMIT" "$root/usr/bin/"
	cp "$PRELOAD" "$libraries/"
	sed 's,@bindir@,/usr/bin,' "$SOURCE/shim/command/systemd/connlimit-sync.service.in" >"$units/connlimit-sync.service"
	cp "$SOURCE/tests/programs/answer.py" "$root/srv/"
	printf '[Service]\nUser=nobody\nEnvironment=LD_PRELOAD=libconnlimit_preload.so CONNLIMIT_TABLE=web CONNLIMIT_FILE=/etc/connlimit/web.env\n%s\n%s\n' \
		'ExecStart=/usr/bin/python3 /srv/answer.py 8001' 'ExecReload=/bin/kill -HUP $MAINPID' >"$units/web.service"
	echo CONNLIMIT_CLUSTER_PER_IP=5 >"$root/etc/connlimit/web.env"
	echo 'OPTIONS=--cluster test --node here --user nobody --interval 50 --lease 1000' >"$root/etc/default/connlimit-sync"
	install -m 600 /dev/stdin "$root/etc/connlimit/redis" <<<'redis://127.0.0.1:7001'
	cat >"$BATS_TEST_TMPDIR/script" <<'SCRIPT'
soon() { # COMMAND...: at most twenty seconds
	local until=$((SECONDS + 20))
	until "$@" >/dev/null 2>&1; do
		((SECONDS < until)) || { echo "never: $*"; return 1; }
		sleep 0.1
	done
}
at() { redis-cli -p "$1" --raw "${@:2}"; }
joined() { at "$1" zrange 'connlimit:{test}:leases' 0 -1 | grep -qx here; }
shows() { systemctl show --property=StatusText --value connlimit-sync | grep -q "$1"; }
knock() {
	python3 - <<-'PYTHON'
		import socket
		held, served = [], 0
		for _ in range(8):
		    try:
		        s = socket.create_connection(("127.0.0.1", 8001), 5)
		        held.append(s)
		        s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		        served += s.recv(100) != b""
		    except OSError:
		        pass
		print("served", served)
	PYTHON
}
chown -R root: /etc/connlimit
for port in 7001 7002; do redis-server --port $port --save '' --daemonize yes --dir /tmp --pidfile /run/redis-$port.pid >/dev/null; done
soon at 7002 replicaof 127.0.0.1 7001
systemctl start web connlimit-sync && echo started
soon joined 7001 && echo joined
soon shows 'in step' && echo in step
soon connlimit status web
soon sh -c 'connlimit status web | grep -q "in step"' && echo table in step
echo 'redis://127.0.0.1:7002,127.0.0.1:7001' >/etc/connlimit/redis
systemctl reload connlimit-sync && echo reloaded
soon joined 7001
sleep 1
systemctl is-active --quiet connlimit-sync && joined 7001 && echo still joined
kill -KILL "$(cat /run/redis-7001.pid)"
soon shows 'the fleet is .*not heard' && echo lost
at 7002 replicaof no one
soon joined 7002 && echo joined the other
soon shows 'heard again' && echo heard again
echo "knocked: $(knock)"
sed -i s/=5/=3/ /etc/connlimit/web.env
systemctl reload web
soon sh -c 'connlimit status web | grep -q "^  setting  CONNLIMIT_CLUSTER_PER_IP=3 "'
echo "knocked: $(knock)"
began=$(date +%s%3N)
systemctl stop connlimit-sync
echo "stopped after $(($(date +%s%3N) - began)) ms"
joined 7002 || echo left
systemctl --failed --plain --no-legend
journalctl --no-pager -u connlimit-sync | grep -v systemd
SCRIPT
	status=0
	"$SOURCE/tests/programs/booted" "$root" "$BATS_TEST_TMPDIR/script" >"$BATS_TEST_TMPDIR/said" 2>&1 || status=$?
	cat "$BATS_TEST_TMPDIR/said"
	((status != 77)) || skip "no systemd can be booted here"
	for line in started joined 'in step' 'table in step' reloaded 'still joined' lost 'joined the other' 'heard again' 'knocked: served 5' \
		'knocked: served 3' left; do
		grep -qx "$line" "$BATS_TEST_TMPDIR/said"
	done
	took=$(sed -n 's/stopped after \([0-9]*\) ms/\1/p' "$BATS_TEST_TMPDIR/said")
	((took < 20000)) # systemd would wait ninety seconds
	run -1 grep -q never "$BATS_TEST_TMPDIR/said"
}

@test "fleet unit: the alerts are what Prometheus takes, and name metrics that there are" {
	alerts=$SOURCE/shim/command/fleet/alerts.yml
	command -v promtool >/dev/null || skip "no promtool"
	promtool check rules "$alerts"
	for metric in $(grep -o 'connlimit_[a-z_]*' "$alerts" | sort -u); do grep -q "^\.B $metric$" "$SOURCE/shim/command/connlimit.1"; done
	what=$(sed -n 's/.*what="\([a-z_]*\)".*/\1/p' "$alerts")
	grep -q "^\.B $what$" "$SOURCE/shim/command/connlimit.1"
}
