"""What the demo and the benchmark must know of this machine's stock rsyslogd and its ports."""

import os
import pathlib
import socket
import subprocess
import sys

# rsyslogd lives in /usr/sbin, which is not on every user's PATH
os.environ["PATH"] += ":/usr/sbin:/sbin"


def stock_modules():
    """The distribution's own module folder; -M replaces the path, so it is always named too."""
    folders = [pathlib.Path("/usr/lib/rsyslog"), pathlib.Path("/usr/lib64/rsyslog")]
    folders += pathlib.Path("/usr/lib").glob("*/rsyslog")
    for folder in folders:
        if (folder / "lmnet.so").exists():
            return folder
    sys.exit("no rsyslog module folder below /usr/lib: is rsyslog installed?")


def version():
    """Such as 8.2302.0."""
    output = subprocess.run(["rsyslogd", "-v"], capture_output=True, text=True, check=True).stdout
    return output.split()[1]


def free_port(address="127.0.0.1"):
    """A TCP port of that address that nobody uses at present."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


def listens(port, address="127.0.0.1"):
    """Somebody listens there; asked of the kernel, so that no connection is made."""
    number = int.from_bytes(socket.inet_aton(address), sys.byteorder)
    wanted = f" {number:08X}:{port:04X} 00000000:0000 0A "
    return wanted in pathlib.Path("/proc/net/tcp").read_text(encoding="ascii")
