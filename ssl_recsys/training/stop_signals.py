"""Stopping at a good moment: a signal is noted, and acted on between two calls of the step."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from ssl_recsys.errors import Stopped

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def stopped(step: int, by: signal.Signals) -> Stopped:
    """The end of a run by a signal, with a checkpoint of the step."""
    return Stopped(
        f"stopped by {by.name} at step {step}; a checkpoint is written; run the same command again "
        "to resume",
        by,
    )


class StopSignals:
    """The signal that asked this process to stop, if one has.

    Attributes:
      received: the signal, or None.
    """

    received: signal.Signals | None = None

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Notes SIGTERM and SIGINT while the block runs; a second signal acts at once."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread may handle signals
            return
        before = {number: signal.getsignal(number) for number in _SIGNALS}

        def note(number: int, frame: FrameType | None) -> None:
            del frame
            self.received = signal.Signals(number)
            for caught, handler in before.items():
                signal.signal(caught, handler)

        for number in _SIGNALS:
            signal.signal(number, note)
        try:
            yield
        finally:
            for caught, handler in before.items():
                signal.signal(caught, handler)
