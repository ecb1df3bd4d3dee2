"""The flags of `ssl_recsys.train`: a run, where it reads and writes, and what follows it."""

from __future__ import annotations

import dataclasses

from ssl_recsys import schema
from ssl_recsys.config.run import RunConfig
from ssl_recsys.manifest import VERIFY_DATASET
from ssl_recsys.options import Options, option

NO_EVALUATION = "none"


@dataclasses.dataclass(frozen=True)
class TrainOptions(Options):
    """The flags of `ssl_recsys.train`: a run, where it reads and writes, what follows it."""

    data_dir: str = option(
        "", "Dataset directory (docs/dataset.md).", required="a dataset directory"
    )
    model_dir: str = option(
        "", "Where the run writes everything.", required="where the run is to write"
    )
    resume: bool = option(True, "Resume a run that --model_dir holds.")
    eval_split: str = option(
        schema.TEST,
        "Split that metrics.json is computed on at the end. With validation or none, the test "
        "pairs are not even read.",
        choices=(schema.TEST, schema.VALIDATION, NO_EVALUATION),
    )
    eval_max_queries: int = option(
        0, "Evaluate on a seeded sample of this many queries; 0: on all.", at_least=0
    )
    keep_checkpoints: bool = option(
        False, "Keep a finished run's checkpoints, to train on with more --max_epochs."
    )
    verify: bool = option(True, VERIFY_DATASET)
    auto: bool = option(
        False,
        "Choose batch, epochs, patience, learning rate and alpha by the number of training pairs "
        "and by short trainings compared on validation pairs (docs/training.md).",
    )
    run: RunConfig = dataclasses.field(default_factory=RunConfig)
