"""How does it grow: tables with few and with many clients and connections, their memory, and commands that read them."""
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

from harness import (CONNLIMIT, GROWTH, PAIRS, PRELOAD, TMP, NotHere, cpu_ns, environment, free_port, program, ratios, record, run, start, stop,
                     wait_port)
from cost import counted

MANY = 1000000


def table():
    def ours(*arguments):
        return float(run([program("table"), *(str(argument) for argument in arguments)]))

    def cycle(clients, held):
        return ours("cycle", clients, held)

    # go-connlimit's Accept and free, as measured with Go 1.19 on another machine.
    for clients, theirs in ((1, 950), (100000, 2000)):
        record(GROWTH, f"go-connlimit's Accept+free ({theirs} ns) over admit+release, clients held: {clients}",
               [theirs / cycle(clients, clients) for _ in range(3)], ">= 10")
    for clients, held, goal in ((1000, 1000, 2), (100000, 100000, 2), (1000000, 1000000, 2.5), (1, 1000, 2), (1, 1000000, 2)):
        record(GROWTH, f"admit+release with {clients} clients and {held} connections held, over one and one",
               ratios(lambda: cycle(1, 1), lambda c=clients, h=held: cycle(c, h), pairs=max(3, PAIRS // 3)), f"<= {goal}",
               top=clients == 100000)
    # Nobody finds a client among so many without a load of a line of memory.
    for clients in (100000, 1000000):
        def floor(lines=clients):
            return ours("floor", lines)

        record(GROWTH, f"the floor: admit+release of one client and a bare load of one of {clients} lines, over without the load",
               ratios(lambda: cycle(1, 1), floor, pairs=max(3, PAIRS // 3)))
        record(GROWTH, f"admit+release with {clients} clients and {clients} connections held, over that floor",
               ratios(floor, lambda c=clients: cycle(c, c), pairs=max(3, PAIRS // 3)), "<= 1.3")
        record(GROWTH, f"closing any of {clients} connections held and admitting its client again, over one and one",
               ratios(lambda: ours("turn", 1), lambda c=clients: ours("turn", c), pairs=max(3, PAIRS // 3)))
    one = counted([program("table"), "cycle", "1", "1"], "cycle") / 1e4
    for clients, held in ((100000, 100000), (1, 100000)):
        many = counted([program("table"), "cycle", str(clients), str(held)], "cycle") / 1e4
        record(GROWTH, f"the same in instructions, {clients} clients and {held} connections", [many / one], "<= 2")
    for kind, what, goal in (("distinct", "distinct clients", ">= 1.8"), ("hot", "hot client", ">= 0.67"), ("apart", "a table for each", "")):
        record(GROWTH, f"two processes over one, {what}", [float(run([program("table"), "pair", kind])) for _ in range(3)], goal)
    record(GROWTH, "a refusal after a million refusals over one after a hundred", [float(run([program("table"), "refused"])) for _ in range(3)],
           "<= 1.05")
    for clients, goal in ((1, "<= 72"), (60000, "<= 128")):
        record(GROWTH, f"resident memory for each of 60000 connections, clients: {clients}",
               [ours("resident", clients, 60000)], goal, "bytes", top=clients > 1)
    record(GROWTH, "shared memory reserved for each connection of the capacity", [ours("size")], "<= 160", "bytes")
    port = free_port()
    server = start([program("server"), "answer", str(port)], PRELOAD)
    wait_port(port)
    record(GROWTH, "resident memory of an idle table", [resident_table(server.pid) / 1024], "< 1", "MiB")
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


class Filled:
    """A table of a million clients, each with a connection, in a process that admits one more when it is asked to."""

    def __init__(self):
        self.name = f"bench-{os.getpid()}"
        self.process = subprocess.Popen([program("table"), "fill", self.name, str(MANY), str(MANY)], text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, env=environment(None))
        if self.process.stdout.readline() != "filled\n":
            raise NotHere("no shared memory for a table of a million connections")

    def p99(self):
        """Of admissions, in ns, while half a second passes."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def read_once(*command):
    """Seconds, and MiB of the largest process, that a command takes. It is started by a small process: a large one's memory would count."""
    starter = ("import resource, subprocess, sys\n"
               "subprocess.run(sys.argv[2:], stdout=open(sys.argv[1], 'wb'), stderr=subprocess.DEVNULL, check=True)\n"
               "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")
    path = f"{TMP}/seen"
    began = time.monotonic()
    memory = float(run([sys.executable, "-c", starter, path, CONNLIMIT, *command]))
    took = time.monotonic() - began
    with open(path, encoding="utf-8") as seen:
        if not re.search(rf"(open  |open\":|connections{{.*}}) *{MANY}", seen.read(1 << 16)):
            raise NotHere(f"connlimit {' '.join(command)} does not show the table")
    return took, memory / 1024


def top_share(name, seconds=30):
    """Per cent of a CPU that `connlimit top` takes, once it shows the table."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.execv(CONNLIMIT, [CONNLIMIT, "top", name])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    shown = b""
    before = began = None
    try:
        while began is None or time.monotonic() < began + seconds:
            if select.select([terminal], [], [], 0.1)[0]:
                shown += os.read(terminal, 65536)
            if began is None and b"CLIENT" in shown:
                began, before = time.monotonic(), cpu_ns(pid)
        used = cpu_ns(pid) - before
        os.write(terminal, b"q")
        while os.read(terminal, 65536):
            pass
    except OSError:  # it has ended
        pass
    os.wait4(pid, 0)
    os.close(terminal)
    if began is None:
        raise NotHere("connlimit top does not show the table")
    return 100 * used / 1e9 / seconds


def big():
    """A million connections of a million clients: what it takes to look at them, and what that costs who admits meanwhile."""
    filled = Filled()
    try:
        for command in ("status", "status --json", "metrics"):
            took = [read_once(*command.split()) for _ in range(3)]
            record(GROWTH, f"connlimit {command}, a million connections of a million clients", [s for s, _ in took], "<= 3", "s",
                   top=command == "status")
            record(GROWTH, f"connlimit {command} there, memory of its largest process", [m for _, m in took], "<= 200", "MiB")
        record(GROWTH, "connlimit top there, of a CPU", [top_share(filled.name)], "<= 10", "%")

        def scraped():
            scrape = subprocess.Popen([CONNLIMIT, "metrics"], stdout=subprocess.DEVNULL, env=environment(None))
            took = filled.p99()
            scrape.wait()
            return took

        record(GROWTH, "p99 of an admission while metrics are read there, over one when they are not", ratios(filled.p99, scraped), "<= 1.05")
    finally:
        filled.end()


SECTIONS = (table, big)
