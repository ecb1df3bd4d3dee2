"""The error that a user can mend."""


class InputError(ValueError):
    """A flag, a file or a record that a command cannot use.

    The message says what was expected, what was found (with file, line or record) and what to
    do. Commands print it without a traceback and exit with status 2; any other exception is a
    defect of the program and keeps its traceback.
    """
