#!/usr/bin/env bats
# lighttpd: starts as root, and two workers serve as another user.

load questions

program=lighttpd
protocol=http
rounds_asked=300
stop_signal=INT

ready() { needs lighttpd; }

start() {
	mkdir -p "$here/www"
	echo hello >"$here/www/index.html"
	touch "$here/log"
	cat >"$here/lighttpd.conf" <<-LIGHTTPD
		server.document-root = "$here/www"
		server.errorlog = "$here/log"
		server.bind = "127.0.0.1"
		server.port = $port
		server.max-worker = 2
		server.max-keep-alive-idle = 300
		server.max-keep-alive-requests = 100000
		server.max-read-idle = 300
		index-file.names = ( "index.html" )
		$( ((EUID != 0)) || echo 'server.username = "www-data"')
	LIGHTTPD
	((EUID != 0)) || chown www-data "$here/log"
	launch lighttpd -D -f "$here/lighttpd.conf"
}

@test "1. N are served, the next is refused, another address is not concerned" { holds_the_limit; }
@test "2. after a close the next is admitted at once" { admits_after_a_close; }
@test "3. after many rounds the count is zero, and true" { counts_true_after_rounds; }
@test "4. the limit is raised and lowered by SIGHUP and by connlimit reload" { limit_changes; }
@test "5. no new complaint in log or exit status" { no_new_complaint; }
@test "6. kill -9 of what serves frees its clients" { kill_frees_clients; }
@test "7. stop and restart leave nothing behind" { leaves_nothing_behind; }
@test "8. after a refusal others are served at once" { serves_others_at_once; }
