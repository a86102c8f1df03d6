#!/usr/bin/env bats
# connlimit run and check: what is wrong is said, with the exit status that a shell or sysexits.h has for it; limits never just fall away.

load built

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
	refused 78 "'-1' is out of range" "$CONNLIMIT" run --per-ip=-1 -- true
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
	refused 2 "unknown option -x" "$CONNLIMIT" run -xy -- true
	refused 2 "--per-ip needs a value" "$CONNLIMIT" run --per-ip
	# The case of a variable counts: not a second spelling of the same limit.
	refused 78 "did you mean CONNLIMIT_PER_IP?" env CONNLIMIT_per_ip=3 "$CONNLIMIT" run -- true
}

@test "an unreadable or half-wrong file stops the start" {
	refused 78 "$here/none.env: cannot be opened: No such file or directory" "$CONNLIMIT" run --file none.env -- true
	printf '# limits\nCONNLIMIT_PER_IP=3\n\nCONNLIMIT_TOTAL=many\n' >half.env
	refused 78 "half.env:4:17: CONNLIMIT_TOTAL: 'many' is not a number" "$CONNLIMIT" run --file half.env -- true
	refused 78 "half.env:4:" env "CONNLIMIT_FILE=$here/half.env" "LD_PRELOAD=$PRELOAD" true
	printf 'CONNLIMIT_PER_IP 3\n' >half.env
	refused 78 "half.env:1:1: a line is NAME=VALUE" "$CONNLIMIT" run --file half.env -- true
	printf 'CONNLIMIT_PER_IP=3\n' >open.env
	chmod 666 open.env
	refused 78 "open.env: is ignored: others may write to it" "$CONNLIMIT" run --file open.env -- true
	mkfifo pipe.env
	refused 78 "is not a regular file" "$CONNLIMIT" run --file pipe.env -- true
}

@test "what is wrong is said, however long the path and whatever is in the value" {
	long=$here/$(printf 'd%.0s' {1..200})/$(printf 'e%.0s' {1..200})/$(printf 'f%.0s' {1..200})
	mkdir -p "$long"
	echo CONNLIMIT_PER_IP=ten >"$long/nginx.env"
	refused 78 "/nginx.env:1:18: CONNLIMIT_PER_IP: 'ten' is not a number; allowed: a number from 0" "$CONNLIMIT" run --file "$long/nginx.env" -- true
	refused 78 "'\x1b[2J\xc2\x9b' is not a number" env CONNLIMIT_PER_IP=$'\e[2J\xc2\x9b' "LD_PRELOAD=$PRELOAD" true
	printf '\xef\xbb\xbfCONNLIMIT_PER_IP=ten\n' >marked.env
	refused 78 "marked.env:1:18: CONNLIMIT_PER_IP: 'ten'" "$CONNLIMIT" run --file marked.env -- true
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

@test "a static program is not preloaded, and told why" {
	echo 'int main(void) { return 0; }' | gcc -x c - -static -o static
	refused 126 "cannot be limited: it is statically linked: no loader runs" "$CONNLIMIT" run --way=preload -- ./static
	refused 0 "limited by a supervisor: it is statically linked: no loader runs" "$CONNLIMIT" run -- ./static
	refused 0 "because: it is statically linked" "$CONNLIMIT" check ./static
}

@test "a Go program is not preloaded, and told why" {
	echo 'int main(void) { return 0; }' | gcc -x c - -o dynamic
	echo buildinfo >section
	objcopy --add-section .go.buildinfo=section dynamic go
	refused 126 "Go makes system calls itself" "$CONNLIMIT" run --way=preload -- ./go
	refused 0 "limited by a supervisor: it is a Go program" "$CONNLIMIT" run -- ./go
	"$CONNLIMIT" run -- ./dynamic
}

@test "a setuid program is not preloaded, and told why" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to make one"
	cp /bin/true other
	chown 65534 other
	chmod 4755 other
	refused 126 "setuid: the loader ignores preloads" "$CONNLIMIT" run --way=preload -- ./other
	refused 0 "limited by a supervisor: it is setuid" "$CONNLIMIT" run -- ./other
	cp /bin/true group
	chgrp 65534 group
	chmod 2755 group
	refused 126 "setgid: the loader ignores preloads" "$CONNLIMIT" run --way=preload -- ./group
	# It may execute itself once it is nobody.
	cp /bin/true own
	chmod 4755 own
	refused 126 "given up root and executes itself" "$CONNLIMIT" run --way=preload -- ./own
	refused 0 "limited by a supervisor: it is setuid" "$CONNLIMIT" run -- ./own
	# For whom the program runs as anyway, the loader is as ever; and of a script these bits mean nothing.
	mkdir -m 777 nobody
	cp /bin/true nobody/own
	chown 65534 nobody/own
	chmod 4755 nobody/own
	chmod 755 .
	cp "$CONNLIMIT" "$PRELOAD" nobody
	setpriv --reuid=65534 --clear-groups nobody/connlimit run --way=preload -- nobody/own
	printf '#!/bin/sh\n' >script
	chown 65534 script
	chmod 4755 script
	"$CONNLIMIT" run -- ./script
}

@test "a program with file capabilities is refused to those who would gain by them" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to make one"
	cp /bin/true able
	setcap cap_net_bind_service=ep able || skip "no file capabilities on this file system"
	"$CONNLIMIT" run -- ./able
	cp "$CONNLIMIT" connlimit # where another user can reach it
	cp "$PRELOAD" libconnlimit_preload.so
	chmod 755 "$here" connlimit libconnlimit_preload.so
	refused 126 "file capabilities: the loader ignores preloads" setpriv --reuid=65534 --regid=65534 --clear-groups ./connlimit run -- ./able
	setpriv --reuid=65534 --regid=65534 --clear-groups ./connlimit run -- /bin/true
}

@test "io_uring is told of, and does not stop the start" {
	echo 'int io_uring_queue_init(void) { return 0; }' | gcc -x c - -shared -fPIC -Wl,-soname,liburing.so.2 -o liburing.so.2
	echo 'int io_uring_queue_init(void); int main(void) { return io_uring_queue_init(); }' >program.c
	gcc program.c ./liburing.so.2 -Wl,-rpath,"$here" -o linked
	echo 'int io_uring_queue_init(void) { return 0; }' | gcc -x c - -shared -fPIC -Wl,-soname,bundle.so -o bundle.so
	gcc program.c ./bundle.so -Wl,-rpath,"$here" -o bundled
	for program in linked bundled; do
		run "$CONNLIMIT" check "./$program"
		[ "$status" -eq 0 ]
		[[ $output == "./$program: can be limited"*"note: it uses io_uring"* ]]
		run "$CONNLIMIT" run -- "./$program"
		[ "$status" -eq 0 ]
		[[ $output == *"note: it uses io_uring"* ]]
	done
	run "$CONNLIMIT" check true -- --any-argument
	[ "$status" -eq 0 ]
	[[ ${#lines[@]} -eq 1 && $output == *"/true: can be limited" ]]
}

@test "rings without liburing, and libraries bound deeply, are told of" {
	[[ $(uname -m) == x86_64 ]] || skip "machine code is read on x86_64 only"
	cat >program.c <<-'C'
		#include <dlfcn.h>
		#include <unistd.h>

		int main(int number, char **words)
		{
			if (number > 2)
				return (int)syscall(RING, 8, words);
			return dlopen(words[1], FLAGS) == NULL;
		}
	C
	for options in "-O2" "-O0 -fno-plt" "-O2 -fcf-protection=full -Wl,-z,ibtplt" "-O1 -Wl,-z,lazy"; do
		# shellcheck disable=SC2086 # several
		gcc -D_GNU_SOURCE $options -DRING=425 '-DFLAGS=RTLD_NOW|RTLD_DEEPBIND' program.c -o deep
		# shellcheck disable=SC2086
		gcc -D_GNU_SOURCE $options -DRING=39 '-DFLAGS=RTLD_NOW|RTLD_GLOBAL' program.c -o plain
		run -0 "$CONNLIMIT" check ./deep
		[[ $output == *"note: it can set up an io_uring"* && $output == *"note: it loads libraries with RTLD_DEEPBIND"* ]]
		run -0 "$CONNLIMIT" check ./plain
		[[ ${#lines[@]} -eq 1 ]]
	done
}

@test "another architecture, another libc, garbage" {
	cp /bin/true other
	printf '\xb7' | dd of=other bs=1 seek=18 conv=notrunc status=none # e_machine
	refused 126 "another architecture" "$CONNLIMIT" run -- ./other
	cp /bin/true musl
	sed -i 's,/lib64/ld-linux-x86-64.so.2,/lib/ld-musl-x86_64.so.1\x00,' musl
	refused 126 "only glibc's can preload connlimit's object" "$CONNLIMIT" run --way=preload -- ./musl
	head -c 64 /bin/true >cut
	chmod 755 cut
	refused 126 "it is damaged" "$CONNLIMIT" run -- ./cut
	: >empty
	chmod 755 empty
	refused 126 "it is empty" "$CONNLIMIT" run -- ./empty
}

@test "no file, however damaged, makes check crash or hang" {
	python3 - "$CONNLIMIT" <<'PYTHON'
import random, subprocess, sys
good = open("/bin/true", "rb").read()
draw = random.Random(1)
for turn in range(300):
    bad = bytearray(good)
    for _ in range(draw.choice((1, 4, 30))):
        # Mostly in the headers at the front and in the section headers at the end, which steer the reading.
        at = draw.choice((draw.randrange(64), draw.randrange(1024), len(bad) - 1 - draw.randrange(2000)))
        bad[at] = draw.choice((0, 1, 0x7f, 0x80, 0xff, draw.randrange(256)))
    if turn % 3 == 0:
        del bad[draw.randrange(len(bad)):]
    with open("damaged", "wb") as file:
        file.write(bad)
    subprocess.run(["chmod", "755", "damaged"], check=True)
    status = subprocess.run([sys.argv[1], "check", "./damaged"], stdout=subprocess.DEVNULL, timeout=60).returncode
    assert status in (0, 126), (turn, status)
PYTHON
}

@test "a file that is truncated and written again all the time does not make check crash" {
	cp /usr/bin/python3 changing # large enough to be read in many steps
	python3 - "$CONNLIMIT" <<'PYTHON'
import os, subprocess, sys
bytes = open("changing", "rb").read()
change = "import os, sys\nbytes, f = open('changing', 'rb').read(), os.open('changing', os.O_WRONLY)\nwhile True: os.ftruncate(f, 0), os.pwrite(f, bytes, 0)"
with subprocess.Popen([sys.executable, "-c", change]) as changer:
    try:
        for _ in range(60):
            status = subprocess.run([sys.argv[1], "check", "./changing"], stdout=subprocess.DEVNULL, timeout=60).returncode
            assert status in (0, 126), status
    finally:
        changer.kill()
PYTHON
}

@test "a script is judged by its interpreter" {
	echo 'int main(void) { return 0; }' | gcc -x c - -static -o static
	printf '#!%s/static\n' "$here" >script
	chmod 755 script
	refused 126 "statically linked" "$CONNLIMIT" run --way=preload -- ./script
	printf '#!/usr/bin/env python3\nprint("ran")\n' >script
	[ "$("$CONNLIMIT" run -- ./script)" = ran ]
	printf '#!/usr/bin/env -S LANG=C python3 -s\nprint("ran")\n' >script
	[ "$("$CONNLIMIT" run -- ./script)" = ran ]
	printf '#!/usr/bin/env -S LANG=C %s/static\n' "$here" >script
	refused 126 "its interpreter is $here/static, and it is statically linked" "$CONNLIMIT" run --way=preload -- ./script
	printf '#!/none/such\n' >script
	refused 126 "its interpreter is /none/such, and it cannot be examined: No such file" "$CONNLIMIT" run -- ./script
	printf '#!%s/script\n' "$here" >script
	refused 126 "too many levels" "$CONNLIMIT" run -- ./script
	mkfifo pipe
	chmod 755 pipe
	printf '#!%s/pipe\n' "$here" >script
	refused 126 "is not a regular file" timeout 60 "$CONNLIMIT" check ./script
}

@test "the command is found as execvp finds it" {
	mkdir first second
	echo 'not executable' >first/daemon
	printf '#!/bin/sh\necho second "$0"\n' >second/daemon
	printf '#!/bin/sh\necho here\n' >daemon
	chmod 755 second/daemon daemon
	PATH=first:second:$PATH run "$CONNLIMIT" run --per-ip 1 -- daemon
	[ "$output" = "second second/daemon" ]
	PATH=:$PATH run "$CONNLIMIT" run --per-ip 1 -- daemon
	[ "$output" = here ]
	PATH=first:$PATH refused 126 "not an executable file" "$CONNLIMIT" run --per-ip 1 -- daemon
	# What is no program and no script, a shell runs.
	echo 'echo by the shell' >plain
	chmod 755 plain
	run "$CONNLIMIT" run --per-ip 1 -- ./plain
	[ "$output" = "by the shell" ]
}

@test "other preloads stay, options become variables, the command's status is kept" {
	run env LD_PRELOAD=/none.so "$CONNLIMIT" run --per-ip 7 -- sh -c 'echo "$LD_PRELOAD $CONNLIMIT_PER_IP"; exit 5'
	[ "$status" -eq 5 ]
	[[ $output == *"$PRELOAD:/none.so 7" ]]
	# All of them, however many.
	others=$(printf '/n%03d.so:' {1..900})/last.so
	run --separate-stderr env "LD_PRELOAD=$others" "$CONNLIMIT" run -- printenv LD_PRELOAD
	[ "$output" = "$PRELOAD:$others" ]
}

@test "an option wins over the environment, and the path of the file becomes absolute" {
	echo CONNLIMIT_TOTAL=30 >some.env
	run env CONNLIMIT_PER_IP=1 CONNLIMIT_TOTAL=2 "$CONNLIMIT" run --per-ip 7 --file some.env -- sh -c 'echo "$CONNLIMIT_PER_IP $CONNLIMIT_FILE"'
	[ "$output" = "7 $here/some.env" ]
	# A file that is named by a relative path in the environment is found again by a daemon that changes its directory.
	run env CONNLIMIT_FILE=some.env "$CONNLIMIT" run -- sh -c 'echo "$CONNLIMIT_FILE"'
	[ "$output" = "$here/some.env" ]
}

@test "help fits a screen" {
	run "$CONNLIMIT"
	[ "$status" -eq 0 ]
	[ "${#lines[@]}" -le 24 ]
	fits=$(printf '%s\n' "${lines[@]}" | awk 'length($0) > 80')
	[ -z "$fits" ]
	run "$CONNLIMIT" run --help
	[ "$status" -eq 0 ]
	[[ $output == *--per-ip=N* ]]
	fits=$(printf '%s\n' "${lines[@]}" | awk 'length($0) > 80')
	[ -z "$fits" ]
	run "$CONNLIMIT" check --help
	[ "$status" -eq 0 ]
	refused 2 "no command given" "$CONNLIMIT" check
	run "$CONNLIMIT" --version
	[[ $output == "connlimit "[0-9]* ]]
}

@test "run without any limit says so, and not where there is one" {
	run -0 "$CONNLIMIT" run -- true
	[ "$output" = "connlimit: note: no limit is set, so connections are only counted; to limit them: --per-ip=10" ]
	echo '# none yet' >empty.env
	run -0 "$CONNLIMIT" run --file empty.env -- true
	[[ $output == *"no limit is set"* ]]
	run -0 "$CONNLIMIT" run --per-ip 3 --mode off -- true
	[ "$output" = "connlimit: note: mode off: no limit is in force" ]
	for limit in --per-ip=1 --total=1 --rate=1/s --per-uid=1 --cluster-per-ip=1 --rules=10.0.0.0/8=1 ; do
		run -0 "$CONNLIMIT" run "$limit" -- true
		[ -z "$output" ]
	done
}

@test "an option's name in the file, in small letters, is no variable of the daemon's" {
	for line in total=5 mode=observe per-ip=3 per_ip=3 --total=5 connlimit_total=5 rate=3/s; do
		echo "$line" >small.env
		refused 78 "small.env:1:1: unknown setting" "$CONNLIMIT" run --file small.env -- true
		[[ $output == *"did you mean CONNLIMIT_"* ]]
	done
	printf 'LOG=x\nlang=de\nTOTAL=7\nlogs=y\nCONNLIMIT_PER_IP=1\n' >other.env
	run -0 "$CONNLIMIT" run --file other.env -- true
	[ -z "$output" ]
}

@test "help and the version, however they are asked for" {
	for words in "" --help -h help "help help" "help --help"; do
		# shellcheck disable=SC2086
		run -0 "$CONNLIMIT" $words
		[[ $output == "connlimit limits how many"* ]]
	done
	[ "$("$CONNLIMIT" -V)" = "$("$CONNLIMIT" --version)" ]
	[ "$("$CONNLIMIT" help status)" = "$("$CONNLIMIT" status -h)" ]
}
