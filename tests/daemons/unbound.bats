#!/usr/bin/env bats
# unbound: DNS over TCP; starts as root, serves as another user, with threads.

load questions

program=unbound
protocol=dns
on_hangup=renews
rounds_asked=300

ready() { needs unbound; }

start() {
	cat >"$here/unbound.conf" <<-UNBOUND
		server:
			interface: 127.0.0.1@$port
			do-daemonize: no
			use-syslog: no
			chroot: ""
			directory: "$here"
			pidfile: ""
			num-threads: 2
			incoming-num-tcp: 64
			tcp-idle-timeout: 300000
			module-config: "iterator"
			local-zone: "test." static
			local-data: "hello.test. A 192.0.2.1"
			$( ((EUID == 0)) && echo 'username: nobody' || echo 'username: ""')
		remote-control:
			control-enable: no
	UNBOUND
	launch unbound -d -c "$here/unbound.conf"
}

@test "1. N are served, the next is refused, another address is not concerned" { holds_the_limit; }
@test "2. after a close the next is admitted at once" { admits_after_a_close; }
@test "3. after many rounds the count is zero, and true" { counts_true_after_rounds; }
@test "4. the limit is raised and lowered by SIGHUP and by connlimit reload" { limit_changes; }
@test "5. no new complaint in log or exit status" { no_new_complaint; }
@test "6. kill -9 of what serves frees its clients" { kill_frees_clients; }
@test "7. stop and restart leave nothing behind" { leaves_nothing_behind; }
@test "8. after a refusal others are served at once" { serves_others_at_once; }
