#!/usr/bin/env bats
# Postfix: a master that listens, and processes of another program and user that accept at the listeners that they are given.

load questions

note="import_environment must name LD_PRELOAD and the CONNLIMIT variables, for it starts its processes with an environment of its own"
program=/opt/connlimit-test/postfix/usr/lib/postfix/sbin/smtpd # scripts/packages
protocol=smtp
rounds_asked=300

ready() {
	unpacked postfix postfix postdrop
	mkdir -p "$here/etc/postfix" "$here/data" "$here/queue/pid"
	for folder in active bounce corrupt defer deferred flush hold incoming maildrop private public saved trace; do
		mkdir "$here/queue/$folder"
	done
	chown -R "$(awk -F: '$1 == "postfix" { print $3 }' "$here/etc/passwd")" "$here/data" "$here/queue"
	chown root "$here/queue" "$here/queue/pid"
	: >"$here/etc/aliases"
}

start() {
	cat >"$here/etc/postfix/main.cf" <<-POSTFIX
		compatibility_level = 3.6
		queue_directory = $here/queue
		data_directory = $here/data
		maillog_file_prefixes = $here
		maillog_file = $log
		inet_interfaces = 127.0.0.1
		inet_protocols = ipv4
		myhostname = localhost
		alias_maps =
		smtpd_peername_lookup = no
		import_environment = LD_PRELOAD CONNLIMIT_FILE CONNLIMIT_TABLE
	POSTFIX
	cat >"$here/etc/postfix/master.cf" <<-POSTFIX
		${listener:-$port inet n - y - - smtpd}
		anvil unix - - y - 1 anvil
		cleanup unix n - y - 0 cleanup
		postlog unix-dgram n - n - 1 postlogd
		proxymap unix - - n - - proxymap
		rewrite unix - - y - - trivial-rewrite
	POSTFIX
	launch /usr/lib/postfix/sbin/master -d
}

@test "1. N are served, the next is refused, another address is not concerned" { holds_the_limit; }
@test "2. after a close the next is admitted at once" { admits_after_a_close; }
@test "3. after many rounds the count is zero, and true" { counts_true_after_rounds; }
@test "4. the limit is raised and lowered by SIGHUP and by connlimit reload" { limit_changes; }
@test "5. no new complaint in log or exit status" { no_new_complaint; }
@test "6. kill -9 of what serves frees its clients" { kill_frees_clients; }
@test "7. stop and restart leave nothing behind" { leaves_nothing_behind; }
@test "8. after a refusal others are served at once" { serves_others_at_once; }

@test "postfix: check says that both can be limited, the master and what accepts" {
	for program in master smtpd; do
		run -0 "$CONNLIMIT" check "/opt/connlimit-test/postfix/usr/lib/postfix/sbin/$program"
		[[ $output == *": can be limited" ]]
	done
}

# ---- behind haproxy, which speaks the PROXY protocol to it ----

# behind_haproxy: Postfix, and haproxy before it from another address; each client has its own limit, by both versions.
behind_haproxy() {
	needs haproxy
	printf '%s\n' CONNLIMIT_PER_IP=2 CONNLIMIT_PROXY=127.0.9.0/24 >"$limits"
	start
	local behind=$port version
	for version in send-proxy send-proxy-v2; do
		port=$(free_port)
		printf '%s\n' defaults 'mode tcp' 'timeout connect 10s' 'timeout client 300s' 'timeout server 300s' 'listen front' \
			"bind 127.0.0.1:$port" "server daemon 127.0.0.1:$behind source 127.0.9.1 $version" >"$here/haproxy.cfg"
		haproxy -db -f "$here/haproxy.cfg" >>"$here/haproxy.log" 2>&1 3>&- </dev/null &
		pids+=($!)
		until_true listening
		hold 127.0.1.1 served
		hold 127.0.1.1 served
		hold 127.0.1.1 refused
		hold 127.0.1.2 served
		[ "$(counted 127.0.1.1) $(counted 127.0.1.2) $(counted 127.0.9.1)" = "2 1 0" ]
		[ "$(ss -Htn state established "sport = :$behind" "dst = 127.0.9.1" | wc -l)" -eq 3 ]
		run ! grep "no PROXY header" <(own_status)
		hold_nothing
		until_true eval '[ -z "$(ss -Htn "sport = :$behind" "dst = 127.0.9.1")" ]'
	done
}

@test "postfix: smtpd behind haproxy (v1, v2): each client has its own limit" {
	listener="$port inet n - y - - smtpd -o smtpd_upstream_proxy_protocol=haproxy"
	behind_haproxy
}

@test "postfix: postscreen behind haproxy (v1, v2), which hands its connections to smtpd: each client has its own limit" {
	listener="$port inet n - n - 1 postscreen -o postscreen_upstream_proxy_protocol=haproxy -o postscreen_cache_map=
smtpd pass - - n - - smtpd"
	behind_haproxy
}
