"""Runs a program that gets no socket of AF_NETLINK, as systemd's RestrictAddressFamilies does it to rsyslogd in Debian
trixie and later: a filter of system calls answers EAFNOSUPPORT.

    without_netlink.py PROGRAM ARGUMENT...
"""

import ctypes
import os
import platform
import socket
import struct
import sys

# <linux/prctl.h>, <linux/seccomp.h>, <linux/filter.h>
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
SECCOMP_MODE_FILTER = 2
SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO = 0x7FFF0000, 0x00050000
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
EAFNOSUPPORT = 97
# the number of socket(2)
SOCKET = {"x86_64": 41, "aarch64": 198}[platform.machine()]
# where struct seccomp_data has the call's number and its first argument
NUMBER, FIRST = 0, 16

steps = [
    (LOAD, 0, 0, NUMBER),
    (JUMP_IF_EQUAL, 0, 3, SOCKET),
    (LOAD, 0, 0, FIRST),
    (JUMP_IF_EQUAL, 0, 1, socket.AF_NETLINK),
    (RETURN, 0, 0, SECCOMP_RET_ERRNO | EAFNOSUPPORT),
    (RETURN, 0, 0, SECCOMP_RET_ALLOW),
]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]


libc = ctypes.CDLL(None, use_errno=True)
program = Program(len(steps), ctypes.cast(code, ctypes.c_void_p))
if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program)):
    sys.exit(f"without_netlink: {os.strerror(ctypes.get_errno())}")
os.execv(sys.argv[1], sys.argv[1:])
