# What the tests of the settings share.
# shellcheck shell=bash disable=SC2034,SC2154

load ../daemon

# limits NAME=VALUE...: writes the file of limits anew, whole.
limits() {
	local setting
	for setting in SIGNAL=$reload_signal "$@"; do printf 'CONNLIMIT_%s\n' "$setting"; done >"$limits.new"
	mv "$limits.new" "$limits"
}

# nginx, on SIGHUP, starts new workers and closes what is idle; so here another signal reloads, which is nothing to it.
reload_signal=URG

# Limits that were written are in force when status shows them. PER_IP=N in the file is what is looked for.
reload() {
	kill -"$reload_signal" "$daemon"
	until_true in_force "$(sed -n 's/^CONNLIMIT_PER_IP=//p' "$limits")"
}
in_force() { own_status | grep -q "limit *$1 per client"; }
refusals() { own_status | awk -v who="$1" '$1 == who { print $5; seen = 1 } END { if (!seen) print 0 }'; }

request='GET / HTTP/1.1\r\nHost: test\r\n\r\n'

# start_nginx [ANOTHER_PORT]
start_nginx() {
	cat >"$here/nginx.conf" <<-CONF
		worker_processes 2; daemon off; pid $here/pid; error_log $here/log notice;
		events { worker_connections 512; }
		http {
			access_log off; keepalive_timeout 300; client_max_body_size 100m;
			client_body_temp_path $here; proxy_temp_path $here; fastcgi_temp_path $here; uwsgi_temp_path $here; scgi_temp_path $here;
			server {
				listen 127.0.0.1:$port; listen [::1]:$port; ${1:+listen 127.0.0.1:$1;}
				location / { return 200 "served\n"; }
			}
		}
	CONF
	limited nginx -p "$here" -c "$here/nginx.conf"
}

# A server with a blocking accept loop, one thread a connection.
start_blocking_server() {
	limited python3 -u -m http.server --bind 127.0.0.1 --protocol HTTP/1.1 --directory "$here" "$port"
}

# The HTTP status that a client gets at ADDRESS [PORT]; 000 for a reset.
status_from() { curl -sS -o /dev/null -w '%{http_code}' --max-time 20 --interface "$1" "http://127.0.0.1:${2:-$port}/" 2>/dev/null || true; }
