"""Trains a two-tower model with self-supervised tasks on a dataset directory.

    python -m ssl_recsys.train --flagfile=configs/wiki_fd.flags

Run again with the same flags, it resumes from its newest checkpoint. docs/flags.md lists the flags.
"""

from __future__ import annotations

from ssl_recsys import cli, schema
from ssl_recsys.training.feature_checks import check_features
from ssl_recsys.training.train_options import TrainOptions


def main(options: TrainOptions) -> None:
    """Trains, exports and evaluates."""
    # TensorFlow takes seconds to load: only after the flags are known to be good.
    check_features(options.run, schema.read_dataset_info(options.data_dir))
    from ssl_recsys.training import run

    run.train_and_evaluate(options)


if __name__ == "__main__":
    cli.run(main, TrainOptions)
