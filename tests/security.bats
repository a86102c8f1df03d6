#!/usr/bin/env bats
# What other users of the machine, and a file that they may write to, can do to a daemon: nothing.

load daemon

server() { limited "$BUILD/tests/chaos_server" "$port" threads; }

@test "security: another user can neither attach the table, nor remove it, nor change whose it is" {
	limit_is 1
	server
	run "$BUILD/tests/hostile" --foreign "test-$port"
	[ "$output" = ready ]
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	[ "$(ipcs -m | awk '$5 > 100000 && $4 != 600' | wc -l)" -eq 0 ] || ipcs -m
}

@test "security: segments that another user made first are not believed; the limit holds without them" {
	limit_is 1
	coproc FIRST { exec "$BUILD/tests/hostile" --first "test-$port" 3>&-; }
	# shellcheck disable=SC2153 # bash sets it
	pids+=("$FIRST_PID")
	local out=${FIRST[0]} in=${FIRST[1]} line
	read -r -t 20 line <&"$out"
	[ "$line" = ready ]
	server
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	counted_is 127.0.0.1 1
	exec {in}>&-
	if read -r -t 20 line <&"$out"; then echo "$line"; false; fi
}

@test "security: a program that runs setuid is left alone" {
	cp "$(readlink -f /usr/bin/python3)" "$here/setuid"
	chmod 4755 "$here/setuid"
	# Whom we are preloaded into does not start with such a limit.
	run -78 setpriv --reuid=65534 --clear-groups env LD_PRELOAD="$PRELOAD" CONNLIMIT_PER_IP=junk python3 -c 'print("ran")'
	run -0 setpriv --reuid=65534 --clear-groups env LD_PRELOAD="$PRELOAD" CONNLIMIT_PER_IP=junk "$here/setuid" -c 'print("ran")'
	[[ $output == *ran* ]]
}

# Each file that must not be read, and what is said of it.
bad_files() {
	local big=$here/big
	echo CONNLIMIT_PER_IP=5 >"$here/foreign" && chown 65534 "$here/foreign"
	echo CONNLIMIT_PER_IP=5 >"$here/writable" && chmod 646 "$here/writable"
	echo CONNLIMIT_PER_IP=5 >"$here/group" && chown 0:65534 "$here/group" && chmod 664 "$here/group"
	cp -p "$here/foreign" "$here/aim"
	ln -s "$here/aim" "$here/link"
	ln -s "$here/loop" "$here/loop"
	mkfifo "$here/fifo"
	mkdir "$here/directory"
	python3 -c 'import sys; s = __import__("socket").socket(1); s.bind(sys.argv[1])' "$here/socket"
	truncate -s 2M "$big"
	head -c 1000000 /dev/urandom >"$here/noise"
	cat <<-FILES
		$here/foreign:belongs neither to root nor to the daemon's user
		$here/writable:others may write to it
		$here/group:a foreign group may write to it
		$here/link:belongs neither to root nor to the daemon's user
		$here/loop:cannot be opened
		$here/fifo:is not a regular file
		$here/directory:is not a regular file
		$here/socket:is not a regular file
		$here/none:cannot be opened
		/dev/zero:is not a regular file
		/dev/full:is not a regular file
		/proc/self/mem:is larger than 1048576 bytes|belongs neither|NUL|cannot be read|a line is
		$big:is larger than 1048576 bytes
		$here/noise::[0-9]+
	FILES
}

@test "security: what is no file of limits is not even opened: that alone does something to a device, or a FIFO" {
	mkfifo "$here/fifo"
	(exec echo written >"$here/fifo") &
	writer=$!
	sleep 0.3
	run -78 "$CONNLIMIT" run --file "$here/fifo" -- true
	[[ $output == *"is not a regular file"* ]]
	sleep 0.3
	kill -0 "$writer" # still waits for one who reads
	kill "$writer"
}

@test "security: a file of limits that others could write, or that is no file, stops the start at once" {
	local file said
	bad_files >"$here/files"
	while IFS=: read -r file said; do
		run timeout 20 env CONNLIMIT_FILE="$file" LD_PRELOAD="$PRELOAD" true </dev/null
		[ "$status" -eq 78 ] || { echo "$file: status $status"; false; }
		[[ $output =~ $said ]] || { echo "$file: $output"; false; }
	done <"$here/files"
}

@test "security: on reload it changes nothing, and the reason is logged" {
	local file said
	bad_files >"$here/files"
	limit_is 1
	server
	hold 127.0.0.1 served
	while IFS=: read -r file said; do
		[[ $file == "$here"/* ]] || continue
		: >"$here/errors"
		rm -rf "$limits"
		[[ ! -e $file && ! -L $file ]] || mv "$file" "$limits"
		kill -HUP "$daemon"
		until_true grep -qE "reload failed.*($said)" "$here/errors"
		hold 127.0.0.1 refused
	done <"$here/files"
	rm -rf "$limits"
	limit_is 2
	kill -HUP "$daemon"
	admitted_soon 127.0.0.1
	kill -0 "$daemon"
}
