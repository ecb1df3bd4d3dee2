"""The options of the app-install job, checked."""

from __future__ import annotations

import dataclasses
from typing import Any

from data_prep import splits, tables
from data_prep.installs import logs
from data_prep.installs.dataset import LogSplit
from data_prep.installs.spec import InstallSpec, read_spec
from ssl_recsys import schema
from ssl_recsys.errors import InputError

ERROR, FIRST = "error", "first"
_MAX_SHARDS = 4096


@dataclasses.dataclass(frozen=True)
class AppInstallOptions:
    """The job's flags; see their help texts.

    Raises:
      InputError: for a value out of range.
    """

    installs: str
    apps: str
    output_dir: str = "data/app_install"
    overwrite: bool = False
    features_spec: str = ""
    log_kind: str = ""
    user_column: str = ""
    item_column: str = ""
    seed_column: str = ""
    candidate_column: str = ""
    timestamp_column: str = ""
    timestamp_unit: str = ""
    encoding: str = ""
    quoting: str = tables.AUTO
    key_column: str = ""
    title_column: str = ""
    window: str = "1d"
    max_pairs_per_user: int = 20_000
    split_by: str = logs.BY_TIME
    split_seed: int = 0
    validation_fraction: float = 0.1
    test_fraction: float = 0.1
    head_fraction: float = 0.1
    popularity_from_training: bool = False
    max_bad_records: int = 0
    duplicate_items: str = ERROR
    num_shards: int = 0

    def __post_init__(self) -> None:
        for name, what in (("installs", "log"), ("apps", "item table")):
            if not getattr(self, name):
                raise InputError(
                    f"--{name} is missing: name the {what}'s file, a comma list or a glob"
                )
        for name, values in (
            ("split_by", logs.SPLITS),
            ("duplicate_items", (ERROR, FIRST)),
        ):
            if getattr(self, name) not in values:
                raise InputError(
                    f"--{name} must be one of {', '.join(values)} (got {getattr(self, name)!r})"
                )
        for name in ("max_pairs_per_user", "max_bad_records"):
            if getattr(self, name) < 0:
                raise InputError(f"--{name} must not be negative (got {getattr(self, name)})")
        if not 0 <= self.num_shards <= _MAX_SHARDS:
            raise InputError(f"--num_shards must be in [0, {_MAX_SHARDS}] (got {self.num_shards})")
        logs.parse_duration(self.window)
        _ = self.split, self.head, self.text  # check their values

    @property
    def split(self) -> LogSplit:
        """How pairs are divided."""
        return LogSplit(
            by=self.split_by,
            fractions=splits.SplitRule(
                by=splits.BY_PAIR,
                seed=self.split_seed,
                validation_fraction=self.validation_fraction,
                test_fraction=self.test_fraction,
            ),
        )

    @property
    def head(self) -> schema.HeadRule:
        """Which items are the head."""
        return schema.HeadRule(schema.HEAD_TOP_FRACTION, self.head_fraction)

    @property
    def text(self) -> tables.TextFormat:
        """How text files are read."""
        return tables.TextFormat(self.encoding, self.quoting)

    def spec(self) -> InstallSpec:
        """What the columns mean: the spec file or the defaults, changed by the flags."""
        spec = read_spec(self.features_spec) if self.features_spec else None
        spec = spec or InstallSpec()
        given = {
            "kind": self.log_kind,
            "user": self.user_column,
            "item": self.item_column,
            "seed": self.seed_column,
            "candidate": self.candidate_column,
            "timestamp": self.timestamp_column,
            "timestamp_unit": self.timestamp_unit,
        }
        log = dataclasses.replace(spec.log, **{name: v for name, v in given.items() if v})
        spec = spec.with_key(self.key_column) if self.key_column else spec
        spec = dataclasses.replace(spec, log=log, title=self.title_column or spec.title)
        return spec.with_popularity_from_training() if self.popularity_from_training else spec

    def recorded(self) -> dict[str, Any]:
        """The options that the dataset depends on, for `dataset.json`."""
        fields = dataclasses.asdict(self)
        for name in ("output_dir", "overwrite", "num_shards"):
            del fields[name]
        return {**fields, "spec": dataclasses.asdict(self.spec())}
