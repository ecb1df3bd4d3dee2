"""Logs of one JSON object a line, on standard error."""

from __future__ import annotations

import datetime
import json
import logging
import sys
import warnings

LEVELS = ("debug", "info", "warning", "error")
LOGGER = logging.getLogger("ssl_recsys.serving")


class JsonLines(logging.Formatter):
    """A record as one line of JSON: time, level, logger, message, what it names, traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; ASCII, so that no text from a request acts on a terminal."""
        when = datetime.datetime.fromtimestamp(record.created, datetime.timezone.utc)
        fields = {
            "time": when.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def log_json(level: str) -> None:
    """Sends all logs of this process, and warnings, to standard error as JSON lines.

    Args:
      level: one of `LEVELS`, from which the server's lines and uvicorn's are shown; others' are
        from warnings on.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.root.handlers = [handler]
    logging.root.setLevel(logging.WARNING)
    logging.captureWarnings(True)
    warnings.simplefilter("ignore", DeprecationWarning)
    for name in (LOGGER.name, "uvicorn"):
        logging.getLogger(name).setLevel(level.upper())
