"""The protocol: which runs each stage needs, and what is chosen from them.

Pure functions of the study and of validation scores. A choice rests on Recall@50 values of runs
that were evaluated on the validation pairs and never read the test pairs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from pipelines.experiments.studies.settings import (
    DROPOUT_CURVE_ALPHA,
    FIRST_CHOOSING_SEED,
    Setting,
    Study,
    setting,
)
from ssl_recsys import schema
from ssl_recsys.methods import BASELINE

TUNE, ALPHA, DROPOUT, FINAL = "tune", "alpha", "dropout", "final"
STAGES = (TUNE, ALPHA, DROPOUT, FINAL)
MEANINGS = {
    TUNE: "learning rate of the baseline, on validation pairs",
    ALPHA: "alpha of each self-supervised method, on validation pairs",
    DROPOUT: "curves over the dropout rate, on validation pairs",
    FINAL: "the tables, on test pairs",
}

# Recall@50 on the validation pairs by run.
Scores = Mapping[Setting, float]


@dataclasses.dataclass(frozen=True)
class Choices:
    """What was chosen on validation pairs.

    Attributes:
      learning_rate: of all methods.
      alphas: of each self-supervised method.
    """

    learning_rate: float
    alphas: Mapping[str, float]


def stages(study: Study, scores: Scores) -> dict[str, list[Setting]]:
    """Runs of every stage that the scores so far allow to be known, in order.

    A stage that awaits a choice is missing. A run that an earlier stage has is not repeated.
    """
    found = {TUNE: tune_runs(study)}
    learning_rate = choose_learning_rate(study, scores)
    if learning_rate is None:
        return found
    found[ALPHA] = alpha_runs(study, learning_rate)
    found[DROPOUT] = dropout_runs(study, learning_rate)
    alphas = choose_alphas(study, learning_rate, scores)
    if alphas is not None:
        found[FINAL] = final_runs(study, Choices(learning_rate, alphas))
    return _without_repeats(found)


def stage_sizes(study: Study) -> dict[str, int]:
    """Number of runs of each stage; no choice changes it."""
    return {stage: len(runs) for stage, runs in expected_stages(study).items()}


def expected_stages(study: Study) -> dict[str, list[Setting]]:
    """Runs of every stage with values of the grid in place of the choices.

    Every value of the grid is in one of them, so that their flags can be checked at the start.
    """
    any_rate = study.learning_rates[0]
    alphas = dict.fromkeys(study.ssl_methods, max(study.alphas, default=0.0))
    return _without_repeats(
        {
            TUNE: tune_runs(study),
            ALPHA: alpha_runs(study, any_rate),
            DROPOUT: dropout_runs(study, any_rate),
            FINAL: final_runs(study, Choices(any_rate, alphas)),
        }
    )


def choices(study: Study, scores: Scores) -> Choices | None:
    """What the scores choose, or None where they are not complete."""
    learning_rate = choose_learning_rate(study, scores)
    if learning_rate is None:
        return None
    alphas = choose_alphas(study, learning_rate, scores)
    return None if alphas is None else Choices(learning_rate, alphas)


def tune_runs(study: Study) -> list[Setting]:
    """The baseline at every learning rate."""
    return [run for rate in study.learning_rates for run in _choosing(study, BASELINE, rate, None)]


def alpha_runs(study: Study, learning_rate: float) -> list[Setting]:
    """Every self-supervised method at every alpha."""
    return [
        run
        for method in study.ssl_methods
        for alpha in study.alphas
        for run in _choosing(study, method, learning_rate, alpha)
    ]


def dropout_runs(study: Study, learning_rate: float) -> list[Setting]:
    """The methods that are dropout alone, FD and DO, at every dropout rate."""
    return [
        run
        for method in study.curve_methods
        for rate in study.dropout_rates
        for run in _choosing(study, method, learning_rate, DROPOUT_CURVE_ALPHA, rate)
    ]


def final_runs(study: Study, chosen: Choices) -> list[Setting]:
    """Every method on every fraction with every final seed, evaluated on the test pairs."""
    return [
        setting(
            study,
            method,
            learning_rate=chosen.learning_rate,
            alpha=chosen.alphas.get(method),
            fraction=fraction,
            seed=seed,
            split=schema.TEST,
        )
        for fraction in study.fractions
        for seed in range(study.final_seeds)
        for method in study.methods
    ]


def choose_learning_rate(study: Study, scores: Scores) -> float | None:
    """The baseline's best rate by mean score, the lower one of equals; None if a run is missing."""
    rates = sorted(study.learning_rates)
    means = [mean_score(scores, _choosing(study, BASELINE, rate, None)) for rate in rates]
    return _best(rates, means)


def choose_alphas(study: Study, learning_rate: float, scores: Scores) -> dict[str, float] | None:
    """Each method's best alpha by mean score, the lower one of equals; None if a run is missing."""
    found = {}
    alphas = sorted(study.alphas)
    for method in study.ssl_methods:
        runs = [_choosing(study, method, learning_rate, alpha) for alpha in alphas]
        best = _best(alphas, [mean_score(scores, one) for one in runs])
        if best is None:
            return None
        found[method] = best
    return found


def mean_score(scores: Scores, runs: Sequence[Setting]) -> float | None:
    """Mean score of runs; None if one is missing."""
    if any(run not in scores for run in runs):
        return None
    return sum(scores[run] for run in runs) / len(runs)


def _best(values: Sequence[float], means: Sequence[float | None]) -> float | None:
    known = [mean for mean in means if mean is not None]
    if len(known) < len(means):
        return None
    return values[known.index(max(known))]


def _choosing(
    study: Study,
    method: str,
    learning_rate: float,
    alpha: float | None,
    dropout_rate: float | None = None,
) -> list[Setting]:
    return [
        setting(
            study,
            method,
            learning_rate=learning_rate,
            alpha=alpha,
            dropout_rate=dropout_rate,
            seed=FIRST_CHOOSING_SEED + number,
        )
        for number in range(study.choosing_seeds)
    ]


def _without_repeats(found: Mapping[str, Iterable[Setting]]) -> dict[str, list[Setting]]:
    seen: set[Setting] = set()
    result = {}
    for stage, runs in found.items():
        result[stage] = [run for run in runs if run not in seen]
        seen.update(result[stage])
    return result
