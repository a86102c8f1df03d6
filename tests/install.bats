#!/usr/bin/env bats
# What `meson install` lays down: all of it, and the units as systemd wants them.

load built

setup() {
	here=$(mktemp -d)
	DESTDIR=$here/root meson install -C "$BUILD" --no-rebuild >/dev/null
	prefix=$here/root$(meson introspect "$BUILD" --buildoptions |
		python3 -c 'import json, sys; print(next(o["value"] for o in json.load(sys.stdin) if o["name"] == "prefix"))')
}

teardown() { rm -rf "$here"; }

@test "install: every file, and no other" {
	diff <(cd "$prefix" && find . ! -type d | sed 's,/lib/[^/]*-linux-gnu\(x32\|eabihf\)\?/,/lib/,; s,vendor-completions/_,site-functions/_,' | LC_ALL=C sort) - <<-END
		./bin/connlimit
		./include/connlimit.h
		./lib/libconnlimit.a
		./lib/libconnlimit.so
		./lib/libconnlimit.so.0
		./lib/libconnlimit.so.0.1.0
		./lib/libconnlimit_preload.so
		./lib/pkgconfig/connlimit.pc
		./lib/systemd/system/connlimit-metrics.service
		./lib/systemd/system/connlimit-sync.service
		./lib/tmpfiles.d/connlimit.conf
		./share/bash-completion/completions/connlimit
		./share/connlimit/grafana-dashboard.json
		./share/doc/connlimit/examples/connlimit-alerts.yml
		./share/doc/connlimit/examples/connlimit-fleet-alerts.yml
		./share/doc/connlimit/examples/connlimit-hardened.conf
		./share/doc/connlimit/examples/connlimit.conf
		./share/doc/connlimit/examples/fail2ban.conf
		./share/fish/vendor_completions.d/connlimit.fish
		./share/man/man1/connlimit.1
		./share/man/man3/libconnlimit.3
		./share/man/man7/connlimit.7
		./share/zsh/site-functions/_connlimit
	END
}

@test "install: the command finds the preload object beside it" {
	"$prefix/bin/connlimit" check sleep | grep -q 'can be limited'
}

@test "install: systemd finds nothing wrong with the units, nor with the drop-ins" {
	command -v systemd-analyze >/dev/null || skip "no systemd-analyze"
	mkdir "$here/units"
	for unit in "$prefix"/lib/systemd/system/*.service; do
		# It wants to see the program.
		sed "s,^ExecStart=[^ ]*,ExecStart=$prefix/bin/connlimit," "$unit" >"$here/units/$(basename "$unit")"
	done
	for drop_in in connlimit connlimit-hardened; do
		printf '[Service]\nExecStart=/bin/sleep 1\n' >"$here/units/with-$drop_in.service"
		mkdir "$here/units/with-$drop_in.service.d"
		cp "$prefix/share/doc/connlimit/examples/$drop_in.conf" "$here/units/with-$drop_in.service.d/"
	done
	# What others have installed here is not ours to judge, nor are the pages in no man's path yet.
	for unit in "$here"/units/*.service; do
		run systemd-analyze verify --man=no --recursive-errors=no "$unit"
		echo "$output"
		[ "$status" -eq 0 ]
		[ -z "$(grep -F "$here" <<<"$output")" ]
	done
	# A setting that there is not would have been told.
	echo 'ProtectSystems=strict' >>"$here/units/with-connlimit.service.d/connlimit.conf"
	systemd-analyze verify --man=no --recursive-errors=no "$here/units/with-connlimit.service" 2>&1 | grep -q 'ProtectSystems'
}

@test "install: tmpfiles.d makes the directory for files of limits" {
	command -v systemd-tmpfiles >/dev/null || skip "no systemd-tmpfiles"
	systemd-tmpfiles --root="$here/root" --create "$prefix/lib/tmpfiles.d/connlimit.conf"
	[ "$(stat -c %a:%u "$here/root/etc/connlimit")" = 755:0 ]
}
