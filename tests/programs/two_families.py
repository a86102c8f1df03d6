"""A server on [::] and its clients in one process, under a limit of one: asserts who is refused. For a network namespace with the addresses
fd00:1::1, fd00:1::2 and fd00:2::1 on lo, and two linked interfaces, one and two, with link-local addresses."""

import socket
import subprocess
import time

server = socket.socket(socket.AF_INET6)
server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
server.bind(("::", 0))
server.listen()
port = server.getsockname()[1]
kept = []


def served(source, target):
    client = socket.socket(socket.AF_INET6 if ":" in target[0] else socket.AF_INET)
    client.bind(source)
    client.connect(target)
    accepted, _ = server.accept()
    try:
        accepted.sendall(b"x")
        good = client.recv(1) == b"x"
    except OSError:
        good = False
    if good:
        kept.append((client, accepted))
    return good


def link_local(interface):
    deadline = time.time() + 20
    while time.time() < deadline:
        shown = subprocess.run(["ip", "-6", "-o", "address", "show", "dev", interface, "scope", "link", "-tentative"],
                               capture_output=True, text=True, check=True).stdout.split()
        if shown:
            return shown[shown.index("inet6") + 1].split("/")[0]
        time.sleep(0.1)
    raise AssertionError("no link-local address")


assert served(("fd00:1::1", 0), ("fd00:1::1", port))
assert not served(("fd00:1::2", 0), ("fd00:1::1", port)), "the same /64"
assert served(("fd00:2::1", 0), ("fd00:1::1", port)), "another /64"
assert served(("127.0.0.1", 0), ("127.0.0.1", port))
assert not served(("127.0.0.1", 0), ("127.0.0.1", port)), "the same IPv4 client"
assert served(("127.0.0.2", 0), ("127.0.0.1", port)), "another IPv4 client"

one, two = link_local("one"), link_local("two")
scope = socket.if_nametoindex("one")
assert served((one, 0, 0, scope), (one, port, 0, scope)), "a link-local client"
assert not served((one, 0, 0, scope), (one, port, 0, scope)), "the same link-local client"
for client, accepted in kept:
    client.close()
    accepted.close()
assert served((one, 0, 0, scope), (one, port, 0, scope)), "after it was closed"
