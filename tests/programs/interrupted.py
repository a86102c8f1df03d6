"""A server that waits in poll(2), then accepts, every second time with SOCK_NONBLOCK, and its client: interrupted.py KIND N.

A signal interrupts the server 1400 times a second.

KIND  ipv4, dual, ipv6, deferred (tcp(7), TCP_DEFER_ACCEPT), unix, path (a Unix socket in the file system), namespace (in a network
      namespace of its own)
N     times the client connects and asks, one after the other

Prints how many were answered within five seconds; after three that were not it ends.
"""

import ctypes
import os
import signal
import socket
import sys
import tempfile

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


class Pollfd(ctypes.Structure):
    _fields_ = [("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short)]


def listen(kind):
    if kind == "unix":
        s = socket.socket(socket.AF_UNIX)
        s.bind("")  # unix(7), autobind
    elif kind == "path":
        s = socket.socket(socket.AF_UNIX)
        s.bind(os.path.join(tempfile.mkdtemp(), "s"))
    elif kind in ("dual", "ipv6"):
        s = socket.socket(socket.AF_INET6)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, kind == "ipv6")
        s.bind(("::1" if kind == "ipv6" else "::", 0))
    else:
        s = socket.socket()
        s.bind(("", 0))
    if kind == "deferred":
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)
    s.listen()
    name = s.getsockname()
    return s, ("127.0.0.2", name[1]) if s.family == socket.AF_INET or kind == "dual" else name


def ask(to, times):
    family = socket.AF_UNIX if not isinstance(to, tuple) else socket.AF_INET if "." in to[0] else socket.AF_INET6
    answered = failed = 0
    while answered < times and failed < 3:
        with socket.socket(family) as s:
            s.settimeout(5)
            try:
                s.connect(to)
                s.sendall(b"?")
                answered += s.recv(10) == b"!"
            except OSError as e:
                print(repr(e), file=sys.stderr)
                failed += 1
    print(answered, flush=True)


def serve(listener, client):
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.siginterrupt(signal.SIGALRM, True)
    signal.setitimer(signal.ITIMER_REAL, 0.0007, 0.0007)
    flags = 0
    while os.waitpid(client, os.WNOHANG)[0] == 0:
        ready = Pollfd(listener.fileno(), 1, 0)
        if libc.poll(ctypes.byref(ready), 1, 100) != 1:
            continue
        flags ^= os.O_NONBLOCK  # SOCK_NONBLOCK
        connection = libc.accept4(listener.fileno(), None, None, flags)
        if connection < 0:
            if ctypes.get_errno() != 4:  # EINTR
                print("accept:", os.strerror(ctypes.get_errno()), file=sys.stderr)
            continue
        if os.get_blocking(connection) != (flags == 0):
            sys.exit("blocks, or does not, as another call asked")
        with socket.socket(fileno=connection) as s:
            s.setblocking(True)
            if s.recv(1) == b"?":
                s.sendall(b"!")


kind, times = sys.argv[1], int(sys.argv[2])
if kind == "namespace":
    if libc.unshare(CLONE_NEWNET) != 0 or os.system("ip link set lo up") != 0:
        sys.exit("no network namespace")
listener, to = listen(kind)
client = os.fork()
if client == 0:
    ask(to, times)
    os._exit(0)
serve(listener, client)
signal.setitimer(signal.ITIMER_REAL, 0)
