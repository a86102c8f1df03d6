#!/usr/bin/env bats
# nginx, stream: the worker keeps a second connection, to the server behind, beside each client's.

load questions

program=nginx
protocol=echo
on_hangup=renews

ready() {
	needs nginx socat
	[[ -e /usr/lib/nginx/modules/ngx_stream_module.so ]] || skip "libnginx-mod-stream is not installed"
	socat "UNIX-LISTEN:$here/behind,fork,mode=666" EXEC:cat 3>&- &
	pids+=("$!")
}

start() {
	cat >"$here/nginx.conf" <<-NGINX
		load_module /usr/lib/nginx/modules/ngx_stream_module.so;
		worker_processes 2; daemon off; pid $here/pid; error_log $here/log notice;
		events { worker_connections 256; }
		stream { server { listen 127.0.0.1:$port; proxy_pass unix:$here/behind; } }
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
@test "8. after a refusal others are served at once" { serves_others_at_once; }
