#!/usr/bin/env bats
# Real programs run unchanged under the preload: the same output, the same exit status. Each is there, or its test fails.

load built

setup() {
	here=$(mktemp -d)
	cd "$here"
	printf 'three\none\ntwo\n' >text
	printf 'int main(void) { return 3; }\n' >three.c
	printf 'all:\n\t@echo made\n' >Makefile
	export LC_ALL=C
}

teardown() {
	[[ -z ${server:-} ]] || kill "$server"
	rm -rf "$here"
}

# same COMMAND...: with and without.
same() {
	local status_without=0 status_with=0
	command -v "$1" >/dev/null || { echo "not installed: $1"; return 1; }
	basename "$1" >>"$BATS_FILE_TMPDIR/run"
	timeout 60 "$@" >without 2>&1 </dev/null || status_without=$?
	CONNLIMIT_PER_IP=3 LD_PRELOAD=$PRELOAD timeout 60 "$@" >with 2>&1 </dev/null || status_with=$?
	diff without with || { echo "differs: $*"; return 1; }
	[ "$status_without" -eq "$status_with" ] || { echo "status $status_without, then $status_with: $*"; return 1; }
	rm -f without with
}

@test "programs: of every day" {
	same ls -l /usr
	same cat text
	same sort text
	same grep -c o text
	same sed s/o/0/ text
	same awk '{ print NF, $1 }' text
	same find /etc -maxdepth 1 -name 'host*'
	same date -u -d @0
	same tar -cf - --mtime=@0 --owner=0 --group=0 text
	same gzip -nc text
	same xz -c text
	same sha256sum text
	same ps -o comm= -p 1
	same ls /no-such-file
	same false
}

@test "programs: shells, with pipes, background jobs and traps" {
	same bash -c 'for i in 1 2 3; do echo $i | tr 1-3 a-c; done; (exit 7)'
	same sh -c 'sleep 0.1 & wait; echo "$(echo nested $(echo deep))"; trap "echo bye" EXIT; exit 4'
	same bash -c 'kill -HUP $$; echo not reached'
	same bash -c 'exec 5<text; read -u 5 line; exec 5<&-; echo "$line"; cat <(echo substituted)'
}

@test "programs: interpreters and compilers" {
	same python3 -c 'import subprocess, threading; t = threading.Thread(target=lambda: print(subprocess.check_output(["echo", "hi"]))); t.start(); t.join()'
	same python3 -c 'import os; p = os.fork(); p or os._exit(5); print(os.waitpid(p, 0)[1])'
	same python3 -c 'import multiprocessing as m; m.set_start_method("fork"); print(m.Pool(2).map(abs, [-1, -2]))'
	same perl -e 'print join(",", sort { $a <=> $b } 3, 1, 2), "\n"; system("true"); exit 6'
	same gcc -c three.c -o three.o
	same sh -c 'gcc three.c -o three && ./three'
	same make -s
	same ld --version
	same node -e 'require("child_process").exec("echo child", (e, out) => process.stdout.write(out))'
}

@test "programs: those with stacks, terminals, threads and children of their own kind" {
	# forkpty, job control, cancelled threads, a confined program, posix_spawn, many threads with small stacks
	same python3 -c 'import os, pty; pty.spawn(["sh", "-c", "echo in a terminal; exit 3"])'
	same script -qec 'echo typed; exit 5' /dev/null
	# What bash notices of its jobs, and when, is not the same twice.
	same bash -c 'exec 2>/dev/null; set -m; sh -c "kill -STOP \$\$; echo goes on" & until jobs -s | grep -q Stopped; do sleep 0.05; done; fg >/dev/null; echo done'
	same python3 -c 'import os; print(os.waitpid(os.posix_spawn("/bin/echo", ["echo", "spawned"], os.environ), 0)[1])'
	same python3 -c 'import threading; threading.stack_size(32768); t = [threading.Thread(target=print) for _ in range(50)]; [x.start() for x in t]; [x.join() for x in t]'
	same bash -c 'ulimit -s unlimited; echo "$(ulimit -s)"; exec true'
	same setpriv --reuid=65534 --clear-groups --no-new-privs id -u
	same "$BUILD/tests/call_semantics"
	if printf 'int main(void) { return 4; }\n' | gcc -static -x c -o fixed - 2>/dev/null; then same ./fixed; fi
	same strace -qq -o /dev/null sh -c 'exit 6'
	same gdb -q -batch -ex 'print 6 * 7'
}

@test "programs: of the network, and others with much of their own" {
	same sh -c 'curl -sS http://127.0.0.1:1/ 2>&1 | sed "s/after [0-9]* ms/at last/"'
	same curl --version
	served_by_curl
	same openssl dgst -sha256 text
	same ssh -V
	same ssh -o ConnectTimeout=5 -p 1 127.0.0.1 true
	ssh-keygen -q -t ed25519 -N '' -f key
	same ssh-keygen -l -f key
	same ss -lx
}

served_by_curl() {
	python3 -u -c '
import http.server
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
print(server.server_address[1], flush=True)
server.serve_forever()' >server.port 2>/dev/null 3>&- &
	server=$!
	local tries
	for tries in $(seq 200); do [ ! -s server.port ] || break; sleep 0.1; done
	same curl -sS --max-time 30 "http://127.0.0.1:$(<server.port)/text"
}

@test "programs: git, over its whole work" {
	export GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000'
	export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b HOME=$here
	same sh -c 'rm -rf one two; git -c init.defaultBranch=main init -q one && cp text one && cd one && git add text && git commit -qm first &&
		git log --format="%H %s" && git gc -q && cd .. && git clone -q one two && git -C two fsck && git -C two status --short --branch'
	git init -q empty
	same git -C empty status --short
	same git -C empty log
}

@test "programs: java, compiler and threads" {
	cat >Main.java <<-'JAVA'
		public class Main {
		    public static void main(String[] arguments) throws Exception {
		        Thread thread = new Thread(() -> System.out.println("in a thread"));
		        thread.start();
		        thread.join();
		        Process child = new ProcessBuilder("echo", "of a child").redirectErrorStream(true).start();
		        System.out.print(new String(child.getInputStream().readAllBytes()));
		        System.exit(child.waitFor() + 3);
		    }
		}
	JAVA
	same java -Xshare:auto -XX:TieredStopAtLevel=1 -XX:+UseSerialGC Main.java
}

@test "programs: those were 24 different ones, and more" {
	[ "$BATS_TEST_NUMBER" -ne 1 ] || skip "run by itself"
	sort -u "$BATS_FILE_TMPDIR/run" >different
	cat different
	[ "$(wc -l <different)" -ge 24 ]
}
