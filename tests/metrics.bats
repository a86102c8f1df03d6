#!/usr/bin/env bats
# Metrics as Prometheus takes them; one client's connections, and their end.

load daemon

request='GET / HTTP/1.1\r\nHost: test\r\n\r\n'

start_server() {
	limited python3 -u -m http.server --bind 127.0.0.1 --protocol HTTP/1.1 --directory "$here" "$port"
}

value() { awk -v own="table=\"test-$port\"" -v name="$1" 'index($1, name "{") == 1 && index($0, own) && ('"${2:-1}"') { print $NF }'; }

@test "metrics: promtool takes them, and they are so" {
	limit_is 1
	start_server
	hold 127.0.0.1 served
	hold 127.0.0.1 refused
	"$CONNLIMIT" metrics >"$here/metrics"
	[ "$(tail -n 1 "$here/metrics")" = "# EOF" ]
	# Its status is 1 for an error of the format, and 3 for what it lints in the older format and is not wrong in OpenMetrics.
	grep -v '^# EOF' "$here/metrics" >"$here/older"
	run promtool check metrics <"$here/older"
	echo "$output"
	[[ $status -eq 0 || $status -eq 3 ]]
	sed '0,/^connlimit_/s/ [0-9.]*$/ x/' "$here/older" | run -1 promtool check metrics
	[ "$(value connlimit_connections <"$here/metrics")" = 1 ]
	[ "$(value connlimit_limit_per_client <"$here/metrics")" = 1 ]
	[ "$(value connlimit_refused_total <"$here/metrics")" = 1 ]
	[ "$(value connlimit_refusals_total 'index($0, "reason=\"per_ip\"")' <"$here/metrics")" = 1 ]
	until_true covered # unknown while it takes too long, with other tests' tables beside
}
covered() { [ "$("$CONNLIMIT" metrics | value connlimit_coverage_ratio)" = 1 ]; }

@test "metrics: served on a loopback port, and written whole into a file" {
	limit_is 1
	start_server
	metrics_port=$(free_port)
	"$CONNLIMIT" metrics --listen "$metrics_port" 3>&- &
	pids+=("$!")
	until_true curl -s -o "$here/metrics" "http://127.0.0.1:$metrics_port/metrics"
	[ "$(value connlimit_connections <"$here/metrics")" = 0 ]
	curl -si "http://127.0.0.1:$metrics_port/metrics" | grep -qi '^content-type: application/openmetrics-text'
	[ "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$metrics_port/")" = 404 ]
	"$CONNLIMIT" metrics --output "$here/file.prom"
	[ "$(tail -n 1 "$here/file.prom")" = "# EOF" ]
	run -1 "$CONNLIMIT" metrics --output "$here/none/file.prom"
	run -2 "$CONNLIMIT" metrics --listen 99999
}

@test "metrics: daemons of two containers whose tables have one name have series of their own" {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	unshare --ipc true || skip "no IPC namespaces"
	limit_is 1
	table=test-$port
	for _ in 1 2; do
		unshare --ipc "$CONNLIMIT" run --file "$limits" --table "$table" -- \
			socat "TCP-LISTEN:$port,bind=127.0.0.1,reuseaddr,fork" PIPE >"$here/out" 2>>"$here/errors" 3>&- </dev/null &
		pids+=("$!")
		until_true listening
		port=$(free_port)
	done
	"$CONNLIMIT" metrics | grep "table=\"$table\"" | sed 's/ [^ ]*$//' >"$here/series"
	[ "$(grep -c '^connlimit_processes{' "$here/series")" -eq 2 ]
	[ -z "$(sort "$here/series" | uniq -d)" ]
}

@test "clients: a client's connections with their ports" {
	limit_is 3
	start_server
	hold 127.0.0.1 served
	hold 127.0.0.1 served
	hold 127.0.0.2 served
	[ "$("$CONNLIMIT" clients 127.0.0.1 | grep -c "test-$port")" -eq 2 ]
	"$CONNLIMIT" clients 127.0.0.1 | grep -qP "^127\.0\.0\.1\t[0-9]+\t127\.0\.0\.1\t$port\t[0-9]+\t$daemon\ttest-$port\$"
	[ "$("$CONNLIMIT" clients 127.0.0.0/8 | grep -c "test-$port")" -eq 3 ]
	run -2 "$CONNLIMIT" clients nowhere
	[[ $output == *"'nowhere' is not an IPv4 address"* ]]
}

@test "disconnect: ends a client's connections, and no other's" {
	[ "$(id -u)" -eq 0 ] || skip "needs CAP_NET_ADMIN"
	limit_is 3
	start_server
	hold 127.0.0.71 served
	hold 127.0.0.71 served
	hold 127.0.0.72 served
	run "$CONNLIMIT" disconnect 127.0.0.71 "test-$port"
	[[ $output == *"cannot end connections"* ]] && skip "a kernel without CONFIG_INET_DIAG_DESTROY"
	[ "$status" -eq 0 ]
	[[ $output == *"2 of 2 connections ended"* ]]
	until_true counted_is 127.0.0.71 0
	counted_is 127.0.0.72 1
	kill -0 "$daemon"
}

# Of three clients' connections, one talks; a fourth is eight seconds younger than these.
three_clients() {
	limit_is 3
	start_server
	hold 127.0.0.71 served
	hold 127.0.0.72 served
	python3 -c "
import socket, time
talking = socket.create_connection(('127.0.0.1', $port), source_address=('127.0.0.73', 0))
while True:
    talking.sendall(b'GET')
    time.sleep(0.2)" 3>&- 2>/dev/null &
	pids+=($!)
	until_true counted_is 127.0.0.73 1
	sleep 8
	hold 127.0.0.74 served
}

# What it writes, without what it says of tables that it cannot read.
disconnected() { output=$("$CONNLIMIT" disconnect "$@" "test-$port" 2>"$here/said"); }

@test "disconnect --dry-run: those that are old, those that are idle by the kernel's word, and ends none" {
	three_clients
	disconnected --dry-run --older-than 6s
	[[ $output == *"127.0.0.71 port "*" of table test-$port: open for "*" s, idle for "*" s"* ]]
	[[ $output == *127.0.0.72* && $output == *127.0.0.73* && $output != *127.0.0.74* ]]
	[[ $output == *"3 of 3 connections would be ended" ]]
	disconnected --dry-run --older-than 6s --idle 6s
	[[ $output == *127.0.0.71* && $output == *127.0.0.72* && $output == *"2 of 2 connections would be ended" ]]
	disconnected --dry-run --idle 6s 127.0.0.72/31
	[[ $output == "127.0.0.72 port "*"1 of 1 connections would be ended" ]]
	disconnected --dry-run --older-than 1h
	[ "$output" = "0 of 0 connections would be ended" ]
	disconnected --dry-run 127.0.0.74
	[[ $output == "127.0.0.74 port "*"1 of 1 connections would be ended" ]]
	for client in 71 72 73 74; do counted_is "127.0.0.$client" 1; done
}

@test "disconnect --older-than --idle: ends those, and no others" {
	[ "$(id -u)" -eq 0 ] || skip "needs CAP_NET_ADMIN"
	three_clients
	disconnected --older-than 6s --idle 6s || grep -q "cannot end connections" "$here/said"
	[[ $(cat "$here/said") != *"cannot end connections"* ]] || skip "a kernel without CONFIG_INET_DIAG_DESTROY"
	[ "$output" = "2 of 2 connections ended" ]
	until_true counted_is 127.0.0.71 0
	until_true counted_is 127.0.0.72 0
	counted_is 127.0.0.73 1
	counted_is 127.0.0.74 1
}

@test "disconnect: leaves alone what is another daemon's, whatever a worker wrote into its table" {
	[ "$(id -u)" -eq 0 ] || skip "needs CAP_NET_ADMIN"
	limit_is 3
	start_server
	hold 127.0.0.1 served
	local peer line
	peer=$(ss -Htn state established "sport = :$port" | awk '{ sub(/.*:/, "", $4); print $4; exit }')
	coproc CLAIMS { exec "$BUILD/tests/hostile" --claims "claims-$port" "$peer" "$port" 3>&-; }
	# shellcheck disable=SC2153 # bash sets it
	pids+=("$CLAIMS_PID")
	read -r -t 20 line <&"${CLAIMS[0]}"
	[ "$line" = ready ]
	run "$CONNLIMIT" disconnect 127.0.0.1 "claims-$port"
	[[ $output == *"cannot end connections"* ]] && skip "a kernel without CONFIG_INET_DIAG_DESTROY"
	[ "$status" -eq 1 ]
	[[ $output == *"so it was not ended"*"0 of 1 connections ended"* ]]
	[ "$(established 127.0.0.1)" -eq 1 ]
	run "$CONNLIMIT" disconnect 127.0.0.1 "test-$port"
	[[ $output == *"1 of 1 connections ended"* ]]
}

@test "the dashboard loads, and asks only for metrics that there are" {
	limit_is 1
	start_server
	"$CONNLIMIT" metrics >"$here/metrics"
	python3 - "$SOURCE/shim/command/dashboard/connlimit.json" "$here/metrics" <<'PYTHON'
import json, re, sys
board = json.load(open(sys.argv[1]))
there = set()
labels = {"instance", "job"}
kind = {}
for line in open(sys.argv[2]):
    if line.startswith("# TYPE "):
        name, of = line.split()[2:4]
        there.add(name + ("_total" if of == "counter" else ""))
        kind[name + ("_total" if of == "counter" else "")] = of
    else:
        labels |= set(re.findall(r'([a-z_]+)="', line))
# What Grafana needs of a dashboard: JSON model, "Dashboard JSON model" of its manual.
assert board["title"] and board["schemaVersion"] >= 30 and board["id"] is None
assert {"time", "templating", "panels", "annotations"} <= set(board)
variables = {v["name"]: v for v in board["templating"]["list"]}
ids, places, asked = set(), [], []
for panel in board["panels"]:
    assert panel["type"] in ("stat", "timeseries") and panel["title"] and panel["targets"], panel["title"]
    assert panel["id"] not in ids
    ids.add(panel["id"])
    place = panel["gridPos"]
    assert place["x"] >= 0 and place["x"] + place["w"] <= 24
    for other in places:
        assert (place["x"] >= other["x"] + other["w"] or other["x"] >= place["x"] + place["w"] or
                place["y"] >= other["y"] + other["h"] or other["y"] >= place["y"] + place["h"]), panel["title"]
    places.append(place)
    assert panel["datasource"]["uid"] == "${datasource}"
    refs = [t["refId"] for t in panel["targets"]]
    assert len(refs) == len(set(refs))
    asked += [t["expr"] for t in panel["targets"]]
    for target in panel["targets"]:
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= labels, target["legendFormat"]
asked += [a["expr"] for a in board["annotations"]["list"] if "expr" in a]
asked += [v["definition"] for v in variables.values() if v["type"] == "query"]
used = set()
for expression in asked:
    names = set(re.findall(r"connlimit_\w+", expression))
    assert names and names <= there, (expression, names - there)
    used |= names
    assert set(re.findall(r"\$(\w+)", expression)) - {"__rate_interval"} <= set(variables), expression
    for name in re.findall(r"rate\((connlimit_\w+)", expression):
        assert kind[name] == "counter", expression
    print(re.sub(r"\$__rate_interval", "5m", re.sub(r"\$(table|instance)", ".*", expression)))
assert len(used) >= 15 and {"connlimit_networks_at_limit", "connlimit_bans_total", "connlimit_clients_banned"} <= used
# The expressions as Prometheus reads them, in the form of rules.
rules = [{"record": "r:%d" % i, "expr": re.sub(r"\$__rate_interval", "5m", re.sub(r"\$(table|instance)", ".*", e))}
         for i, e in enumerate(asked) if not e.startswith("label_values")]
json.dump({"groups": [{"name": "dashboard", "rules": rules}]}, open(sys.argv[2] + ".rules", "w"))
PYTHON
	promtool check rules "$here/metrics.rules"
}

@test "metrics: the alerts are what Prometheus takes, and name metrics that there are" {
	alerts=$SOURCE/shim/command/dashboard/alerts.yml
	[ "$(grep -c '  - alert: ' "$alerts")" -ge 7 ]
	for metric in $(sed -n 's/expr: //p' "$alerts" | grep -o 'connlimit_[a-z_]*' | sort -u); do
		grep -q "^\.B $metric$" "$SOURCE/shim/command/connlimit.1" || { echo "$metric is unknown"; exit 1; }
	done
	command -v promtool >/dev/null || skip "no promtool"
	promtool check rules "$alerts"
}
