"""A small study carried out in one process: `python -m tests.study_in_process DATA_DIR OUTPUT_DIR`.

Its runner shares nothing with the local one; it is the shortest example of a scheduler's.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Generator, Iterable

import tensorflow as tf

from pipelines.experiments.runner import Finished, Run
from pipelines.experiments.studies import process
from pipelines.experiments.studies.settings import Study
from pipelines.experiments.studies.store import Store
from pipelines.study import StudyOptions
from ssl_recsys import schema
from ssl_recsys.training.run import train_and_evaluate
from tests import command_line

# Five runs through every stage.
ARGUMENTS = (
    "--base_flag=batch_size=256",
    "--base_flag=embedding_dim=4",
    "--base_flag=hidden_layers=4",
    "--base_flag=max_epochs=2",
    "--methods=baseline,fd",
    "--learning_rates=0.1",
    "--alphas=1",
    "--dropout_rates=0.3,0.9",
    "--final_seeds=1",
)
NUM_RUNS = 5


class InProcessRunner:
    """Trains in this process.

    Args:
      directory: as a `LocalRunner`'s.
    """

    def __init__(self, directory: pathlib.Path):
        self._directory = directory

    def run_all(self, runs: Iterable[Run]) -> Generator[Finished, None, None]:
        for run in runs:
            model_dir = self._directory / run.name
            train_and_evaluate(run.options(model_dir))
            tf.keras.backend.clear_session()
            yield Finished(run, model_dir, 0.0, None)


def carry_out(study: Study, directory: pathlib.Path) -> None:
    """Carries the study out and writes its report."""
    store = Store(directory)
    process.carry_out(study, store, InProcessRunner(store.runs_dir))
    info = schema.read_dataset_info(study.data_dir)
    process.write_report(study, store, directory, info)


def main() -> None:
    data_dir, output_dir = sys.argv[1:]
    study = command_line.parse(StudyOptions, *ARGUMENTS, f"--data_dir={data_dir}").study()
    carry_out(study, pathlib.Path(output_dir))


if __name__ == "__main__":
    main()
