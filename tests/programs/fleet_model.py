"""A fleet is right again within 10 s, whatever was done to what it keeps in Redis: fleet_model.py SEED ROUNDS [NODES]

Nodes are tables of tests/programs/fleet_node.c with a real `connlimit sync` each. In each round they open and close at random, while keys,
fields and entries are deleted, counts overwritten, keys made something else or evicted, Redis emptied, restarted, brought back to an older
state, stopped, made a replica, full, its clock set by hours, and sidecars killed, stopped and started anew. Then nothing is done any more: Redis's totals must become the sum of the tables, `near` those of them at half the limit, and
what each table is told of the others the rest. Prints how long that took."""

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time

seed, rounds, nodes = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 3
build = os.environ["BUILD"]
server = os.environ.get("REDIS_SERVER", "redis-server")
chance = random.Random(seed)
CLIENTS, LIMIT, MOST, PREFIX = 40, 20, 14, "connlimit:{model}:"
LEASE = int(os.environ.get("LEASE", "400"))


class Redis:
    def __init__(self):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.directory = tempfile.mkdtemp()
        self.clock = os.path.join(self.directory, "clock")
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [server, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self.directory],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "LD_PRELOAD": f"{build}/tests/other_clock.so", "OTHER_CLOCK": self.clock})
        for _ in range(200):
            try:
                self.socket = socket.create_connection(("127.0.0.1", self.port))
                self.file = self.socket.makefile("rb")
                if self.do("PING") == b"PONG":
                    return
            except OSError:
                time.sleep(0.05)
        sys.exit("redis-server does not start")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def do(self, *arguments):
        parts = [part if isinstance(part, bytes) else str(part).encode() for part in arguments]
        self.socket.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
        return self.reply()

    def reply(self):
        line = self.file.readline()
        if not line:
            raise OSError("closed")
        kind, rest = line[:1], line[1:-2]
        if kind in b"+-":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        return [self.reply() for _ in range(int(rest))] if rest != b"-1" else None


class Node:
    def __init__(self, number):
        self.name = f"model-{os.getpid()}-{number}"
        self.number = number
        self.table = subprocess.Popen([f"{build}/tests/fleet_node", self.name, str(LIMIT)], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)
        self.log = open(os.path.join(redis.directory, f"sync{number}"), "w+")
        self.sidecar = None
        self.start()

    def start(self):
        self.sidecar = subprocess.Popen(
            [f"{build}/connlimit", "sync", "--redis", f"redis://127.0.0.1:{redis.port}", "--cluster", "model", "--node", f"n{self.number}",
             "--table", self.name, "--interval", "20", "--lease", str(LEASE)], stderr=self.log)

    def kill(self):
        self.sidecar.kill()
        self.sidecar.wait()

    def do(self, what, client):
        self.table.stdin.write(f"{what} {client}\n")
        self.table.stdin.flush()
        return int(self.table.stdout.readline())


def key_of(client):
    return bytes(10) + b"\xff\xff\xc6\x12" + bytes((client >> 8, client & 255)) + b"\x80"


def some_key(kind=None):
    keys = [key for key in redis.do("KEYS", PREFIX + "*") if kind is None or redis.do("TYPE", key) == kind]
    return chance.choice(sorted(keys)) if keys else None


def delete_key():
    if key := some_key():
        redis.do("DEL", key)


def delete_kind():
    kind = chance.choice(["node:n0:", "node:n1:", "totals:", "near:", "leases", "incarnations", "thresholds", "clock", "compared", "changes"])
    for key in redis.do("KEYS", PREFIX + kind + "*"):
        redis.do("DEL", key)


def change_field():
    key = some_key(b"hash")
    if key and b":node:" in key or key and b":totals:" in key or key and b":near:" in key:
        client = key_of(chance.randrange(CLIENTS))
        fields = redis.do("HKEYS", key)
        if fields and chance.random() < 0.5:
            redis.do("HDEL", key, chance.choice(fields))
        else:
            redis.do("HSET", key, chance.choice(fields + [client]), chance.choice(["1", "7", "-3", "999", "many"]))


def change_type():
    if key := some_key():
        redis.do("DEL", key)
        redis.do(*chance.choice([("SET", key, "something else"), ("RPUSH", key, "else"), ("HSET", key, "some", "thing")]))


def delete_news():
    if redis.do("TYPE", PREFIX + "changes") == b"stream":
        for number, _ in redis.do("XREVRANGE", PREFIX + "changes", "+", "-", "COUNT", 2):
            redis.do("XDEL", PREFIX + "changes", number)


def restart_redis():
    redis.kill()
    redis.start()


def restore():
    redis.do("SAVE")
    for _ in range(20):
        act()
    restart_redis()


def kill_sidecar():
    node = chance.choice(fleet)
    node.kill()
    if chance.random() < 0.3:
        time.sleep(2 * LEASE / 1000)  # the others forget it
    node.start()


def stop_sidecar():
    node = chance.choice(fleet)
    node.sidecar.send_signal(signal.SIGSTOP)
    time.sleep(chance.choice([0.1, 2 * LEASE / 1000]))
    node.sidecar.send_signal(signal.SIGCONT)


def evict():
    redis.do("CONFIG", "SET", "maxmemory-policy", chance.choice(["allkeys-random", "allkeys-lru"]))
    used = int(next(line for line in redis.do("INFO", "memory").split() if line.startswith(b"used_memory:"))[12:])
    redis.do("CONFIG", "SET", "maxmemory", used + 20000)
    for number in range(100):
        redis.do("SET", f"other:{number}", "x" * 1000)
    redis.do("CONFIG", "SET", "maxmemory", 0)
    for number in range(100):
        redis.do("DEL", f"other:{number}")


def refuse_writes():
    how = chance.choice([("CONFIG", "SET", "maxmemory", 1, 0), ("REPLICAOF", "127.0.0.1", 1)])
    redis.do("CONFIG", "SET", "maxmemory-policy", "noeviction")
    redis.do(*how[:4])
    for _ in range(20):
        act()
    time.sleep(chance.choice([0.05, 2 * LEASE / 1000]))
    redis.do(*(how[:3] + how[4:] if how[0] == "CONFIG" else ("REPLICAOF", "NO", "ONE")))


def stop_redis():
    redis.process.send_signal(signal.SIGSTOP)
    for _ in range(20):
        act()
    time.sleep(chance.choice([0.05, 2 * LEASE / 1000]))
    redis.process.send_signal(signal.SIGCONT)


def set_clock():
    with open(redis.clock + ".new", "w") as file:
        file.write(str(chance.choice([-36000, -3600, 0, 3600, 36000])))
    os.rename(redis.clock + ".new", redis.clock)


def act():
    client, node = chance.randrange(CLIENTS), chance.choice(fleet)
    if chance.random() < 0.55:
        if sum(one.do("count", client) for one in fleet) < MOST:
            node.do("admit", client)
    else:
        node.do("drop", client)


DISTURBANCES = [delete_key] * 12 + [delete_kind] * 6 + [change_field] * 8 + [change_type] * 6 + [delete_news, evict] * 2 + [
    refuse_writes, refuse_writes, stop_redis, set_clock, set_clock,
    lambda: redis.do("FLUSHALL"), lambda: redis.do("SCRIPT", "FLUSH"), restart_redis, restore, kill_sidecar, kill_sidecar, stop_sidecar]


def hashes(what):
    found = {}
    for key in redis.do("KEYS", f"{PREFIX}{what}:*"):
        pairs = redis.do("HGETALL", key)
        if not isinstance(pairs, list):
            return {key: pairs}
        found.update(zip(pairs[::2], (int(number) if number.isdigit() else -1 for number in pairs[1::2])))
    return found


def wrong():
    """What is not as it should be; empty if nothing."""
    held = {client: [node.do("count", client) for node in fleet] for client in range(CLIENTS)}
    totals = {key_of(client): sum(counts) for client, counts in held.items() if sum(counts)}
    if (is_now := hashes("totals")) != totals:
        return f"totals: {sorted(set(is_now.items()) ^ set(totals.items()))}"
    near = {key: total for key, total in totals.items() if total >= LIMIT // 2}
    if (is_now := hashes("near")) != near:
        return f"near: {sorted(set(is_now.items()) ^ set(near.items()))}"
    for client, counts in held.items():
        total = sum(counts) if sum(counts) >= LIMIT // 2 else 0
        for node, own in zip(fleet, counts):
            if (remote := node.do("remote", client)) != (total - own if total else 0):
                return f"client {client}, of whom there are {counts}: {node.name} is told {remote}"
    return ""


redis = Redis()
fleet = [Node(number) for number in range(nodes)]
try:
    slowest = 0
    for turn in range(rounds):
        done = []
        for _ in range(200):
            act()
            if chance.random() < 0.08:
                disturbance = chance.choice(DISTURBANCES)
                done.append(disturbance.__name__)
                disturbance()
            time.sleep(chance.choice([0, 0, 0.002, 0.01]))
        began = time.monotonic()
        while amiss := wrong():
            if time.monotonic() - began > 10:
                sys.exit(f"seed {seed}, round {turn}: after 10 s still {amiss}\n{done}\n" + "".join(
                    open(node.log.name).read()[-1500:] + "--\n" for node in fleet))
            time.sleep(0.05)
        slowest = max(slowest, time.monotonic() - began)
        print(f"round {turn}: {len(done)} disturbances, right after {time.monotonic() - began:.1f} s", flush=True)
    print(f"seed {seed}: right again after {slowest:.1f} s at most")
finally:
    for node in fleet:
        node.sidecar.kill()
        node.sidecar.wait()
        node.table.stdin.close()
        node.table.wait()
    redis.kill()
