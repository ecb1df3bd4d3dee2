"""Whether a worker sees the files that the command sees.

The command leaves a small file in the directory that it writes to, naming input files and their
sizes. Each worker process looks for them before it first reads or writes, so that a worker with a
disk of its own ends the job at its start, with the reason, and not after hours.
"""

from __future__ import annotations

import functools
import json
import socket
from collections.abc import Sequence

from apache_beam.io.filesystems import FileSystems

from data_prep import dataset_files
from data_prep.input_files import InputFile
from ssl_recsys.errors import InputError

_FILE = "probe.json"
# How many input files a worker looks for; they are taken from the whole list.
_MOST_FILES = 16
_REMEDY = (
    "Input and output must lie where the command and all workers see them under the same name: on "
    "a file system that all hosts share, or in a bucket (s3://, gs://, hdfs://)"
)


class UnseenError(InputError):
    """The command's directory cannot be seen, so that nothing can be reported there either."""


def leave(directory: str, files: Sequence[InputFile]) -> None:
    """Leaves what `check` looks for in `directory`, which is being written."""
    step = max(1, -(-len(files) // _MOST_FILES))
    with dataset_files.opened(FileSystems.join(directory, _FILE)) as write:
        write(json.dumps(files[::step]).encode("utf-8"))


def remove(directory: str) -> None:
    """Removes what `leave` left."""
    FileSystems.delete([FileSystems.join(directory, _FILE)])


@functools.lru_cache(maxsize=64)  # once in each process; errors are not kept
def check(directory: str) -> None:
    """Checks, in a worker, that it sees the command's files.

    Raises:
      UnseenError: if it does not see the directory that is being written.
      InputError: if an input file is not there, or has another size.
    """
    path = FileSystems.join(directory, _FILE)
    host = f"a worker on the host {socket.gethostname()}"
    try:
        with FileSystems.open(path) as file:
            files = json.loads(file.read())
    except (OSError, ValueError) as error:
        raise UnseenError(
            f"{host} cannot read {path}, which this command has written. {_REMEDY}"
        ) from error
    for name, size in files:
        try:
            found = FileSystems.get_filesystem(name).size(name)
        except (OSError, ValueError) as error:
            raise InputError(f"{host} cannot find the input {name}. {_REMEDY}") from error
        if found != size:
            raise InputError(
                f"{host} finds {found:,} bytes in the input {name}, where this command found "
                f"{size:,}; is it another file? {_REMEDY}"
            )
