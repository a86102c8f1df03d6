#!/usr/bin/env bats
# What connlimit adds to a call, in instructions of user space over a preload that only passes calls on. Exact and repeatable, where time is
# neither; so each has a ceiling, and a change that makes a daemon's calls dearer is seen.

load built

setup_file() {
	command -v valgrind >/dev/null || skip "no valgrind"
}

# collected PRELOAD FUNCTION CALLS: instructions of so many calls of the program's function
collected() {
	CONNLIMIT_PER_IP=1000 LD_PRELOAD=$1 valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect="$2" \
		"$BUILD/tests/repeat" "$2" "$3" 2>&1 | sed -n 's/.*Collected : //p'
}

# a_thousand PRELOAD FUNCTION: instructions of a thousand calls, after a hundred in which the real call is looked up
a_thousand() {
	echo $(($(collected "$1" "$2" 1100) - $(collected "$1" "$2" 100)))
}

# added FUNCTION: what one more costs with connlimit over what it costs with the pass-through
added() {
	echo $((($(a_thousand "$PRELOAD" "$1") - $(a_thousand "$BUILD/tests/libpassthrough.so" "$1") + 500) / 1000))
}

# at_most CEILING THING
at_most() {
	local instructions
	instructions=$(added "$2")
	echo "# $2: $instructions instructions more, at most $1" >&3
	((instructions <= $1))
}

@test "a connection accepted and closed costs few instructions more" {
	at_most 1210 connection
}

@test "a close that does not concern us costs a look" {
	at_most 20 untracked
}

@test "other calls that do not concern us cost a look" {
	at_most 24 send_message
	at_most 24 receive_message
	at_most 15 read_nothing
	at_most 15 get_flags
	at_most 20 duplicate
	at_most 25 raw
}

# started PRELOAD: instructions of a program that does nothing, the loader's among them, in an environment such as people have. It looks for
# its table among all of the machine's, so where that can be it sees none but its own.
started() {
	local apart=()
	((EUID != 0)) || apart=(unshare --ipc)
	"${apart[@]}" env -i CONNLIMIT_PER_IP=10 LD_PRELOAD="$1" COLORTERM=truecolor CARGO_HOME=/root/.cargo CLICOLOR_FORCE=1 CMAKE_PREFIX_PATH=/opt \
		CONTAINER_RUNTIME=none CONDA_DEFAULT_ENV=base "$(command -v valgrind)" --tool=callgrind --callgrind-out-file=/dev/null \
		/bin/true 2>&1 | sed -n 's/.*Collected : //p'
}

@test "a start costs little more than that of any other preload" {
	local more=$(($(started "$PRELOAD") - $(started "$BUILD/tests/libpassthrough.so")))
	echo "# start: $more instructions more, at most 65000" >&3
	((more <= 65000))
}
