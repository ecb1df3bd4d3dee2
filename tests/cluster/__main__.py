"""Runs the tests on a cluster: `python -m tests.cluster flink` (or spark).

Beam's job server and its services in task managers listen on all interfaces, without asking who
calls. So everything runs in a network namespace that has only a loopback interface.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import pathlib
import socket
import struct
import sys

from tests.cluster import java

HERE = pathlib.Path(__file__).parent
INSIDE = "SSL_RECSYS_CLUSTER_TESTS"
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


def main(name: str, *more: str) -> None:
    if reason := java.missing():
        sys.exit(f"error: {name}-test {reason}")
    java.jars(name)  # while there is a network
    leave_the_network()
    os.environ[INSIDE] = name
    test = HERE / f"test_{name}.py"
    pytest = ["pytest", "-p", "no:xdist", "-q", "--timeout=1500", str(test), *more]
    os.execv(sys.executable, [sys.executable, "-m", *pytest])


def leave_the_network() -> None:
    """Moves this process into a network namespace that has only a loopback interface."""
    user, group = os.getuid(), os.getgid()
    flags = _CLONE_NEWNET | (_CLONE_NEWUSER if user else 0)
    if ctypes.CDLL(None, use_errno=True).unshare(flags):
        error = os.strerror(ctypes.get_errno())
        sys.exit(
            f"error: no network namespace could be made ({error}), and without one Beam's job "
            "server would listen on all interfaces; run the test as root, in a container with "
            "--privileged, or where users may make namespaces"
        )
    if user:
        pathlib.Path("/proc/self/setgroups").write_text("deny")
        pathlib.Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        pathlib.Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anything:
        request = struct.pack("16sH14x", b"lo", 0)
        (flags,) = struct.unpack_from("H", fcntl.ioctl(anything, _SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(anything, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))


if __name__ == "__main__":
    main(*sys.argv[1:])
