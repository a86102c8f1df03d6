#!/usr/bin/env bats
# libconnlimit as it is installed: found by pkg-config, linked both ways, only its own names to be seen; and its example server.

load daemon

request='GET / HTTP/1.1\r\nHost: test\r\n\r\n'

install_it() {
	DESTDIR=$here/root meson install -C "$BUILD" --no-rebuild >/dev/null
	pc=$(find "$here/root" -name connlimit.pc)
	export PKG_CONFIG_PATH=${pc%/*} PKG_CONFIG_SYSROOT_DIR=$here/root
}

# The example runs without the preload object: it limits by itself.
start_example() { # PROGRAM LIMIT
	"$1" "$port" "$2" >"$here/out" 2>"$here/errors" 3>&- &
	daemon=$!
	pids+=("$daemon")
	until_true listening
}

answer_to() { curl -s -o /dev/null -w '%{http_code}' --interface "$1" "http://127.0.0.1:$port/"; }

@test "library: the installed one builds the example, shared and static" {
	install_it
	# shellcheck disable=SC2046
	gcc -Wall -Werror $(pkg-config --cflags connlimit) "$SOURCE/tests/examples/hello.c" -o "$here/shared" $(pkg-config --libs connlimit) -pthread
	readelf -d "$here/shared" | grep -q 'libconnlimit.so.0'
	archive=$(find "$here/root" -name libconnlimit.a)
	# shellcheck disable=SC2046
	gcc -Wall -Werror $(pkg-config --cflags connlimit) "$SOURCE/tests/examples/hello.c" -o "$here/static" "$archive" -pthread
	# As bare C too, which hides what POSIX adds.
	# shellcheck disable=SC2046
	gcc -std=c11 -pedantic -Wall -Wextra -Werror $(pkg-config --cflags connlimit) -c "$SOURCE/tests/examples/hello.c" -o "$here/c11.o"
	start_example "$here/static" 1
	hold 127.0.0.1 served
	[ "$(answer_to 127.0.0.1)" = 429 ]
	[ "$(answer_to 127.0.0.2)" = 200 ]
}

@test "library: only its own names are seen, and they are versioned" {
	shared=$BUILD/libconnlimit.so
	[ "$(nm -D --defined-only "$shared" | awk '$2 != "A" { print $3 }' | grep -cv '^connlimit_.*@@LIBCONNLIMIT_0.1$')" -eq 0 ]
	[ "$(nm -g --defined-only "$BUILD/libconnlimit.a" | awk 'NF == 3 { print $3 }' | grep -cv '^connlimit_')" -eq 0 ]
	# as many as the header declares
	declared=$(grep -c '^CONNLIMIT_PUBLIC' "$SOURCE/lib/connlimit.h")
	[ "$(nm -D --defined-only "$shared" | grep -c ' T connlimit_')" -eq "$declared" ]
}

@test "library: the example answers 429 over the limit, and its limit is changed while it runs" {
	start_example "$BUILD/tests/hello" 1
	hold 127.0.0.1 served
	[ "$(answer_to 127.0.0.1)" = 429 ]
	curl -si --interface 127.0.0.1 "http://127.0.0.1:$port/" | grep -qi '^retry-after: 1'
	[ "$(answer_to 127.0.0.2)" = 200 ]
	kill -USR1 "$daemon"
	answer_to 127.0.0.2 # a connection that comes after the signal
	[ "$(answer_to 127.0.0.1)" = 200 ]
	let_go 127.0.0.1
	until_true eval '[ "$(answer_to 127.0.0.1)" = 200 ]'
}

@test "library: a C++ program can include the header" {
	printf '#include <connlimit.h>\nint main() { return connlimit_config_new() == 0; }\n' >"$here/x.cc"
	command -v g++ || skip "no g++"
	g++ -Wall -Werror -I "$SOURCE/lib" "$here/x.cc" -c -o "$here/x.o"
}
