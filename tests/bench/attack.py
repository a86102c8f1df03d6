"""What does an attack cost: refused connections against what people use instead, in CPU of the whole machine.

The attackers are in a network namespace of their own, behind a pair of virtual interfaces, so that their packets take the way of real
ones. Counted are the daemon, the attackers and the kernel's own threads that work off packets (ksoftirqd): what the network does behind a
system call is in the CPU of who made the call.
"""
import glob
import os
import socket
import subprocess
import time

from cost import nginx
from harness import (ATTACK, PRELOAD, SECONDS, TMP, alternate, cpu_ns, environment, free_port, numbers, program, ratios, record, run, scheduled_ns, start,
                     stop, wait_port)

SERVER, CLIENT = "10.77.0.1", "10.77.0.2"
ATTACKERS = "10.78.0.0"  # and on; all of 10.78.0.0/16 are theirs
EACH = 6000  # connections of an attack
GET = "GET / HTTP/1.0\r\n\r\n"


class Clients:
    """A network namespace for the clients, linked to ours."""

    def __init__(self):
        self.holder = subprocess.Popen(["unshare", "-n", "sleep", "3600"])
        own = os.readlink("/proc/self/ns/net")
        while os.readlink(f"/proc/{self.holder.pid}/ns/net") == own:
            time.sleep(0.01)
        for words in (f"link add s0 type veth peer name c0 netns {self.holder.pid}", f"addr add {SERVER}/24 dev s0", "link set s0 up",
                      f"route add 10.78.0.0/16 via {CLIENT}"):
            subprocess.run(["ip", *words.split()], check=True)
        for words in ("link set lo up", f"addr add {CLIENT}/24 dev c0", "link set c0 up", "route add local 10.78.0.0/16 dev lo"):
            subprocess.run(self.inside("ip", *words.split()), check=True)

    def inside(self, *command):
        return ["nsenter", "-t", str(self.holder.pid), "-n", *command]

    def end(self):
        self.holder.kill()
        self.holder.wait()


def packet_threads():
    """Kernel threads that work off packets when nobody's system call does."""
    found = []
    for path in glob.glob("/proc/[0-9]*/comm"):
        try:
            if open(path, encoding="utf-8", errors="replace").read().startswith("ksoftirqd/"):
                found.append(int(path.split("/")[2]))
        except OSError:
            pass
    return found


def attacked(clients, server, port, attackers, at_limit, request=""):
    """us of CPU, of both sides, for each connection of so many attackers, one of each at once."""
    load = subprocess.Popen(clients.inside(program("load"), "attack", ATTACKERS, str(attackers), SERVER, str(port), str(EACH), "1" if at_limit else "0",
                                           request), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(None))
    load.stdout.readline()
    threads = packet_threads()
    before = cpu_ns(server.pid) + sum(scheduled_ns(pid) for pid in threads)
    client_us = float(load.communicate("\n")[0])
    used = cpu_ns(server.pid) + sum(scheduled_ns(pid) for pid in threads) - before
    return client_us / EACH + used / 1000 / EACH


# ---- those that refuse ----


def plain(mode, preload=None, **more):
    port = free_port()
    return start([program("server"), mode, str(port)], preload, **more), port


def limited(**more):
    return plain("answer", PRELOAD, CONNLIMIT_PER_IP="1", **more)


def nginx_limited(refuse):
    port = free_port()
    return nginx(f"limited-{refuse}-{port}", port, preload=PRELOAD, CONNLIMIT_PER_IP="1", CONNLIMIT_REFUSE=refuse), port


def nginx_denies():
    port = free_port()
    stream = f"server {{ listen {port} backlog=4096; deny 10.78.0.0/16; return ok; }}"
    return nginx(f"denies-{port}", port, stream=stream, behind=free_port()), port


def nginx_limit_conn():
    """The limit is one request for all, and one is held, by a server behind it that never answers."""
    port = free_port()
    silent = socket.create_server(("127.0.0.1", 0))
    behind = silent.getsockname()[1]
    server = f"limit_conn all 1; location /held {{ proxy_read_timeout 600s; proxy_pass http://127.0.0.1:{behind}; }}"
    child = nginx(f"limit_conn-{port}", port, "limit_conn_zone $server_name zone=all:1m;", server)
    held = socket.create_connection(("127.0.0.1", port))
    held.sendall(b"GET /held HTTP/1.0\r\n\r\n")
    silent.accept()  # it has been passed on
    child.kept = (silent, held)
    return child, port


def haproxy_rejects(preload=None, **more):
    port = free_port()
    path = f"{TMP}/rejects-{port}.cfg"
    reject = "" if preload else " tcp-request connection reject if { src 10.78.0.0/16 }\n"
    with open(path, "w", encoding="ascii") as conf:
        conf.write("global\n nbthread 1\n maxconn 8000\ndefaults\n mode tcp\n timeout connect 600s\n timeout client 600s\n timeout server 600s\n"
                   f"frontend f\n bind :{port} backlog 4096\n{reject} default_backend b\nbackend b\n server s 127.0.0.1:1\n")
    child = start(["haproxy", "-f", path, "-db"], preload, **more)
    wait_port(port)
    return child, port


def refusals():
    clients = Clients()
    comparisons = (
        ("reset by connlimit, over a daemon that resets", lambda: plain("reset"), limited, "", "<= 1.02"),
        ("closed by connlimit, over a daemon that closes", lambda: plain("close"), lambda: limited(CONNLIMIT_REFUSE="close"), "", "<= 1.02"),
        ("reset by connlimit, over a daemon that closes", lambda: plain("close"), limited, "", "< 1"),
        ("closed by connlimit in nginx, over nginx stream deny", nginx_denies, lambda: nginx_limited("close"), "", "< 1"),
        ("answered 429 by connlimit in nginx, over nginx limit_conn 503", nginx_limit_conn, lambda: nginx_limited("http"), GET, "< 1"),
        ("reset by connlimit in haproxy, over haproxy reject", haproxy_rejects, lambda: haproxy_rejects(PRELOAD, CONNLIMIT_PER_IP="1"), "", "< 1"),
    )
    try:
        for what, theirs, ours, request, goal in comparisons:
            their, our = theirs(), ours()
            for port in (their[1], our[1]):
                wait_port(port)
            for attackers in (1, 64, 1000):
                record(ATTACK, f"CPU of the machine, {attackers} attackers: {what}",
                       ratios(lambda: attacked(clients, *their, attackers, False, request), lambda: attacked(clients, *our, attackers, True, request),
                              seconds=SECONDS / 2), goal, top=attackers == 64 and "deny" in what)
            for server in (their[0], our[0]):
                stop(server)
        for attackers in (1, 64, 1000):
            pairs = alternate(lambda n=attackers: latency(clients, n, None, REFUSE=ATTACKERS),
                              lambda n=attackers: latency(clients, n, PRELOAD, CONNLIMIT_PER_IP="1", CONNLIMIT_RULES=f"{CLIENT}=unlimited"))
            record(ATTACK, f"another client's p99, {attackers} attackers, over a daemon that closes theirs itself", [b / a for a, b in pairs], "<= 1.10",
                   top=attackers == 64)
    finally:
        clients.end()


def latency(clients, attackers, preload, **more):
    """us: the p99 of another client's connect, question and answer, while so many attack."""
    server, port = plain("answer", preload, **more)
    wait_port(port)
    attack = subprocess.Popen(clients.inside(program("load"), "attack", ATTACKERS, str(attackers), SERVER, str(port), "100000000", "1" if preload else "0"),
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(None))
    attack.stdout.readline()
    attack.stdin.write("\n")
    attack.stdin.flush()
    try:
        return numbers(run(clients.inside(program("load"), "ask", CLIENT, str(port), "2000", SERVER)))[1]
    finally:
        attack.kill()
        attack.wait()
        stop(server)


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
            load = subprocess.Popen([program("load"), "spread", "1", str(addresses), str(port), "50000"], text=True,
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            load.stdout.readline()
            before = checked_us(name)
            took = float(load.communicate("\n")[0])
            shares.append(100 * (checked_us(name) - before) / took)
            stop(server)
        record(ATTACK, f"CPU in checks of the kernel, {addresses} addresses at their limit attack", shares, "< 2", "%", top=addresses == 1000)


SECTIONS = (refusals, check_share)
