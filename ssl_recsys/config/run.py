"""All settings of a run, and the checks between them."""

from __future__ import annotations

import dataclasses

from ssl_recsys.config.loss import LossConfig
from ssl_recsys.config.method import SSLConfig
from ssl_recsys.config.tower import TowerConfig
from ssl_recsys.config.training import TrainingConfig
from ssl_recsys.errors import InputError
from ssl_recsys.options import Options


@dataclasses.dataclass(frozen=True)
class RunConfig(Options):
    """Everything that decides what a training run learns."""

    tower: TowerConfig = dataclasses.field(default_factory=TowerConfig)
    loss: LossConfig = dataclasses.field(default_factory=LossConfig)
    ssl: SSLConfig = dataclasses.field(default_factory=SSLConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        if self.tower.vector_delta and (self.training.shard_tables or self.training.init_from):
            other = "shard_tables" if self.training.shard_tables else "init_from"
            raise InputError(
                f"--vector_delta does not go with --{other}, which knows only the tables of ids; "
                "leave one of the two off"
            )
        if self.training.pretrain_epochs and not self.ssl.tasks:
            raise InputError(
                "--pretrain_epochs needs a --method with self-supervised tasks (got "
                f"{self.ssl.method})"
            )
