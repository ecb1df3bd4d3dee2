"""Searches for training flags that validate best.

    python -m pipelines.tune --flagfile=configs/tune_wiki.flags

Optuna's study is kept in `--output_dir/study.db`: run again, the search resumes where it was
stopped. Every run has `--eval_split=validation`, so that test pairs are never read. The best flags
are written to `--output_dir/best.flags`.
"""

from __future__ import annotations

import dataclasses

from pipelines.experiments import search_space
from pipelines.experiments.base_flags import RunsOptions
from pipelines.experiments.runner import LocalRunner, check_flags
from pipelines.experiments.search import (
    BEST_FILE,
    METRICS,
    OWN_FLAGS,
    VALIDATION_METRIC,
    Search,
    check_searchable,
    naming_database,
    possible_runs,
)
from ssl_recsys import cli, files, schema
from ssl_recsys.options import Options, option


@dataclasses.dataclass(frozen=True)
class TuneOptions(Options):
    """The command's flags."""

    search: tuple[str, ...] = option(
        (),
        "A flag to search: name=low..high, followed by :log or :int if wanted, or "
        "name=value|value; repeatable.",
        repeated=True,
        required="name a flag to search (docs/tuning.md)",
    )
    try_first: tuple[str, ...] = option(
        (),
        "Values of all searched flags to try before the search, as name=value,name=value; "
        "repeatable.",
        repeated=True,
    )
    num_trials: int = option(30, "Trials in all, earlier ones included.", at_least=1)
    seeds: tuple[str, ...] = option(
        ("0",), "A trial is the mean over runs with these seeds.", required="give at least one"
    )
    metric: str = option(
        "",
        "Validation metric to maximise, which also chooses each run's best epoch; by default the "
        "--select_by of the runs.",
        choices=("", *METRICS),
    )
    search_seed: int = option(0, "Seed of the search itself.")
    runs: RunsOptions = dataclasses.field(default_factory=RunsOptions)


def main(options: TuneOptions) -> None:
    """The command."""
    space = search_space.parse(options.search)
    check_searchable([*options.runs.base_names(), *(one.name for one in space)])
    first = [search_space.parse_values(line, space) for line in options.try_first]
    base, directory = options.runs.shared(OWN_FLAGS), options.runs.directory
    metric = options.metric or base.get("select_by", VALIDATION_METRIC)
    if metric != base.get("select_by", VALIDATION_METRIC):
        base["select_by"] = metric
    info = schema.read_dataset_info(base["data_dir"], verify=options.runs.verify)
    check_flags(possible_runs(base, space, options.seeds), info)
    # Opened by a second process, the search would take the first one's trials for interrupted.
    with files.locked(directory), naming_database(directory):
        search = Search(
            base,
            space,
            directory,
            seeds=options.seeds,
            metric=metric,
            search_seed=options.search_seed,
        )
        search.try_first(first)
        search.carry_out(
            options.num_trials, LocalRunner(directory / "runs", parallel=options.runs.parallel)
        )
    best = directory / BEST_FILE
    print(f"\nbest: {best}\n\n{best.read_text(encoding='utf-8')}", end="")


if __name__ == "__main__":
    cli.run(main, TuneOptions)
