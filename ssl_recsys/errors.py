"""The errors that commands report in a line."""


class InputError(ValueError):
    """A flag, a file or a record that a command cannot use.

    The message says what was expected, what was found (with file, line or record) and what to
    do. Commands print it without a traceback and exit with status 2; any other exception is a
    defect of the program and keeps its traceback.
    """


class Stopped(KeyboardInterrupt):
    """A signal that asked the command to stop, once it has saved what it was doing.

    Commands print the message and exit with `128 + signum`, as a shell reports the signal.
    """

    def __init__(self, message: str, signum: int):
        super().__init__(message)
        self.status = 128 + signum
