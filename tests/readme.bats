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
		assert {"ssh.env"} == {name for name, _ in files}
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

@test "the Redis user that the README of the fleet describes can do all that the sidecar does" {
	port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	redis-server --port "$port" --bind 127.0.0.1 --save '' >/dev/null 2>&1 3>&- &
	redis=$!
	for _ in $(seq 200); do
		! redis-cli -p "$port" ping >/dev/null 2>&1 || break
		sleep 0.1
	done
	# shellcheck disable=SC2046
	redis-cli -p "$port" $(grep '^ACL SETUSER connlimit' "$SOURCE/shim/command/fleet/README.md")
	REDISCLI_AUTH=secret timeout 3 "$CONNLIMIT" sync --redis "redis://connlimit@127.0.0.1:$port/0" --cluster acl --table none --interval 50 \
		--lease 500 2>"$BATS_TEST_TMPDIR/errors" || true
	cat "$BATS_TEST_TMPDIR/errors"
	denied=$(redis-cli -p "$port" acl log | grep -c reason || true)
	kill "$redis"
	[ ! -s "$BATS_TEST_TMPDIR/errors" ]
	[ "$denied" -eq 0 ]
}

@test "README is at most 250 lines, and what it links to is there" {
	[ "$(wc -l <"$SOURCE/README.md")" -le 250 ]
	cd "$SOURCE"
	find . -path ./build -prune -o -name '*.md' -print | grep -v '^./b[^/]*/' | while read -r page; do
		grep -oE '\]\([^)#:]+\)' "$page" | tr -d '()]' | while read -r link; do
			[ -e "$(dirname "$page")/$link" ] || { echo "$page: $link is not there"; exit 1; }
		done
	done
	# Headings that the contents name.
	grep -oE '\]\(#[^)]+\)' README.md | tr -d '()]#' | while read -r anchor; do
		sed -n 's/^## //p' README.md | tr 'A-Z ' 'a-z-' | grep -qx -- "$anchor" || { echo "no heading $anchor"; exit 1; }
	done
}

@test "README's first command works as it is written, with nothing but the package" {
	command=$(sed -n 's/^\$ connlimit/connlimit/p' "$SOURCE/README.md" | head -1)
	[[ $command == *" 8000" ]]
	port=$((10000 + RANDOM % 20000)) # below those that clients are given
	until ! ss -Htln "sport = :$port" | grep -q .; do port=$((port + 1)); done
	mkdir "$BATS_TEST_TMPDIR/empty"
	# As an operator has it; only the port is one that is free here.
	ln -s "$CONNLIMIT" "$BATS_TEST_TMPDIR/connlimit"
	(cd "$BATS_TEST_TMPDIR/empty" && PATH=$BATS_TEST_TMPDIR:$PATH exec bash -c "exec ${command/8000/$port}") >/dev/null 2>"$BATS_TEST_TMPDIR/errors" 3>&- &
	daemon=$!
	run python3 - "$port" <<-'PYTHON'
		import socket, sys, time
		def served(kept=[]):
		    for _ in range(200):
		        s = socket.socket()
		        s.settimeout(10)
		        kept.append(s)
		        try:
		            s.connect(("127.0.0.1", int(sys.argv[1])))
		            break
		        except ConnectionResetError:
		            return "reset"  # it may be so quick
		        except ConnectionRefusedError:
		            time.sleep(0.1)
		    try:
		        s.sendall(b"GET / HTTP/1.0\r\nX: ")  # and no end: it stays open
		        s.settimeout(2)
		        return s.recv(1) != b"" and "served"
		    except TimeoutError:
		        return "open"
		    except OSError:
		        return "reset"
		print(served(), served(), served())
	PYTHON
	kill "$daemon" || cat "$BATS_TEST_TMPDIR/errors"
	wait "$daemon" || true
	echo "$output"
	[ "$output" = "open open reset" ]
	grep -q '^connlimit: refused 127.0.0.1 at port' "$BATS_TEST_TMPDIR/errors"
}

@test "README's commands are there, with the options that it gives them" {
	grep -oE '^\| `connlimit [a-z]+' "$SOURCE/README.md" | sed 's/.* //' | sort >"$BATS_TEST_TMPDIR/named"
	diff "$BATS_TEST_TMPDIR/named" <("$CONNLIMIT" | sed -n 's/^  \([a-z]*\) .*/\1/p' | grep -v connlimit | sort)
	grep -oE '^\| `connlimit .*' "$SOURCE/README.md" | while read -r _ _ name more; do
		name=${name%\`}
		for option in $(grep -oE -- '--[a-z-]+' <<<"$more"); do
			"$CONNLIMIT" "$name" --help | grep -q -- "$option\b" || { echo "$name has no $option"; exit 1; }
		done
	done
}

@test "README's rows of measurements are those of tests/bench" {
	sed -n '/<!-- some measurements -->/,/<!-- .some measurements -->/p' "$SOURCE/README.md" | grep '^| [^w-]' >"$BATS_TEST_TMPDIR/rows"
	[ -s "$BATS_TEST_TMPDIR/rows" ]
	while read -r row; do
		grep -qxF -- "$row" "$SOURCE/tests/bench/README.md" || { echo "not measured: $row"; exit 1; }
	done <"$BATS_TEST_TMPDIR/rows"
}

@test "the packages that README installs are not those of symbols" {
	# shellcheck disable=SC2016 # a pattern
	pattern=$(sed -n 's,^# apt install ./build/packages/,,p' "$SOURCE/README.md")
	[ -n "$pattern" ]
	cd "$BATS_TEST_TMPDIR"
	mkdir packages
	cd packages
	touch connlimit_0.1.0-1_amd64.deb connlimit-dbgsym_0.1.0-1_amd64.deb libconnlimit0_0.1.0-1_amd64.deb libconnlimit0-dbgsym_0.1.0-1_amd64.deb
	# shellcheck disable=SC2086
	[ "$(echo $pattern)" = connlimit_0.1.0-1_amd64.deb ]
}

@test "scripts say what they do when they are asked, and do nothing" {
	mkdir "$BATS_TEST_TMPDIR/bin"
	for program in apt-get apt dpkg dpkg-query sudo meson ninja unshare debootstrap; do
		printf '#!/bin/sh\necho "$0 $*" >>%s/done\n' "$BATS_TEST_TMPDIR" >"$BATS_TEST_TMPDIR/bin/$program"
		chmod 755 "$BATS_TEST_TMPDIR/bin/$program"
	done
	for script in "$SOURCE"/scripts/*; do
		[[ -f $script && -x $script ]] || continue
		for option in --help -h; do
			PATH=$BATS_TEST_TMPDIR/bin:$PATH run -0 "$script" $option
			[ "${#output}" -ge 60 ]
		done
	done
	PATH=$BATS_TEST_TMPDIR/bin:$PATH run -2 "$SOURCE/scripts/test" --nonsense
	[ ! -e "$BATS_TEST_TMPDIR/done" ] || { cat "$BATS_TEST_TMPDIR/done"; false; }
}

@test "the version is the same wherever it is said, and CHANGELOG has it" {
	version=$("$CONNLIMIT" --version | cut -d ' ' -f 2)
	grep -q "^## \[*$version\]* - [0-9]\{4\}-[0-9][0-9]-[0-9][0-9]$" "$SOURCE/CHANGELOG.md"
	grep -q "version: '$version'" "$SOURCE/meson.build"
}
