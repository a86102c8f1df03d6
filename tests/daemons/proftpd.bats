#!/usr/bin/env bats
# ProFTPD: forks for each client, which changes user.

load questions

program=/opt/connlimit-test/proftpd-core/usr/sbin/proftpd # scripts/packages
protocol=ftp
rounds_asked=200

ready() {
	as_root_or_skip
	needs "$program"
	mkdir -p "$here/ftp"
}

start() {
	cat >"$here/proftpd.conf" <<-PROFTPD
		ServerType standalone
		DefaultAddress 127.0.0.1
		SocketBindTight on
		Port $port
		UseReverseDNS off
		UseIPv6 off
		User nobody
		Group nogroup
		PidFile $here/pid
		ScoreboardFile $here/scoreboard
		SystemLog $here/log
		WtmpLog off
		TransferLog none
		AuthPAM off
		RequireValidShell off
		UseFtpUsers off
		<Anonymous $here/ftp>
			User nobody
			Group nogroup
			UserAlias anonymous nobody
		</Anonymous>
	PROFTPD
	launch "$program" --nodaemon --config "$here/proftpd.conf"
}

@test "1. N are served, the next is refused, another address is not concerned" { holds_the_limit; }
@test "2. after a close the next is admitted at once" { admits_after_a_close; }
@test "3. after many rounds the count is zero, and true" { counts_true_after_rounds; }
@test "4. the limit is raised and lowered by SIGHUP and by connlimit reload" { limit_changes; }
@test "5. no new complaint in log or exit status" { no_new_complaint; }
@test "6. kill -9 of what serves frees its clients" { kill_frees_clients; }
@test "7. stop and restart leave nothing behind" { leaves_nothing_behind; }
@test "8. after a refusal others are served at once" { serves_others_at_once; }
