"""A small study carried out in one process: `python -m tests.study_in_process DATA_DIR OUTPUT_DIR`.

Its runner shares nothing with the local one: what a scheduler's would do, in the shortest way.
"""

import pathlib
import sys

from absl import flags
from absl.testing import flagsaver

from pipelines.experiments.runner import Finished
from pipelines.experiments.studies import process
from pipelines.experiments.studies.settings import Study
from pipelines.experiments.studies.store import Store
from ssl_recsys import schema, train

FLAGS = {
    "batch_size": "256",
    "embedding_dim": "4",
    "hidden_layers": "8,4",
    "max_epochs": "2",
}


def small_study(data_dir: str) -> Study:
    """Nine runs through every stage."""
    return Study(
        base={**FLAGS, "data_dir": data_dir},
        methods=("baseline", "fd"),
        learning_rates=(0.05, 0.1),
        alphas=(0.3, 1.0),
        dropout_rates=(0.3, 0.9),
        fractions=(1.0, 0.5),
        choosing_seeds=1,
        final_seeds=1,
        epochs_at={0.5: 3},
    )


class InProcessRunner:
    """Runs `train` in this process.

    Args:
      directory: as a `LocalRunner`'s.
    """

    def __init__(self, directory: pathlib.Path):
        self._directory = directory

    def run_all(self, runs):
        for run in runs:
            model_dir = self._directory / run.name
            with flagsaver.flagsaver():
                flags.FLAGS(["train", *run.arguments(model_dir)])
                train.main(["train"])
            yield Finished(run, model_dir, 0.0, None)


def main() -> None:
    data_dir, output_dir = sys.argv[1:]
    directory = pathlib.Path(output_dir)
    study, store = small_study(data_dir), Store(directory)
    process.carry_out(study, store, InProcessRunner(store.runs_dir))
    process.write_report(study, store, directory, schema.read_dataset_info(data_dir))


if __name__ == "__main__":
    main()
