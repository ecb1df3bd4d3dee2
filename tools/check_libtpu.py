"""Checks that libtpu.so has every symbol that TensorFlow looks up in it.

    python tools/check_libtpu.py                                      the installed packages
    python tools/check_libtpu.py --tensorflow=DIR --libtpu=DIR        unpacked wheels

TensorFlow opens libtpu.so at its start and looks up some two hundred functions by name; where one
is missing, no TPU is found. A name is recognised by the message that TensorFlow keeps for its
absence. The status is 0 if none is missing, 1 if some are, and 2 if there is nothing to check.
Only the names are compared: that a TPU works takes a TPU.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import mmap
import pathlib
import sys

_ABSENT = b" not available in this library."
_ENTRY = "TfTpu_Initialize"  # looked up apart from the others, before them


def looked_up_symbols(library: pathlib.Path) -> list[str]:
    """Names, sorted, that a TensorFlow library looks up in libtpu.so.

    Raises:
      ValueError: the file names none, so it is not a TensorFlow with TPU support.
    """
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        names = set()
        end = text.find(_ABSENT)
        while end >= 0:
            names.add(text[text.rfind(b"\0", 0, end) + 1 : end].decode("ascii"))
            end = text.find(_ABSENT, end + 1)
    if not names:
        raise ValueError(f"{library} looks up nothing in libtpu.so: install tensorflow-tpu")
    return sorted(names | {_ENTRY})


def missing_symbols(names: list[str], library: pathlib.Path) -> list[str]:
    """Those of `names` that a shared library does not export; the library is loaded for it.

    Raises:
      OSError: the library cannot be loaded.
    """
    loaded = ctypes.CDLL(str(library))
    return [name for name in names if not hasattr(loaded, name)]


def _package(name: str, directory: str | None) -> pathlib.Path:
    """The folder of a package, given or installed, without importing it."""
    if directory is not None:
        return pathlib.Path(directory)
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"{name} is not installed: install constraints/tpu.txt or name its folder")
    return pathlib.Path(spec.submodule_search_locations[0])


def main(arguments: list[str]) -> int:
    """Prints what is missing and returns the status."""
    parser = argparse.ArgumentParser(description="Checks libtpu.so against TensorFlow.")
    parser.add_argument("--tensorflow", help="folder of the package tensorflow")
    parser.add_argument("--libtpu", help="folder of the package libtpu")
    flags = parser.parse_args(arguments)
    try:
        tensorflow = _package("tensorflow", flags.tensorflow) / "libtensorflow_cc.so.2"
        libtpu = _package("libtpu", flags.libtpu) / "libtpu.so"
        names = looked_up_symbols(tensorflow)
        missing = missing_symbols(names, libtpu)
    except (OSError, ValueError) as error:
        print(f"check_libtpu: {error}", file=sys.stderr)
        return 2
    if not missing:
        print(f"{libtpu} has all {len(names)} symbols that {tensorflow} looks up.")
        return 0
    print(
        f"{libtpu} lacks {len(missing)} of {len(names)} symbols that {tensorflow} looks up, "
        f"{missing[0]} first: install the versions in constraints/tpu.txt.",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
