"""A daemon that tells each client what TCP keepalive its connection has: SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_USER_TIMEOUT.
Then it waits until the client is gone, or, with `talks`, sends to it every half second.

keepalive_server.py PORT [before|after|accepted|forks|talks]...: it sets TCP_KEEPIDLE to 300 itself, on its listener before or after that
listens, or on what it accepted; its children accept."""
import os, socket, sys, threading, time

port, how = int(sys.argv[1]), sys.argv[2:]
TOLD = (socket.SOL_SOCKET, socket.SO_KEEPALIVE), *((socket.IPPROTO_TCP, name) for name in
       (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_USER_TIMEOUT))


def choose(which, descriptor):
    if which in how:
        descriptor.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 300)


def serve(connection):
    try:
        connection.sendall(" ".join(str(connection.getsockopt(*one)) for one in TOLD).encode() + b"\n")
        while "talks" in how:
            connection.sendall(b".")
            time.sleep(0.5)
        while connection.recv(1000):
            pass
    except OSError as error:
        print(error, file=sys.stderr, flush=True)
    connection.close()


listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("", port))
choose("before", listener)
listener.listen(64)
choose("after", listener)
if "forks" in how and os.fork() != 0:
    os.wait()
while True:
    connection, _ = listener.accept()
    choose("accepted", connection)
    threading.Thread(target=serve, args=(connection,), daemon=True).start()
