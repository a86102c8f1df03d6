"""A client of many addresses: python3 client.py PORT [REQUEST], then commands on standard input, one answer a line.

open ADDRESS [AT]  connects from ADDRESS (to AT, by default loopback's address of the family), sends REQUEST, and says served (bytes came), refused (reset or closed before any), or
                   silent (nothing within ten seconds); keeps the connection if it was served
close ADDRESS      closes the oldest one kept from there: closed, or none
close_last ADDRESS the newest
rounds ADDRESS N   opens, is served, closes, N times: says how often it was served
"""

import socket
import sys

port = int(sys.argv[1])
request = sys.argv[2].encode().decode("unicode_escape").encode() if len(sys.argv) > 2 else b""
kept = {}


def target(address):
    return ("::1", socket.AF_INET6) if ":" in address else ("127.0.0.1", socket.AF_INET)


def attempt(address, at=None):
    where, family = target(address)
    where = at or where
    s = socket.socket(family)
    s.settimeout(10)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        s.bind((address, 0))
        s.connect((where, port))
        if request:
            s.sendall(request)
        answer = s.recv(65536)
    except TimeoutError:
        s.close()
        return None, "silent"
    except OSError:
        s.close()
        return None, "refused"
    if not answer:
        s.close()
        return None, "refused"
    return s, "served"


for line in sys.stdin:
    word, address, *rest = line.split()
    if word == "open":
        connection, answer = attempt(address, *rest)
        if connection:
            kept.setdefault(address, []).append(connection)
        print(answer, flush=True)
    elif word == "close":
        if kept.get(address):
            kept[address].pop(0).close()
            print("closed", flush=True)
        else:
            print("none", flush=True)
    elif word == "close_last":
        if kept.get(address):
            kept[address].pop().close()
            print("closed", flush=True)
        else:
            print("none", flush=True)
    elif word == "rounds":
        served = 0
        for _ in range(int(rest[0])):
            connection, answer = attempt(address)
            if connection:
                served += 1
                connection.close()
        print(served, flush=True)
