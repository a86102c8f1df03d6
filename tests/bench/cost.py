"""What does it cost: a call, a start, a fork, and the connections of whole daemons, each over the same without connlimit."""
import glob
import os
import resource
import shutil
import signal
import socket
import subprocess
import time

from harness import (BUILD, CONNLIMIT, COST, PAIRS, PASS, PRELOAD, SECONDS, TMP, NotHere, alternate, cpu_ns, environment, free_port, numbers,
                     program, ratios, record, run, start, stop, wait_port)

# ---- one call ----


def calls():
    for where, more in (("a listener on one address", {}), ("a listener on the wildcard address", {"WILDCARD": "1"})):
        pairs = alternate(lambda: numbers(run([program("connections"), "200"], PASS, **more)),
                          lambda: numbers(run([program("connections"), "200"], PRELOAD, **more)), 2 * PAIRS)
        bare = [(a[2] + b[2]) / 2 for a, b in pairs]
        record(COST, f"accept+close more than the pass-through, {where}",
               [(b[0] + b[1] - a[0] - a[1]) / unit for (a, b), unit in zip(pairs, bare)], "<= 1.5", "bare calls")

    def each(preload):
        lines = (line.split() for line in run([program("calls")], preload).splitlines())
        return {name: float(ns) for name, ns in lines}

    pairs = alternate(lambda: each(PASS), lambda: each(PRELOAD), PAIRS)
    for name in pairs[0][0]:
        if name != "getppid":
            # One process enters the kernel more cheaply than another by up to 150 ns, in all of its calls: so each is compared with
            # its own bare one.
            record(COST, f"{name} that does not concern us, more than the pass-through",
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
        record(COST, f"system calls more on accept+close, a listener on {where}", [counts[1] - counts[0]], "<= 1", "calls")


def counted(command, function, preload=None):
    """Instructions of user space within a function of the command."""
    text = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--toggle-collect={function}", *command],
                          env=environment(preload, CYCLES="10000"), capture_output=True, text=True, check=True).stderr
    return float(text.split("Collected : ")[1].split()[0])


def instructions():
    def each(thing, preload):
        most, least = (counted([f"{BUILD}/tests/repeat", thing, n], thing, preload) for n in ("1100", "100"))
        return (most - least) / 1000

    for thing, what in (("connection", "accept+close"), ("untracked", "close of an untracked descriptor")):
        record(COST, f"instructions more, {what}", [each(thing, PRELOAD) - each(thing, PASS)], "", "instructions")


# ---- a process ----


def process():
    # One process forks and ends faster than another by up to a quarter, in all of its forks: so there are many.
    forks = ratios(lambda: float(run([program("forks"), "9900"])), lambda: float(run([program("forks"), "9900"], PRELOAD)), pairs=3 * PAIRS)
    record(COST, "fork with 9900 tracked connections, over bare", forks, "<= 1.10")
    bare, passed, limited = (lambda preload=preload: float(run([program("start"), preload])) for preload in ("", PASS, PRELOAD))
    record(COST, "start of /bin/true preloaded, over bare", ratios(bare, limited), "")
    record(COST, "start of /bin/true preloaded, over the pass-through", ratios(passed, limited), "<= 1.03")


def supervise():
    """A connection that is accepted and closed, under a supervisor and bare: CPU of the daemon and of who supervises it."""
    number = 5120

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

    pairs = alternate(accepted, lambda: accepted(CONNLIMIT, "run", "--way=supervise", "--per-ip=1000000", "--"))
    record(COST, "CPU of a connection accepted and closed, supervised, more than bare", [b - a for a, b in pairs], "<= 40", "us")


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
    """Server CPU for a request with Connection: close."""
    before = sum(cpu_ns(pid) for pid in pids)
    subprocess.run(["ab", "-q", "-n", str(number), "-c", "20", f"http://127.0.0.1:{port}/"], capture_output=True, check=True)
    return (sum(cpu_ns(pid) for pid in pids) - before) / number


def web():
    port, limited, by_http, by_stream, behind, by_haproxy = (free_port() for _ in range(6))
    bare = nginx("bare", port)
    zone = "limit_conn_zone $binary_remote_addr zone=per:10m;"
    limit_conn = f"{zone} server {{ listen {by_stream} backlog=4096; limit_conn per 60000; proxy_pass 127.0.0.1:{behind}; }}"
    compare(port, [bare.pid], {
        "nginx + connlimit": (limited, [nginx("connlimit", limited, preload=PRELOAD).pid]),
        "nginx + limit_conn (http)": (by_http, [nginx("limit_conn", by_http, zone, "limit_conn per 60000;").pid]),
        "nginx + limit_conn (stream, in front of http)": (by_stream, [nginx("stream", by_stream, behind=behind, stream=limit_conn).pid]),
        "nginx behind haproxy with a src_conn_cur stick table": (by_haproxy, [haproxy("haproxy", by_haproxy, port).pid, bare.pid]),
    })
    port, limited = free_port(), free_port()
    bare = nginx("one", port, at="127.0.0.1:")
    compare(port, [bare.pid], {"nginx + connlimit, listening on one address":
                               (limited, [nginx("one_limited", limited, preload=PRELOAD, at="127.0.0.1:").pid])})


def compare(port, pids, others):
    for name, other in others.items():
        record(COST, f"{name}: server CPU a request over bare (Connection: close)", ratios(lambda: requests(port, pids), lambda o=other: requests(*o)),
               "<= 1.01" if "connlimit" in name else "", top=name == "nginx + connlimit" or "haproxy" in name)


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
        record(COST, f"nftables ct count, {held} clients held: CPU of both sides over bare",
               ratios(lambda: cost(7721, bare.pid, False), lambda: cost(7721, bare.pid, True)), top=held == 1000)
        record(COST, f"nginx + connlimit, {held} clients held: CPU of both sides over bare",
               ratios(lambda: cost(7721, bare.pid, False), lambda: cost(7722, limited.pid, False)), "<= 1.01")
        for holder in holders:
            holder.kill()
            holder.wait()
    stop(bare)
    stop(limited)


def both(name, what, goal, started, work, top=False, settle=0.0, seconds=SECONDS):
    """A daemon bare and one under connlimit, side by side: the CPU of the same work in one over the other."""
    servers = {}
    bare, limited = free_port(), free_port()
    for port, preload in ((bare, None), (limited, PRELOAD)):
        servers[port] = started(port, preload)
        wait_port(port)

    def cost(port):
        before = cpu_ns(servers[port].pid)
        work(port)
        time.sleep(settle)  # until children have ended
        return cpu_ns(servers[port].pid) - before

    for port in servers:
        cost(port)
    record(COST, f"{name} + connlimit: CPU of {what} over bare", ratios(lambda: cost(bare), lambda: cost(limited), seconds=seconds), goal, top=top)
    return servers.values()


def redis():
    for server in both(
            "Redis", "a connect, PING and disconnect", "<= 1.01",
            lambda port, preload: start(["redis-server", "--port", str(port), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"], preload),
            lambda port: run(["redis-benchmark", "-p", str(port), "-n", "5000", "-c", "20", "-k", "0", "-q", "-t", "ping_mbulk"])):
        stop(server)


def postgres():
    binaries = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
    script = f"{TMP}/select.sql"
    with open(script, "w", encoding="ascii") as sql:
        sql.write("select 1;\n")

    def started(port, preload):
        data = f"{TMP}/pg{port}"
        os.makedirs(data)
        shutil.chown(data, "postgres")
        as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        run([*as_postgres, f"{binaries}/initdb", "-D", data, "-A", "trust", "--no-sync"])
        server = start([*as_postgres, f"{binaries}/postgres", "-D", data, "-p", str(port), "-c", "listen_addresses=127.0.0.1",
                        "-c", f"unix_socket_directories={data}"], preload)
        wait_port(port)
        while subprocess.run([f"{binaries}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False).returncode:
            time.sleep(0.1)
        return server

    def work(port):
        run([f"{binaries}/pgbench", "-n", "-C", "-c", "4", "-t", "100", "-f", script, "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "postgres"])

    for server in both("PostgreSQL", "a connect, select and disconnect", "<= 1.01", started, work, top=True, settle=0.1):
        server.send_signal(signal.SIGINT)
        stop(server)


def sessions(port, number, greeting, said, answer):
    """Sessions one after another: what the server says first, what is said to it, and what it answers."""
    for _ in range(number):
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            file = client.makefile("rb")
            if greeting:
                assert file.readline().startswith(greeting)
            client.sendall(said)
            assert file.readline().startswith(answer)
            client.shutdown(socket.SHUT_WR)
            file.read()


def vsftpd():
    os.makedirs(f"{TMP}/ftp/empty", exist_ok=True)

    def started(port, preload):
        path = f"{TMP}/vsftpd{port}.conf"
        with open(path, "w", encoding="ascii") as conf:
            conf.write(f"listen=YES\nlisten_address=127.0.0.1\nlisten_port={port}\nbackground=NO\nanonymous_enable=YES\nlocal_enable=NO\n"
                       f"anon_root={TMP}/ftp\nsecure_chroot_dir={TMP}/ftp/empty\nvsftpd_log_file={TMP}/ftp.log\n")
        return start(["vsftpd", path], preload)

    for server in both("vsftpd", "a connect, greeting and QUIT", "<= 1.01", started, lambda port: sessions(port, 100, b"220", b"QUIT\r\n", b"221"),
                       settle=0.1):
        stop(server)


def socat():
    def started(port, preload):
        return start(["socat", f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,backlog=128", "PIPE"], preload)

    for server in both("socat TCP-LISTEN,fork", "a connect and an echo", "<= 1.03", started, lambda port: sessions(port, 500, None, b"a line\n", b"a"),
                       settle=0.1):
        stop(server)


def openssh():
    here = f"{TMP}/ssh"
    os.makedirs(here)
    os.makedirs("/run/sshd", exist_ok=True)
    for key in ("host", "key"):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{here}/{key}"])

    def started(port, preload):
        path = f"{here}/config{port}"
        with open(path, "w", encoding="ascii") as conf:
            conf.write(f"Port {port}\nListenAddress 127.0.0.1\nHostKey {here}/host\nPidFile {here}/pid{port}\nAuthorizedKeysFile {here}/key.pub\n"
                       "PermitRootLogin yes\nPasswordAuthentication no\nStrictModes no\nMaxStartups 1000\nUsePAM no\nPrintMotd no\nPrintLastLog no\n")
        return start(["/usr/sbin/sshd", "-D", "-f", path, "-E", f"{here}/log"], preload)

    def work(port):
        for _ in range(6):
            run(["ssh", "-F", "none", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR",
                 "-o", "UserKnownHostsFile=/dev/null", "-i", f"{here}/key", "-p", str(port), "root@127.0.0.1", "true"])

    for server in both("OpenSSH", "a login that runs true", "<= 1.01", started, work, settle=0.1, seconds=2 * SECONDS):
        stop(server)


SECTIONS = (syscalls, instructions, calls, process, supervise, web, nftables, redis, postgres, vsftpd, openssh, socat)
