#!/usr/bin/env bats
# ngIRCd: one thread over an event loop.

load questions

note="one process serves all; killed and started again, it finds its table without the dead (6); 20 rounds, for it closes connections once a second (3)"
program=ngircd
protocol=irc
rounds_asked=20
behind_asked=5

ready() { needs ngircd; }

start() {
	cat >"$here/ngircd.conf" <<-NGIRCD
		[Global]
		Name = irc.example.net
		Info = test
		Listen = 127.0.0.1
		Ports = $port
		ServerUID = $(id -u)
		ServerGID = $(id -g)
		[Limits]
		MaxConnectionsIP = 0
		[Options]
		DNS = no
		Ident = no
		PAM = no
		SyslogFacility = local7
	NGIRCD
	launch ngircd --nodaemon --config "$here/ngircd.conf"
}

@test "1. N are served, the next is refused, another address is not concerned" { holds_the_limit; }
@test "2. after a close the next is admitted at once" { admits_after_a_close; }
@test "3. after many rounds the count is zero, and true" { counts_true_after_rounds; }
@test "4. the limit is raised and lowered by SIGHUP and by connlimit reload" { limit_changes; }
@test "5. no new complaint in log or exit status" { no_new_complaint; }
@test "6. kill -9 of what serves frees its clients" { kill_frees_clients; }
@test "7. stop and restart leave nothing behind" { leaves_nothing_behind; }
@test "8. after a refusal others are served at once" { serves_others_at_once; }
