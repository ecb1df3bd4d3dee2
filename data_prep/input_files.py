"""The files that a flag names."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from ssl_recsys.errors import InputError


class InputFile(NamedTuple):
    """A file and its size in bytes."""

    path: str
    size: int

    @property
    def kind(self) -> str:
        """The ending of its name, such as gz."""
        return self.path.rpartition(".")[2]


def find_files(named: str, flag: str) -> list[InputFile]:
    """Finds the files that a comma list of paths and globs names, see `match_files`.

    Raises:
      InputError: if a path or glob names no file, or a directory, or a file is empty.
    """
    found = match_files(named, before=f"{flag}: ")
    if not found:
        raise InputError(f"{flag} names no file")
    for file in found:
        _check(file, flag)
    return found


def match_files(named: str, *, before: str = "", after: str = "") -> list[InputFile]:
    """The files that a comma list of paths and globs names, not looked into.

    Args:
      named: the list; empty entries do not count.
      before: what an error begins with.
      after: what the error of a path or glob without a file ends with.

    Returns:
      The files, each once, in the order named (a glob's by name); none if the list is empty.

    Raises:
      InputError: if a path or glob names no file, or cannot be looked for.
    """
    found: dict[str, InputFile] = {}
    for pattern in (part.strip() for part in named.split(",")):
        if not pattern:
            continue
        try:
            matches = FileSystems.match([pattern])[0].metadata_list
        except (BeamIOError, OSError, ValueError) as error:
            raise InputError(f"{before}cannot look for {pattern}: {error}") from error
        if not matches:
            raise InputError(f"{before}no file {pattern}{after}")
        for match in sorted(matches, key=lambda match: match.path):
            found.setdefault(match.path, InputFile(match.path, match.size_in_bytes))
    return list(found.values())


def _check(file: InputFile, flag: str) -> None:
    try:
        with FileSystems.open(file.path, compression_type=CompressionTypes.UNCOMPRESSED) as stream:
            is_empty = not stream.read(1)
    except IsADirectoryError as error:
        raise InputError(f"{flag}: {file.path} is a directory; name its files") from error
    except (BeamIOError, OSError) as error:
        raise InputError(f"{flag}: {file.path} cannot be read ({error})") from error
    if is_empty:
        raise InputError(f"{flag}: {file.path} is empty")


def sha256(path: str) -> tuple[str, str]:
    """The path, and the digest of the file as it is stored."""
    digest = hashlib.sha256()
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return path, digest.hexdigest()
