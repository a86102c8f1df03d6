#!/usr/bin/env bats
# README does not fall behind the program.

load built

@test "README's table of settings is the one that the program has" {
	diff <("$CONNLIMIT" manual settings) <(sed -n '/<!-- settings -->/,/<!-- .settings -->/p' "$SOURCE/README.md" | sed '1d;$d')
}

@test "every example of a setting is a good one" {
	"$CONNLIMIT" manual settings | sed -n 's/^| `\([^`]*\)`.*/\1/p' | grep -v CONNLIMIT_FILE= >"$BATS_TEST_TMPDIR/examples"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/examples")" -ge 14 ]
	while read -r example; do
		name=${example%%=*}
		eval "value=${example#*=}"
		env "$name=$value" "$CONNLIMIT" run -- true
	done <"$BATS_TEST_TMPDIR/examples"
}

@test "README's files of limits and its image's environment are good ones" {
	python3 - "$SOURCE/README.md" "$BATS_TEST_TMPDIR" <<-'PYTHON'
		import re, sys
		text = open(sys.argv[1]).read()
		files = re.findall(r"```ini\n# /etc/connlimit/(\S+\.env)\n(.*?)```", text, re.S)
		assert {"nginx.env", "ssh.env"} == {name for name, _ in files}
		for name, block in files:
		    open(f"{sys.argv[2]}/{name}", "w").write(block)
		(image,) = re.findall(r"^ENV LD_PRELOAD=/usr/lib/libconnlimit_preload.so (CONNLIMIT_.*)$", text, re.M)
		open(f"{sys.argv[2]}/image.env", "w").write(image.replace(" ", "\n") + "\n")
	PYTHON
	for file in "$BATS_TEST_TMPDIR"/*.env; do
		"$CONNLIMIT" run --file "$file" -- true
	done
}

@test "README names no setting that there is not" {
	grep -o 'CONNLIMIT_[A-Z0-9_]*' "$SOURCE/README.md" | sort -u | while read -r name; do
		"$CONNLIMIT" run --help | grep -q -- "--$(tr 'A-Z_' 'a-z-' <<<"${name#CONNLIMIT_}")=" || { echo "$name is unknown"; exit 1; }
	done
}

@test "the Redis user that README describes can do all that the sidecar does" {
	port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	redis-server --port "$port" --bind 127.0.0.1 --save '' >/dev/null 2>&1 3>&- &
	redis=$!
	until redis-cli -p "$port" ping >/dev/null 2>&1; do sleep 0.1; done
	# shellcheck disable=SC2046
	redis-cli -p "$port" $(grep '^ACL SETUSER connlimit' "$SOURCE/README.md")
	REDISCLI_AUTH=secret timeout 3 "$CONNLIMIT" sync --redis "redis://connlimit@127.0.0.1:$port/0" --cluster acl --table none --interval 50 \
		--lease 500 2>"$BATS_TEST_TMPDIR/errors" || true
	cat "$BATS_TEST_TMPDIR/errors"
	denied=$(redis-cli -p "$port" acl log | grep -c reason || true)
	kill "$redis"
	[ ! -s "$BATS_TEST_TMPDIR/errors" ]
	[ "$denied" -eq 0 ]
}
