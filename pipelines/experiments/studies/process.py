"""Carries out a study's stages on a runner, and reports on the runs that are finished."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Sequence

import tqdm

from pipelines.experiments import item_frequency
from pipelines.experiments.runner import Runner, check
from pipelines.experiments.studies import plan, report
from pipelines.experiments.studies.results import Results, to_json, validation_scores
from pipelines.experiments.studies.settings import Setting, Study
from pipelines.experiments.studies.store import Record, Store
from ssl_recsys import files, schema

RESULTS_FILE = "results.json"
FREQUENCY_FILE = "item_frequency.json"


def carry_out(study: Study, store: Store, runner: Runner) -> None:
    """Runs what is not finished yet, stage by stage.

    Args:
      study: the study.
      store: the runs' files.
      runner: what carries out runs, writing below `store.runs_dir`.

    Raises:
      InputError: if a run fails, or its directory holds a run with other flags.
    """
    records: dict[Setting, Record] = {}
    total = sum(plan.stage_sizes(study).values())
    with tqdm.tqdm(total=total, unit="run", desc="study", smoothing=0) as progress:
        for stage in plan.STAGES:
            # Choices of the stages before are known here, or the stage would be missing.
            runs = plan.stages(study, validation_scores(records))[stage]
            progress.set_description(f"study: {stage}")
            _carry_out_stage(study, store, runner, runs, progress)
            records |= store.records(runs)


def finished_records(study: Study, store: Store) -> dict[Setting, Record]:
    """Records of the runs that are finished, as far as their choices are known."""
    records: dict[Setting, Record] = {}
    for stage in plan.STAGES:
        known = plan.stages(study, validation_scores(records))
        records |= store.records(known.get(stage, []))
    return records


def write_report(
    study: Study, store: Store, directory: pathlib.Path, info: schema.DatasetInfo
) -> None:
    """Writes results.json, report.html and report.md on the runs that are finished.

    Raises:
      InputError: if a file of a run is damaged.
    """
    results = Results(study, finished_records(study, store))
    files.write_json(directory / RESULTS_FILE, to_json(results))
    path = directory / FREQUENCY_FILE
    if not path.is_file():
        measured = item_frequency.measure(study.data_dir, schema.TEST, verify=False)  # by `study`
        files.write_json(path, measured)
    report.write(directory, results, info, files.read_json(path))


def _carry_out_stage(
    study: Study, store: Store, runner: Runner, runs: Sequence[Setting], progress: tqdm.tqdm
) -> None:
    by_name = {run.name: run for run in runs}
    for run in runs:
        store.claim(run.training_run(study))
    finished = [run for run in runs if store.is_finished(run)]
    for run in finished:  # a stop may have come between a run's end and this
        store.settle(run)
    waiting = [run.training_run(study) for run in runs if not store.is_finished(run)]
    _pass_over(progress, len(finished))
    # Closed at once when a run fails, which ends the others.
    with contextlib.closing(runner.run_all(waiting)) as ended:
        for one in ended:
            check(one)
            store.settle(by_name[one.run.name])
            progress.update()


def _pass_over(progress: tqdm.tqdm, number: int) -> None:
    """Counts the runs finished before; the time left is estimated from this start's runs alone."""
    progress.initial += number
    progress.n += number
    progress.last_print_n = progress.n
    progress.refresh()
