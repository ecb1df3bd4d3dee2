"""What the columns of a log, a table of items and a table of users mean.

The file is that of `data_prep.installs.spec` with two more fields, both of which may be left out:

    {"users": {"key": "viewer"},
     "user_features": [{"name": "country", "kind": "categorical", "column": "country"}]}
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from data_prep.installs import spec as installs
from data_prep.installs.encoders import ItemFeature, KeyEncoder
from data_prep.installs.log_spec import HISTORY
from data_prep.installs.spec import InstallSpec, features_of
from data_prep.text_format import TextFormat
from ssl_recsys import files, schema
from ssl_recsys.errors import InputError
from ssl_recsys.features import CATEGORICAL, Bag, Categorical, FeatureSpec
from ssl_recsys.options import check_distinct
from ssl_recsys.raw import rules
from ssl_recsys.raw.rules import RawFeature, RawItem

USERS, HISTORIES, BOTH = QUERIES = ("users", "histories", "both")
# The query features that no column of the user table gives.
HISTORY_FEATURE = "history"
KIND_FEATURE = "kind"
USER_ID_FEATURE = "user_id"


_USER_FIELDS = {"users": dict, "user_features": list}


@dataclasses.dataclass(frozen=True)
class UserSpec(InstallSpec):
    """The columns of the table of users; the features may be none."""

    noun: ClassVar[str] = "user"

    def __post_init__(self) -> None:
        check_distinct("names of user features", [feature.name for feature in self.features])
        if not self.key:
            raise InputError("users.key must name the column with the users' keys")
        self.check_vectors()


@dataclasses.dataclass(frozen=True)
class InteractionsSpec:
    """The columns of the job's input, and what a query is.

    Attributes:
      items: the table of items and the log.
      users: the table of users, its features those of the queries.
      queries: users, histories or both.
      history: most items of a history.
    """

    items: InstallSpec
    users: UserSpec
    queries: str = BOTH
    history: int = 50

    def __post_init__(self) -> None:
        if self.items.log.kind != HISTORY:
            raise InputError(
                "the log must be one of users, items and times (log.kind history); "
                "pipelines.app_install takes logs of pairs of items"
            )
        both = [*self.items.features, *self.users.features]
        names = [feature.name for feature in both]
        names += [HISTORY_FEATURE] if self.has_history else []
        names += [KIND_FEATURE] if self.kinds else []
        check_distinct("names of item and query features", names)
        if self.has_history and self.items.encoders()[self.item_id].feature.hash_buckets:
            raise InputError(
                f"feature {self.item_id}: hash_buckets are not for items that are in histories"
            )

    def located(
        self, items: Sequence[str], users: Sequence[str], text: TextFormat
    ) -> InteractionsSpec:
        """The same with what vectors need of the tables at these paths."""
        return dataclasses.replace(
            self, items=self.items.located(items, text), users=self.users.located(users, text)
        )

    def recorded(self) -> dict[str, Any]:
        """What `dataset.json` keeps, see `InstallSpec.recorded`."""
        return dataclasses.asdict(self, dict_factory=installs.recorded_fields)

    @property
    def has_history(self) -> bool:
        """Whether a query has a history."""
        return self.queries != USERS

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of events that queries ask for, in the order of their ids; none: they do not."""
        log = self.items.log
        return tuple(log.kinds) if log.kind_feature else ()

    @property
    def item_id(self) -> str:
        """Name of the feature that is the item's identity, whose table a history reads.

        Raises:
          InputError: if there is none.
        """
        for name, encoder in self.items.encoders().items():
            if isinstance(encoder, KeyEncoder):
                return name
        raise InputError(
            "a history needs a categorical item feature made from the column of the items' keys "
            f"({self.items.key}); add one, or take --queries={USERS}"
        )

    def catalog(
        self, vocab_sizes: Mapping[str, int], counters: Mapping[str, int], num_queries: int
    ) -> schema.QueryCatalog:
        """The queries' catalog; `vocab_sizes` counts id 0."""
        own = [self.history_spec(vocab_sizes[self.item_id])] if self.has_history else []
        features = (*own, *self.kind_specs(), *self.users.encoded(vocab_sizes))
        return schema.QueryCatalog(num_queries, features, self._raw(counters))

    def history_spec(self, vocab_size: int) -> FeatureSpec:
        """The history as the dataset holds it; `vocab_size` is that of the items' ids."""
        return Bag(HISTORY_FEATURE, vocab_size, self.history, table=self.item_id)

    def kind_specs(self) -> list[FeatureSpec]:
        """The kind that a query asks for as the dataset holds it; none where it asks for none."""
        return [Categorical(KIND_FEATURE, len(self.kinds) + 1)] if self.kinds else []

    def _raw(self, counters: Mapping[str, int]) -> RawItem | None:
        of_users = self.users.raw(counters)
        if of_users is None:
            return None
        own = []
        if self.has_history:
            own.append(RawFeature(HISTORY_FEATURE, rules.TOKENS, HISTORY_FEATURE, lists=True))
        if self.kinds:
            own.append(RawFeature(KIND_FEATURE, rules.TOKEN, KIND_FEATURE))
        return RawItem(of_users.key, "", (*own, *of_users.features))


def make(
    path: str,
    *,
    queries: str,
    history: int,
    has_table: bool,
    change: Callable[[InstallSpec], InstallSpec] = lambda items: items,
) -> InteractionsSpec:
    """The spec in a file, or the default one.

    Args:
      path: of the file; empty for the default.
      queries: one of QUERIES.
      history: most items of a history.
      has_table: whether there is a table of users.
      change: what flags change of the spec of items.

    Raises:
      InputError: if it cannot be read, or its parts do not fit.
    """

    def parse(content: Any) -> InteractionsSpec:
        files.check_types("the file", {"spec": content}, {"spec": dict})
        of_users = {name: content[name] for name in _USER_FIELDS if name in content}
        items = change(installs.spec_of({k: v for k, v in content.items() if k not in of_users}))
        users = _users(of_users, items, queries, has_table)
        return InteractionsSpec(items, users, queries, history)

    return installs.read_spec_file(path, parse) if path else parse({})


def _users(
    content: Mapping[str, Any], items: InstallSpec, queries: str, has_table: bool
) -> UserSpec:
    files.check_types("the file", content, _USER_FIELDS, optional=_USER_FIELDS)
    fields = content.get("users", {})
    files.check_types("users", fields, {"key": str}, optional=("key",))
    key = fields.get("key", items.log.user)
    features = features_of("user feature", content.get("user_features", ()))
    if features and not has_table:
        raise InputError("user_features need a table of users: name its file with --users")
    if queries == HISTORIES:
        features = ()
    elif all(feature.column != key for feature in features):
        features = (ItemFeature(USER_ID_FEATURE, CATEGORICAL, key), *features)
    return UserSpec(name=items.name, key=key, title="", log=items.log, features=features)
