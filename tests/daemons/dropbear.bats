#!/usr/bin/env bats
# Dropbear: forks for each client, and waits for what is not logged in yet by a pipe each.

load questions

program=dropbear
protocol=banner
refused_asked=1 # of its own it serves five from an address that are not logged in

ready() {
	as_root_or_skip
	needs dropbear dropbearkey
	dropbearkey -t ed25519 -f "$here/key" >/dev/null 2>&1
}

start() { launch dropbear -F -E -s -P "$here/pid" -p "127.0.0.1:$port" -r "$here/key"; }

@test "1. N are served, the next is refused, another address is not concerned" { holds_the_limit; }
@test "2. after a close the next is admitted at once" { admits_after_a_close; }
@test "3. after many rounds the count is zero, and true" { counts_true_after_rounds; }
@test "4. the limit is raised and lowered by SIGHUP and by connlimit reload" { limit_changes; }
@test "5. no new complaint in log or exit status" { no_new_complaint; }
@test "6. kill -9 of what serves frees its clients" { kill_frees_clients; }
@test "7. stop and restart leave nothing behind" { leaves_nothing_behind; }
@test "8. after a refusal others are served at once" { serves_others_at_once; }
