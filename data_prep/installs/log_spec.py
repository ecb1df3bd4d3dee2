"""What the columns of a log mean."""

from __future__ import annotations

import dataclasses

from data_prep.installs.weights import check_kinds
from ssl_recsys.errors import InputError
from ssl_recsys.schema import NEGATIVES, WEIGHT

HISTORY, LANDING_PAGE = "history", "landing_page"
LOG_KINDS = (HISTORY, LANDING_PAGE)
# Microseconds in a unit of time.
TIMESTAMP_UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1, "min": 60_000_000, "d": 86_400_000_000}
# Of an event: unless a spec says otherwise, and at most.
MAX_NEGATIVES = 4
_MOST_NEGATIVES = 1000


def _check_choice(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"{what} must be one of {', '.join(choices)} (got {value!r})")


@dataclasses.dataclass(frozen=True)
class LogSpec:
    """The columns of a log.

    Attributes:
      kind: `history` (user, item, timestamp) or `landing_page` (seed, candidate, timestamp).
      user: who acted; in a landing-page log only a split by user needs it.
      item: the item of a history.
      seed: the item whose page was looked at.
      candidate: the item that was chosen there.
      timestamp: when: a number of `timestamp_unit`s, or a date and time as in ISO 8601.
      timestamp_unit: s, ms, us, min or d, for numbers.
      weight: how much an event counts; empty: all alike.
      kind_column: what kind of event it is; empty: all are of one kind.
      kinds: kind -> its weight, for the kinds that are kept; empty: all.
      kind_feature: whether the kind of the event to predict is a feature of the query.
      negatives: a list of the keys of items that were shown beside the chosen one and not chosen;
        empty: none.
      negatives_separator: text between them in CSV and TSV (lists need none).
      max_negatives: how many of an event are kept, the first ones.
    """

    kind: str = HISTORY
    user: str = "user_id"
    item: str = "app_id"
    seed: str = "seed"
    candidate: str = "candidate"
    timestamp: str = "timestamp"
    timestamp_unit: str = "s"
    weight: str = ""
    kind_column: str = ""
    kinds: dict[str, float] = dataclasses.field(default_factory=dict)
    kind_feature: bool = False
    negatives: str = ""
    negatives_separator: str = "|"
    max_negatives: int = MAX_NEGATIVES

    def __post_init__(self) -> None:
        _check_choice("log kind", self.kind, LOG_KINDS)
        _check_choice("timestamp_unit", self.timestamp_unit, tuple(TIMESTAMP_UNITS))
        check_kinds(self.kinds)
        if not 1 <= self.max_negatives <= _MOST_NEGATIVES:
            raise InputError(
                f"max_negatives must be in [1, {_MOST_NEGATIVES}] (got {self.max_negatives})"
            )
        if not self.negatives_separator:
            raise InputError("log.negatives_separator must not be empty")

    def check(self) -> None:
        """Checks the fields that need others, any of which a flag may have named.

        Raises:
          InputError: if one is missing.
        """
        if self.kinds and not self.kind_column:
            raise InputError(
                "log.kinds needs the column that holds them: name it with log.kind_column or "
                "--kind_column"
            )
        if self.kind_feature and not self.kinds:
            raise InputError(
                "log.kind_feature needs the kinds that there are: list them in log.kinds or --kinds"
            )
        if self.max_negatives != MAX_NEGATIVES and not self.negatives:
            raise InputError(
                "max_negatives needs the column that lists them: name it with log.negatives or "
                "--negatives_column"
            )
        if self.negatives in self._other_columns():
            raise InputError(
                f"log.negatives must name a column of its own (got {self.negatives!r}, which means "
                "something else already)"
            )

    def _other_columns(self) -> list[str]:
        """The columns of items, users, times, weights and kinds."""
        names = [self.item] if self.kind == HISTORY else [self.seed, self.candidate]
        names += [self.user, self.timestamp, self.weight, self.kind_column]
        return [name for name in names if name]

    @property
    def has_weights(self) -> bool:
        """Whether events count differently."""
        return bool(self.weight) or any(weight != 1 for weight in self.kinds.values())

    @property
    def pair_columns(self) -> dict[str, int]:
        """The optional columns of the pairs, see `schema.DatasetInfo`."""
        negatives = {NEGATIVES: self.max_negatives} if self.negatives else {}
        return ({WEIGHT: 1} if self.has_weights else {}) | negatives
