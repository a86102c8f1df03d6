#!/usr/bin/env bats
# varnish: a parent, and a child that serves with a pool of threads.

load questions

program=varnishd
protocol=http
rounds_asked=300
on_hangup=ends
# Its parent logs what its child writes to standard error: our own line about a refusal.
known_complaint='said connlimit: refused '

ready() { needs varnishd gcc; }

start() {
	cat >"$here/test.vcl" <<-'VCL'
		vcl 4.0;
		backend default none;
		sub vcl_recv { return (synth(200)); }
		sub vcl_synth { set resp.body = "hello"; return (deliver); }
	VCL
	launch varnishd -F -j none -n "$here/varnish" -a "127.0.0.1:$port" -f "$here/test.vcl" -p timeout_idle=300 -p idle_send_timeout=60 -s malloc,8m
}

@test "1. N are served, the next is refused, another address is not concerned" { holds_the_limit; }
@test "2. after a close the next is admitted at once" { admits_after_a_close; }
@test "3. after many rounds the count is zero, and true" { counts_true_after_rounds; }
@test "4. the limit is raised and lowered by SIGHUP and by connlimit reload" { limit_changes; }
@test "5. no new complaint in log or exit status" { no_new_complaint; }
@test "6. kill -9 of what serves frees its clients" { kill_frees_clients; }
@test "7. stop and restart leave nothing behind" { leaves_nothing_behind; }
@test "8. after a refusal others are served at once" { serves_others_at_once; }
