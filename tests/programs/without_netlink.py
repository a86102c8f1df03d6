# Runs a program for which netlink sockets are forbidden, as RestrictAddressFamilies= does it: without_netlink.py COMMAND...
import ctypes
import errno
import os
import platform
import struct
import sys

SOCKET = {"x86_64": 41, "aarch64": 198}[platform.machine()]
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06  # seccomp(2), classic BPF: (code, if so skip, if not skip, value)
program = b"".join(
    struct.pack("HBBI", *step)
    for step in (
        (LOAD, 0, 0, 0),  # the call's number
        (EQUAL, 0, 3, SOCKET),
        (LOAD, 0, 0, 16),  # its first argument
        (EQUAL, 0, 1, 16),  # AF_NETLINK
        (RETURN, 0, 0, 0x00050000 | errno.EAFNOSUPPORT),
        (RETURN, 0, 0, 0x7FFF0000),
    )
)
steps = ctypes.create_string_buffer(program)
filter_ = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(steps))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, filter_, 0, 0) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[1], sys.argv[1:])
