"""The main task's loss and its corrections."""

from __future__ import annotations

import dataclasses

from ssl_recsys.errors import InputError
from ssl_recsys.options import Options, option

STANDARD, CORRECTED = LOGQ_FORMS = ("standard", "corrected")


@dataclasses.dataclass(frozen=True)
class LossConfig(Options):
    """The main task, and the weight of the self-supervised ones."""

    temperature: float = option(
        0.07, "Softmax temperature tau of Eqs. (3) and (5), which divides cosines.", above=0
    )
    alpha: float = option(1.0, "Weight of every self-supervised loss, Eq. (4).", at_least=0)
    logq_correction: bool = option(
        False,
        "Subtract the log of each in-batch item's frequency in the training pairs from the main "
        "task's logits (Yi et al. 2019).",
    )
    logq_form: str = option(
        STANDARD,
        "Form of --logq_correction: standard, or corrected (Khrylchenko et al. 2025), which treats "
        "the positive as what it is, certain and not sampled, and leaves its other occurrences out "
        "of the negatives.",
        choices=LOGQ_FORMS,
    )
    remove_accidental_hits: bool = option(
        False, "Leave the positive item's other occurrences in the batch out of the negatives."
    )
    mixed_negatives: int = option(
        0,
        "Catalog items drawn uniformly in every step, for all queries alike, as further candidates "
        "of the main task (Yang et al. 2020); --logq_correction takes them into account. 0: none.",
        at_least=0,
    )
    hard_negatives: int = option(
        0,
        "Of the items that were shown beside each pair's and not chosen, the first so many are "
        "candidates of that query alone (Huang et al. 2020, Karpukhin et al. 2020). 0: none.",
        at_least=0,
    )
    hard_negative_weight: float = option(
        1.0,
        "As how many items each of --hard_negatives counts; with --logq_correction of the catalog.",
        above=0,
    )
    symmetric_loss: bool = option(
        False,
        "Add the softmax of each item over the batch's queries to the main loss (as CLIP, Radford "
        "et al. 2021); it has no logQ correction.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.logq_form == CORRECTED and not self.logq_correction:
            raise InputError("--logq_form=corrected needs --logq_correction")
