"""The settings that all data jobs have; a job adds its own."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from data_prep.splits import SplitRule
from ssl_recsys import schema
from ssl_recsys.errors import InputError
from ssl_recsys.options import Options, option

MAX_SHARDS = 4096
TRAINING, CATALOG = VOCABULARIES = ("training", "catalog")
HEAD_MEANING = (
    "Which items are the head in evaluations, the others being the tail. in_training: those "
    "with --head_min_count training pairs. top_fraction: of these, the most frequent ones."
)


@dataclasses.dataclass(frozen=True)
class JobOptions(Options):
    """The flags that all data jobs have."""

    output_dir: str = option("", "Directory of the dataset; it must not hold anything yet.")
    overwrite: bool = option(
        False, "Replace the dataset at --output_dir, once the new one is whole."
    )
    split_by: str = option("", "How pairs are divided.")
    split_seed: int = option(
        0, "Different seeds give different divisions and orders of the pairs.", at_least=0
    )
    validation_fraction: float = option(0.05, "Share for validation.", above=0, below=1)
    test_fraction: float = option(0.05, "Share for testing.", above=0, below=1)
    head: str = option(
        schema.HEAD_IN_TRAINING,
        HEAD_MEANING,
        choices=schema.HEAD_RULES,
    )
    head_fraction: float = option(
        0.1,
        "Largest share of the catalog that is the head, with --head=top_fraction. Items with "
        "equally many training pairs are all head or all tail.",
        above=0,
        below=1,
    )
    head_min_count: int = option(
        1, "Training pairs that must lead to an item of the head.", at_least=1
    )
    vocabulary: str = option(
        TRAINING,
        "Items whose words, categories and other shared values get an id of their own: those of "
        "training, or all of the catalog. Ids of items are learned from training pairs alone.",
        choices=VOCABULARIES,
    )
    num_shards: int = option(
        0,
        "Parts that collections are joined in; 0 chooses by the input's size. The dataset does "
        "not depend on it.",
        at_least=0,
        at_most=MAX_SHARDS,
    )

    spill_dir: str = option(
        "",
        "Directory on a local disk for what the local runner keeps between steps; it is empty "
        "again at the end. Default: within the dataset being written, or the system's temporary "
        "directory if that is in a bucket.",
    )

    # Settings that the dataset does not depend on.
    unrecorded: ClassVar[tuple[str, ...]] = ("output_dir", "overwrite", "num_shards", "spill_dir")
    # Later settings: without them, datasets are described as before these were there.
    recorded_if_given: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.validation_fraction + self.test_fraction >= 1.0:
            raise InputError(
                "--validation_fraction + --test_fraction must be below 1, the rest is for training "
                f"(got {self.validation_fraction} + {self.test_fraction})"
            )

    @property
    def split(self) -> SplitRule:
        """How pairs are divided."""
        return SplitRule(
            self.split_by, self.split_seed, self.validation_fraction, self.test_fraction
        )

    @property
    def head_rule(self) -> schema.HeadRule:
        """Which items are the head."""
        is_share = self.head == schema.HEAD_TOP_FRACTION
        return schema.HeadRule(
            self.head, self.head_fraction if is_share else 0.0, self.head_min_count
        )

    def recorded(self) -> dict[str, Any]:
        """The options that the dataset depends on, for `dataset.json`."""
        return {
            name: value
            for name, value in dataclasses.asdict(self).items()
            if name not in self.unrecorded and (value or name not in self.recorded_if_given)
        }
