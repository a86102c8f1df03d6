#!/usr/bin/env bats
# vsftpd: children by raw clone with namespaces of their own; they change root and user, and forbid themselves system calls.

load questions

note="a data connection is one more of its client's; it holds a connection for some ms after it has shut it down, and so long it counts (2)"
program=vsftpd
protocol=ftp

ready() {
	as_root_or_skip
	needs vsftpd
	mkdir -p "$here/ftp" "$here/empty"
	seq 100000 >"$here/ftp/numbers"
}

# vsftpd shuts the connection down some time before it closes it: the kernel has it in TIME_WAIT while a process still holds it, and
# until that ends the client is at its limit. So wait for the end of the one that served.
let_go() { let_go_with_its_process "$1"; }
rounds_ended() { until_true fewer_than 1; }

start() {
	cat >"$here/vsftpd.conf" <<-VSFTPD
		listen=YES
		listen_address=127.0.0.1
		listen_port=$port
		background=NO
		anonymous_enable=YES
		local_enable=NO
		anon_root=$here/ftp
		secure_chroot_dir=$here/empty
		vsftpd_log_file=$here/log
		xferlog_enable=YES
		pasv_address=127.0.0.1
	VSFTPD
	launch vsftpd "$here/vsftpd.conf"
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

@test "vsftpd: a file comes over a data connection, which is one of the client's" {
	limit_is 2
	start
	fetch() {
		python3 - "$port" "$here/got" <<-'PYTHON'
			import ftplib
			import sys

			ftp = ftplib.FTP(timeout=20)
			ftp.connect("127.0.0.1", int(sys.argv[1]))
			ftp.login()
			with open(sys.argv[2], "wb") as file:
			    ftp.retrbinary("RETR numbers", file.write)
			ftp.quit()
		PYTHON
	}
	fetch
	cmp "$here/got" "$here/ftp/numbers"
	limit_is 1 # a control connection is all that this leaves
	kill -HUP "$daemon"
	until_true limit_in_force_is 1
	fails fetch 2>/dev/null
	limit_is 2
	kill -HUP "$daemon"
	until_true limit_in_force_is 2
	until_true counted_is 127.0.0.1 0
	fetch
}
