"""What a run shows while it trains: a bar on a terminal, elsewhere a line for each epoch."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import tqdm

from ssl_recsys.evaluation import metrics


class Progress:
    """The progress of a run on stderr, as a context manager.

    Args:
      method: name of the method.
      total_steps: steps of the run.
      step: steps that were taken before.
      total_epochs: epochs of the run.
      shown: whether this process shows anything.
    """

    def __init__(
        self, method: str, *, total_steps: int, step: int, total_epochs: int, shown: bool = True
    ):
        self._method = method
        self._total_steps = total_steps
        self._step = step
        self._total_epochs = total_epochs
        self._loss = float("nan")
        self._began = time.monotonic()
        is_terminal = sys.stderr.isatty()
        self._has_lines = shown and not is_terminal
        self._bar = tqdm.tqdm(
            desc=f"train {method}",
            total=total_steps,
            initial=step,
            unit="step",
            disable=not (shown and is_terminal),
            mininterval=1.0,
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()

    def tracing(self) -> None:
        """Says why the first steps take long."""
        self._bar.set_postfix_str("tracing the training step…")
        self._line("tracing the training step, which takes some seconds …")

    def steps(self, epoch: int, count: int, loss: float) -> None:
        """Counts steps.

        Args:
          epoch: of the steps, from 1.
          count: how many they are.
          loss: their mean loss.
        """
        self._step += count
        self._loss = loss
        text = f"train {self._method} epoch {epoch} loss {loss:.4f}"
        self._bar.set_description_str(text, refresh=False)
        if self._bar.postfix == "tracing the training step…":
            self._bar.set_postfix_str("", refresh=False)
        self._bar.update(count)

    def saved(self, epoch: int) -> None:
        """Reports a checkpoint in the middle of an epoch, from 1."""
        self._line(f"{self._where(epoch)}  loss {self._loss:.4f}  checkpoint written")

    def epoch(self, epoch: int, values: Mapping[str, Any], selected_by: str) -> None:
        """Reports the end of an epoch.

        Args:
          epoch: its number, from 1.
          values: metric -> value of its validation; empty without one.
          selected_by: the metric that the best epoch is chosen by.
        """
        now = time.monotonic()
        parts = [f"{self._where(epoch)}  loss {self._loss:.4f}"]
        if values:
            self._bar.set_postfix_str(f"validation {selected_by} {_show(values[selected_by])}")
            parts.append(f"validation recall@10/50 {_recalls(values, '')}")
            parts.append(f"head {_recalls(values, 'head_')}  tail {_recalls(values, 'tail_')}")
            if not selected_by.endswith(("recall@10", "recall@50")):
                parts.append(f"{selected_by} {_show(values[selected_by])}")
        self._line("  ".join([*parts, f"{now - self._began:.1f} s"]))
        self._began = now

    def _where(self, epoch: int) -> str:
        return f"epoch {epoch}/{self._total_epochs}  step {self._step:,}/{self._total_steps:,}"

    def _line(self, text: str) -> None:
        if self._has_lines:
            print(text, file=sys.stderr, flush=True)


def _recalls(values: Mapping[str, Any], prefix: str) -> str:
    return " / ".join(_show(values[f"{prefix}recall@{k}"]) for k in metrics.DEFAULT_KS)


def _show(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
