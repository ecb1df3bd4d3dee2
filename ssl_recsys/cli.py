"""How every command starts: flag files checked, a user's errors printed plainly.

Exit status: 0 done, 2 unusable input (`InputError`, a bad flag, what the system says of files and
disks), 75 another worker of a cluster is gone, 128 + N stopped by signal N, 1 a defect.
"""

from __future__ import annotations

import pathlib
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from absl import app, flags, logging

from ssl_recsys import options, paths
from ssl_recsys.errors import InputError, WorkerLostError, printable

USAGE_STATUS = 2
LOST_STATUS = 75  # EX_TEMPFAIL: the same command again may succeed
INTERRUPTED_STATUS = 128 + signal.SIGINT

flags.disclaim_key_flags()


def run(
    main: Callable[[options.AnyOptions], None],
    options_class: type[options.AnyOptions],
    flags_parser: Callable[[Sequence[str]], list[str]] | None = None,
) -> None:
    """Runs a command under absl: defines its flags, parses them, reports errors as above.

    Args:
      main: the command.
      options_class: its settings, one flag each.
      flags_parser: parses `sys.argv`, for commands that share it with another parser (Beam);
        by default absl's flags are parsed and other arguments are refused.
    """
    options.define(options_class)

    def command(argv: list[str]) -> None:
        del argv  # the parser has refused or kept what absl does not know
        logging.set_verbosity(logging.WARNING)  # TFDS logs every folder that it opens
        main(options.read(options_class))

    app.run(_guarded(command), flags_parser=_guarded(flags_parser or parse_flags))


def parse_flags(argv: Sequence[str]) -> list[str]:
    """Parses absl flags; refuses positional arguments and malformed flag files."""
    check_flagfiles(argv)
    rest = _parse(argv)
    if len(rest) > 1:
        raise InputError(f"unexpected argument {rest[1]!r}: every option is written --name=value")
    return rest


def parse_known_flags(argv: Sequence[str]) -> list[str]:
    """Parses absl flags and returns what absl does not know, the program's name first."""
    check_flagfiles(argv)
    return _parse(argv, known_only=True)


def check_flagfiles(argv: Sequence[str]) -> None:
    """Refuses flag files that absl would misread.

    absl makes a trailing comment part of the flag's value and an indented comment a positional
    argument, silently.

    Raises:
      InputError: for a missing flag file, a line that is neither a flag nor a comment at
        column 0, or a comment behind a flag; the message names file and line.
    """
    for path in _flagfile_values(argv):
        _check_flagfile(pathlib.Path(path).expanduser(), opened_by=())


def _flagfile_values(argv: Sequence[str]) -> list[str]:
    values = []
    for index, argument in enumerate(argv):
        name, equals, value = argument.partition("=")
        if name not in ("--flagfile", "-flagfile"):
            continue
        if equals:
            values.append(value)
        elif index + 1 < len(argv):
            values.append(argv[index + 1])
    return values


def _check_flagfile(path: pathlib.Path, opened_by: tuple[pathlib.Path, ...]) -> None:
    if path in opened_by:
        raise InputError(f"flag file {path} includes itself")
    if not path.is_file():
        raise InputError(f"no flag file {path}; the experiments' flag files are in configs/")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"flag file {path} is not UTF-8 text (byte {error.start})") from error
    for number, line in enumerate(lines, start=1):
        stripped = line.strip()
        if not stripped or line.startswith(("#", "//")):
            continue
        if stripped.startswith(("#", "//")):
            raise InputError(f"{path}:{number}: a comment must start at column 0: {line!r}")
        if not stripped.startswith("-"):
            raise InputError(f"{path}:{number}: expected --flag=value or # comment, got {line!r}")
        if " #" in stripped or "\t#" in stripped:
            raise InputError(
                f"{path}:{number}: the comment would become part of the flag's value; put it on "
                f"a line of its own: {line!r}"
            )
        for nested in _flagfile_values([stripped]):
            _check_flagfile(pathlib.Path(nested).expanduser(), (*opened_by, path))


def _parse(argv: Sequence[str], known_only: bool = False) -> list[str]:
    try:
        return flags.FLAGS(list(argv), known_only=known_only)
    except flags.Error as error:
        raise InputError(f"{error} (--help lists the flags)") from error


def _fail(message: str, status: int = USAGE_STATUS) -> NoReturn:
    lines = map(printable, message.split("\n"))  # it may hold text from data
    print("error: " + "\n".join(lines), file=sys.stderr, flush=True)
    sys.exit(status)


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(argv: Sequence[str]) -> Any:
        try:
            return function(argv)
        except (InputError, OSError) as error:
            _fail(str(error))
        except WorkerLostError as error:
            _fail(str(error), LOST_STATUS)
        except Exception as error:
            if (said := paths.what_storage_says(error)) is None:
                raise
            _fail(said)
        except KeyboardInterrupt as stop:
            print(str(stop) or "interrupted", file=sys.stderr, flush=True)
            sys.exit(getattr(stop, "status", INTERRUPTED_STATUS))

    return call
