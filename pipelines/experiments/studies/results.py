"""The results of a study, from which tables, figures and verdicts are made."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

from pipelines.experiments.studies import plan
from pipelines.experiments.studies.plan import Choices
from pipelines.experiments.studies.settings import Setting, Study
from pipelines.experiments.studies.stats import BySeed
from pipelines.experiments.studies.store import Record
from ssl_recsys import schema
from ssl_recsys.evaluation.metrics import TOP_POPULAR, VALIDATION_METRIC
from ssl_recsys.methods import BASELINE

SCORE = VALIDATION_METRIC


def validation_scores(records: Mapping[Setting, Record]) -> dict[Setting, float]:
    """Recall@50 by run, on which choices rest; runs evaluated on test pairs are left out."""
    return {
        run: float(record.metrics["overall"][SCORE])
        for run, record in records.items()
        if run.split == record.metrics["split"] == schema.VALIDATION
    }


@dataclasses.dataclass(frozen=True)
class Results:
    """The records of a study, of which some may be missing.

    Attributes:
      study: the study.
      records: those that there are.
    """

    study: Study
    records: Mapping[Setting, Record]

    @functools.cached_property
    def scores(self) -> dict[Setting, float]:
        """Validation Recall@50 by run."""
        return validation_scores(self.records)

    @functools.cached_property
    def choices(self) -> Choices | None:
        """What was chosen, or None where runs are missing."""
        return plan.choices(self.study, self.scores)

    @property
    def largest(self) -> float:
        """The largest fraction."""
        return self.study.fractions[0]

    def final(self, method: str, fraction: float) -> dict[int, Record]:
        """Final runs of a method by seed."""
        if self.choices is None:
            return {}
        return {
            run.seed: self.records[run]
            for run in plan.final_runs(self.study, self.choices)
            if run.method == method and run.fraction == fraction and run in self.records
        }

    def values(
        self, method: str, fraction: float, metric: str, part: str = "overall"
    ) -> dict[int, float]:
        """A test metric of a method's final runs by seed; empty for a slice without pairs."""
        found = {
            seed: record.metrics[part][metric]
            for seed, record in self.final(method, fraction).items()
        }
        return {seed: value for seed, value in found.items() if value is not None}

    def top_popular(self, fraction: float, metric: str, part: str = "overall") -> float | None:
        """TopPopular's metric on the test pairs."""
        for record in self.final(BASELINE, fraction).values():
            return record.metrics["baselines"][TOP_POPULAR][part][metric]
        return None

    def diagnostic(self, method: str, name: str) -> dict[int, float]:
        """A diagnostic of a method's item embeddings, all training data, by seed."""
        runs = self.final(method, self.largest)
        return {seed: record.diagnostics[name] for seed, record in runs.items()}

    def speeds(self, method: str) -> dict[int, float]:
        """Steps per second of a method's final runs with all training data, by seed."""
        runs = self.final(method, self.largest)
        found = {seed: record.steps_per_second for seed, record in runs.items()}
        return {seed: value for seed, value in found.items() if value is not None}

    def alpha_curve(self, method: str, metric: str = SCORE) -> dict[float, BySeed]:
        """Validation metric by alpha, then by seed."""
        return self._curve(plan.alpha_runs, method, metric, lambda run: run.alpha)

    def dropout_curve(self, method: str, metric: str) -> dict[float, BySeed]:
        """Validation metric by dropout rate, then by seed."""
        return self._curve(plan.dropout_runs, method, metric, lambda run: run.dropout_rate)

    def tuned_baseline(self, metric: str) -> dict[int, float]:
        """Validation metric of the baseline at the chosen learning rate, by seed."""
        rate = plan.choose_learning_rate(self.study, self.scores)
        return {
            run.seed: self.records[run].metrics["overall"][metric]
            for run in plan.tune_runs(self.study)
            if run.learning_rate == rate and run in self.records
        }

    def _curve(
        self,
        runs_at: Callable[[Study, float], list[Setting]],
        method: str,
        metric: str,
        position: Callable[[Setting], float | None],
    ) -> dict[float, BySeed]:
        rate = plan.choose_learning_rate(self.study, self.scores)
        found: dict[float, dict[int, float]] = {}
        for run in [] if rate is None else runs_at(self.study, rate):
            at = position(run)
            if run.method == method and at is not None and run in self.records:
                value = self.records[run].metrics["overall"][metric]
                found.setdefault(at, {})[run.seed] = value
        return dict(sorted(found.items()))


def to_json(results: Results) -> dict[str, Any]:
    """The tidy table results.json: one entry a run, and what was chosen.

    Only `timings` differs when the same study is run again on the same machine.
    """
    chosen = results.choices
    order = sorted(results.records, key=lambda run: run.name)
    return {
        "study": dataclasses.asdict(results.study),
        "choices": None if chosen is None else dataclasses.asdict(chosen),
        "runs": [
            {
                "name": run.name,
                **dataclasses.asdict(run),
                "metrics": results.records[run].metrics,
                "curve": results.records[run].curve,
                "diagnostics": results.records[run].diagnostics,
            }
            for run in order
        ],
        "timings": {
            run.name: {
                "steps_per_second": results.records[run].steps_per_second,
                "training_seconds": results.records[run].training_seconds,
            }
            for run in order
        },
    }
