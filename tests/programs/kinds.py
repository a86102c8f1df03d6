"""A daemon with listeners of one kind, and what its clients see of a limit of 3: kinds.py KIND [COMMAND...]

COMMAND runs the daemon, as without_netlink.py does. To be run in a network namespace of its own, with BUILD and SOURCE set. A worker
accepts and holds all; killed, it is replaced, and what it held is free at once, unless the kernel cannot be asked about it. Prints what
went wrong, and nothing otherwise.
"""
import ctypes
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time

LIMIT = 3
MPTCP = 262
IP_TRANSPARENT = 19
SO_BINDTODEVICE = 25
CLONE_NEWNET = 0x40000000
port = 7000


def listener(address, number, family=socket.AF_INET, protocol=0, options=()):
    made = socket.socket(family, socket.SOCK_STREAM, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    for level, option, value in options:
        made.setsockopt(level, option, value)
    made.bind(address if isinstance(address, tuple) else (address, number))
    made.listen(64)
    made.setblocking(False)
    return made


def enter(namespace):
    if ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def elsewhere(number):
    """A listener in another namespace, whose number is an environment variable."""
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    enter(int(os.environ["OTHER"]))
    made = listener("127.0.0.1", number)
    enter(own)
    os.close(own)
    return made


DEVICE = ((socket.SOL_SOCKET, SO_BINDTODEVICE, b"lo\0"),)
REUSEPORT = ((socket.SOL_SOCKET, socket.SO_REUSEPORT, 1),)
TRANSPARENT = ((socket.SOL_IP, IP_TRANSPARENT, 1),)
DUAL = ((socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0),)
KINDS = {
    "plain": lambda: [listener("127.0.0.1", port)],
    "device": lambda: [listener("127.0.0.1", port, options=DEVICE)],
    "device-wildcard": lambda: [listener("0.0.0.0", port, options=DEVICE)],
    "beside": lambda: [listener("127.0.0.1", port), listener("127.0.0.1", port + 1, options=DEVICE)],
    "mptcp": lambda: [listener("127.0.0.1", port, protocol=MPTCP)],
    "mptcp-plain-client": lambda: [listener("127.0.0.1", port, protocol=MPTCP)],
    "mptcp-beside": lambda: [listener("127.0.0.1", port), listener("127.0.0.1", port + 1, protocol=MPTCP)],
    "mapped": lambda: [listener("::", port, family=socket.AF_INET6, options=DUAL)],
    "ipv6": lambda: [listener("::1", port, family=socket.AF_INET6)],
    "link-local": lambda: [listener(("fe80::1", port, 0, 1), port, family=socket.AF_INET6)],
    "link-local-wildcard": lambda: [listener("::", port, family=socket.AF_INET6)],
    "reuseport": lambda: [listener("127.0.0.1", port, options=REUSEPORT) for _ in range(2)],
    "transparent": lambda: [listener("0.0.0.0", port, options=TRANSPARENT)],
    "steered": lambda: [steer(listener("127.0.0.1", port))],
    "steered-wildcard": lambda: [steer(listener("0.0.0.0", port))],
    "namespace": lambda: [elsewhere(port)],
    "namespace-beside": lambda: [listener("127.0.0.1", port), elsewhere(port)],
}


def serve(kind):
    import select

    listeners = KINDS[kind]()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def work():
        held = []
        while True:
            for one in select.select(listeners, [], [])[0]:
                try:
                    held.append(one.accept()[0])
                    held[-1].sendall(b"ok")
                except OSError:
                    pass

    while True:
        worker = os.fork()
        if worker == 0:
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # it ends with its master
            work()
        print(worker, flush=True)
        os.waitpid(worker, 0)


def bpf(command, attributes):
    """bpf(2): what it makes."""
    room = ctypes.create_string_buffer(attributes.ljust(128, b"\0"))
    made = ctypes.CDLL(None, use_errno=True).syscall(321 if os.uname().machine == "x86_64" else 280, command, room, 128)
    if made < 0:
        raise OSError(ctypes.get_errno(), "bpf")
    return made, room


def steer(one):
    """Gives what is meant for the next port to this listener, by a BPF_PROG_TYPE_SK_LOOKUP program attached to the namespace."""
    kept, _ = bpf(0, struct.pack("IIII", 15, 4, 8, 1))  # BPF_MAP_CREATE, BPF_MAP_TYPE_SOCKMAP
    key, value = ctypes.c_uint32(0), ctypes.c_uint64(one.fileno())
    bpf(2, struct.pack("IxxxxQQQ", kept, ctypes.addressof(key), ctypes.addressof(value), 0))  # BPF_MAP_UPDATE_ELEM
    program = b"".join(
        struct.pack("BBhi", *step)
        for step in (
            (0xBF, 0x16, 0, 0),  # r6 = the context
            (0x61, 0x12, 60, 0),  # r2 = its local port
            (0x55, 0x02, 14, port + 1),  # another one: leave it
            (0x62, 0x0A, -4, 0),
            (0xBF, 0xA2, 0, 0),
            (0x07, 0x02, 0, -4),
            (0x18, 0x11, 0, kept),
            (0, 0, 0, 0),
            (0x85, 0, 0, 1),  # bpf_map_lookup_elem
            (0x15, 0x00, 7, 0),
            (0xBF, 0x07, 0, 0),
            (0xBF, 0x61, 0, 0),
            (0xBF, 0x72, 0, 0),
            (0xB7, 0x03, 0, 0),
            (0x85, 0, 0, 124),  # bpf_sk_assign
            (0xBF, 0x71, 0, 0),
            (0x85, 0, 0, 86),  # bpf_sk_release
            (0xB7, 0x00, 0, 1),  # SK_PASS
            (0x95, 0, 0, 0),
        )
    )
    steps = ctypes.create_string_buffer(program, len(program))
    terms = ctypes.create_string_buffer(b"GPL")
    log = ctypes.create_string_buffer(65536)
    try:
        loaded, _ = bpf(
            5,  # BPF_PROG_LOAD
            struct.pack(
                "IIQQIIQII16sII",
                30,
                len(program) // 8,
                ctypes.addressof(steps),
                ctypes.addressof(terms),
                1,
                len(log),
                ctypes.addressof(log),
                0,
                0,
                b"steer",
                0,
                36,
            ),
        )
    except OSError:
        sys.stderr.write(log.value.decode())
        raise
    bpf(28, struct.pack("IIII", loaded, os.open("/proc/self/ns/net", os.O_RDONLY), 36, 0))  # BPF_LINK_CREATE
    return one


def connected(kind, number):
    """A client's connection, or None if it was refused; with two listeners, to one after the other."""
    beside = "beside" in kind or "steered" in kind
    there = port + number % 2 if beside and "namespace" not in kind else port
    protocol = MPTCP if kind == "mptcp" or (kind == "mptcp-beside" and there != port) else 0
    to, family = ("127.0.0.1", there), socket.AF_INET
    if kind == "ipv6":
        to, family = ("::1", there), socket.AF_INET6
    elif kind.startswith("link-local"):
        to, family = ("fe80::1", there, 0, 1), socket.AF_INET6
    elif kind == "transparent":
        to = ("198.51.100.7", there)
    away = kind == "namespace" or (kind == "namespace-beside" and number % 2 == 1)
    if away:
        own = os.open("/proc/self/ns/net", os.O_RDONLY)
        enter(other)
    try:
        client = socket.socket(family, socket.SOCK_STREAM, protocol)
    finally:
        if away:
            enter(own)
            os.close(own)
    client.settimeout(5)
    try:
        client.connect(to)
        return client if client.recv(2) == b"ok" else None
    except OSError:
        return None


def expect(what, seen, wanted):
    global failed
    if seen != wanted:
        failed = True
        print(f"{what}: {seen}, not {wanted}", flush=True)


def looked_at():
    """What an operator looks at changes nothing."""
    for command in (["status", table], ["clients", "127.0.0.0/8", table]):
        subprocess.run([os.environ["BUILD"] + "/connlimit", *command], capture_output=True, check=False)


def status():
    return subprocess.run([os.environ["BUILD"] + "/connlimit", "status", table], capture_output=True, text=True).stdout


def agreed(kind):
    """The kernel has as many as there may be."""
    if "namespace" not in kind:
        lines = subprocess.run(["ss", "-HtnM" if "mptcp" in kind else "-Htn", "state", "established"], capture_output=True, text=True).stdout
        held = {line.split()[-1] for line in lines.splitlines() if line.split()[-2].endswith((f":{port}", f":{port + 1}"))}
        expect("by ss", len(held), LIMIT)


def fill(kind, first):
    """As many as there may be, each at the first try, and no more."""
    held = [connected(kind, first + i) for i in range(LIMIT)]
    expect("served", sum(one is not None for one in held), LIMIT)
    for i in range(4):
        expect("one more", "served" if connected(kind, first + i) else "refused", "refused")
        looked_at()
    return held


if __name__ == "__main__" and sys.argv[1] == "serve":
    serve(sys.argv[2])
elif __name__ == "__main__":
    kind, command = sys.argv[1], sys.argv[2:]
    failed = False
    table = "kinds-%d-%d" % (os.getpid(), random.randrange(1 << 30))
    subprocess.run(
        "ip link set lo up && ip -6 addr add fe80::1/64 dev lo nodad && ip route add local 198.51.100.0/24 dev lo", shell=True, check=True
    )
    # Another namespace, kept by its descriptor.
    maker = subprocess.Popen(["unshare", "-n", "sh", "-c", "ip link set lo up; echo; read wait"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    maker.stdout.readline()
    other = os.open(f"/proc/{maker.pid}/ns/net", os.O_RDONLY)
    maker.communicate(b"\n")
    os.set_inheritable(other, True)
    environment = dict(
        os.environ,
        LD_PRELOAD=os.environ["BUILD"] + "/libconnlimit_preload.so",
        CONNLIMIT_PER_IP=str(LIMIT),
        CONNLIMIT_TABLE=table,
        OTHER=str(other),
    )
    daemon = subprocess.Popen(
        [*command, sys.executable, __file__, "serve", kind],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        close_fds=False,
    )
    worker = int(daemon.stdout.readline())
    time.sleep(0.3)
    held = fill(kind, 0)
    agreed(kind)
    if os.environ.get("SHOW"):
        print(status())
    os.kill(worker, signal.SIGKILL)
    daemon.stdout.readline()
    time.sleep(0.3)
    if "namespace" in kind or (command and kind.startswith("mptcp") and kind != "mptcp-plain-client"):
        # Of the ones nothing is known, so they stay.
        seen = sum(i % 2 == 0 for i in range(LIMIT)) if "beside" in kind else 0
        held += [connected(kind, i) for i in range(8)]
        expect("served after the worker's death", sum(one is not None for one in held[LIMIT:]), seen)
        if "namespace" in kind and not command:
            expect("a listener named by status", "the kernel does not tell this daemon" in status(), True)
    else:
        held += fill(kind, 1)
        expect("a listener named by status", "the kernel does not tell this daemon" in status(), False)
    if os.environ.get("SHOW"):
        print(status())
    daemon.terminate()
    daemon.wait()
    sys.exit(1 if failed else 0)
