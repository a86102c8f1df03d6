#!/usr/bin/env python3
"""Measures connlimit in alternating pairs against what people would use instead.

Every figure is a ratio (or a difference in bare system calls, instructions or per cent), the median over pairs of runs that alternate on this
machine, with its quartiles. A section that cannot be measured here says why, and the others go on. Called by scripts/bench.
"""
import argparse
import glob
import os
import random
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import report

BUILD = os.environ["BUILD"]
OUT = os.environ["OUT"]
PAIRS = int(os.environ.get("PAIRS", "9"))
PRELOAD = f"{BUILD}/libconnlimit_preload.so"
PASS = f"{BUILD}/tests/libpassthrough.so"
TMP = tempfile.mkdtemp(prefix="connlimit-bench.")
os.chmod(TMP, 0o755)
SECONDS = float(os.environ.get("SECONDS_EACH", "30"))  # a figure gets fewer pairs rather than more time
rows = []
children = []


def program(name):
    return f"{BUILD}/tests/bench_{name}"


class NotHere(Exception):
    """What is measured is not to be had on this machine."""


def record(group, what, values, goal="", unit="x"):
    values = sorted(values)
    low, high = values[len(values) // 4], values[(3 * len(values)) // 4]
    row = dict(group=group, what=what, median=round(statistics.median(values), 3), low=round(low, 3), high=round(high, 3), unit=unit,
               runs=len(values), goal=goal)
    rows.append(row)
    print(f"{group:10} {what:66} {row['median']:9g} {unit:12} ({row['low']:g} .. {row['high']:g}, {row['runs']})  {goal}", flush=True)


def free_port():
    """Below the range that clients are given (32768 and on), where a connection of anyone's might be."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


def environment(preload, **more):
    env = {k: v for k, v in os.environ.items() if not k.startswith("CONNLIMIT_") and k != "LD_PRELOAD"}
    if preload:
        env["LD_PRELOAD"] = preload
        env["CONNLIMIT_PER_IP"] = "100000"
        env["CONNLIMIT_LOG"] = "off"
    env.update(more)
    return env


def run(command, preload=None, **more):
    return subprocess.run(command, env=environment(preload, **more), stdout=subprocess.PIPE, check=True, text=True,
                          stderr=subprocess.DEVNULL).stdout


def alternate(first, second, pairs=PAIRS):
    """Runs two things in alternating order and gives their results in pairs: three of them, then more while there is time."""
    results = []
    until = time.monotonic() + SECONDS
    for i in range(pairs):
        if i >= 3 and time.monotonic() > until:
            break
        if i % 2:
            b = second()
            a = first()
        else:
            a = first()
            b = second()
        results.append((a, b))
    return results


# ---- one call ----


def numbers(text):
    return [float(word) for word in text.split()]


def calls():
    for where, more in (("a listener on one address", {}), ("a listener on the wildcard address", {"WILDCARD": "1"})):
        pairs = alternate(lambda: numbers(run([program("connections"), "200"], PASS, **more)),
                          lambda: numbers(run([program("connections"), "200"], PRELOAD, **more)), 2 * PAIRS)
        bare = [(a[2] + b[2]) / 2 for a, b in pairs]
        record("call", f"accept+close more than the pass-through, {where}",
               [(b[0] + b[1] - a[0] - a[1]) / unit for (a, b), unit in zip(pairs, bare)], "<= 1.5", "bare calls")

    def each(preload):
        lines = (line.split() for line in run([program("calls")], preload).splitlines())
        return {name: float(ns) for name, ns in lines}

    pairs = alternate(lambda: each(PASS), lambda: each(PRELOAD), PAIRS)
    for name in pairs[0][0]:
        if name != "getppid":
            # One process enters the kernel more cheaply than another by up to 150 ns, in all of its calls: so each is compared with
            # its own bare one.
            record("call", f"{name} that does not concern us, more than the pass-through",
                   [b[name] - b["getppid"] - a[name] + a["getppid"] for a, b in pairs], "<= 2", "ns")


def syscalls():
    """System calls of a thousand connections, by strace."""
    for where, more in (("one address", {}), ("the wildcard address", {"WILDCARD": "1"})):
        counts = []
        for preload in (PASS, PRELOAD):
            log = f"{TMP}/strace"
            env = environment(None, **more)
            extra = ["-E", f"LD_PRELOAD={preload}", "-E", "CONNLIMIT_PER_IP=1000"]
            sums = []
            for n in ("100", "1100"):
                subprocess.run(["strace", "-o", log, *extra, f"{BUILD}/tests/repeat", "connection", n], env=env, check=True)
                sums.append(sum(1 for _ in open(log, encoding="ascii")))
            counts.append((sums[1] - sums[0]) / 1000)
        record("call", f"system calls more on accept+close, a listener on {where}", [counts[1] - counts[0]], "<= 1", "calls")


def counted(command, function, preload=None):
    """Instructions of user space within a function of the command."""
    text = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--toggle-collect={function}", *command],
                          env=environment(preload, CYCLES="10000"), capture_output=True, text=True, check=True).stderr
    return float(text.split("Collected : ")[1].split()[0])


def instructions():
    for thing in ("connection", "untracked"):
        got = [counted([f"{BUILD}/tests/repeat", thing, "1000"], thing, preload) / 1000 for preload in (PASS, PRELOAD)]
        record("call", "instructions more, " + ("accept+close" if thing == "connection" else "close of an untracked descriptor"),
               [got[1] - got[0]], "", "instructions")


# ---- the table ----


def table():
    def cycle(clients, held):
        return float(run([program("table"), "cycle", str(clients), str(held)]))

    # go-connlimit's Accept and free, as measured with Go 1.19 on another machine.
    for clients, theirs in ((1, 950), (100000, 2000)):
        record("table", f"go-connlimit's Accept+free ({theirs} ns) over admit+release, clients held: {clients}",
               [theirs / cycle(clients, clients) for _ in range(3)], ">= 10")
    for clients, held in ((1000, 1000), (100000, 100000), (1000000, 1000000), (1, 1000), (1, 1000000)):
        pairs = alternate(lambda: cycle(1, 1), lambda c=clients, h=held: cycle(c, h), max(3, PAIRS // 3))
        record("table", f"admit+release with {clients} clients and {held} connections held, over one and one", [b / a for a, b in pairs],
               "<= 2")
    one = counted([program("table"), "cycle", "1", "1"], "cycle") / 1e4
    for clients, held in ((100000, 100000), (1, 100000)):
        many = counted([program("table"), "cycle", str(clients), str(held)], "cycle") / 1e4
        record("table", f"the same in instructions, {clients} clients and {held} connections", [many / one], "<= 2")
    record("table", "instructions of admit+release", [one], "", "instructions")
    for kind, what, goal in (("distinct", "distinct clients", ">= 1.8"), ("hot", "hot client", ">= 0.67"), ("apart", "a table for each", "")):
        record("table", f"two processes over one, {what}", [float(run([program("table"), "pair", kind])) for _ in range(3)], goal)
    record("table", "a refusal after a million refusals over one after a hundred", [float(run([program("table"), "refused"])) for _ in range(3)],
           "1")
    for clients in (1, 60000):
        record("table", f"resident memory for each of 60000 connections, clients: {clients}",
               [float(run([program("table"), "resident", str(clients), "60000"]))], "64 .. 96", "bytes")
    record("table", "shared memory reserved for each connection of the capacity", [float(run([program("table"), "size"]))], "", "bytes")


# ---- a process ----


def process():
    # One process forks and ends faster than another by up to a quarter, in all of its forks: so there are many.
    pairs = alternate(lambda: float(run([program("forks"), "9900"])), lambda: float(run([program("forks"), "9900"], PRELOAD)), 3 * PAIRS)
    record("process", "fork with 9900 tracked connections, over bare", [b / a for a, b in pairs], "<= 1.10")
    pairs = alternate(lambda: float(run([program("start"), ""])), lambda: float(run([program("start"), PRELOAD])))
    record("process", "start of /bin/true preloaded, over bare", [b / a for a, b in pairs], "<= 1.05")
    pairs = alternate(lambda: float(run([program("start"), PASS])), lambda: float(run([program("start"), PRELOAD])))
    record("process", "start of /bin/true preloaded, over the pass-through", [b / a for a, b in pairs])
    port = free_port()
    server = start([program("server"), "answer", str(port)], PRELOAD)
    wait_port(port)
    record("process", "resident memory of an idle table", [resident_table(server.pid) / 1024], "< 1", "MiB")
    stop(server)


def resident_table(pid):
    size = 0
    inside = False
    for line in open(f"/proc/{pid}/smaps", encoding="ascii"):
        if line[0] not in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
            inside = "SYSV" in line
        elif inside and line.startswith("Rss:"):
            size += int(line.split()[1])
    return size


# ---- servers ----


def start(command, preload=None, **more):
    child = subprocess.Popen(command, env=environment(preload, **more), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    children.append(child)
    return child


def stop(child):
    child.send_signal(signal.SIGTERM)
    out = child.communicate(timeout=30)[0]
    children.remove(child)
    return out


def wait_port(port, host="127.0.0.1"):
    deadline = time.time() + 20
    while time.time() < deadline:
        try:
            socket.create_connection((host, port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise NotHere(f"nothing listens on port {port}")


def family(pid):
    """The process and its descendants. /proc/PID/task/*/children is not in every kernel."""
    parents = {}
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            text = open(path, encoding="utf-8", errors="replace").read()
        except OSError:
            continue
        parents.setdefault(int(text.rsplit(")", 1)[1].split()[1]), []).append(int(text.split()[0]))
    found = [pid]
    for member in found:
        found += parents.get(member, [])
    return found


def cpu_ns(pid):
    """CPU of a process and of its descendants that still live, as the scheduler counts it, and of its ended children, in ticks."""
    total = 0
    for p in family(pid):
        for path in glob.glob(f"/proc/{p}/task/*/schedstat"):
            try:
                total += int(open(path, encoding="ascii").read().split()[0])
            except OSError:
                pass
        fields = open(f"/proc/{p}/stat", encoding="ascii").read().rsplit(")", 1)[1].split()
        total += (int(fields[13]) + int(fields[14])) * (10**9 // os.sysconf("SC_CLK_TCK"))
    return total


def refusals():
    number = 5120

    def flooded(server, port, at_once, holds):
        """CPU of the server for each connection of an address that it does not serve."""
        wait_port(port)
        holder = socket.create_connection(("127.0.0.1", port), 5, ("127.0.0.9", 0)) if holds else None
        before = cpu_ns(server.pid)
        run([program("load"), "flood", "127.0.0.9", str(port), str(number), str(at_once)])
        used = (cpu_ns(server.pid) - before) / number
        if holder:
            holder.close()
        stop(server)
        return used

    def served(mode, at_once=1):
        port = free_port()
        return flooded(start([program("server"), mode, str(port)]), port, at_once, False)

    def refused(at_once=1, **more):
        port = free_port()
        return flooded(start([program("server"), "answer", str(port)], PRELOAD, CONNLIMIT_PER_IP="1", **more), port, at_once, True)

    what = "CPU of a refused connection, over one that the daemon accepts and"
    for at_once in (1, 64):
        for mode, goal in (("close", "< 1"), ("reset", "")):
            pairs = alternate(lambda m=mode, n=at_once: served(m, n), lambda n=at_once: refused(n))
            record("refusal", f"{what} {mode}s, {at_once} at once", [b / a for a, b in pairs], goal)
    pairs = alternate(lambda: served("close"), lambda: refused(CONNLIMIT_REFUSE="close"))
    record("refusal", "the same with CONNLIMIT_REFUSE=close, over one that the daemon accepts and closes", [b / a for a, b in pairs])

    def latency(preload, **more):
        port = free_port()
        server = start([program("server"), "answer", str(port)], preload, **more)
        wait_port(port)
        holder = socket.create_connection(("127.0.0.1", port), 5, ("127.0.0.9", 0))
        attacker = subprocess.Popen([program("load"), "flood", "127.0.0.9", str(port), "100000000"])
        p99 = numbers(run([program("load"), "ask", "127.0.0.10", str(port), "3000"]))[1]
        attacker.kill()
        attacker.wait()
        holder.close()
        stop(server)
        return p99

    pairs = alternate(lambda: latency(None, REFUSE="127.0.0.9"), lambda: latency(PRELOAD, CONNLIMIT_PER_IP="1"))
    record("refusal", "another client's p99 under attack, over a daemon that closes the attacker's itself", [b / a for a, b in pairs], "<= 1.10")


def checked_us(name):
    return float(run([program("checked"), name]).split()[1])


def check_share():
    """Share of a CPU that kernel checks take while many addresses, each at its limit, try again and again."""
    for addresses in (1, 1000, 10000):
        shares = []
        for attempt in range(3):
            name = f"bench{os.getpid()}x{addresses}x{attempt}"
            port = free_port()
            server = start([program("server"), "answer", str(port)], PRELOAD, CONNLIMIT_PER_IP="1", CONNLIMIT_TABLE=name)
            wait_port(port)
            load = subprocess.Popen([program("load"), "spread", "1", str(addresses), str(port), "100000"], text=True,
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            load.stdout.readline()
            before = checked_us(name)
            took = float(load.communicate("\n")[0])
            shares.append(100 * (checked_us(name) - before) / took)
            stop(server)
        record("refusal", f"CPU in checks of the kernel, {addresses} addresses at their limit attack", shares, "< 2", "%")


def supervise():
    """A connection that is accepted and closed, under a supervisor and bare: CPU of the daemon and of who supervises it."""
    number = 5120
    connlimit = os.path.join(BUILD, "connlimit")

    def supervisors(pid):
        found = set()
        for path in glob.glob("/proc/[0-9]*/fdinfo/*"):
            try:
                if f"\nPid:\t{pid}\n" in open(path, encoding="ascii").read():
                    found.add(int(path.split("/")[2]))
            except OSError:
                pass
        return found

    def accepted(*way):
        port = free_port()
        server = start([*way, program("server"), "close", str(port)])
        wait_port(port)
        pids = [server.pid, *(supervisors(server.pid) if way else ())]
        before = sum(cpu_ns(pid) for pid in pids)
        run([program("load"), "flood", "127.0.0.9", str(port), str(number), "1"])
        used = (sum(cpu_ns(pid) for pid in pids) - before) / number / 1000
        stop(server)
        return used

    pairs = alternate(accepted, lambda: accepted(connlimit, "run", "--way=supervise", "--per-ip=1000000", "--"))
    record("supervise", "CPU of a connection accepted and closed, supervised, more than bare", [b - a for a, b in pairs], "<= 40", "us")


# ---- whole daemons ----


def nginx(name, port, http="", server="", preload=None, stream="", behind=None, workers=1, at="", **more):
    """`stream` is the text of what listens on the port instead of the HTTP server, which then listens on `behind`."""
    prefix = f"{TMP}/{name}"
    os.makedirs(prefix, exist_ok=True)
    os.chmod(prefix, 0o777)
    with open(f"{prefix}/conf", "w", encoding="ascii") as conf:
        conf.write(f"worker_processes {workers}; daemon off;\n")
        conf.write(f"error_log {prefix}/error.log crit; pid {prefix}/pid;\n")
        if stream:
            conf.write("load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n")
        conf.write("events { worker_connections 15000; }\n")
        conf.write("http { access_log off; client_header_timeout 600s; " + http)
        conf.write(f" server {{ listen {at}{behind or port} backlog=4096; {server} location / {{ return 200 ok; }} }} }}\n")
        if stream:
            conf.write(f"stream {{ {stream} }}\n")
    child = start(["/usr/sbin/nginx", "-p", prefix, "-c", f"{prefix}/conf"], preload, **more)
    wait_port(port)
    return child


def haproxy(name, port, back):
    path = f"{TMP}/{name}.cfg"
    with open(path, "w", encoding="ascii") as conf:
        conf.write("global\n nbthread 1\n maxconn 4000\ndefaults\n mode http\n option http-server-close\n timeout connect 5s\n timeout client 5s\n"
                   f" timeout server 5s\nfrontend f\n bind 127.0.0.1:{port}\n stick-table type ip size 1m store conn_cur\n"
                   " tcp-request connection track-sc0 src\n tcp-request connection reject if { sc0_conn_cur gt 100000 }\n"
                   f" default_backend b\nbackend b\n server s 127.0.0.1:{back}\n")
    child = start(["haproxy", "-f", path, "-db"])
    wait_port(port)
    return child


def requests(port, pids, number=4000):
    """Server CPU for a request with Connection: close, and requests in a second."""
    before = sum(cpu_ns(pid) for pid in pids)
    out = subprocess.run(["ab", "-q", "-n", str(number), "-c", "20", f"http://127.0.0.1:{port}/"], capture_output=True, text=True, check=True).stdout
    used = sum(cpu_ns(pid) for pid in pids) - before
    return used / number, float(out.split("Requests per second:")[1].split()[0])


def web():
    port, limited, by_http, by_stream, behind, by_haproxy = (free_port() for _ in range(6))
    bare = nginx("bare", port)
    zone = "limit_conn_zone $binary_remote_addr zone=per:10m;"
    limit_conn = f"{zone} server {{ listen {by_stream} backlog=4096; limit_conn per 60000; proxy_pass 127.0.0.1:{behind}; }}"
    others = {
        "nginx + connlimit": (limited, [nginx("connlimit", limited, preload=PRELOAD).pid]),
        "nginx + limit_conn (http)": (by_http, [nginx("limit_conn", by_http, zone, "limit_conn per 60000;").pid]),
        "nginx + limit_conn (stream, in front of http)": (by_stream, [nginx("stream", by_stream, behind=behind, stream=limit_conn).pid]),
        "nginx behind haproxy with a src_conn_cur stick table": (by_haproxy, [haproxy("haproxy", by_haproxy, port).pid, bare.pid]),
    }
    compare("web", port, [bare.pid], others, "Connection: close")
    for child in list(children):
        stop(child)
    port, limited = free_port(), free_port()
    bare = nginx("one", port, at="127.0.0.1:")
    others = {"nginx + connlimit, listening on one address":
              (limited, [nginx("one_limited", limited, preload=PRELOAD, at="127.0.0.1:").pid])}
    compare("web", port, [bare.pid], others, "Connection: close")
    for child in list(children):
        stop(child)


def compare(group, port, pids, others, what):
    ratios = {name: [] for name in others}
    rates = {name: [] for name in others}
    until = time.monotonic() + len(others) * SECONDS
    for i in range(PAIRS):
        if i >= 3 and time.monotonic() > until:
            break
        for name in (list(others) if i % 2 else list(others)[::-1]):
            other = others[name]
            pair = [None, None]
            for side in ((0, 1) if i % 2 else (1, 0)):
                pair[side] = requests(port, pids) if side == 0 else requests(*other)
            ratios[name].append(pair[1][0] / pair[0][0])
            rates[name].append(pair[1][1] / pair[0][1])
    for name in others:
        record(group, f"{name}: server CPU a request over bare ({what})", ratios[name], "<= 1.01" if "connlimit" in name else "")
        record(group, f"{name}: requests in a second over bare", rates[name])


def rules(port):
    return f"""table inet bench {{
        set held {{ type ipv4_addr; size 100000; flags dynamic; }}
        chain in {{
            type filter hook input priority 0
            tcp dport {port} ct state new add @held {{ ip saddr ct count over 100000 }} reject
        }}
    }}"""


def nftables():
    """`ct count` sees each SYN in the sender's context over loopback, so the CPU of both sides is compared. In a namespace of its own."""
    if shutil.which("nft") is None or subprocess.run(["nft", rules(1)], capture_output=True, check=False).returncode:
        raise NotHere("nftables has no ct count on this kernel (NFT_CONNLIMIT)")
    subprocess.run(["nft", "delete", "table", "inet", "bench"], check=True)
    bare = nginx("nft", 7721, workers=5)
    limited = nginx("nft_connlimit", 7722, preload=PRELOAD, workers=5)
    def cost(port, pid, nft):
        if nft:
            subprocess.run(["nft", rules(7721)], check=True)
        before = cpu_ns(pid)
        used_before = resource.getrusage(resource.RUSAGE_CHILDREN)
        number = 3000
        subprocess.run(["ab", "-q", "-n", str(number), "-c", "20", f"http://127.0.0.1:{port}/"], capture_output=True, check=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        client = (used.ru_utime + used.ru_stime - used_before.ru_utime - used_before.ru_stime) * 1e9
        total = cpu_ns(pid) - before + client
        if nft:
            subprocess.run(["nft", "delete", "table", "inet", "bench"], check=True)
        return total / number

    for held in (1, 1000, 50000):
        holders = []
        for port in (7721, 7722):
            if port == 7721:
                subprocess.run(["nft", rules(7721)], check=True)  # conntrack must see them begin
            for first in range(0, held, 12500):  # RLIMIT_NOFILE is often 20000
                command = [program("load"), "hold", str(first), str(min(held - first, 12500)), str(port)]
                holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
                if holder.stdout.readline() != "held\n":
                    raise NotHere(f"{held} connections could not be held")
                holders.append(holder)
        subprocess.run(["nft", "delete", "table", "inet", "bench"], check=True)
        pairs = alternate(lambda: cost(7721, bare.pid, False), lambda: cost(7721, bare.pid, True))
        record("nftables", f"ct count, {held} clients held: CPU of both sides over bare", [b / a for a, b in pairs])
        pairs = alternate(lambda: cost(7721, bare.pid, False), lambda: cost(7722, limited.pid, False))
        record("nftables", f"connlimit, {held} clients held: CPU of both sides over bare", [b / a for a, b in pairs], "<= 1.01")
        for holder in holders:
            holder.kill()
            holder.wait()
    stop(bare)
    stop(limited)


def redis():
    servers = {}
    bare, limited = free_port(), free_port()
    for port, preload in ((bare, None), (limited, PRELOAD)):
        servers[port] = start(["redis-server", "--port", str(port), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"], preload)
        wait_port(port)

    def cost(port):
        before = cpu_ns(servers[port].pid)
        run(["redis-benchmark", "-p", str(port), "-n", "5000", "-c", "20", "-k", "0", "-q", "-t", "ping_mbulk"])
        return (cpu_ns(servers[port].pid) - before) / 5000

    pairs = alternate(lambda: cost(bare), lambda: cost(limited))
    record("redis", "Redis + connlimit: CPU of a connect, PING and disconnect over bare", [b / a for a, b in pairs], "<= 1.01")
    for server in servers.values():
        stop(server)


def postgres():
    binaries = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
    servers = {}
    bare, limited = free_port(), free_port()
    for port, preload in ((bare, None), (limited, PRELOAD)):
        data = f"{TMP}/pg{port}"
        os.makedirs(data)
        shutil.chown(data, "postgres")
        as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        run([*as_postgres, f"{binaries}/initdb", "-D", data, "-A", "trust", "--no-sync"])
        servers[port] = start([*as_postgres, f"{binaries}/postgres", "-D", data, "-p", str(port), "-c", "listen_addresses=127.0.0.1",
                               "-c", f"unix_socket_directories={data}"], preload)
    script = f"{TMP}/select.sql"
    with open(script, "w", encoding="ascii") as sql:
        sql.write("select 1;\n")
    for port in servers:
        wait_port(port)
        while subprocess.run([f"{binaries}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False).returncode:
            time.sleep(0.1)

    def cost(port):
        before = cpu_ns(servers[port].pid)
        run([f"{binaries}/pgbench", "-n", "-C", "-c", "4", "-t", "100", "-f", script, "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "postgres"])
        time.sleep(0.1)
        return cpu_ns(servers[port].pid) - before

    pairs = alternate(lambda: cost(bare), lambda: cost(limited))
    record("postgres", "PostgreSQL + connlimit: CPU of a connect, select and disconnect over bare", [b / a for a, b in pairs], "<= 1.01")
    for port in servers:
        servers[port].send_signal(signal.SIGINT)
        servers[port].wait()
        children.remove(servers[port])


# ---- all of it ----


SECTIONS = {f.__name__: f for f in (syscalls, instructions, calls, table, process, refusals, check_share, supervise, web, nftables, redis, postgres)}


def in_namespace():
    """nftables' rules are made in a network namespace of our own; what comes of it is read back."""
    result = subprocess.run(["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, __file__, "nftables"],
                            env=dict(os.environ, IN_NAMESPACE="1", OUT=TMP), check=False)
    if not os.path.exists(f"{TMP}/results.csv"):
        raise NotHere(f"no measurement from a network namespace (status {result.returncode}; it takes root)")
    rows.extend(report.read(f"{TMP}/results.csv"))


def measure(name):
    began = time.monotonic()
    try:
        if name == "nftables" and os.environ.get("IN_NAMESPACE") != "1":
            in_namespace()
        else:
            SECTIONS[name]()
    except (NotHere, OSError, ValueError, IndexError, subprocess.SubprocessError) as error:
        print(f"{name:10} NOT MEASURED: {error}", flush=True)
        return False
    finally:
        for child in list(children):
            child.terminate()  # not killed: nginx's workers would live on
            children.remove(child)
    print(f"{name:10} took {time.monotonic() - began:.0f} s", flush=True)
    return True


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--readme", action="store_true", help="put the results into tests/bench/README.md, and rows of them into README.md")
    arguments.add_argument("section", nargs="*", help="of: " + " ".join(SECTIONS) + "; all by default")
    chosen = arguments.parse_args()
    unknown = [name for name in chosen.section if name not in SECTIONS]
    if unknown:
        arguments.error(f"no such section: {' '.join(unknown)}")
    try:
        left_out = [name for name in chosen.section or SECTIONS if not measure(name)]
    finally:
        shutil.rmtree(TMP, ignore_errors=True) if os.environ.get("IN_NAMESPACE") != "1" else None
    if os.environ.get("IN_NAMESPACE") == "1":
        report.write(rows, OUT)
    elif rows:
        everything = report.merge(rows, OUT)
        report.write(everything, OUT)
        try:
            report.plot(everything, OUT)
        except ImportError as error:
            print(f"no picture: {error}")
        if chosen.readme:
            report.readme(everything, PAIRS, OUT)
    if left_out:
        sys.exit("not measured: " + ", ".join(left_out))


if __name__ == "__main__":
    main()
