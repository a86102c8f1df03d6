#!/usr/bin/env bats
# rsync's daemon: forks for each client.

load questions

note="SIGHUP ends it, as without us; the limit is changed by connlimit reload (4)"
program=rsync
protocol=rsync
on_hangup=ends

ready() { needs rsync; }

start() {
	cat >"$here/rsyncd.conf" <<-RSYNC
		log file = $here/log
		use chroot = no
		[files]
		path = $here
	RSYNC
	launch rsync --daemon --no-detach --address=127.0.0.1 --port="$port" --config="$here/rsyncd.conf"
}

@test "1. N are served, the next is refused, another address is not concerned" { holds_the_limit; }
@test "2. after a close the next is admitted at once" { admits_after_a_close; }
@test "3. after many rounds the count is zero, and true" { counts_true_after_rounds; }
@test "4. the limit is raised and lowered by SIGHUP and by connlimit reload" { limit_changes; }
@test "5. no new complaint in log or exit status" { no_new_complaint; }
@test "6. kill -9 of what serves frees its clients" { kill_frees_clients; }
@test "7. stop and restart leave nothing behind" { leaves_nothing_behind; }
@test "8. after a refusal others are served at once" { serves_others_at_once; }
