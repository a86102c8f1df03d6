#!/usr/bin/env bats
# PostgreSQL: the postmaster accepts, forks a backend and closes; the death of a backend makes it start all of them anew.

load questions

note="the death of a backend has it start all backends anew (6)"
protocol=postgres
stop_signal=INT # the fast shutdown: TERM waits for the clients to go

newest() { find /usr/lib/postgresql -maxdepth 3 -name "$1" -path '*/bin/*' 2>/dev/null | sort -V | tail -1; }
program=$(newest postgres)

ready() {
	as_root_or_skip
	needs psql setpriv
	[[ -n $program ]] || skip "postgres is not installed"
	chown postgres: "$here"
	cp -a "$BATS_FILE_TMPDIR/data" "$here/data"
	as_user=(setpriv --reuid=postgres --regid=postgres --clear-groups)
}

setup_file() {
	[[ -n $(newest initdb) ]] && ((EUID == 0)) || return 0
	chmod 755 "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR" "$BATS_RUN_TMPDIR/file"
	install -d -o postgres "$BATS_FILE_TMPDIR/data"
	(cd / && setpriv --reuid=postgres --regid=postgres --clear-groups "$(newest initdb)" -N -A trust -E UTF8 --locale=C \
		-D "$BATS_FILE_TMPDIR/data" >/dev/null)
	echo "host all all 127.0.0.0/8 trust" >>"$BATS_FILE_TMPDIR/data/pg_hba.conf"
}

start() {
	launch "${as_user[@]}" "$program" -D "$here/data" -p "$port" -k "$here" -c listen_addresses=127.0.0.1 \
		-c shared_buffers=1MB -c fsync=off -c autovacuum=off
	until_true serves # it listens before it does
}
serves() { grep -q '^ready' "$here/data/postmaster.pid"; }

@test "1. N are served, the next is refused, another address is not concerned" { holds_the_limit; }
@test "2. after a close the next is admitted at once" { admits_after_a_close; }
@test "3. after many rounds the count is zero, and true" { counts_true_after_rounds; }
@test "4. the limit is raised and lowered by SIGHUP and by connlimit reload" { limit_changes; }
@test "5. no new complaint in log or exit status" { no_new_complaint; }
@test "6. kill -9 of what serves frees its clients" { kill_frees_clients; }
@test "7. stop and restart leave nothing behind" { leaves_nothing_behind; }
@test "8. after a refusal others are served at once" { serves_others_at_once; }
@test "9. sessions one after another leave a peak of one" { peaks_are_of_open_ones; }

@test "postgresql: psql is served, SIGHUP still reloads its configuration, other backends outlive one that ends" {
	limit_is 2
	start
	sql() { psql -h 127.0.0.1 -p "$port" -U postgres -Atc "$1" 2>&1; }
	[ "$(sql 'select 6 * 7')" = 42 ]
	full 127.0.0.1 2
	fails sql 'select 1' >/dev/null
	let_go 127.0.0.1
	[ "$(sql 'show work_mem')" = 4MB ]
	echo "work_mem = 7MB" >>"$here/data/postgresql.conf"
	kill -HUP "$daemon"
	until_true reloaded
	tell_client alive
	[ "$answer" -eq 1 ]
}
reloaded() { [[ $(sql 'show work_mem') == 7MB ]]; }
