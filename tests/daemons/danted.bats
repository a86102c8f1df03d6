#!/usr/bin/env bats
# danted: whoever accepts passes the connection on to another process, which serves it.

load questions

program=danted
protocol=socks
rounds_asked=200

ready() { as_root_or_skip; needs danted; }

start() {
	cat >"$here/danted.conf" <<-DANTED
		logoutput: $here/log
		internal: 127.0.0.1 port = $port
		external: lo
		clientmethod: none
		socksmethod: none
		user.privileged: root
		user.unprivileged: nobody
		client pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }
		socks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }
	DANTED
	launch danted -f "$here/danted.conf" -p "$here/pid"
}

@test "1. N are served, the next is refused, another address is not concerned" { holds_the_limit; }
@test "2. after a close the next is admitted at once" { admits_after_a_close; }
@test "3. after many rounds the count is zero, and true" { counts_true_after_rounds; }
@test "4. the limit is raised and lowered by SIGHUP and by connlimit reload" { limit_changes; }
@test "5. no new complaint in log or exit status" { no_new_complaint; }
@test "6. kill -9 of what serves frees its clients" { kill_frees_clients; }
@test "7. stop and restart leave nothing behind" { leaves_nothing_behind; }
@test "8. after a refusal others are served at once" { serves_others_at_once; }
@test "9. sessions one after another leave a peak of one" { peaks_are_of_open_ones; }
