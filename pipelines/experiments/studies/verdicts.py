"""The paper's five research questions: its answers, ours, and whether they agree.

Verdicts are computed. `agree` and `disagree` need a difference that is significant in a paired test
over seeds (p < 0.05, Holm's correction where several methods are tested); else the verdict is
`not decided`. RQ4 agrees where the paper's winner has our best mean; RQ5 is judged on curves of few
seeds, by the rules in its functions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from pipelines.experiments.studies import paper, stats
from pipelines.experiments.studies.results import SCORE, Results
from pipelines.experiments.studies.tables import number, p_text, percent
from ssl_recsys.methods import BASELINE, METHODS

AGREE, DISAGREE, NOT_DECIDED = "agree", "disagree", "not decided"
NOT_ASKED, NO_FIGURE = "not asked", "no figure to compare with"
_SIGNIFICANT = 0.05


@dataclasses.dataclass(frozen=True)
class Verdict:
    """One row of the table of research questions.

    Attributes:
      question: the question.
      paper: the paper's answer, with its figures where this study has a dataset of its kind.
      ours: our answer.
      verdict: `agree`, `disagree`, `not decided`, `not asked` where the study lacks the runs, or
        `no figure to compare with`.
    """

    question: str
    paper: str
    ours: str
    verdict: str


def verdicts(results: Results) -> list[Verdict]:
    """A row for each research question, RQ4 and RQ5 with two."""
    return [
        full_data(results),
        less_data(results),
        head_and_tail(results),
        winner(results),
        alpha(results),
        dropout_peak(results),
        dropout_fall(results),
    ]


def full_data(results: Results) -> Verdict:
    """RQ1: whether a self-supervised method is better than the baseline with all data."""
    fraction = results.largest
    base = results.values(BASELINE, fraction, SCORE)
    gains = {
        method: gain
        for method in results.study.ssl_methods
        if (gain := stats.gain(results.values(method, fraction, SCORE), base)) is not None
    }
    tested = {name: gain.p_value for name, gain in gains.items() if gain.p_value is not None}
    corrected = stats.holm({name: p for name, p in tested.items() if p is not None})
    sure = [name for name, p_value in corrected.items() if p_value < _SIGNIFICANT]
    better = [name for name in gains if name in sure and gains[name].difference > 0]
    worse = [name for name in gains if name in sure and gains[name].difference < 0]
    if not gains:
        ours, verdict = "no runs", NOT_ASKED
    else:
        best = max(gains, key=lambda name: gains[name].difference)
        ours = (
            f"best: {_gain_text(best, gains[best])}; better than the baseline beyond chance: "
            f"{_names(better)}; worse: {_names(worse)}"
        )
        verdict = NOT_DECIDED
        if better:
            verdict = AGREE
        elif len(worse) == len(gains):
            verdict = DISAGREE
    return Verdict(
        "RQ1. Does self-supervision help with all training data (Recall@50)?",
        _paper_gains(results.study.paper, "yes", 1.0),
        ours,
        verdict,
    )


def less_data(results: Results) -> Verdict:
    """RQ2: whether the relative gain is larger with the smallest fraction than with all."""
    fractions = results.study.fractions
    question = "RQ2. Does the gain grow with less training data (Recall@50)?"
    if len(fractions) < 2:
        return Verdict(question, "yes", "one fraction only", NOT_ASKED)
    gains = {fraction: _mean_gains(results, fraction, SCORE, "overall") for fraction in fractions}
    parts = [
        f"{percent(float(np.mean(list(values.values()))))} with {100 * fraction:g} %"
        for fraction, values in gains.items()
        if values
    ]
    ours, verdict = _compared(gains[fractions[-1]], gains[fractions[0]])
    return Verdict(
        question,
        "yes" + _paper_mean_gains(results.study.paper, fractions),
        f"mean over the self-supervised methods: {', '.join(parts) or 'no runs'}{ours}",
        verdict,
    )


def head_and_tail(results: Results) -> Verdict:
    """RQ3: whether the relative gain is larger on the tail than on the head."""
    gains = {
        part: _mean_gains(results, results.largest, "recall@10", part) for part in ("tail", "head")
    }
    parts = [
        f"{percent(float(np.mean(list(values.values()))))} on the {part}"
        for part, values in gains.items()
        if values
    ]
    ours, verdict = _compared(gains["tail"], gains["head"])
    theirs = [
        f"{percent(gain)} on the {part}"
        for part in ("tail", "head")
        if (gain := _paper_slice_gain(results.study.paper, part)) is not None
    ]
    return Verdict(
        "RQ3. Is the gain larger on the tail than on the head (Recall@10)?",
        "yes" + (f": {', '.join(theirs)}, mean over FD, FM and FD+FM" if theirs else ""),
        f"mean over the self-supervised methods: {', '.join(parts) or 'no runs'}{ours}",
        verdict,
    )


def winner(results: Results) -> Verdict:
    """RQ4: whether the paper's best method is ours, or worse than ours beyond chance."""
    fraction, dataset = results.largest, results.study.paper
    means = stats.means(
        {method: results.values(method, fraction, SCORE) for method in results.study.methods}
    )
    theirs = {name: row[SCORE] for name, row in paper.RESULTS.get(dataset, {}).get(1.0, {}).items()}
    paper_best = max(theirs, key=lambda name: theirs[name]) if theirs else None
    if not means:
        ours, verdict = "no runs", NOT_ASKED
    else:
        order = sorted(means, key=lambda name: -means[name])
        ours = ", ".join(f"{METHODS[name].label} {number(means[name])}" for name in order[:3])
        verdict = NO_FIGURE
        if paper_best in means and len(order) > 1:
            verdict, why = _against_best(results, str(paper_best), order)
            ours += why
    return Verdict(
        "RQ4a. Which task or combination wins with all data (Recall@50)?",
        "no figure"
        if paper_best is None
        else f"{METHODS[paper_best].label} {number(theirs[paper_best])}",
        ours,
        verdict,
    )


def alpha(results: Results) -> Verdict:
    """RQ4: on how much of the grid of alpha a method is above the baseline; no verdict."""
    base = stats.summarize(results.tuned_baseline(SCORE))
    parts = []
    for method in results.study.ssl_methods:
        means = stats.means(results.alpha_curve(method))
        if means and base is not None:
            best = max(means, key=lambda value: means[value])
            above = sum(mean > base.mean for mean in means.values())
            parts.append(f"{METHODS[method].label} {best:g} ({above} of {len(means)})")
    return Verdict(
        "RQ4b. How sensitive is each task to alpha (Recall@50, validation)?",
        "a curve for each task (Figure 6), alpha from 0.1 to 3",
        "best alpha, and how many values are above the baseline: "
        + (", ".join(parts) or "no runs"),
        NO_FIGURE if parts else NOT_ASKED,
    )


def dropout_peak(results: Results) -> Verdict:
    """RQ5: whether FD peaks near the paper's rate, or leads elsewhere beyond the seeds' spread."""
    question = "RQ5a. At which dropout rate is FD best (Recall@50, validation)?"
    theirs = f"near {paper.FD_PEAK_RATE:g}"
    means = stats.means(results.dropout_curve("fd", SCORE))
    if len(means) < 3:
        return Verdict(question, theirs, "not part of this study", NOT_ASKED)
    best = max(means, key=lambda rate: means[rate])
    ours = f"{best:g} ({number(means[best])})"
    is_near = abs(best - paper.FD_PEAK_RATE) < 0.15
    at_theirs = means.get(paper.FD_PEAK_RATE)
    if is_near or at_theirs is None:
        return Verdict(question, theirs, ours, AGREE if is_near else NOT_DECIDED)
    spread = _seed_spread(results)
    ours += f"; {number(at_theirs)} at {paper.FD_PEAK_RATE:g}; " + (
        f"deviation over the baseline's final seeds {number(spread)}" if spread else "one seed"
    )
    # The curve has few seeds: a lead within twice the seeds' deviation decides nothing.
    decided = spread is not None and means[best] - at_theirs > 2 * spread
    return Verdict(question, theirs, ours, DISAGREE if decided else NOT_DECIDED)


def dropout_fall(results: Results) -> Verdict:
    """RQ5: whether FD, above the baseline at some rate, is under it at all high ones or at none."""
    question = (
        "RQ5b. Does FD fall under the baseline at high dropout rates (Recall@50, validation)?"
    )
    theirs = f"yes, past {paper.FD_FALLS_BELOW_PAST:g}"
    means = stats.means(results.dropout_curve("fd", SCORE))
    base = stats.summarize(results.tuned_baseline(SCORE))
    high = {rate: mean for rate, mean in means.items() if rate > paper.FD_FALLS_BELOW_PAST}
    if not high or base is None:
        return Verdict(question, theirs, "not part of this study", NOT_ASKED)
    below = [rate for rate, mean in means.items() if mean < base.mean]
    shown = ", ".join(f"{number(mean)} at {rate:g}" for rate, mean in high.items())
    ours = (
        f"baseline {number(base.mean)}; FD {shown}; under the baseline at: "
        f"{', '.join(f'{rate:g}' for rate in below) or 'none'}"
    )
    is_below = [rate in below for rate in high]
    falls = all(is_below) and len(below) < len(means)  # from above
    verdict = AGREE if falls else DISAGREE if not any(is_below) else NOT_DECIDED
    return Verdict(question, theirs, ours, verdict)


def _compared(more: Mapping[int, float], less: Mapping[int, float]) -> tuple[str, str]:
    """The p-value of `more` - `less` over common seeds as text, and the verdict that it is > 0."""
    differences = [more[seed] - less[seed] for seed in sorted(more.keys() & less.keys())]
    if not differences:
        return "", NOT_ASKED
    p_value = stats.paired_p_value(differences)
    verdict = NOT_DECIDED
    if p_value is not None and p_value < _SIGNIFICANT:
        verdict = AGREE if float(np.mean(differences)) > 0 else DISAGREE
    return f"; difference over {len(differences)} seeds {p_text(p_value)}", verdict


def _against_best(results: Results, theirs: str, order: Sequence[str]) -> tuple[str, str]:
    """The verdict on the paper's winner, and how it compares with our best or second."""
    rival = order[0] if theirs != order[0] else order[1]
    gain = stats.gain(
        results.values(theirs, results.largest, SCORE),
        results.values(rival, results.largest, SCORE),
    )
    if gain is None:
        return NOT_ASKED, ""
    why = f"; {_gain_text(theirs, gain)} against {METHODS[rival].label}"
    if theirs == order[0]:
        return AGREE, why
    decided = gain.p_value is not None and gain.p_value < _SIGNIFICANT
    return (DISAGREE if decided else NOT_DECIDED), why


def _mean_gains(results: Results, fraction: float, metric: str, part: str) -> dict[int, float]:
    """By seed, the mean over self-supervised methods of the relative gain over the baseline."""
    base = results.values(BASELINE, fraction, metric, part)
    gains = [
        stats.relative_gains(results.values(method, fraction, metric, part), base)
        for method in results.study.ssl_methods
    ]
    seeds = set(base).intersection(*gains) if gains else set()
    return {seed: float(np.mean([one[seed] for one in gains])) for seed in sorted(seeds)}


def _seed_spread(results: Results) -> float | None:
    summary = stats.summarize(results.values(BASELINE, results.largest, SCORE))
    return None if summary is None else summary.deviation


def _paper_gains(dataset: str, answer: str, fraction: float) -> str:
    rows = paper.RESULTS.get(dataset, {}).get(fraction)
    if rows is None:
        return answer
    base = rows[BASELINE][SCORE]
    gains = {name: row[SCORE] / base - 1 for name, row in rows.items() if METHODS[name].tasks}
    best = max(gains, key=lambda name: gains[name])
    lost = [name for name, gain in gains.items() if gain < 0]
    return (
        f"{answer}: {METHODS[best].label} {percent(gains[best])}; {len(gains) - len(lost)} of "
        f"{len(gains)} methods above the baseline"
    )


def _paper_mean_gains(dataset: str, fractions: Sequence[float]) -> str:
    rows = {
        fraction: table
        for fraction, table in paper.RESULTS.get(dataset, {}).items()
        if fraction in fractions
    }
    if not rows:
        return ""
    # Only methods that every fraction has: version 1's combinations are not in all tables.
    shared = set.intersection(*(set(table) for table in rows.values()))
    common = [name for name in METHODS if name in shared and METHODS[name].tasks]
    parts = []
    for fraction, table in rows.items():
        gain = np.mean([table[name][SCORE] / table[BASELINE][SCORE] - 1 for name in sorted(common)])
        parts.append(f"{percent(float(gain))} with {100 * fraction:g} %")
    return f": {', '.join(parts)}, mean over {_names(common)}"


def _paper_slice_gain(dataset: str, part: str) -> float | None:
    row = paper.SLICES.get(dataset, {}).get(part)
    if row is None:
        return None
    gains = [value / row[BASELINE] - 1 for name, value in row.items() if name != BASELINE]
    return float(np.mean(gains))


def _gain_text(name: str, gain: stats.Gain) -> str:
    relative = "" if gain.relative is None else percent(gain.relative)
    return f"{METHODS[name].label} {relative} ({p_text(gain.p_value)})"


def _names(names: Sequence[str]) -> str:
    return ", ".join(METHODS[name].label for name in names) or "none"
