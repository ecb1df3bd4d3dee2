"""The training methods: which self-supervised tasks are added, and what the main task drops.

A new method is a line of `METHODS`; commands, studies and reports take it from there.
"""

from __future__ import annotations

import dataclasses

FEATURE_DROPOUT = "fd"
FEATURE_MASKING = "fm"
SPREAD_OUT = "so"


@dataclasses.dataclass(frozen=True)
class Method:
    """A training method of the paper, or one more.

    Attributes:
      tasks: self-supervised tasks that are added to the main task.
      drops_in_main_task: whether the main task drops features of the item side (the paper's DO,
        section 4.2).
    """

    tasks: tuple[str, ...] = ()
    drops_in_main_task: bool = False

    @property
    def label(self) -> str:
        """The method's name in tables and figures, such as `FD+SO`."""
        parts = ["DO"] * self.drops_in_main_task + [task.upper() for task in self.tasks]
        return "+".join(parts) or "Baseline"

    @property
    def uses_dropout(self) -> bool:
        """Whether `dropout_rate` matters."""
        return self.drops_in_main_task or FEATURE_DROPOUT in self.tasks


BASELINE = "baseline"
METHODS: dict[str, Method] = {
    BASELINE: Method(),
    "do": Method(drops_in_main_task=True),
    "so": Method((SPREAD_OUT,)),
    "fd": Method((FEATURE_DROPOUT,)),
    "fm": Method((FEATURE_MASKING,)),
    "fd_so": Method((FEATURE_DROPOUT, SPREAD_OUT)),
    "fm_so": Method((FEATURE_MASKING, SPREAD_OUT)),
    "fd_fm": Method((FEATURE_DROPOUT, FEATURE_MASKING)),
    "fd_fm_so": Method((FEATURE_DROPOUT, FEATURE_MASKING, SPREAD_OUT)),
}
