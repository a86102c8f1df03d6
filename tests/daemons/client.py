"""A client that speaks a daemon's protocol: python3 client.py PROTOCOL PORT, then commands on standard input, one answer a line.

open ADDRESS       connects from there and asks for service: served, refused (reset or closed before any service), or silent (nothing
                   within twenty seconds); a connection that is served is kept
close ADDRESS      ends the oldest one kept from there as the protocol has it, and waits until no process has a descriptor of the
                   daemon's side any more: closed, lingers (not within ten seconds), or none
rounds ADDRESS N   open and close, N times: how often it was served and closed
many ADDRESS N     opens up to N and keeps them: how many were served
reset ADDRESS      connects and resets at once, as a port scan does: done
behind FULL N      milliseconds that a new client waits to be served, N times alone and N times right behind one of FULL that is
                   refused: by how much the median of the latter is longer; "none" where not all went so
drop               closes whatever is kept, without a word: dropped
alive              how many of those kept the daemon has not closed
"""

import glob
import itertools
import os
import resource
import select
import socket
import ssl
import statistics
import struct
import subprocess
import sys
import time

PATIENCE = 20


class Refused(Exception):
    pass


def until(s, mark):
    """Reads until mark was seen; a connection that ends before was refused."""
    got = b""
    while mark not in got:
        more = s.recv(65536)
        if not more:
            raise Refused
        got += more
    return got


def say(s, line, mark):
    s.sendall(line)
    until(s, mark)


# Each protocol: a greeting that ends with proof of service, and a farewell that has the daemon close.


def http(s):
    say(s, b"GET / HTTP/1.1\r\nHost: test\r\n\r\n", b"hello")


def prometheus(s):
    say(s, b"GET /-/healthy HTTP/1.1\r\nHost: test\r\n\r\n", b"Healthy")


def etcd(s):
    say(s, b"GET /health HTTP/1.1\r\nHost: test\r\n\r\n", b'"health"')


def echo(s):
    say(s, b"hello\n", b"hello\n")


def redis(s):
    say(s, b"PING\r\n", b"+PONG\r\n")


def memcached(s):
    say(s, b"version\r\n", b"VERSION ")


def ftp(s):
    until(s, b"220 ")
    say(s, b"USER anonymous\r\n", b"331 ")
    say(s, b"PASS guest\r\n", b"230 ")


def imap(s):
    until(s, b"* OK")
    say(s, b"a login user password\r\n", b"a OK")


def smtp(s):
    until(s, b"220 ")
    say(s, b"EHLO test\r\n", b"250 ")


def banner(s):
    until(s, b"SSH-2.0-")


def xmpp(s):
    say(
        s,
        b"<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' "
        b"xmlns:stream='http://etherx.jabber.org/streams'>",
        b"</stream:features>",
    )


def irc(s):
    nick = b"n%d" % next(serial)
    say(s, b"NICK %s\r\nUSER %s 0 * :someone\r\n" % (nick, nick), b" 001 ")


def rsync(s):
    until(s, b"@RSYNCD: ")


def socks(s):
    say(s, b"\5\1\0", b"\5\0")


def tls(s):
    """A handshake, and no more: what follows is the kernel's business, not the library's."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = ssl._create_unverified_context().wrap_bio(incoming, outgoing)
    while True:
        try:
            session.do_handshake()
            s.sendall(outgoing.read())
            return
        except ssl.SSLWantReadError:
            s.sendall(outgoing.read())
            more = s.recv(65536)
            if not more:
                raise Refused from None
            incoming.write(more)


def postgres(s):
    startup = b"user\0postgres\0database\0postgres\0\0"
    s.sendall(struct.pack("!II", 8 + len(startup), 196608) + startup)
    got = b""
    while True:
        while len(got) < 5 or len(got) < 1 + struct.unpack("!I", got[1:5])[0]:
            more = s.recv(65536)
            if not more:
                raise Refused
            got += more
        kind, got = got[:1], got[1 + struct.unpack("!I", got[1:5])[0] :]
        if kind == b"E":
            raise Refused
        if kind == b"Z":  # ready for query
            return


def dns(s):
    question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x05hello\x04test\x00\x00\x01\x00\x01"
    say(s, struct.pack("!H", len(question)) + question, bytes((192, 0, 2, 1)))


def fastcgi(s):
    """One request on a connection that is to be kept (FCGI_KEEP_CONN)."""

    def record(kind, content):
        return struct.pack("!BBHHBx", 1, kind, 1, len(content), 0) + content

    values = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "/ping", "SCRIPT_FILENAME": "/ping"}
    parameters = b"".join(bytes((len(name), len(value))) + (name + value).encode() for name, value in values.items())
    begin = record(1, struct.pack("!HB5x", 1, 1))
    say(s, begin + record(4, parameters) + record(4, b"") + record(5, b""), b"hello")


FAREWELL = {
    "ftp": b"QUIT\r\n",
    "imap": b"b logout\r\n",
    "memcached": b"quit\r\n",
    "postgres": b"X\0\0\0\4",
    "redis": b"QUIT\r\n",
    "smtp": b"QUIT\r\n",
    "xmpp": b"</stream:stream>",
}
GREETING = {f.__name__: f for f in (dns, fastcgi, http, prometheus, etcd, echo, redis, memcached, ftp, imap, irc, banner, postgres, rsync, smtp, socks, tls, xmpp)}
serial = itertools.count()


# sock_diag(7): one connection, looked up from the daemon's side.
netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4)  # NETLINK_SOCK_DIAG


def daemon_side(local, peer):
    """Its state and inode; TCP_CLOSE and 0 if the kernel does not find it."""
    family = socket.AF_INET6 if ":" in peer[0] else socket.AF_INET
    address = [socket.inet_pton(family, where[0]).ljust(16, b"\0") for where in (local, peer)]
    request = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF)
    request += struct.pack("!HH", local[1], peer[1]) + address[0] + address[1] + struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
    netlink.send(struct.pack("=IHHII", 16 + len(request), 20, 1, 1, 0) + request)
    reply = netlink.recv(65536)
    if struct.unpack_from("=H", reply, 4)[0] != 20:
        return 7, 0
    return reply[17], struct.unpack_from("=I", reply, 84)[0]


def held(local, peer):
    """Whether the kernel has the connection, and a process a descriptor for it."""
    state, inode = daemon_side(local, peer)
    return inode != 0 and state not in (6, 7, 10)  # TIME_WAIT, CLOSE, LISTEN


def over(ask):
    """Whether what `ask` says is over within ten seconds."""
    end = time.monotonic() + 10
    while ask():
        if time.monotonic() > end:
            return False
        time.sleep(0.0005)
    return True


def gone(local, peer):
    return over(lambda: held(local, peer))


def has_descriptor(inode):
    """Whether a process has one. A daemon that shuts down a connection and then closes it has one for a moment after the kernel does not
    find it any more."""
    for path in glob.iglob("/proc/[0-9]*/fd/*"):
        try:
            if os.readlink(path) == f"socket:[{inode}]":
                return True
        except OSError:
            pass
    return False


def end_wholly(connection):
    """Ends it, and waits until the daemon has closed it."""
    inode = daemon_side(*connection.ends())[1]
    return connection.end() and (inode == 0 or over(lambda: has_descriptor(inode)))


class Stream:
    def __init__(self, address):
        self.s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        self.s.settimeout(PATIENCE)
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self.s.bind((address, 0))
            self.s.connect(("::1" if ":" in address else "127.0.0.1", port))
            GREETING[protocol](self.s)
        except BaseException:
            self.s.close()
            raise

    def ends(self):
        return self.s.getpeername()[:2], self.s.getsockname()[:2]

    def end(self):
        local, peer = self.ends()
        try:
            if protocol in FAREWELL:
                self.s.sendall(FAREWELL[protocol])
            else:
                self.s.shutdown(socket.SHUT_WR)
            while self.s.recv(65536):
                pass
        except OSError:
            pass
        self.s.close()
        return gone(local, peer)

    def drop(self):
        self.s.close()

    def alive(self):
        ready, _, _ = select.select([self.s], [], [], 0)
        try:
            return not ready or bool(self.s.recv(1, socket.MSG_PEEK))
        except OSError:
            return False


class Login:
    """A real ssh with a real login: SSH_LOGIN has its arguments."""

    def __init__(self, address):
        command = ["ssh", "-b", address, "-p", str(port), *os.environ["SSH_LOGIN"].split(), "echo served $SSH_CONNECTION; exec cat"]
        self.p = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        ready, _, _ = select.select([self.p.stdout], [], [], PATIENCE)
        words = self.p.stdout.readline().split() if ready else []
        if len(words) != 5:
            self.drop()
            if not ready:
                raise TimeoutError
            raise Refused
        self.peer = (words[1].decode(), int(words[2]))
        self.local = (words[3].decode(), int(words[4]))

    def ends(self):
        return self.local, self.peer

    def end(self):
        self.p.stdin.close()
        self.p.wait()
        return gone(*self.ends())

    def drop(self):
        self.p.kill()
        self.p.wait()

    def alive(self):
        return self.p.poll() is None


def attempt(address):
    try:
        return (Login if protocol == "ssh" else Stream)(address), "served"
    except TimeoutError:
        return None, "silent"
    except (OSError, Refused):
        return None, "refused"


def reset(address):
    s = socket.socket()
    try:
        s.bind((address, 0))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.connect(("127.0.0.1", port))
    except OSError:
        pass
    s.close()


def served_after():
    address = f"127.0.1.{next(serial) % 250 + 1}"
    began = time.monotonic()
    connection, _ = attempt(address)
    took = time.monotonic() - began
    if connection:
        connection.end()
    return took * 1000 if connection else None


def behind(full, times):
    alone, after, answers = [], [], []
    for _ in range(times):
        alone.append(served_after())
        connection, answer = attempt(full)
        answers.append(answer)
        if connection:
            connection.drop()
        after.append(served_after() if answer == "refused" else None)
    if None in alone + after:
        print("ms alone:", alone, "answers:", answers, "ms after them:", after, file=sys.stderr)
        return "none"
    return round(statistics.median(after) - statistics.median(alone))


resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
protocol, port = sys.argv[1], int(sys.argv[2])
kept = {}
for line in sys.stdin:
    word, *rest = line.split()
    if word == "open":
        connection, answer = attempt(rest[0])
        if connection:
            kept.setdefault(rest[0], []).append(connection)
    elif word == "close":
        mine = kept.get(rest[0])
        answer = "none" if not mine else "closed" if end_wholly(mine.pop(0)) else "lingers"
    elif word == "rounds":
        answer = 0
        for _ in range(int(rest[1])):
            connection, _ = attempt(rest[0])
            if connection and connection.end():
                answer += 1
    elif word == "many":
        answer = 0
        while answer < int(rest[1]):
            connection, _ = attempt(rest[0])
            if not connection:
                break
            kept.setdefault(rest[0], []).append(connection)
            answer += 1
    elif word == "reset":
        reset(rest[0])
        answer = "done"
    elif word == "behind":
        answer = behind(rest[0], int(rest[1]))
    elif word == "drop":
        for mine in kept.values():
            for connection in mine:
                connection.drop()
        kept = {}
        answer = "dropped"
    elif word == "alive":
        answer = sum(connection.alive() for mine in kept.values() for connection in mine)
    print(answer, flush=True)
