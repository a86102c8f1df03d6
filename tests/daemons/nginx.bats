#!/usr/bin/env bats
# nginx, http: a master that accepts nothing, two workers that do.

load questions

protocol=http
on_hangup=renews

ready() { needs nginx; }
version() { nginx -v 2>&1 | sed 's,.*/,,'; }

start() {
	cat >"$here/nginx.conf" <<-NGINX
		worker_processes 2; daemon off; pid $here/pid; error_log $here/log notice;
		events { worker_connections 256; }
		http {
			access_log off; keepalive_timeout 300; keepalive_requests 100000;
			client_body_temp_path $here; proxy_temp_path $here; fastcgi_temp_path $here; uwsgi_temp_path $here; scgi_temp_path $here;
			server { listen 127.0.0.1:$port; location / { return 200 "hello\n"; } }
		}
	NGINX
	launch nginx -p "$here" -c "$here/nginx.conf"
}

@test "1. N are served, the next is refused, another address is not concerned" { holds_the_limit; }
@test "2. after a close the next is admitted at once" { admits_after_a_close; }
@test "3. after many rounds the count is zero, and true" { counts_true_after_rounds; }
@test "4. the limit is raised and lowered by SIGHUP and by connlimit reload" { limit_changes; }
@test "5. no new complaint in log or exit status" { no_new_complaint; }
@test "6. kill -9 of what serves frees its clients" { kill_frees_clients; }
@test "7. stop and restart leave nothing behind" { leaves_nothing_behind; }
