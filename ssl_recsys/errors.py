"""The errors that commands report in a line, and text that is safe to print."""

import unicodedata

# Embeddings, overrides and isolates of the direction of text, and their ends.
_BIDI_CONTROLS = frozenset(["LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"])


class InputError(ValueError):
    """A flag, a file or a record that a command cannot use.

    The message says what was expected, what was found (with file, line or record) and what to
    do. Commands print it without a traceback and exit with status 2; any other exception is a
    defect of the program and keeps its traceback.
    """


class InUseError(InputError):
    """A directory that another process holds for now; the same command may succeed later."""


class Stopped(KeyboardInterrupt):
    """A signal that asked the command to stop, once it has saved what it was doing.

    Commands print the message and exit with `128 + signum`, as a shell reports the signal.
    """

    def __init__(self, message: str, signum: int):
        super().__init__(message)
        self.status = 128 + signum


class WorkerLostError(RuntimeError):
    """Another worker of the cluster is gone, without which training cannot go on.

    Commands print the message and exit with `cli.LOST_STATUS`: to be started again on all workers.
    """


def printable(text: str) -> str:
    """Text from data without characters that act on a terminal, such as escape sequences."""
    return "".join("\ufffd" if _is_control(character) else character for character in text)


def _is_control(character: str) -> bool:
    return (
        unicodedata.category(character) in ("Cc", "Cs")
        or unicodedata.bidirectional(character) in _BIDI_CONTROLS
    )
