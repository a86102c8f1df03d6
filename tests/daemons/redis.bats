#!/usr/bin/env bats
# Redis: one thread over an event loop beside others, SIGHUP ignored, fork for snapshots.

load questions

note="one process serves all; killed and started again, it finds its table without the dead (6); SIGHUP is ignored, as without us; the limit is changed by connlimit reload (4)"
program=redis-server
protocol=redis
on_hangup=ignores

ready() { needs redis-server redis-cli; }

start() {
	launch redis-server --enable-debug-command yes --port "$port" --bind 127.0.0.1 --protected-mode no --dir "$here" --save '' --daemonize no --logfile "$log"
}

@test "1. N are served, the next is refused, another address is not concerned" { holds_the_limit; }
@test "2. after a close the next is admitted at once" { admits_after_a_close; }
@test "3. after many rounds the count is zero, and true" { counts_true_after_rounds; }
@test "4. the limit is raised and lowered by SIGHUP and by connlimit reload" { limit_changes; }
@test "5. no new complaint in log or exit status" { no_new_complaint; }
@test "6. kill -9 of what serves frees its clients" { kill_frees_clients; }
@test "7. stop and restart leave nothing behind" { leaves_nothing_behind; }
@test "8. after a refusal others are served at once" { serves_others_at_once; }

@test "redis: a snapshot is written while a thousand clients are open, and pins none of them when its child is killed" {
	limit_is 1000
	start
	tell_client "many 127.0.0.1 1000"
	[ "$answer" -eq 1000 ]
	hold 127.0.0.1 refused
	redis-cli -p "$port" -h 127.0.0.1 ping >"$here/cli" 2>&1 || true # it is the client's next, too
	fails grep -q PONG "$here/cli"
	let_go 127.0.0.1
	redis-cli -p "$port" config set rdb-key-save-delay 100000 | grep -q OK
	redis-cli -p "$port" debug populate 10000 | grep -q OK
	redis-cli -p "$port" bgsave | grep -q started
	child=$(until_true saving >/dev/null && pgrep -P "$daemon")
	tell_client drop
	kill -KILL "$child" # which has a copy of each connection
	until_true nothing_open
	until_true counted_is 127.0.0.1 0
	sleep 1 # checks may take 2 % of a CPU: those before the refusals above, of a thousand records each, are paid for by then
	tell_client "many 127.0.0.1 1000"
	[ "$answer" -eq 1000 ]
	hold 127.0.0.1 refused
	agrees 127.0.0.1
}
saving() { pgrep -P "$daemon"; }
