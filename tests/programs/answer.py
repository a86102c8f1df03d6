# A server that answers whatever it is sent, a thread for each connection: answer.py PORT
import socket
import sys
import threading


def answer(connection):
    try:
        while connection.recv(1000):
            connection.sendall(b"x")
    except OSError:
        pass
    connection.close()


listener = socket.create_server(("", int(sys.argv[1])))
while True:
    connection, _ = listener.accept()
    threading.Thread(target=answer, args=[connection], daemon=True).start()
