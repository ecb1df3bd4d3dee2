"""The training method: self-supervised tasks, their views, and what the main task drops."""

from __future__ import annotations

import dataclasses

from ssl_recsys import schema
from ssl_recsys.errors import InputError
from ssl_recsys.methods import (
    BASELINE,
    FEATURE_DROPOUT,
    FEATURE_MASKING,
    METHODS,
    REST_OF_FEATURES,
    FMGroups,
    check_fm_groups,
    parse_fm_groups,
    show_fm_groups,
)
from ssl_recsys.options import Options, option

DROPOUTS = ("feature", "value")
NO_MASK = "none"
MASKS = ("random", "correlated")
BATCH_ITEMS, CATALOG_ITEMS = SSL_ITEMS = ("batch", "catalog")
SOFTMAX, SQUARED = SPREAD_OUT_LOSSES = ("softmax", "squared")
BOTH_SIDES = "both"


@dataclasses.dataclass(frozen=True)
class SSLConfig(Options):
    """The method: its self-supervised tasks, their views, and what the main task drops."""

    method: str = option(BASELINE, "Training method.", choices=METHODS)
    dropout_rate: float = option(
        0.3, "Probability of dropping a feature (or value) in FD and DO.", at_least=0, below=1
    )
    dropout_granularity: str = option(
        "feature",
        "Drop whole features, as the paper, or single values of bags (paper v4).",
        choices=DROPOUTS,
    )
    main_dropout_rate: float = option(
        0.0,
        "Probability of dropping a feature (or value) in the main task, so that it sees items with "
        "as little as a new one has (DropoutNet, Volkovs et al. 2017).",
        at_least=0,
        below=1,
    )
    main_dropout_side: str = option(
        BOTH_SIDES,
        "Sides whose features --main_dropout_rate drops. query: queries become as little known as "
        "new ones, and items keep what tells them apart.",
        choices=(schema.ITEM, schema.QUERY, BOTH_SIDES),
    )
    view_masking: str = option(
        NO_MASK,
        "FD's two views see complementary halves of the features, new ones in every step: a random "
        "half, or a random feature with those that share most information with it (paper v4).",
        choices=(NO_MASK, *MASKS),
    )
    fm_groups: FMGroups = option(
        (("id",), (REST_OF_FEATURES,)),
        "FM's groups: features separated by ',', groups by ';', * for all others; k groups give "
        "k(k-1)/2 losses.",
        parse=parse_fm_groups,
        show=show_fm_groups,
    )
    fm_hidden_layers: tuple[int, ...] = option(
        (128,), "Sizes of the dense layers of each FM encoder.", at_least=1
    )
    spread_out: str = option(
        SOFTMAX,
        "Form of SO: softmax, Eq. (3) with identical views, or squared (Zhang et al. 2017).",
        choices=SPREAD_OUT_LOSSES,
    )
    ssl_side: str = option(
        schema.ITEM,
        "Towers that the self-supervised tasks apply to.",
        choices=(schema.ITEM, schema.QUERY, BOTH_SIDES),
    )
    ssl_items: str = option(
        BATCH_ITEMS,
        "Items that they apply to: the batch's, or rows drawn uniformly of the catalog (paper v4).",
        choices=SSL_ITEMS,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.view_masking != NO_MASK and FEATURE_DROPOUT not in self.tasks:
            raise InputError("--view_masking masks FD's views; choose a method with fd")
        if FEATURE_MASKING in self.tasks:
            check_fm_groups(self.fm_groups)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the self-supervised tasks, in order."""
        return METHODS[self.method].tasks

    @property
    def sides(self) -> tuple[str, ...]:
        """The sides that they apply to; none without a task."""
        if not self.tasks:
            return ()
        return schema.SIDES if self.ssl_side == BOTH_SIDES else (self.ssl_side,)

    @property
    def draws_from_catalog(self) -> bool:
        """Whether the tasks work on items of their own."""
        return self.ssl_items == CATALOG_ITEMS and bool(self.tasks)

    def main_rate(self, side: str) -> float:
        """Dropout rate of a side's features in the main task."""
        if side == schema.ITEM and METHODS[self.method].drops_in_main_task:
            return self.dropout_rate
        return self.main_dropout_rate if self.main_dropout_side in (side, BOTH_SIDES) else 0.0
