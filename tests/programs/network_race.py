"""Many clients of one network, several workers that die: python3 network_race.py PORT WORKERS | python3 network_race.py run PORT ROUNDS.

A server whose workers accept, say their pid and hold what they accepted until they are killed. In each round as many connections
as the network may have, from clients that each have as many as a client may, come at once: all are to be served. More from the
same network are not, and the kernel never has more. Then whoever holds them is killed, and the next round's clients are others
of the same network.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time

OF_CLIENT, OF_NETWORK = 3, 12


def worker(listener):
    if os.fork():
        return
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: who ends the server may have ended its workers before
    held = []
    while True:
        connection = listener.accept()[0]
        try:
            connection.sendall(b"%d " % os.getpid())
            held.append(connection)
        except OSError:  # one that is refused, where no other waits
            connection.close()


def serve(port, workers):
    listener = socket.create_server(("127.0.0.1", port), backlog=128)
    for _ in range(workers):
        worker(listener)
    while True:
        os.wait()
        worker(listener)


def connect(port, address):
    client = socket.socket()
    client.settimeout(20)
    client.bind((address, 0))
    try:
        client.connect(("127.0.0.1", port))
    except OSError:
        pass
    return client


def pid_of(client):
    try:
        return int(client.recv(100) or b"0")
    except OSError:
        return 0


def kernel_has(port):
    words = ["ss", "-Htn", "state", "established", "state", "close-wait", f"sport = :{port}"]
    return len(subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines())


def run(port, rounds):
    refused = over = 0
    for n in range(rounds):
        addresses = [f"127.9.1.{1 + (n * 4 + i) % 250}" for i in range(OF_NETWORK // OF_CLIENT)]
        clients = [connect(port, a) for _ in range(OF_CLIENT) for a in addresses]
        pids = [pid_of(c) for c in clients]
        refused += pids.count(0)
        more = [connect(port, a) for a in ("127.9.1.253", addresses[0])]
        over += sum(pid_of(c) != 0 for c in more) if 0 not in pids else 0
        over += kernel_has(port) > OF_NETWORK
        for pid in set(pids) - {0}:
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while (kernel_has(port) or any(os.path.exists(f"/proc/{pid}") for pid in set(pids) - {0})) and time.monotonic() < deadline:
            time.sleep(0.02)
        for c in clients + more:
            c.close()
    print(f"{rounds} rounds: {refused} refused though there was room, {over} over the limit")
    return refused + over


if sys.argv[1] == "run":
    sys.exit(run(int(sys.argv[2]), int(sys.argv[3])) != 0)
serve(int(sys.argv[1]), int(sys.argv[2]))
