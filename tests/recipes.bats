#!/usr/bin/env bats
# The recipes of README and of shim/command/systemd, word for word, under a systemd that is booted in a copy of this system, and what a confined service leaves us.

load built

# Each block begins with the name of its file. Only the directory of libraries is this machine's, and the version this PostgreSQL's.
recipes_into() { # ROOT
	python3 - "$SOURCE" "$1" "$(gcc -print-multiarch)" "$(basename /etc/postgresql/*)" <<'PYTHON'
import os, re, sys
source, root, libraries, postgresql = sys.argv[1:]
recipes = open(f"{source}/README.md").read() + open(f"{source}/shim/command/systemd/README.md").read()
for name, block in re.findall(r"```ini\n# (/\S+)\n(.*?)```", recipes, re.S):
    path = root + name.replace("/15/", f"/{postgresql}/")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    open(path, "w").write(block.replace("x86_64-linux-gnu", libraries))
    print(name)
PYTHON
}

setup_file() {
	local root=$BATS_FILE_TMPDIR/root units libraries
	export SAID=$BATS_FILE_TMPDIR/said
	libraries=$root/usr/lib/$(gcc -print-multiarch)
	units=$root/etc/systemd/system
	mkdir -p "$root/usr/bin" "$libraries" "$root/etc/connlimit"
	recipes_into "$root" >"$BATS_FILE_TMPDIR/recipes"
	cp "$CONNLIMIT" "$root/usr/bin/"
	cp "$PRELOAD" "$libraries/"
	for package in postfix exim4-base exim4-config exim4-daemon-light; do
		package=/opt/connlimit-test/$package
		cp -a "$package"/{etc,usr,var} "$root" 2>/dev/null || true # not each has all
		[[ ! -d $package/lib ]] || cp -a "$package/lib" "$root/usr"
	done
	# "The same drop-in fits"
	for unit in ssh vsftpd; do
		mkdir -p "$units/$unit.service.d"
		cp "$units/nginx.service.d/connlimit.conf" "$units/$unit.service.d/"
	done
	for table in nginx vsftpd postgresql redis-server postfix exim4; do
		echo CONNLIMIT_PER_IP=5 >"$root/etc/connlimit/$table.env"
	done
	# The drop-in for confined services, and what it does not set.
	for unit in confined dynamic private; do
		mkdir -p "$units/$unit.service.d"
		cp "$SOURCE/shim/command/systemd/connlimit-hardened.conf" "$units/$unit.service.d/connlimit.conf"
		echo CONNLIMIT_PER_IP=5 >"$root/etc/connlimit/$unit.env"
	done
	mkdir -p "$root/srv"
	cp "$SOURCE/tests/programs/answer.py" "$root/srv/"
	service() { # NAME PORT MORE...
		printf '[Service]\nExecStart=/usr/bin/python3 /srv/answer.py %s\nExecReload=/bin/kill -HUP $MAINPID\n' "$2" >"$units/$1.service"
		shift 2
		printf '%s\n' "$@" >>"$units/$unit.service"
	}
	unit=confined service confined 8001
	unit=dynamic service dynamic 8002 DynamicUser=yes
	unit=private service private 8003
	printf '[Service]\nPrivateIPC=yes\nRestrictAddressFamilies=\nRestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX\n' \
		>"$units/private.service.d/more.conf"
	cat >"$root/srv/knock.py" <<'PYTHON'
import socket, struct, sys, time
ask = {22: b"", 25: b"", 2525: b"", 21: b"", 5432: struct.pack("!II", 8, 80877103), 6379: b"PING\r\n"}.get(int(sys.argv[1]), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
until = time.monotonic() + 20
def opened():
    while True:
        s = socket.socket()
        s.settimeout(30)
        try:
            s.connect(("127.0.0.1", int(sys.argv[1])))
            return s
        except ConnectionResetError:
            return s # refused, as the answer will be
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
held, served, refused = [], 0, 0
for _ in range(8):
    s = opened()
    held.append(s)
    try:
        s.sendall(ask)
        answer = s.recv(100)
    except OSError:
        answer = b""
    served += answer != b""
    refused += answer == b""
print(served, "served", refused, "refused")
PYTHON
	cat >"$BATS_FILE_TMPDIR/script" <<'SCRIPT'
ports="nginx:80 ssh:22 vsftpd:21 postgresql:5432 redis-server:6379 postfix:25 exim4:2525 confined:8001 dynamic:8002 private:8003"
soon() { # COMMAND... TEXT: waits, at most twenty seconds, until it says so
	local until=$((SECONDS + 20))
	until "${@:1:$#-1}" 2>/dev/null | grep -qF "${!#}"; do
		((SECONDS < until)) || return 0
		sleep 0.1
	done
}
chown -R root: /etc/connlimit
# What their packages do when they are installed; two of them are not to have one port.
for user in postfix Debian-exim; do useradd --system --user-group "$user"; done
groupadd --system postdrop
printf '%s\n' 'compatibility_level = 3.6' 'inet_interfaces = 127.0.0.1' 'alias_maps =' 'myhostname = localhost' >>/etc/postfix/main.cf
cp /usr/share/postfix/master.cf.dist /etc/postfix/master.cf
postfix set-permissions >/dev/null 2>&1
for folder in log spool; do install -d -o Debian-exim /var/$folder/exim4; done
echo localhost >/etc/mailname
printf '%s\n' "dc_eximconfig_configtype='local'" "dc_local_interfaces='127.0.0.1.2525'" "dc_use_split_config='false'" >/etc/exim4/update-exim4.conf.conf
systemctl start exim4 postfix@- # postfix.service excludes the other
systemctl start nginx ssh vsftpd postgresql redis-server confined dynamic private
for each in $ports; do
	table=${each%:*}
	echo "$table: $(python3 /srv/knock.py "${each#*:}")"
	sed -i s/PER_IP=5/PER_IP=6/ "/etc/connlimit/$table.env"
	case $table in
	redis-server) connlimit reload redis-server >/dev/null ;;
	postfix) systemctl reload postfix@- ;;
	*) systemctl reload "$table" ;;
	esac
	# Until the limit is the new one, and those of before are closed.
	soon connlimit status --json "$table" '"value": 6'
	soon connlimit status --json "$table" '"at_limit": 0'
	echo "$table reloaded: $(python3 /srv/knock.py "${each#*:}")"
	connlimit status "$table" | sed "s/^/$table status: /"
done
# A reload reaches the daemon whatever is in the file, and the daemon says why its limits are as they were.
for unit in nginx ssh confined; do
	echo CONNLIMIT_PRE_IP=9 >"/etc/connlimit/$unit.env"
	systemctl reload "$unit" && echo "$unit was reloaded under a wrong file"
	soon connlimit status "$unit" "the old limits stand"
	connlimit status "$unit" | sed "s/^/$unit under a wrong file: /"
done
for unit in $(systemctl --failed --plain --no-legend | cut -d ' ' -f 1); do
	systemctl status --no-pager "$unit"
done
SCRIPT
	status=0
	if ((EUID == 0)); then
		"$SOURCE/tests/programs/booted" "$root" "$BATS_FILE_TMPDIR/script" >"$SAID" 2>&1 || status=$?
	fi
	export BOOTED=$status
}

setup() {
	((EUID == 0)) || skip "needs root"
	((BOOTED != 77)) || skip "no systemd can be booted here: $(tail -1 "$SAID")"
	cat "$SAID"
	[ "$BOOTED" -eq 0 ]
}

holds() { # TABLE
	grep -qx "$1: 5 served 3 refused" "$SAID"
	grep -qx "$1 reloaded: 6 served 2 refused" "$SAID"
}
asks_by() { grep -q "^$1 status:   checks .* by $2," "$SAID"; }

@test "recipes: there is one for each of these" {
	diff <(sort "$BATS_FILE_TMPDIR/recipes") - <<-END
		/etc/connlimit/ssh.env
		/etc/postfix/main.cf
		/etc/postgresql/15/main/environment
		/etc/systemd/system/exim4.service
		/etc/systemd/system/nginx.service.d/connlimit.conf
		/etc/systemd/system/postfix@.service.d/connlimit.conf
		/etc/systemd/system/redis-server.service.d/connlimit.conf
	END
}

@test "recipes: nginx" { holds nginx; }
@test "recipes: sshd" { holds ssh; }
@test "recipes: vsftpd, by nginx's drop-in" { holds vsftpd; }
@test "recipes: PostgreSQL" { holds postgresql; }
@test "recipes: Postfix" { holds postfix; }
@test "recipes: Exim, also after it has executed itself" { holds exim4; }
@test "recipes: Redis, which may ask by netlink" {
	holds redis-server
	asks_by redis-server sock_diag
}

@test "a wrong file keeps systemd from no reload, after which status says what is wrong" {
	for unit in nginx ssh confined; do
		grep -qx "$unit was reloaded under a wrong file" "$SAID"
		grep -q "^$unit under a wrong file: .*the old limits stand: .*'CONNLIMIT_PRE_IP'" "$SAID"
	done
}

@test "a service confined by every line of the drop-in for it keeps its limits, and asks by netlink" {
	holds confined
	asks_by confined sock_diag
}

@test "a service of a dynamic user too" {
	holds dynamic
	asks_by dynamic sock_diag
}

@test "without netlink it asks /proc, which status says; in a private IPC namespace root sees it still" {
	holds private
	asks_by private /proc/net/tcp
	grep -q '^private status:   warning  sock_diag was not available' "$SAID"
	grep -q '^private status: .* in another IPC namespace' "$SAID"
}
