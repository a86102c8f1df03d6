#!/usr/bin/env bats
# What a process asks for and does not get, or gets otherwise than it sounds, leaves the count as it is: against `ss`, under a limit of one.

load daemon

# A daemon that does to each connection what its client's first byte names, and then serves it.
start_doing() {
	limit_is 1
	cat >"$here/daemon.py" <<-'PYTHON'
		import ctypes, fcntl, os, resource, socket, sys

		libc = ctypes.CDLL(None, use_errno=True)
		CLOSE_RANGE_CLOEXEC = 4

		def fails(result):
		    assert result == -1, result

		def marked(fd):
		    assert libc.close_range(fd, fd, CLOSE_RANGE_CLOEXEC) == 0
		    assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC

		def without_room(fd):
		    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
		    resource.setrlimit(resource.RLIMIT_NOFILE, (fd, hard))
		    fails(libc.dup(fd))
		    fails(libc.fcntl(fd, fcntl.F_DUPFD, 3))
		    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

		does = {
		    b"m": marked,
		    b"2": lambda fd: fails(libc.dup2(1000000, fd)),
		    b"3": lambda fd: fails(libc.dup3(1000000, fd, 0)),
		    b"f": lambda fd: fails(libc.dup3(0, fd, 0xffff)),
		    b"o": lambda fd: fails(libc.dup2(fd, 1 << 30)),
		    b"s": lambda fd: fails(libc.dup3(fd, fd, 0)),
		    b"r": lambda fd: fails(libc.close_range(fd, fd - 1, 0)),
		    b"b": lambda fd: fails(libc.close_range(fd, fd, 0x7000)),
		    b"c": lambda fd: fails(libc.close(1000000)),
		    b"n": without_room,
		}
		listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
		kept = []
		while True:
		    connection, _ = listener.accept()
		    try:
		        byte = connection.recv(1)
		        if byte in does:
		            does[byte](connection.fileno())
		        connection.sendall(byte)
		    except OSError:
		        byte = b""
		    if not byte: # one that was refused
		        connection.close()
		        continue
		    kept.append(connection)
		    if len(kept) > 1:
		        kept.pop(0).close()
	PYTHON
	limited python3 "$here/daemon.py" "$port"
}

# Each from an address of its own, whose second connection shows whether the first still counts.
leaves_the_count() { # BYTE [surely]
	start_doing
	request=$1
	hold 127.0.0.1 served
	counted_is 127.0.0.1 1
	[ "$(established 127.0.0.1)" -eq 1 ]
	hold 127.0.0.1 refused
	counted_is 127.0.0.1 1
	let_go 127.0.0.1
	hold 127.0.0.2 served # and the daemon closes the first
	until_true counted_is 127.0.0.1 0
	# By that close, and not by a check that finds it gone before the next one: nothing has happened that could lead elsewhere.
	hold 127.0.0.1 served
	[ -z "${2:-}" ] || "$CONNLIMIT" status --json "test-$port" | grep -q '"dropped": 0,'
	[ ! -s "$here/errors" ] || ! grep Traceback "$here/errors"
}

@test "close_range that only marks for exec" { leaves_the_count m surely; }
@test "a dup2 over it that fails" { leaves_the_count 2 surely; }
@test "a dup3 over it that fails" { leaves_the_count 3 surely; }
@test "a dup3 over it with flags that there are not" { leaves_the_count f surely; }
@test "a dup2 of it to a number that may not be" { leaves_the_count o; }
@test "a dup3 of it onto itself" { leaves_the_count s surely; }
@test "a close_range that ends before it begins" { leaves_the_count r; }
@test "a close_range with flags that there are not" { leaves_the_count b; }
@test "a close of a number that is not open" { leaves_the_count c surely; }
@test "dup and fcntl with no number left" { leaves_the_count n; }
