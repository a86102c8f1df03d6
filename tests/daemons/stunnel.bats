#!/usr/bin/env bats
# stunnel: a thread for each client, in front of another daemon.

load questions

note="one process serves all; killed and started again, it finds its table without the dead (6)"
program=stunnel4
protocol=tls
rounds_asked=300

ready() {
	needs stunnel4 openssl socat
	openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 2 -keyout "$here/key" -out "$here/certificate" 2>/dev/null
	# With a program behind it instead, it would be connected to that by a connection of loopback's, which counts.
	behind=$(free_port)
	setsid socat "TCP-LISTEN:$behind,bind=127.0.0.1,reuseaddr,fork" EXEC:cat 3>&- &
	pids+=($!)
}

start() {
	cat >"$here/stunnel.conf" <<-STUNNEL
		foreground = yes
		output = $here/log
		syslog = no
		pid =
		[echo]
		accept = 127.0.0.1:$port
		cert = $here/certificate
		key = $here/key
		connect = 127.0.0.1:$behind
	STUNNEL
	launch stunnel4 "$here/stunnel.conf"
}

@test "1. N are served, the next is refused, another address is not concerned" { holds_the_limit; }
@test "2. after a close the next is admitted at once" { admits_after_a_close; }
@test "3. after many rounds the count is zero, and true" { counts_true_after_rounds; }
@test "4. the limit is raised and lowered by SIGHUP and by connlimit reload" { limit_changes; }
@test "5. no new complaint in log or exit status" { no_new_complaint; }
@test "6. kill -9 of what serves frees its clients" { kill_frees_clients; }
@test "7. stop and restart leave nothing behind" { leaves_nothing_behind; }
@test "8. after a refusal others are served at once" { serves_others_at_once; }
