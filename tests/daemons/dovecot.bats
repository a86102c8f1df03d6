#!/usr/bin/env bats
# Dovecot: a master that listens, a process that accepts and sees to the login, and one for each user to which the connection is passed over
# a Unix socket.

load questions

note="import_environment must name LD_PRELOAD and the CONNLIMIT variables, for it starts its processes with an environment of its own; 100 rounds, for each is a login and two processes (3)"
program=dovecot
protocol=imap
rounds_asked=100 # each is a login and a process
# What its processes write to standard error is an error in its log: our own line about a refusal.
# And one that was refused was reset, which it says of any client, if it is so early.
known_complaint='imap-login: Error: connlimit: refused |Connection reset by peer .disconnected before auth was ready'

ready() {
	as_root_or_skip
	needs dovecot
	[[ -x /usr/lib/dovecot/imap ]] || skip "dovecot-imapd is not installed"
	mkdir -m 777 "$here/mail"
}

# Two grammars: 2.4 broke with the one before it, and must be told first which it is given.
configuration() {
	local version
	version=$(dovecot --version)
	if [[ $version == 2.[0-3].* ]]; then
		cat <<-DOVECOT
			protocols = imap
			import_environment = TZ LD_PRELOAD CONNLIMIT_FILE CONNLIMIT_TABLE
			disable_plaintext_auth = no
			mail_location = maildir:$here/mail
			passdb {
			  driver = static
			  args = nopassword=yes
			}
			userdb {
			  driver = static
			  args = uid=nobody gid=nogroup home=$here/mail
			}
		DOVECOT
	else
		cat <<-DOVECOT
			dovecot_config_version = 2.4.0
			dovecot_storage_version = 2.4.0
			protocols {
			  imap = yes
			}
			import_environment {
			  LD_PRELOAD = %{env:LD_PRELOAD}
			  CONNLIMIT_FILE = %{env:CONNLIMIT_FILE}
			  CONNLIMIT_TABLE = %{env:CONNLIMIT_TABLE}
			}
			auth_allow_cleartext = yes
			mail_driver = maildir
			mail_path = $here/mail
			passdb static {
			  fields {
			    nopassword = yes
			  }
			}
			userdb static {
			  fields {
			    uid = nobody
			    gid = nogroup
			    home = $here/mail
			  }
			}
		DOVECOT
	fi
	cat <<-DOVECOT
		listen = 127.0.0.1
		base_dir = $here/run
		state_dir = $here/state
		log_path = $here/log
		ssl = no
		mail_max_userip_connections = 1000
		first_valid_uid = 1
		service imap-login {
		  inet_listener imap {
		    port = $port
		  }
		  inet_listener imaps {
		    port = 0
		  }
		}
	DOVECOT
}

start() {
	configuration >"$here/dovecot.conf"
	launch dovecot -F -c "$here/dovecot.conf"
}

@test "1. N are served, the next is refused, another address is not concerned" { holds_the_limit; }
@test "2. after a close the next is admitted at once" { admits_after_a_close; }
@test "3. after many rounds the count is zero, and true" { counts_true_after_rounds; }
@test "4. the limit is raised and lowered by SIGHUP and by connlimit reload" { limit_changes; }
@test "5. no new complaint in log or exit status" { no_new_complaint; }
@test "6. kill -9 of what serves frees its clients" { kill_frees_clients; }
@test "7. stop and restart leave nothing behind" { leaves_nothing_behind; }
@test "8. after a refusal others are served at once" { serves_others_at_once; }
