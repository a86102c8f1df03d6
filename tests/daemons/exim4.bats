#!/usr/bin/env bats
# Exim: forks for each client. It is setuid and gives up root; on SIGHUP it executes itself again, and then the loader ignores preloads, so it
# is supervised.

load questions

note="supervised, for it is setuid: where it has given up root and executes itself, as on SIGHUP, the loader ignores preloads; SIGHUP is its own, the file of limits is followed (4)"
program=/opt/connlimit-test/exim4-daemon-light/usr/sbin/exim4 # scripts/packages
protocol=smtp
rounds_asked=300

ready() {
	unpacked exim4-daemon-light Debian-exim
	mkdir "$here/etc/exim4" "$here/spool" "$here/exim"
	chown "$(awk -F: '$1 == "Debian-exim" { print $3 }' "$here/etc/passwd")" "$here/spool" "$here/exim"
	log=$here/exim/mainlog
}

start() {
	cat >"$here/etc/exim4/exim4.conf" <<-EXIM
		primary_hostname = localhost
		local_interfaces = 127.0.0.1
		daemon_smtp_ports = $port
		spool_directory = $here/spool
		log_file_path = $here/exim/%slog
		pid_file_path = $here/exim/pid
		keep_environment =
		tls_advertise_hosts =
		smtp_accept_max = 100
	EXIM
	launch /usr/sbin/exim4 -bdf
}

# Until it has executed itself it does not listen.
hung_up() {
	hang_ups=$((${hang_ups:-0} + 1))
	until_true executed_again
}
executed_again() { (($(grep -c "daemon started" "$log") > hang_ups)); }

@test "1. N are served, the next is refused, another address is not concerned" { holds_the_limit; }
@test "2. after a close the next is admitted at once" { admits_after_a_close; }
@test "3. after many rounds the count is zero, and true" { counts_true_after_rounds; }
@test "4. the limit is raised and lowered by SIGHUP and by connlimit reload" { limit_changes; }
@test "5. no new complaint in log or exit status" { no_new_complaint; }
@test "6. kill -9 of what serves frees its clients" { kill_frees_clients; }
@test "7. stop and restart leave nothing behind" { leaves_nothing_behind; }
@test "8. after a refusal others are served at once" { serves_others_at_once; }

@test "exim4: check says that it is supervised, and why" {
	run -0 "$CONNLIMIT" check "$program"
	[[ $output == *": can be limited, by a supervisor of its system calls"* ]]
	[[ $output == *"because: it is setuid: where it has given up root and executes itself, as on a reload, the loader ignores preloads"* ]]
}
