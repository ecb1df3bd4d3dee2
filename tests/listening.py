"""Which addresses this process and its children listen on, as Linux's /proc tells."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import pathlib
import threading
from collections.abc import Iterator

_LISTEN = "0A"
_PROC = pathlib.Path("/proc")


@contextlib.contextmanager
def watched() -> Iterator[set[str]]:
    """The addresses, as far as they were seen, once the block has ended."""
    found: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            found.update(addresses())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


def addresses() -> set[str]:
    """The addresses at this moment, those of IPv4 in IPv6 as IPv4."""
    mine = {inode for pid in _tree() for inode in _sockets(pid)}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in (_PROC / "net" / table).read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == _LISTEN and inode in mine:
                found.add(_address(local.partition(":")[0]))
    return found


def _tree() -> set[int]:
    """This process and all below it."""
    parents = {}
    for path in _PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    tree = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in tree} - tree:
        tree |= more
    return tree


def _sockets(pid: int) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):
        for descriptor in (_PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                target = os.readlink(descriptor)
                if target.startswith("socket:["):
                    found.add(target[len("socket:[") : -1])
    return found


def _address(digits: str) -> str:
    """From the kernel's form: words of 32 bits in the machine's order."""
    words = [bytes.fromhex(digits[at : at + 8])[::-1] for at in range(0, len(digits), 8)]
    address = ipaddress.ip_address(b"".join(words))
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)
