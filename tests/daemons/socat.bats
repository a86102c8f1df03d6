#!/usr/bin/env bats
# socat: a loop over a blocking accept, a child for each client and a program behind it.

load questions

note="SIGHUP ends it, as without us; the limit is changed by connlimit reload (4)"
program=socat
protocol=echo
on_hangup=ends # its own handler ends it, as without us

ready() { needs socat; }

# Its child waits for the program behind it.
let_go() { let_go_with_its_process "$1"; }
rounds_ended() { until_true fewer_than 1; }

start() { launch socat "TCP-LISTEN:$port,bind=127.0.0.1,fork,reuseaddr,backlog=128" EXEC:cat; }

@test "1. N are served, the next is refused, another address is not concerned" { holds_the_limit; }
@test "2. after a close the next is admitted at once" { admits_after_a_close; }
@test "3. after many rounds the count is zero, and true" { counts_true_after_rounds; }
@test "4. the limit is raised and lowered by SIGHUP and by connlimit reload" { limit_changes; }
@test "5. no new complaint in log or exit status" { no_new_complaint; }
@test "6. kill -9 of what serves frees its clients" { kill_frees_clients; }
@test "7. stop and restart leave nothing behind" { leaves_nothing_behind; }
@test "8. after a refusal others are served at once" { serves_others_at_once; }
@test "9. sessions one after another leave a peak of one" { peaks_are_of_open_ones; }
