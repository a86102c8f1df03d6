"""What every section measures with: programs started bare or preloaded, their CPU, and figures taken in alternating pairs."""
import glob
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import tempfile
import time

BUILD = os.environ["BUILD"]
OUT = os.environ["OUT"]
PAIRS = int(os.environ.get("PAIRS", "9"))
PRELOAD = f"{BUILD}/libconnlimit_preload.so"
PASS = f"{BUILD}/tests/libpassthrough.so"
CONNLIMIT = f"{BUILD}/connlimit"
TMP = tempfile.mkdtemp(prefix="connlimit-bench.")
os.chmod(TMP, 0o755)
SECONDS = float(os.environ.get("SECONDS_EACH", "8"))  # a figure gets fewer pairs rather than more time

# What an operator asks; the report is in this order.
COST = "What does it cost?"
ATTACK = "What does an attack cost?"
GROWTH = "How does it grow?"
QUESTIONS = (COST, ATTACK, GROWTH)

rows = []
children = []


class NotHere(Exception):
    """What is measured is not to be had on this machine."""


def program(name):
    return f"{BUILD}/tests/bench_{name}"


def met(median, goal):
    """Whether a figure meets its goal: "<= 1.01", "< 1", ">= 10" or "64 .. 96". True without one."""
    if not goal:
        return True
    between = re.fullmatch(r"([\d.]+) \.\. ([\d.]+)", goal)
    if between:
        return float(between.group(1)) <= median <= float(between.group(2))
    sign, number = goal.split()
    return {"<=": median <= float(number), "<": median < float(number), ">=": median >= float(number)}[sign]


def record(question, what, values, goal="", unit="x", top=False):
    """Keeps a figure. Those that are `top` are shown in the README at the top as well."""
    values = sorted(values)
    low, high = values[len(values) // 4], values[(3 * len(values)) // 4]
    row = {"question": question, "what": what, "median": round(statistics.median(values), 3), "low": round(low, 3), "high": round(high, 3),
           "unit": unit, "runs": len(values), "goal": goal, "top": "yes" if top else ""}
    rows.append(row)
    mark = "" if met(row["median"], goal) else "  MISSED"
    print(f"{what:80} {row['median']:9g} {unit:12} ({row['low']:g} .. {row['high']:g}, {row['runs']})  {goal}{mark}", flush=True)


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


def numbers(text):
    return [float(word) for word in text.split()]


def alternate(first, second, pairs=PAIRS, seconds=SECONDS):
    """Runs two things in alternating order and gives their results in pairs: three of them, then more while there is time."""
    results = []
    until = time.monotonic() + seconds
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


def ratios(first, second, **how):
    return [b / a for a, b in alternate(first, second, **how)]


# ---- programs ----


def free_port():
    """Below the range that clients are given (32768 and on), where a connection of anyone's might be."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
                return port
            except OSError:
                pass


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


def scheduled_ns(pid):
    """CPU of a process's threads, as the scheduler counts it. What the network does behind a system call of theirs is in it."""
    total = 0
    for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        try:
            total += int(open(path, encoding="ascii").read().split()[0])
        except OSError:
            pass
    return total


def cpu_ns(pid):
    """CPU of a process and of its descendants that still live, as the scheduler counts it, and of its ended children, in ticks."""
    total = 0
    for p in family(pid):
        total += scheduled_ns(p)
        try:
            fields = open(f"/proc/{p}/stat", encoding="ascii").read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += (int(fields[13]) + int(fields[14])) * (10**9 // os.sysconf("SC_CLK_TCK"))
    return total
