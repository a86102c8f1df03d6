#!/usr/bin/env bats
# OpenSSH: accept, fork, dup2, and the server executes itself for each client; SIGHUP executes the listener anew.

load questions

note="40 rounds, for each is a whole login of more than 50 ms (3)"
program=sshd
protocol=ssh
rounds_asked=40 # each is a login
behind_asked=5

ready() {
	as_root_or_skip
	needs sshd ssh ssh-keygen
	mkdir -p /run/sshd
	ssh-keygen -q -t ed25519 -N '' -f "$here/host"
	ssh-keygen -q -t ed25519 -N '' -f "$here/key"
	cp "$here/key.pub" "$here/authorized"
	cat >"$here/none" </dev/null
	login_as root
}

login_as() {
	export SSH_LOGIN="-F none -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -i $here/key $1@127.0.0.1"
}

hung_up() { until_true listening; }

start() {
	cat >"$here/sshd_config" <<-SSHD
		Port $port
		ListenAddress 127.0.0.1
		HostKey $here/host
		PidFile $here/pid
		AuthorizedKeysFile $here/authorized
		PermitRootLogin yes
		PasswordAuthentication no
		StrictModes no
		UsePAM yes
		PrintMotd no
		PrintLastLog no
		MaxStartups 1000
		AcceptEnv LANG CONNLIMIT_*
		LogLevel INFO
	SSHD
	launch "$(command -v sshd)" -D -f "$here/sshd_config" -E "$log"
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

@test "openssh: ten short sessions in a row under a limit of one" {
	limit_is 1
	start
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		hold 127.0.0.1 served
		let_go 127.0.0.1
	done
	# Without the wait for the last one's end that let_go has, as a script would do it:
	limit_is 2
	kill -HUP "$daemon"
	until_true limit_in_force_is 2
	until_true listening
	for i in 1 2 3 4 5 6 7 8 9 10; do
		# shellcheck disable=SC2086 # arguments
		[ "$(ssh -p "$port" $SSH_LOGIN echo "$i")" = "$i" ]
	done
}

@test "openssh: the user's shell sees no preload and no variable of ours, but what sshd itself passes on" {
	limit_is 3
	start
	for user in root postgres; do
		[[ $(getent passwd $user) == *sh ]] || continue
		login_as $user
		# shellcheck disable=SC2086 # arguments
		CONNLIMIT_PASSED=on ssh -p "$port" $SSH_LOGIN -o SendEnv=CONNLIMIT_PASSED 'env; echo; cat /proc/self/maps' >"$here/seen"
		grep -q "^USER=$user$" "$here/seen"
		grep -q '^CONNLIMIT_PASSED=on$' "$here/seen" # AcceptEnv lets it through, with us as without
		fails grep -iE 'LD_PRELOAD|CONNLIMIT_[^P]|libconnlimit' "$here/seen"
	done
}
