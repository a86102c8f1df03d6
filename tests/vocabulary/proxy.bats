#!/usr/bin/env bats
# CONNLIMIT_PROXY: behind a balancer the client is whom the PROXY header names, and nobody else can say who it is. haproxy speaks it; the
# kernel is the referee, which knows every connection as the balancer's.

load vocabulary

balancer=127.0.9.1

# Every test has haproxy in front of its daemon, from another address, and a client before that.
setup_more() {
	front=$(free_port)
	plain=$(free_port)
}

# start_haproxy SEND...: in front of $port, as a server is given to it (send-proxy, send-proxy-v2, check ...).
start_haproxy() {
	command -v haproxy >/dev/null || skip "no haproxy"
	cat >"$here/haproxy.cfg" <<-CONF
		defaults
		    mode tcp
		    # A reset while it sends the header is a failed connection for haproxy.
		    retries 0
		    timeout connect 10s
		    timeout client 300s
		    timeout server 300s
		listen front
		    bind 127.0.0.1:$front
		    bind ::1:$front
		    server daemon 127.0.0.1:$port source $balancer $*
	CONF
	haproxy -db -f "$here/haproxy.cfg" >"$here/haproxy.log" 2>&1 3>&- </dev/null &
	pids+=($!)
	until_true front_listens
}
front_listens() { [[ -n $(ss -Htln "sport = :$front") ]]; }

through_haproxy() { # the clients of this test connect to it
	local port=$front
	start_client
}

# start_nginx_behind [WAY]: it knows the protocol at $port, and not at $plain.
start_nginx_behind() {
	cat >"$here/nginx.conf" <<-CONF
		worker_processes 2; daemon off; pid $here/pid; error_log $here/log notice;
		events { worker_connections 512; }
		http {
			access_log off; keepalive_timeout 300;
			client_body_temp_path $here; proxy_temp_path $here; fastcgi_temp_path $here; uwsgi_temp_path $here; scgi_temp_path $here;
			server {
				listen 127.0.0.1:$port proxy_protocol; listen [::1]:$port proxy_protocol;
				location / { return 200 "for \$proxy_protocol_addr\n"; }
			}
			server {
				listen 127.0.0.1:$plain;
				location / { return 200 "for \$remote_addr\n"; }
			}
		}
	CONF
	setsid "$CONNLIMIT" run --way "${1:-preload}" --file "$limits" --table "test-$port" -- nginx -p "$here" -c "$here/nginx.conf" \
		>"$here/out" 2>>"$here/errors" 3>&- </dev/null &
	daemon=$!
	pids+=("$daemon")
	until_true listening
}

from_balancer() { ss -Htn state established state close-wait "sport = :$port" "dst = $balancer" | wc -l; }
at_balancer() { [ "$(from_balancer)" -eq "$1" ]; }
said() { cat "$here/log" "$here/errors" "$here/out" 2>/dev/null; }
json() { "$CONNLIMIT" status --json "test-$port" | python3 -c "import json, sys; t = json.load(sys.stdin)['tables'][0]; print($1)"; }
metric() { "$CONNLIMIT" metrics | awk -v name="$1" -v own="table=\"test-$port\"" 'index($1, name "{") == 1 && index($0, own) { print $NF }'; }

# speak FROM PORT BYTES...: a connection from there for each, which begins with these bytes (a Python literal; None for none), and is kept;
# prints what is answered to each, in a word: "for" and the address, refused or silent (within three seconds)
speak() {
	python3 - "$@" >"$here/spoken" 3>&- <<-'PYTHON' &
		import socket, sys, time

		def v2(command, family, body):
		    return b"\r\n\r\n\0\r\nQUIT\n" + bytes([0x20 | command, family]) + len(body).to_bytes(2, "big") + body

		def named(family, address, more=b""):
		    kind = {socket.AF_INET: 0x11, socket.AF_INET6: 0x21}[family]
		    end = socket.inet_pton(family, address)
		    return v2(1, kind, end + end + b"\x10\0\x01\xbb" + more)

		REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
		kept = []
		for wanted in sys.argv[3:]:
		    family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
		    s = socket.socket(family)
		    s.settimeout(3)
		    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
		    s.bind((sys.argv[1], 0))
		    try:
		        s.connect(("::1" if family == socket.AF_INET6 else "127.0.0.1", int(sys.argv[2])))
		        first = eval(wanted)
		        if first is not None:
		            s.sendall(first)
		        answer = s.recv(65536)
		        word = answer.decode().split("\r\n\r\n")[-1].strip().replace(" ", "-") if answer else "refused"
		    except TimeoutError:
		        word = "silent"
		    except OSError:
		        word = "refused"
		    kept.append(s)
		    print(word, flush=True)
		print("end", flush=True)
		time.sleep(600)
	PYTHON
	pids+=($!)
	until_true grep -qx end "$here/spoken"
	spoken=$(grep -vx end "$here/spoken" | tr '\n' ' ')
	spoken=${spoken% }
}

limited_by_its_own() { # WAY SEND
	limits PER_IP=2 IPV6_PREFIX=128 PROXY="127.0.9.0/24"
	start_nginx_behind "$1"
	start_haproxy "$2"
	through_haproxy
	hold 127.0.1.1 served
	hold 127.0.1.1 served
	hold 127.0.1.1 refused
	hold 127.0.1.2 served
	hold ::1 served ::1
	hold ::1 served ::1
	hold ::1 refused ::1
	at_balancer 5
	counted_is 127.0.1.1 2
	counted_is 127.0.1.2 1
	counted_is ::1 2
	counted_is "$balancer" 0
	said | grep -q "refused 127.0.1.1 at port $port of table test-$port (limit 2 per client)"
	let_go 127.0.1.1
	admitted_soon 127.0.1.1
	hold 127.0.1.1 refused
	until_true at_balancer 5
	[ "$(json "t['no_proxy_header'], [d['name'] for d in t['degraded']]")" = "0 []" ]
	[ "$("$CONNLIMIT" clients --json 127.0.1.2 "test-$port" | python3 -c "
import json, sys
print([(c['client'], c['balancer']) for c in json.load(sys.stdin)['connections']])")" = "[('127.0.1.2', '$balancer')]" ]
}

@test "proxy: nginx behind haproxy (v1): each client has its own limit" { limited_by_its_own preload send-proxy; }
@test "proxy: nginx behind haproxy (v2): each client has its own limit" { limited_by_its_own preload send-proxy-v2; }
@test "proxy: nginx behind haproxy (v2 with more in its header): each client has its own limit" {
	limited_by_its_own preload "send-proxy-v2 proxy-v2-options unique-id,crc32c"
}
@test "proxy: a supervised nginx behind haproxy (v1): each client has its own limit" { limited_by_its_own supervise send-proxy; }
@test "proxy: a supervised nginx behind haproxy (v2): each client has its own limit" { limited_by_its_own supervise send-proxy-v2; }

@test "proxy: who connects from elsewhere is limited by its own address, and a header of its does not help" {
	for way in preload supervise; do
		limits PER_IP=2 PROXY="127.0.9.0/24"
		start_nginx_behind "$way"
		speak 127.0.3.1 "$plain" REQUEST REQUEST REQUEST
		[ "$spoken" = "for-127.0.3.1 for-127.0.3.1 refused" ]
		speak 127.0.3.2 "$port" "b'PROXY TCP4 127.0.5.1 127.0.0.1 1 2\r\n' + REQUEST" "named(socket.AF_INET, '127.0.5.2') + REQUEST" \
			"named(socket.AF_INET, '127.0.5.3') + REQUEST"
		[ "$spoken" = "for-127.0.5.1 for-127.0.5.2 refused" ]
		counted_is 127.0.3.2 2
		counted_is 127.0.5.1 0
		[ "$(established 127.0.3.2)" -eq 2 ]
		[ "$(json "t['no_proxy_header']")" = 0 ]
		kill_tree "$daemon"
		port=$(free_port) plain=$(free_port)
	done
}

@test "proxy: a header that names an IPv6 client, from a balancer with an IPv6 address" {
	limits PER_IP=1 IPV6_PREFIX=128 PROXY="10.0.0.0/8 ::1"
	start_nginx_behind
	speak ::1 "$port" "b'PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n' + REQUEST" "named(socket.AF_INET6, '2001:db8::1') + REQUEST" \
		"named(socket.AF_INET6, '2001:db8::3', b'\x04\0\x01x') + REQUEST" "named(socket.AF_INET, '192.0.2.1') + REQUEST" \
		"b'PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n' + REQUEST"
	[ "$spoken" = "for-2001:db8::1 refused for-2001:db8::3 for-192.0.2.1 refused" ]
	counted_is 2001:db8::1 1
	counted_is 192.0.2.1 1
	counted_is ::1 0
}

@test "proxy: what has no header, or none that is one, or a late one, is the balancer's own, and that is counted and said" {
	for way in preload supervise; do
		limits PER_IP=2 PROXY="127.0.9.0/24"
		start_nginx_behind "$way"
		speak "$balancer" "$plain" REQUEST "b'PROXY TCP4 127.0.5.1 127.0.0.1 1 2 3\r\n' + REQUEST" REQUEST
		echo "$spoken"
		[[ $spoken == "for-$balancer "*" refused" ]]
		[ "$(json "t['no_proxy_header']")" -ge 3 ]
		said | grep -q "a connection of balancer $balancer counts as its own: the PROXY header is missing, malformed or late"
		[ "$(said | grep -c 'counts as its own')" -le 4 ]
		said | grep -q "refused $balancer at port $plain"
		own_status | grep -q "warning .* connections of balancers (CONNLIMIT_PROXY) had no PROXY header"
		[ "$(metric connlimit_no_proxy_header_total)" -ge 3 ]
		kill_tree "$daemon"
		port=$(free_port) plain=$(free_port)
	done
}

@test "proxy: nothing waits for a header that does not come" {
	limits PER_IP=2 PROXY="127.0.9.0/24"
	start_nginx_behind
	speak "$balancer" "$port" None None
	echo "$spoken"
	[ "$spoken" = "silent silent" ]
	speak 127.0.3.1 "$plain" REQUEST
	[ "$spoken" = "for-127.0.3.1" ]
	counted_is "$balancer" 2
	[ "$(json "t['no_proxy_header']")" = 2 ]
}

@test "proxy: a balancer that asks for itself, and clients without an address, count as its own without a word" {
	limits PER_IP=4 PROXY="127.0.9.0/24"
	start_nginx_behind
	speak "$balancer" "$port" "v2(0, 0, b'') + REQUEST" "b'PROXY UNKNOWN\r\n' + REQUEST" "v2(1, 0, b'') + REQUEST" \
		"v2(0, 0x11, bytes(12)) + REQUEST" "b'PROXY UNKNOWN\r\n' + REQUEST"
	[[ $spoken == *" refused" ]]
	counted_is "$balancer" 4
	[ "$(json "t['no_proxy_header']")" = 0 ]
	run ! grep 'counts as its own' "$here/log"
}

@test "proxy: a haproxy that checks its server is no trouble" {
	limits PER_IP=2 PROXY="127.0.9.0/24"
	start_nginx_behind
	start_haproxy send-proxy-v2 check inter 100ms
	through_haproxy
	sleep 1
	hold 127.0.1.1 served
	[ "$(json "t['no_proxy_header']")" = 0 ]
}

@test "proxy: rules go by the client, and open connections are counted anew for it when a prefix changes" {
	limits PER_IP=9 PROXY="127.0.9.0/24" RULES="\"127.0.2.0/24=1 127.0.9.0/24=deny\""
	start_nginx_behind
	start_haproxy send-proxy
	through_haproxy
	hold 127.0.2.1 served
	hold 127.0.2.1 refused
	for i in 1 2 3; do hold "127.0.1.$i" served; done
	limits PER_IP=4 IPV4_PREFIX=24 PROXY="127.0.9.0/24"
	reload
	until_true counted_is 127.0.1.0/24 3
	counted_is 127.0.2.0/24 1
	counted_is 127.0.9.0/24 0
	hold 127.0.1.4 served
	hold 127.0.1.5 refused
	limits PER_IP=5 PROXY="127.0.9.0/24"
	reload
	until_true counted_is 127.0.1.4 1
	until_true counted_is 127.0.1.1 1
	at_balancer 5
	limits PER_IP=6
	reload
	counted_is 127.0.1.1 1
	hold 127.0.1.1 served
	until_true counted_is "$balancer" 1
}

@test "proxy: networks are those of the clients" {
	limits PER_IP=9 PER_NETWORK=2 PROXY="127.0.9.0/24"
	start_nginx_behind
	start_haproxy send-proxy
	through_haproxy
	hold 127.0.1.1 served
	hold 127.0.1.2 served
	hold 127.0.1.3 refused
	hold 127.0.2.1 served
	grep -q "refused 127.0.1.3 at port $port of table test-$port (limit 2 per network, 127.0.1.0/24)" "$here/log"
}

@test "proxy: the client whom the header names is banned, and another one through the same balancer is not" {
	for way in preload supervise; do
		limits PER_IP=1 PROXY="127.0.9.0/24" BAN='"3/h for 10m"'
		start_nginx_behind "$way"
		start_haproxy send-proxy-v2
		through_haproxy
		hold 127.0.1.1 served
		for _ in 1 2 3; do hold 127.0.1.1 refused; done
		let_go 127.0.1.1
		until_true at_balancer 0
		hold 127.0.1.1 refused
		hold 127.0.1.2 served
		at_balancer 1
		[ "$(json "[c['client'] for c in t['clients'] if c['banned']], t['refused_for']['ban']")" = "['127.0.1.1'] 1" ]
		"$CONNLIMIT" ban 127.0.1.3 "test-$port"
		hold 127.0.1.3 refused
		"$CONNLIMIT" unban 127.0.1.1 "test-$port"
		hold 127.0.1.1 served
		# The balancer itself is a client like others.
		"$CONNLIMIT" ban "$balancer" "test-$port"
		hold 127.0.1.4 served
		hold_nothing
		kill_tree "$daemon"
		port=$(free_port) front=$(free_port)
	done
}

@test "proxy: a client whose workers were killed is not refused for what is gone: the kernel is asked about the balancer's connections" {
	limits PER_IP=2 PROXY="127.0.9.0/24"
	start_nginx_behind
	start_haproxy send-proxy-v2
	through_haproxy
	hold 127.0.1.1 served
	hold 127.0.1.1 served
	pkill -KILL -P "$(cat "$here/pid")"
	until_true at_balancer 0
	admitted_soon 127.0.1.1
	admitted_soon 127.0.1.1
	hold 127.0.1.1 refused
	at_balancer 2
}

@test "proxy: with a reload it begins, and a listener waits for the header from then on" {
	for way in preload supervise; do
		limits PER_IP=2
		start_nginx_behind "$way"
		limits PER_IP=3 PROXY="127.0.9.0/24"
		if [ "$way" = preload ]; then reload; else "$CONNLIMIT" reload "test-$port"; fi
		# The first that a listener accepts under the new limits sets it up.
		for _ in 1 2 3 4 5 6; do curl -s -o /dev/null "http://127.0.0.1:$port/" || true; done
		before=$(json "t['no_proxy_header']")
		speak "$balancer" "$port" "named(socket.AF_INET, '127.0.5.2') + REQUEST" "named(socket.AF_INET, '127.0.5.2') + REQUEST"
		[ "$spoken" = "for-127.0.5.2 for-127.0.5.2" ]
		counted_is 127.0.5.2 2
		[ "$(json "t['no_proxy_header']")" = "$before" ]
		[ "$(json "t['settings']['proxy']['value']")" = 127.0.9.0/24 ]
		kill_tree "$daemon"
		port=$(free_port) plain=$(free_port)
	done
}

@test "proxy: a listener has TCP_DEFER_ACCEPT, but for what the daemon chose, and only with CONNLIMIT_PROXY" {
	cat >"$here/shows.py" <<-'PYTHON'
		import socket, sys
		for own in 0, 7:
		    listener = socket.socket()
		    listener.bind(("127.0.0.1", 0))
		    if own:
		        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, own)
		    before = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT)
		    listener.listen()
		    after = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT)
		    print("kept" if before == after else "deferred", flush=True)
	PYTHON
	[ "$("$CONNLIMIT" run --proxy "10.0.0.0/8" -- python3 "$here/shows.py" | tr '\n' ' ')" = "deferred kept " ]
	[ "$("$CONNLIMIT" run --per-ip 10 -- python3 "$here/shows.py" | tr '\n' ' ')" = "kept kept " ]
}

# ---- a daemon that speaks first, and hands its connections on ----

@test "proxy: dovecot behind haproxy: each client has its own limit" {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	[[ -x /usr/lib/dovecot/imap ]] || skip "no dovecot-imapd"
	[[ $(dovecot --version) == 2.[0-3].* ]] || skip "another grammar"
	mkdir -m 777 "$here/mail"
	cat >"$here/dovecot.conf" <<-CONF
		protocols = imap
		import_environment = TZ LD_PRELOAD CONNLIMIT_FILE CONNLIMIT_TABLE
		mail_location = maildir:$here/mail
		passdb {
		  driver = static
		  args = nopassword=yes
		}
		userdb {
		  driver = static
		  args = uid=nobody gid=nogroup home=$here/mail
		}
		listen = 127.0.0.1
		base_dir = $here/run
		state_dir = $here/state
		log_path = $here/log
		ssl = no
		haproxy_trusted_networks = 127.0.9.0/24
		service imap-login {
		  inet_listener imap {
		    port = $port
		    haproxy = yes
		  }
		  inet_listener imaps {
		    port = 0
		  }
		}
	CONF
	limits PER_IP=2 PROXY="127.0.9.0/24"
	limited dovecot -F -c "$here/dovecot.conf"
	for version in send-proxy send-proxy-v2; do
		start_haproxy "$version"
		request='' through_haproxy
		hold 127.0.1.1 served
		hold 127.0.1.1 served
		hold 127.0.1.1 refused
		hold 127.0.1.2 served
		at_balancer 3
		counted_is 127.0.1.1 2
		[ "$(json "t['no_proxy_header']")" = 0 ]
		hold_nothing
		until_true at_balancer 0
		front=$(free_port)
	done
}
