#!/usr/bin/env bats
# xinetd: accepts, forks, and executes a program that has the connection as 0, 1 and 2.

load questions

program=xinetd
protocol=echo

ready() { as_root_or_skip; needs xinetd; }

start() {
	cat >"$here/xinetd.conf" <<-XINETD
		defaults
		{
			log_type = FILE $here/log
			cps = 100000 1
			instances = UNLIMITED
			per_source = UNLIMITED
		}
		service echoing
		{
			type = UNLISTED
			socket_type = stream
			protocol = tcp
			wait = ${waits:-no}
			user = ${user:-nobody}
			bind = 127.0.0.1
			port = $port
			server = ${server:-/bin/cat}
			${arguments:+server_args = $arguments}
		}
	XINETD
	launch xinetd -dontfork -f "$here/xinetd.conf" -pidfile "$here/pid"
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

@test "xinetd: a program that is given the listener itself is limited, and the next one goes on under the same table" {
	limit_is 1
	cat >"$here/server.py" <<-'PYTHON'
		import select
		import socket
		import sys

		listener = socket.socket(fileno=0)
		client, _ = listener.accept()
		while True:
		    ready, _, _ = select.select([client, listener], [], [])
		    if listener in ready:
		        listener.accept()[0].close() # refused already
		    if client in ready:
		        got = client.recv(1000)
		        if not got:
		            sys.exit()
		        client.sendall(got)
	PYTHON
	# As another user it could not have the same table.
	user=root waits=yes server=/usr/bin/python3 arguments=$here/server.py
	start
	for _ in 1 2 3; do
		hold 127.0.0.1 served
		hold 127.0.0.1 refused
		agrees 127.0.0.1
		let_go 127.0.0.1
	done
}
