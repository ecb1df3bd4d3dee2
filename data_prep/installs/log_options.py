"""The settings of jobs over a log of users, items and times, and a table of the items."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from data_prep import tables, text_format
from data_prep.installs.spec import InstallSpec
from data_prep.installs.weights import Kinds, parse_kinds, show_kinds
from data_prep.job_options import JobOptions
from ssl_recsys.options import option


@dataclasses.dataclass(frozen=True)
class LogOptions(JobOptions):
    """The flags that tell how a log and an item table are read."""

    features_spec: str = option(
        "", "JSON file with the meaning of the columns (docs/your_own_data.md)."
    )
    user_column: str = option("", "Column of the log with the user (user_id).")
    item_column: str = option("", "Column of the log with the item (app_id).")
    timestamp_column: str = option("", "Column of the log with the time (timestamp).")
    timestamp_unit: str = option("", "Unit of times that are numbers: s, ms, us, min or d (s).")
    weight_column: str = option(
        "", "Column of the log with the weight of an event's pairs in training (all 1)."
    )
    kind_column: str = option("", "Column of the log with the kind of an event (view, purchase).")
    kinds: Kinds = option(
        (),
        "Kinds of events that are kept, each with its weight: purchase,view:0.2 (1 where none is "
        "given). Others are left out and counted.",
        parse=parse_kinds,
        show=show_kinds,
    )
    kind_feature: bool = option(
        False,
        "Make the kind of the event to predict a feature of the query, where queries are users.",
    )
    negatives_column: str = option(
        "",
        "Column of the log that lists the keys of items that were shown and not chosen: negatives "
        "of the event's pairs, for --hard_negatives in training.",
    )
    max_negatives: int = option(
        0,
        "Negatives of an event that are kept, the first ones; 0: as the spec says (4).",
        at_least=0,
    )
    encoding: str = option(
        "",
        "Encoding of text files without a byte order mark, such as latin-1 (utf-8).",
    )
    quoting: str = option(
        text_format.AUTO,
        "Whether quotation marks enclose values; auto: they do in CSV, not in TSV.",
        choices=text_format.QUOTINGS,
    )
    key_column: str = option("", "Column of the item table with the items' keys (app_id).")
    title_column: str = option("", "Column of the item table with the title for users (title).")
    max_bad_records: int = option(
        0, "Bad records that are left out and counted before the job gives up.", at_least=0
    )

    recorded_if_given: ClassVar[tuple[str, ...]] = (
        "weight_column", "kind_column", "kinds", "kind_feature", "negatives_column", "max_negatives"
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.text  # checks the encoding

    @property
    def text(self) -> tables.TextFormat:
        """How text files are read."""
        return tables.TextFormat(self.encoding, self.quoting)

    def changed(self, spec: InstallSpec, **log_fields: str) -> InstallSpec:
        """A spec with what the flags say of its columns, and fields of its log that are given.

        Raises:
          InputError: if the log lacks a field that another one needs.
        """
        given: dict[str, Any] = log_fields | {
            "user": self.user_column,
            "item": self.item_column,
            "timestamp": self.timestamp_column,
            "timestamp_unit": self.timestamp_unit,
            "weight": self.weight_column,
            "kind_column": self.kind_column,
            "kinds": dict(self.kinds),
            "kind_feature": self.kind_feature,
            "negatives": self.negatives_column,
            "max_negatives": self.max_negatives,
        }
        log = dataclasses.replace(spec.log, **{name: v for name, v in given.items() if v})
        log.check()
        spec = spec.with_key(self.key_column) if self.key_column else spec
        return dataclasses.replace(spec, log=log, title=self.title_column or spec.title)
