#!/usr/bin/env bats
# Prosody: Lua over an event loop, which pauses a listener for ten seconds after an error of accept.

load questions

note="one process serves all; killed and started again, it finds its table without the dead (6)"
program=prosody
protocol=xmpp
rounds_asked=300

ready() { as_root_or_skip; needs prosody; }

start() {
	mkdir -p "$here/data"
	cat >"$here/prosody.cfg.lua" <<-PROSODY
		run_as_root = true
		pidfile = "$here/pid"
		data_path = "$here/data"
		modules_enabled = { "saslauth" }
		modules_disabled = { "s2s", "tls" }
		c2s_require_encryption = false
		allow_unencrypted_plain_auth = true
		c2s_interfaces = { "127.0.0.1" }
		c2s_ports = { $port }
		c2s_direct_tls_ports = {}
		log = { info = "$here/log" }
		VirtualHost "localhost"
	PROSODY
	launch prosody -F --config "$here/prosody.cfg.lua"
}

@test "1. N are served, the next is refused, another address is not concerned" { holds_the_limit; }
@test "2. after a close the next is admitted at once" { admits_after_a_close; }
@test "3. after many rounds the count is zero, and true" { counts_true_after_rounds; }
@test "4. the limit is raised and lowered by SIGHUP and by connlimit reload" { limit_changes; }
@test "5. no new complaint in log or exit status" { no_new_complaint; }
@test "6. kill -9 of what serves frees its clients" { kill_frees_clients; }
@test "7. stop and restart leave nothing behind" { leaves_nothing_behind; }
@test "8. after a refusal others are served at once" { serves_others_at_once; }
