#!/usr/bin/env bats
# connlimit suggest: the limit that would have refused nobody, and what lower ones would have done.

load vocabulary

suggested() { "$CONNLIMIT" suggest "test-$port"; }

@test "suggest: from what clients held at most, whether or not they still hold it" {
	limits MODE=observe PER_IP=1
	start_nginx
	for i in $(seq 30); do hold 127.0.3.$i served; done
	for _ in $(seq 9); do hold 127.0.3.7 served; done
	for _ in 1 2; do hold 127.0.3.8 served; done
	for _ in $(seq 5); do let_go 127.0.3.7; done
	run -0 suggested
	[[ $output == *"30 clients seen"* ]]
	grep -qE '^ +10  none$' <<<"$output"
	grep -qE '^ +3  1 \(3\.3 %\)$' <<<"$output"
	grep -qE '^ +1  2 \(6\.7 %\)$' <<<"$output"
	grep -qE '^ +1 +28  #+$' <<<"$output"
	grep -qE '^ +2-3 +1  #+$' <<<"$output"
	grep -qE '^ +8-15 +1  #+$' <<<"$output"
	# The suggestion, tried: with it nobody is refused, and with one less somebody is.
	hold_nothing
	limits PER_IP=10
	reload
	for _ in $(seq 10); do hold 127.0.3.7 served; done
	hold 127.0.3.7 refused
	suggested | grep -q '1 of them was refused'
}

@test "suggest: clients under a rule are left out, an unknown table is an error" {
	limits RULES=127.0.4.0/24=50
	start_nginx
	hold 127.0.4.1 served
	hold 127.0.0.1 served
	suggested | grep -q '^  1 client seen'
	suggested | grep -q '1 more has a limit by rule and is left out'
	run -1 "$CONNLIMIT" suggest no-such-table
	run -2 "$CONNLIMIT" suggest --what
}
