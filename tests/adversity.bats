#!/usr/bin/env bats
# Nothing of ours ends a daemon: not when there is no memory for the table, no segment, nowhere to write a line to. It goes on;
# what cannot be counted is let through, and that is said once.

load daemon

# Starts the server by way of a shell command that ends in exec "$@", and has a client refused, which is worth a line.
adverse() { # COMMAND [CAPACITY]
	limit_is 1
	[[ -z ${2:-} ]] || echo "CONNLIMIT_CAPACITY=$2" >>"$limits"
	bash -c "$1" - "$CONNLIMIT" run --file "$limits" --table "test-$port" -- "$BUILD/tests/chaos_server" "$port" threads \
		>"$here/out" 2>"$here/errors" 3>&- </dev/null &
	daemon=$!
	pids+=("$daemon")
	until_true listening
}

limited_by_one() {
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	hold 127.0.0.2 served
	hold 127.0.0.2 refused
}

goes_on() {
	[[ $(ps -o stat= -p "$daemon") == [SR]* ]] || ps -o pid,stat,args -p "$daemon"
	kill -0 "$daemon"
	hold_nothing
	kill -TERM "$daemon"
	wait "$daemon"
	grep -qx 'crashed 0' "$here/out"
}

@test "adversity: standard error is closed, full, broken, or a file that may not grow" {
	local command
	for command in 'exec "$@" 2>&-' 'exec "$@" 2>/dev/full' 'exec "$@" 2> >(exec sleep 0)' 'ulimit -f 0; exec "$@" 2>"$0/grows"' \
		'mkfifo "$0/stuck"; exec 9<>"$0/stuck"; head -c 65536 /dev/zero >&9; exec "$@" 2>"$0/stuck"'; do
		port=$(free_port)
		adverse "set -- \"\$@\"; set +e; ${command//\$0/$here}"
		limited_by_one
		# The file that may not grow is also where its last words would go.
		[[ $command == *'ulimit -f'* ]] && { kill -0 "$daemon"; hold_nothing; continue; }
		goes_on
	done
}

@test "adversity: a terminal that stops those who write to it from behind" {
	limit_is 1
	python3 - "$CONNLIMIT" "$limits" "test-$port" "$BUILD/tests/chaos_server" "$port" >"$here/out" 3>&- <<-'PYTHON' &
		import os, pty, subprocess, sys
		command, limits, table, server, port = sys.argv[1:]
		pid, terminal = pty.fork()
		if pid == 0:
		    # The server leads a process group of its own, and so is not the terminal's.
		    os.execvp("sh", ["sh", "-c", 'stty tostop; "$@" & echo $!; wait', "-", command, "run", "--file", limits, "--table", table, "--", server, port, "threads"])
		try:
		    while heard := os.read(terminal, 1000):
		        sys.stdout.buffer.write(heard)
		        sys.stdout.flush()
		except OSError:
		    pass
	PYTHON
	pids+=("$!")
	until_true listening
	limited_by_one
	daemon=$(pgrep -f "^$BUILD/tests/chaos_server $port threads" -o)
	pids+=("$daemon")
	[[ $(ps -o stat= -p "$daemon") == S* ]]
	until_true grep -q 'refused 127.0.0.1' "$here/out"
	hold 127.0.0.3 served
}

@test "adversity: no segment is to be had: the limit holds over forked children, and that is said once" {
	adverse 'exec unshare --ipc bash -c "echo 0 >/proc/sys/kernel/shmmni; exec \"\$@\"" - "$@"'
	limited_by_one
	[ "$(grep -c 'no shared memory segment available (ENOSPC)' "$here/errors")" -eq 1 ]
	goes_on
}

@test "adversity: no memory for the table: it serves, unlimited, and that is said once" {
	adverse 'ulimit -v 200000; exec "$@"' 16777216
	hold 127.0.0.1 served
	hold 127.0.0.1 served
	hold 127.0.0.1 served
	[ "$(grep -c 'connections are NOT limited' "$here/errors")" -eq 1 ]
	# The segment that there was no room for is not left to the system.
	[ "$(ipcs -mp | awk -v maker="$daemon" '$3 == maker' | wc -l)" -eq 0 ]
	goes_on
}

@test "adversity: threads with the smallest stacks" {
	limit_is 1
	limited "$BUILD/tests/small_stack" "$port"
	limited_by_one
	kill -HUP "$daemon"
	limit_is 2
	kill -HUP "$daemon"
	admitted_soon 127.0.0.1
	kill -0 "$daemon"
}

@test "adversity: coroutines with stacks of 4 KiB, whatever the refused get, and however the kernel is asked" {
	local how asked wanted
	for how in reset close http text:busy; do
		for asked in "" proc; do
			printf 'CONNLIMIT_PER_IP=1\nCONNLIMIT_REFUSE=%s\n' $how >"$limits"
			# shellcheck disable=SC2086 # nothing, or one word
			limited "$BUILD/tests/small_stack" "$port" 4096 $asked
			wanted=refused
			[[ $how != http && $how != text:* ]] || wanted=served # of an answer the client sees bytes
			hold 127.0.0.1 served
			for _ in 1 2 3; do
				hold 127.0.0.1 $wanted
				hold 127.0.0.2 served
				let_go 127.0.0.2
				let_go 127.0.0.1
				admitted_soon 127.0.0.1
			done
			kill -0 "$daemon"
			own_status | grep -q 'refused  [3-9]'
			hold_nothing
			kill_tree "$daemon"
			port=$(free_port)
		done
	done
}

# What the preload object itself does wrong with memory, valgrind and the sanitizers see; in a real server with threads.
serves_and_refuses() {
	until_true listening
	for _ in 1 2 3; do
		admitted_soon 127.0.0.1
		hold 127.0.0.1 refused
		let_go 127.0.0.1
	done
	echo CONNLIMIT_REFUSE=http >>"$limits"
	kill -HUP "$daemon"
	hold 127.0.0.2 served
	hold_nothing
	kill -TERM "$daemon"
	wait "$daemon"
	grep -qx 'crashed 0' "$here/out"
}

@test "adversity: the preload object under valgrind" {
	limit_is 1
	limited valgrind -q --trace-children=yes --error-exitcode=9 --log-file="$here/valgrind.%p" "$BUILD/tests/chaos_server" "$port" threads
	serves_and_refuses
	[ -z "$(cat "$here"/valgrind.*)" ]
}

@test "adversity: the preload object under AddressSanitizer and UndefinedBehaviorSanitizer" {
	limit_is 1
	find "$SOURCE"/lib "$SOURCE"/shim -name '*.c' ! -name connlimit.c ! -path '*/command/*' | xargs -P 4 -I{} sh -c \
		'gcc -std=gnu17 -D_GNU_SOURCE -U_FILE_OFFSET_BITS -I"$SOURCE/lib" -I"$BUILD/lib" -I"$SOURCE/shim" -O1 -g -fPIC -fvisibility=hidden -ftls-model=initial-exec $2 \
		-fsanitize=address,undefined -c "$1" -o "$0/$(basename "$(dirname "$1")")_$(basename "$1").o"' \
		"$here" {} "$([[ $(uname -m) != x86_64 ]] || echo -mcx16)"
	gcc -shared -fsanitize=address,undefined -o "$here/preload.so" "$here"/*.o
	CONNLIMIT_FILE=$limits CONNLIMIT_TABLE=test-$port ASAN_OPTIONS=detect_leaks=0:log_path="$here/asan" \
		UBSAN_OPTIONS=log_path="$here/ubsan" LD_PRELOAD="$(gcc -print-file-name=libasan.so):$(gcc -print-file-name=libubsan.so):$here/preload.so" \
		"$BUILD/tests/chaos_server" "$port" threads >"$here/out" 2>"$here/errors" 3>&- </dev/null &
	daemon=$!
	pids+=("$daemon")
	serves_and_refuses
	[ -z "$(cat "$here"/asan* "$here"/ubsan* 2>/dev/null)" ]
	run -1 grep 'runtime error' "$here/errors"
}
