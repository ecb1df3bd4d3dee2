"""A study's directory: the files of every run.

```
runs/NAME.flags   the run's flags, written before it starts
runs/NAME.log     what it printed
runs/NAME/        config.json, metrics.json, history.json, and diagnostics.json of its embeddings
```

A run is finished when it has metrics. Its checkpoints and exported model are then removed,
unless they are to be kept.
"""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
from collections.abc import Iterable
from typing import Any

import numpy as np

from pipelines.experiments.runner import Run
from pipelines.experiments.studies import diagnostics
from pipelines.experiments.studies.settings import Setting
from ssl_recsys import files
from ssl_recsys.errors import InputError
from ssl_recsys.evaluation.metrics import VALIDATION_METRIC
from ssl_recsys.training import run_dir

DIAGNOSTICS_FILE = "diagnostics.json"
_LARGE = (run_dir.CHECKPOINT_DIR, run_dir.BEST_DIR, run_dir.EXPORT_DIR, run_dir.LOG_DIR)
_CURVE = f"validation_{VALIDATION_METRIC}"


@dataclasses.dataclass(frozen=True)
class Record:
    """The results of a finished run.

    Attributes:
      setting: its settings.
      metrics: its metrics.json.
      curve: `(step, validation Recall@50)` after each epoch.
      diagnostics: uniformity and effective rank of its item embeddings.
      steps_per_second: of training, after the first epoch where there are several; None if
        it was too short.
      training_seconds: spent in training steps, earlier attempts included.
    """

    setting: Setting
    metrics: dict[str, Any]
    curve: tuple[tuple[int, float], ...]
    diagnostics: dict[str, float]
    steps_per_second: float | None
    training_seconds: float


class Store:
    """The runs' files.

    Args:
      directory: the study's directory.
      keep_models: whether a finished run keeps its exported model, and what checkpoints it has.
    """

    def __init__(self, directory: pathlib.Path, *, keep_models: bool = False):
        self.runs_dir = directory / "runs"
        self._keep_models = keep_models

    def claim(self, run: Run) -> None:
        """Writes a run's flags.

        Raises:
          InputError: if its directory holds a run with other flags.
        """
        path = self.runs_dir / f"{run.name}.flags"
        text = "".join(f"--{name}={value}\n" for name, value in sorted(run.flags.items()))
        if path.is_file():
            there = path.read_text(encoding="utf-8")
            if there != text:
                changed = sorted(set(there.splitlines()) ^ set(text.splitlines()))
                raise InputError(
                    f"{path} has other flags than the study now gives ({', '.join(changed)}); "
                    "choose a different --output_dir, or go back to the flags that are there"
                )
            return
        files.write_text(path, text)

    def is_finished(self, run: Setting) -> bool:
        """Whether the run has metrics."""
        return (self.runs_dir / run.name / run_dir.METRICS_FILE).is_file()

    def settle(self, run: Setting) -> None:
        """Measures a finished run's embeddings and removes what is large. May be repeated.

        Raises:
          InputError: if its embeddings are gone before they were measured.
        """
        directory = self.runs_dir / run.name
        measured = directory / DIAGNOSTICS_FILE
        if not measured.is_file():
            path = directory / run_dir.EXPORT_DIR / run_dir.EMBEDDINGS_FILE
            if not path.is_file():
                raise InputError(f"{path} is missing; delete {directory} to run it again")
            embeddings = np.load(path)
            values = {
                "uniformity": diagnostics.uniformity(embeddings),
                "effective_rank": diagnostics.effective_rank(embeddings),
            }
            files.write_json(measured, values)
        if not self._keep_models:
            for name in _LARGE:
                shutil.rmtree(directory / name, ignore_errors=True)

    def records(self, runs: Iterable[Setting]) -> dict[Setting, Record]:
        """Records of those of the runs that are finished and settled.

        Raises:
          InputError: if a file is damaged.
        """
        return {
            run: self._record(run)
            for run in runs
            if self.is_finished(run) and (self.runs_dir / run.name / DIAGNOSTICS_FILE).is_file()
        }

    def _record(self, run: Setting) -> Record:
        directory = self.runs_dir / run.name
        history = files.read_json(directory / run_dir.HISTORY_FILE, list)
        metrics = files.read_json(directory / run_dir.METRICS_FILE)
        if metrics["split"] != run.split:
            raise InputError(
                f"{directory / run_dir.METRICS_FILE} is on the {metrics['split']} pairs, not on "
                f"the {run.split} ones; delete {directory} to run it again"
            )
        return Record(
            setting=run,
            metrics=metrics,
            curve=tuple(
                (int(epoch["step"]), float(epoch[_CURVE])) for epoch in history if _CURVE in epoch
            ),
            diagnostics=files.read_json(directory / DIAGNOSTICS_FILE),
            steps_per_second=steps_per_second(history),
            training_seconds=float(history[-1]["seconds"]) if history else 0.0,
        )


def steps_per_second(history: list[dict[str, float]]) -> float | None:
    """Training steps in a second, without validation.

    The first epoch, which includes tracing, is left out where there are others.
    """
    if not history:
        return None
    begin = history[0] if len(history) > 1 else {"step": 0, "seconds": 0.0}
    steps = history[-1]["step"] - begin["step"]
    seconds = history[-1]["seconds"] - begin["seconds"]
    return steps / seconds if steps and seconds > 0 else None
