#!/usr/bin/env bats
# php-fpm: a master, and workers that have one client each; several decide at once.

load questions

program=$(find /usr/sbin -name 'php-fpm*' -printf '%f\n' 2>/dev/null | sort -V | tail -1)
protocol=fastcgi
rounds_asked=300
stop_signal=QUIT
on_hangup=renews

ready() {
	[[ -n $program ]] || skip "php-fpm is not installed"
	needs "$program"
}

start() {
	cat >"$here/php-fpm.conf" <<-PHP
		[global]
		error_log = $here/log
		daemonize = no
		[test]
		listen = 127.0.0.1:$port
		pm = static
		pm.max_children = 12
		ping.path = /ping
		ping.response = hello
		$( ((EUID != 0)) || echo user = www-data)
		$( ((EUID != 0)) || echo group = www-data)
	PHP
	launch "$program" -n -F -y "$here/php-fpm.conf"
}

@test "1. N are served, the next is refused, another address is not concerned" { holds_the_limit; }
@test "2. after a close the next is admitted at once" { admits_after_a_close; }
@test "3. after many rounds the count is zero, and true" { counts_true_after_rounds; }
@test "4. the limit is raised and lowered by SIGHUP and by connlimit reload" { limit_changes; }
@test "5. no new complaint in log or exit status" { no_new_complaint; }
@test "6. kill -9 of what serves frees its clients" { kill_frees_clients; }
@test "7. stop and restart leave nothing behind" { leaves_nothing_behind; }
@test "8. after a refusal others are served at once" { serves_others_at_once; }
