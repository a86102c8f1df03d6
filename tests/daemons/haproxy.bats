#!/usr/bin/env bats
# haproxy, master and worker: the master executes itself to reload, and the new worker gets the listeners from the old one.

load questions

note="the death of a worker ends the master, which is started again (6)"
program=haproxy
protocol=http
on_hangup=renews

ready() { needs haproxy; }

start() {
	cat >"$here/haproxy.cfg" <<-HAPROXY
		global
			nbthread 2
			maxconn 256
			stats socket $here/admin mode 600 level admin expose-fd listeners
		defaults
			mode http
			timeout client 300s
			timeout connect 5s
			timeout server 300s
			timeout http-keep-alive 300s
		frontend front
			bind 127.0.0.1:$port
			http-request return status 200 content-type text/plain string "hello"
	HAPROXY
	launch haproxy -W -f "$here/haproxy.cfg"
}

@test "1. N are served, the next is refused, another address is not concerned" { holds_the_limit; }
@test "2. after a close the next is admitted at once" { admits_after_a_close; }
@test "3. after many rounds the count is zero, and true" { counts_true_after_rounds; }
@test "4. the limit is raised and lowered by SIGHUP and by connlimit reload" { limit_changes; }
@test "5. no new complaint in log or exit status" { no_new_complaint; }
@test "6. kill -9 of what serves frees its clients" { kill_frees_clients; }
@test "7. stop and restart leave nothing behind" { leaves_nothing_behind; }
@test "8. after a refusal others are served at once" { serves_others_at_once; }

@test "haproxy: connections outlive a reload in the old worker, and are counted with those of the new one" {
	limit_is 2
	start
	exec {in_transfer}<>"/dev/tcp/127.0.0.1/$port" # half a request keeps the old worker
	printf 'GET / HTTP/1.1\r\nHost: test\r\n' >&"$in_transfer"
	until_true counted_is 127.0.0.1 1
	old=$(pgrep -P "$daemon")
	kill -USR2 "$daemon"
	until_true two_workers
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	printf '\r\n' >&"$in_transfer"
	read -r -t 20 line <&"$in_transfer"
	[[ $line == *200* ]]
	exec {in_transfer}>&-
	until_true none_alive "$old"
	admitted_soon 127.0.0.1
	hold 127.0.0.1 refused
}
two_workers() { (($(pgrep -cP "$daemon") == 2)) && grep -c 'Loading success' "$here/errors" | grep -qx 2; }
