#!/usr/bin/env bats
# connlimit run and check: what is wrong is said, with the exit status that a shell or sysexits.h has for it; limits never just fall away.

bats_require_minimum_version 1.5.0

setup() {
	here=$(mktemp -d)
	cd "$here"
}

teardown() {
	rm -rf "$here"
}

refused() { # STATUS TEXT COMMAND...: fails with that status and text
	local wanted=$1 text=$2
	shift 2
	run "-$wanted" "$@"
	echo "status $status: $output"
	[ "$status" -eq "$wanted" ]
	[[ $output == *"$text"* ]]
}

@test "bad limits stop the start: by option" {
	refused 78 "CONNLIMIT_PER_IP: 'ten' is not a number; allowed" "$CONNLIMIT" run --per-ip ten -- true
	refused 78 "'-1' is not a number" "$CONNLIMIT" run --per-ip=-1 -- true
	refused 78 "'99999999999' is out of range" "$CONNLIMIT" run --per-ip 99999999999 -- true
	refused 78 "the value is empty" "$CONNLIMIT" run --per-ip= -- true
	refused 78 "at character 14" "$CONNLIMIT" run --rules "10.0.0.0/8=5 10.0.0.1/8=3" -- true
}

@test "bad limits stop the start: by environment, with and without the command" {
	for value in ten -1 99999999999 "" "3 "; do
		refused 78 CONNLIMIT_PER_IP env "CONNLIMIT_PER_IP=$value" "$CONNLIMIT" run -- true
		refused 78 CONNLIMIT_PER_IP env "CONNLIMIT_PER_IP=$value" "LD_PRELOAD=$PRELOAD" true
	done
}

@test "an unknown name is told with the nearest right one" {
	refused 78 "unknown setting 'CONNLIMIT_PERIP'; did you mean CONNLIMIT_PER_IP?" env CONNLIMIT_PERIP=3 "$CONNLIMIT" run -- true
	refused 78 "did you mean CONNLIMIT_IPV6_PREFIX?" env CONNLIMIT_IPV6PREFIX=3 "LD_PRELOAD=$PRELOAD" true
	refused 2 "did you mean per-ip?" "$CONNLIMIT" run --per-ipp 3 -- true
}

@test "an unreadable or half-wrong file stops the start" {
	refused 78 "$here/none.env: cannot be opened: No such file or directory" "$CONNLIMIT" run --file none.env -- true
	printf '# limits\nCONNLIMIT_PER_IP=3\n\nCONNLIMIT_TOTAL=many\n' >half.env
	refused 78 "half.env:4: CONNLIMIT_TOTAL: 'many' is not a number" "$CONNLIMIT" run --file half.env -- true
	refused 78 "half.env:4:" env "CONNLIMIT_FILE=$here/half.env" "LD_PRELOAD=$PRELOAD" true
	printf 'CONNLIMIT_PER_IP 3\n' >half.env
	refused 78 "half.env:1: a line is NAME=VALUE" "$CONNLIMIT" run --file half.env -- true
	printf 'CONNLIMIT_PER_IP=3\n' >open.env
	chmod 666 open.env
	refused 78 "open.env: is ignored: others may write to it" "$CONNLIMIT" run --file open.env -- true
	mkfifo pipe.env
	refused 78 "is not a regular file" "$CONNLIMIT" run --file pipe.env -- true
}

@test "other variables in the file are passed over; quotes, comments and continued lines are read" {
	printf '# c\n; c\nNGINX_OPTIONS="-q"\n  CONNLIMIT_PER_IP = "3"\nCONNLIMIT_RULES="10.0.0.0/8=5 \\\n 192.0.2.0/24=deny"\n' >good.env
	run "$CONNLIMIT" run --file good.env -- sh -c 'echo started'
	[ "$status" -eq 0 ]
	[ "$output" = started ]
}

@test "no command, a missing command, one that cannot be executed" {
	refused 2 "no command to run" "$CONNLIMIT" run
	refused 2 "no command to run" "$CONNLIMIT" run --per-ip 3 --
	refused 127 "no-such-command: command not found" "$CONNLIMIT" run -- no-such-command
	refused 127 "command not found" "$CONNLIMIT" run -- ./no-such-file
	echo text >plain
	refused 126 "not an executable file" "$CONNLIMIT" run -- ./plain
	refused 126 "not an executable file" "$CONNLIMIT" run -- /tmp
	refused 2 "there is no command 'walk'" "$CONNLIMIT" walk
}

@test "a static program is refused, and told why" {
	echo 'int main(void) { return 0; }' | gcc -x c - -static -o static
	refused 126 "statically linked: no loader runs" "$CONNLIMIT" run -- ./static
	refused 126 "because: it is statically linked" "$CONNLIMIT" check ./static
}

@test "a Go program is refused, and told why" {
	echo 'int main(void) { return 0; }' | gcc -x c - -o dynamic
	echo buildinfo >section
	objcopy --add-section .go.buildinfo=section dynamic go
	refused 126 "Go makes system calls itself" "$CONNLIMIT" run -- ./go
	"$CONNLIMIT" run -- ./dynamic
}

@test "a setuid program is refused, and told why" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to make one"
	cp /bin/true other
	chown 65534 other
	chmod 4755 other
	refused 126 "setuid: the loader ignores preloads" "$CONNLIMIT" run -- ./other
}

@test "another architecture, another libc, garbage" {
	cp /bin/true other
	printf '\xb7' | dd of=other bs=1 seek=18 conv=notrunc status=none # e_machine
	refused 126 "another architecture" "$CONNLIMIT" run -- ./other
	cp /bin/true musl
	sed -i 's,/lib64/ld-linux-x86-64.so.2,/lib/ld-musl-x86_64.so.1\x00,' musl
	refused 126 "only glibc's can be limited" "$CONNLIMIT" run -- ./musl
	head -c 64 /bin/true >cut
	chmod 755 cut
	refused 126 "" "$CONNLIMIT" run -- ./cut
}

@test "a script is judged by its interpreter" {
	echo 'int main(void) { return 0; }' | gcc -x c - -static -o static
	printf '#!%s/static\n' "$here" >script
	chmod 755 script
	refused 126 "statically linked" "$CONNLIMIT" run -- ./script
	printf '#!/usr/bin/env python3\nprint("ran")\n' >script
	[ "$("$CONNLIMIT" run -- ./script)" = ran ]
}

@test "other preloads stay, options become variables, the command's status is kept" {
	run env LD_PRELOAD=/none.so "$CONNLIMIT" run --per-ip 7 -- sh -c 'echo "$LD_PRELOAD $CONNLIMIT_PER_IP"; exit 5'
	[ "$status" -eq 5 ]
	[[ $output == *"$PRELOAD:/none.so 7" ]]
}

@test "help fits a screen" {
	run "$CONNLIMIT"
	[ "$status" -eq 0 ]
	[ "${#lines[@]}" -le 24 ]
	run "$CONNLIMIT" run --help
	[ "$status" -eq 0 ]
	[[ $output == *--per-ip=N* ]]
}
