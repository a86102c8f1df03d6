"""A server that speaks Redis badly, or a Sentinel that says what is in a file: python3 fake_redis.py PORT HOW [FILE]. Prints a line for each
connection."""

import socket
import sys
import threading
import time

port, how = int(sys.argv[1]), sys.argv[2]

listener = socket.create_server(("127.0.0.1", port))


def commands(data):
    """How many commands a piece of the protocol begins: all of ours are arrays."""
    return data.count(b"\r\n*") + data.startswith(b"*")


def answer(connection, data):
    if how == "garbage":
        connection.sendall(bytes(range(256)) * 40)
    elif how == "escapes":
        connection.sendall(b"-ERR \x1b[31mred\x07 \xc2\x9b2J\x9b2J \xff\xe2\x80\xae \"quoted\" and so on\r\n")
    elif how == "string":  # promised, and coming, as long as it is taken
        connection.sendall(b"$2000000000\r\n")
        while True:
            connection.sendall(b"x" * 1000000)
    elif how == "list":
        connection.sendall(b"*2000000000\r\n")
    elif how == "nested":
        connection.sendall(b"*100000\r\n" * 100000)
    elif how == "more":  # than was asked
        connection.sendall(b"+PONG\r\n" * 100000)
    elif how == "drip":
        for _ in range(600):
            connection.sendall(b"+")
            time.sleep(0.1)
    elif how == "silent":
        pass
    elif how == "loading":
        connection.sendall(b"-LOADING Redis is loading the dataset in memory\r\n" * commands(data))
    elif how == "empty":
        connection.sendall(b"*0\r\n" * commands(data))
    elif how == "sentinel":  # that names the port in the file, and the epoch
        master, epoch = open(sys.argv[3]).read().split()
        for word in data.split(b"\r\n"):
            if word == b"PING":
                connection.sendall(b"+PONG\r\n")
            elif word == b"GET-MASTER-ADDR-BY-NAME":
                connection.sendall(b"*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%s\r\n" % (len(master), master.encode()))
            elif word == b"MASTER":
                connection.sendall(b"*4\r\n$4\r\nname\r\n$4\r\nmain\r\n$12\r\nconfig-epoch\r\n$%d\r\n%s\r\n" % (len(epoch), epoch.encode()))
    elif how == "endless":  # a walk that never ends, with other clients each time
        if b"PING" in data:
            connection.sendall(b"+PONG\r\n")
        elif b"LOAD" in data:
            connection.sendall(b"$40\r\n" + b"a" * 40 + b"\r\n")
        elif b"HSCAN" in data:
            part = b"".join(b"$17\r\n" + b"%016d" % (answer.number + i) + b"\x80\r\n$2\r\n99\r\n" for i in range(1000))
            answer.number += 1000
            connection.sendall(b"*2\r\n$1\r\n7\r\n*2000\r\n" + part)
        else:
            connection.sendall(b"*3\r\n:1\r\n:0\r\n:0\r\n" * commands(data))


answer.number = 0


def serve(connection):
    try:
        if how == "close":
            return
        while data := connection.recv(1 << 20):
            answer(connection, data)
    except OSError:
        pass
    finally:
        connection.close()


while True:
    accepted, _ = listener.accept()
    print("connection", flush=True)
    threading.Thread(target=serve, args=(accepted,), daemon=True).start()
