"""Carries out a study and writes its report: the paper's tables and figures with one command.

    python -m pipelines.study --flagfile=configs/study_wiki.flags

Run again, it resumes where it was stopped. docs/study.md describes the protocol.
"""

from __future__ import annotations

import dataclasses
import sys

from pipelines.experiments.base_flags import RunsOptions
from pipelines.experiments.runner import LocalRunner, check_flags
from pipelines.experiments.studies import plan, process, provenance
from pipelines.experiments.studies.settings import OWN_FLAGS, Grid, Study
from pipelines.experiments.studies.store import Store
from ssl_recsys import cli, files, schema
from ssl_recsys.options import Options, option


@dataclasses.dataclass(frozen=True)
class StudyOptions(Options):
    """The command's flags."""

    keep_models: bool = option(False, "Keep the finished runs' exported models.")
    dry_run: bool = option(False, "Check the flags, print the number of runs of each stage, stop.")
    report_only: bool = option(False, "Write the report on what is finished.")
    runs: RunsOptions = dataclasses.field(default_factory=RunsOptions)
    grid: Grid = dataclasses.field(default_factory=Grid)

    def study(self) -> Study:
        """The study that the flags describe.

        Raises:
          InputError: for flags that do not fit each other or the training runs.
        """
        return Study(**vars(self.grid), base=self.runs.shared(OWN_FLAGS))


def main(options: StudyOptions) -> None:
    """The command."""
    study = options.study()
    if not options.dry_run:
        directory = options.runs.directory
    verify = options.runs.verify and not options.dry_run
    info = schema.read_dataset_info(study.data_dir, verify=verify)
    stages = plan.expected_stages(study)
    check_flags((one.training_run(study) for runs in stages.values() for one in runs), info)
    counts = [
        f"{stage:<8} {len(stages[stage]):>4} runs  {plan.MEANINGS[stage]}" for stage in stages
    ]
    summary = "\n".join([*counts, f"{'in all':<8} {sum(map(len, stages.values())):>4} runs"])
    if options.dry_run:
        print(summary)
        return
    store = Store(directory, keep_models=options.keep_models)
    if options.report_only:  # also beside a process that carries the study out
        process.write_report(study, store, directory, info)
    else:
        with files.locked(directory):
            provenance.note_start(directory, sys.argv[1:])
            print(summary, flush=True)
            runner = LocalRunner(store.runs_dir, parallel=options.runs.parallel)
            process.carry_out(study, store, runner)
            process.write_report(study, store, directory, info)
    print(f"wrote {directory / 'report.html'}, report.md and results.json")


if __name__ == "__main__":
    cli.run(main, StudyOptions)
