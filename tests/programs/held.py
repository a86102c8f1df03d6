"""A server that works long for each request, and a client that asks and resets: held.py SERVER any|same [COMMAND...]

With `same`, the client comes from the same port each time. COMMAND runs the server, as without_netlink.py does. Prints how many requests were being worked at together, of 20; then how many
of 2 clients are served once all of that work has ended, or of 20 where it does not count. To be run in a network namespace of its own.
"""
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

PORT = 7001


def work(connection):
    try:
        if connection.recv(10) == b"":
            return
    except OSError:  # it was refused
        return
    if server == "exec":
        os.execvp("sh", ["sh", "-c", "printf +; exec sleep 30"])  # without the connection
    os.write(1, b"+")
    time.sleep(30)


def serve(server):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", PORT))
    listener.listen(100)
    if server in ("fork", "exec"):
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    if server == "prefork":
        for _ in range(8):
            if os.fork() == 0:
                while True:
                    work(listener.accept()[0])
        signal.pause()
    while True:
        connection = listener.accept()[0]
        if server == "thread":
            threading.Thread(target=work, args=(connection,)).start()
        elif os.fork() == 0:
            listener.close()
            work(connection)
            os._exit(0)
        else:
            connection.close()


def ask(port=0):
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.bind(("127.0.0.1", port))
    try:
        client.connect(("127.0.0.1", PORT))
        client.send(b"work")
        # Until it is worked at, or refused: then it is reset.
        if client in select.select([client, daemon.stdout], [], [], 10)[0]:
            client.recv(1)
            select.select([daemon.stdout], [], [], 10)
    except OSError:
        pass
    began = len(daemon.stdout.read() or b"")
    client.close()
    return began


def requests(number, port=0):
    """How many of so many are worked at."""
    began = sum(ask(port) for _ in range(number))
    time.sleep(0.3)
    return began + len(daemon.stdout.read() or b"")


def listens():
    with open("/proc/net/tcp", encoding="ascii") as sockets:
        return f":{PORT:04X} 00000000:0000 0A" in sockets.read()


if __name__ == "__main__" and sys.argv[1] == "serve":
    server = sys.argv[2]
    serve(server)
elif __name__ == "__main__":
    server, port, command = sys.argv[1], 7002 if sys.argv[2] == "same" else 0, sys.argv[3:]
    subprocess.run("ip link set lo up", shell=True, check=True)
    environment = dict(
        os.environ,
        LD_PRELOAD=os.environ["BUILD"] + "/libconnlimit_preload.so",
        CONNLIMIT_PER_IP="2",
        CONNLIMIT_TABLE="held-%d-%d" % (os.getpid(), random.randrange(1 << 30)),
    )
    daemon = subprocess.Popen(
        [*command, sys.executable, __file__, "serve", server], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
    )
    os.set_blocking(daemon.stdout.fileno(), False)
    until = time.monotonic() + 20
    while not listens() and time.monotonic() < until:
        time.sleep(0.01)
    print(requests(20, port))
    children = subprocess.run(["pgrep", "-P", str(daemon.pid)], capture_output=True, text=True).stdout.split()
    if server in ("fork", "zombie"):
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        time.sleep(0.3)
        # As soon as what was asked on the client's account is paid for.
        until, again = time.monotonic() + 30, 0
        while again < 2 and time.monotonic() < until:
            again += requests(1, port)
        print(again)
        children = subprocess.run(["pgrep", "-P", str(daemon.pid)], capture_output=True, text=True).stdout.split()
    for pid in [*children, daemon.pid]:
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            pass
    daemon.wait()
