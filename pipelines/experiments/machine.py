"""The machine that a measurement ran on."""

from __future__ import annotations

import os
import pathlib
import platform


def processor() -> str:
    """The processor's name; its architecture where the system does not say."""
    path = pathlib.Path("/proc/cpuinfo")
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    names = [
        line.partition(":")[2].strip()
        for line in text.splitlines()
        if line.startswith("model name")
    ]
    return names[0] if names else platform.processor() or platform.machine()


def memory_gb() -> float | None:
    """Its memory in 10^9 bytes; None where the system does not say."""
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
