#!/usr/bin/env bats
# nginx, http: a master that accepts nothing, two workers that do.

load questions

program=nginx
protocol=http
on_hangup=renews

ready() { needs nginx; }

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
@test "8. after a refusal others are served at once" { serves_others_at_once; }

@test "nginx: another binary takes over by USR2, and both count as one" {
	limit_is 2
	start
	stop
	# Only one that has left its starter can be replaced. It makes the table before that, and hands on what it is told to.
	sed -i 's/daemon off;/env LD_PRELOAD; env CONNLIMIT_FILE; env CONNLIMIT_TABLE;/' "$here/nginx.conf"
	named=(--table "test-$port")
	"$CONNLIMIT" run --file "$limits" "${named[@]}" -- "$(command -v nginx)" -p "$here" -c "$here/nginx.conf" 3>&-
	until_true listening
	daemon=$(<"$here/pid")
	pids+=("$daemon")
	full 127.0.0.1 2
	let_go 127.0.0.1
	kill -USR2 "$daemon"
	until_true test -s "$here/pid.oldbin"
	until_true test -s "$here/pid"
	successor=$(<"$here/pid")
	pids+=("$successor")
	[ "$successor" -ne "$daemon" ]
	kill -WINCH "$daemon" # the old workers go, with the connection that they keep
	drop_all
	until_true no_workers
	full 127.0.0.1 2
	[ "$(counted 127.0.0.1)" -eq 2 ]
	kill -QUIT "$daemon"
	until_true ended
	hold 127.0.0.1 refused
	limit_is 3
	kill -HUP "$successor"
	until_true limit_in_force_is 3
}
no_workers() { [[ $(pgrep -P "$daemon") == "$successor" ]]; }
