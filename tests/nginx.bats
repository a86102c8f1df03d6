#!/usr/bin/env bats
# nginx with two workers: counted over both, reloaded through a master that accepts nothing.

load daemon

request='GET / HTTP/1.1\r\nHost: test\r\n\r\n'

start_nginx() {
	cat >"$here/nginx.conf" <<-NGINX
		worker_processes 2; daemon off; pid $here/pid; error_log $here/log notice;
		events { worker_connections 256; }
		http {
			access_log off; keepalive_timeout 300; keepalive_requests 100000;
			client_body_temp_path $here; proxy_temp_path $here; fastcgi_temp_path $here; uwsgi_temp_path $here; scgi_temp_path $here;
			server { listen 127.0.0.1:$port; listen [::1]:$port; location / { return 200 "hello\n"; } }
		}
	NGINX
	limited nginx -p "$here" -c "$here/nginx.conf"
}

@test "nginx: the limit holds over both workers, other clients are not concerned" {
	limit_is 3
	start_nginx
	for _ in 1 2 3; do hold 127.0.0.1 served; done
	hold 127.0.0.1 refused
	hold 127.0.0.2 served
	counted_is 127.0.0.1 3
	agrees 127.0.0.1
}

@test "nginx: after one closes, the next is admitted" {
	limit_is 1
	start_nginx
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	let_go 127.0.0.1
	admitted_soon 127.0.0.1
	hold 127.0.0.1 refused
}

@test "nginx: IPv6 clients are counted by their network" {
	limit_is 1
	start_nginx
	hold ::1 served
	hold ::1 refused
	hold 127.0.0.1 served
	own_status | grep -q '^::/64[[:space:]]1[[:space:]]1[[:space:]]1'
}

@test "nginx: 300 connections come and go, and nothing is left counted" {
	limit_is 2
	start_nginx
	rounds 127.0.0.1 300
	[ "$answer" -gt 250 ] # a close that nginx has not seen yet counts, and rightly
	until_true nothing_held
}

@test "nginx: SIGHUP raises and lowers the limit for all workers, and still reloads nginx" {
	limit_is 1
	start_nginx
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	limit_is 2
	kill -HUP "$daemon"
	until_true grep -q 'worker process .* exited' "$here/log" # the old workers: nginx closes what is idle on a reload
	until_true counted_is 127.0.0.1 0
	hold 127.0.0.1 served
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	limit_is 1
	kill -HUP "$daemon"
	until_true counted_is 127.0.0.1 0
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
}

@test "nginx: a bad file on reload keeps the old limit and says so" {
	limit_is 1
	request+='GET /' # of a second request, or nginx, which reloads all the same, would close the connection as idle
	start_nginx
	hold 127.0.0.1 served
	printf 'CONNLIMIT_PER_IP=5\nCONNLIMIT_TOTAL=many\n' >"$limits"
	kill -HUP "$daemon"
	until_true grep -q "old limits stand: $limits:2:17: CONNLIMIT_TOTAL: 'many' is not a number" "$here/log" # nginx has its standard error there
	hold 127.0.0.1 refused
	own_status | grep -q 'reload .*failed'
}

none_established() { [[ $(established 127.0.0.1) == 0 ]]; }

@test "nginx: a worker that is killed frees its clients" {
	limit_is 2
	start_nginx
	hold 127.0.0.1 served
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	for worker in $(pgrep -P "$daemon"); do kill -KILL "$worker" || true; done
	until_true none_established
	admitted_soon 127.0.0.1
	admitted_soon 127.0.0.1
	hold 127.0.0.1 refused
}

@test "nginx: stop leaves nothing behind" {
	limit_is 2
	start_nginx
	hold 127.0.0.1 served
	kill -TERM "$daemon"
	wait "$daemon"
	no_table
}
