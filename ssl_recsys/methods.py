"""The training methods: which self-supervised tasks are added, and what the main task drops.

A new method is a line of `METHODS`; commands, studies and reports take it from there. Feature
masking splits the features into groups, which `--fm_groups` names.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ssl_recsys.errors import InputError
from ssl_recsys.features import FeatureSpec
from ssl_recsys.options import repetitions

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

# The features that no other group of --fm_groups names.
REST_OF_FEATURES = "*"
FMGroups = tuple[tuple[str, ...], ...]


def parse_fm_groups(text: str) -> FMGroups:
    """Groups from `id;title_ngrams,categories`: ';' between groups, ',' between features."""
    return tuple(
        tuple(name.strip() for name in group.split(",") if name.strip())
        for group in text.split(";")
    )


def show_fm_groups(groups: Sequence[Sequence[str]]) -> str:
    """What `parse_fm_groups` reads."""
    return ";".join(",".join(group) for group in groups)


def resolve_fm_groups(groups: Sequence[Sequence[str]], features: Sequence[FeatureSpec]) -> FMGroups:
    """Returns the groups with `*` replaced by the features that no group names.

    Raises:
      InputError: for a feature that the dataset lacks, or a `*` that stands for nothing.
    """
    known = [spec.name for spec in features]
    named = {name for group in groups for name in group if name != REST_OF_FEATURES}
    for name in sorted(named - {*known}):
        raise InputError(
            f"--fm_groups names the feature {name!r}, which the dataset lacks (features: "
            f"{', '.join(known)}); {_fm_groups_to_pass(groups, known)}"
        )
    rest = [name for name in known if name not in named]
    resolved = []
    for group in groups:
        names = [
            name for entry in group for name in (rest if entry == REST_OF_FEATURES else [entry])
        ]
        if not names:
            raise InputError(
                f"--fm_groups: {REST_OF_FEATURES!r} has no feature left, since the other groups "
                f"name all of them ({', '.join(known)})"
            )
        resolved.append(tuple(names))
    return tuple(resolved)


def _fm_groups_to_pass(groups: Sequence[Sequence[str]], known: Sequence[str]) -> str:
    """Advice: the groups without what the dataset lacks, or its first feature against the rest."""
    kept = [[name for name in group if name in (*known, REST_OF_FEATURES)] for group in groups]
    named = {name for group in kept for name in group}
    if sum(map(bool, kept)) < 2 or (REST_OF_FEATURES in named and named >= {*known}):
        kept = [[known[0]], [REST_OF_FEATURES]]
    if len(known) < 2:
        return "fm needs at least two; choose a --method without it"
    return f"pass --fm_groups='{show_fm_groups([group for group in kept if group])}'"


def check_fm_groups(groups: Sequence[Sequence[str]]) -> None:
    """Raises InputError for groups that no dataset has: fewer than two, empty or repeated."""
    if len(groups) < 2:
        raise InputError(
            "--fm_groups needs at least two groups of features, such as "
            f"'id;title_ngrams,categories' or 'id;*' (got {len(groups)})"
        )
    names = [name for group in groups for name in group]
    if repeated := repetitions(names):
        raise InputError(f"--fm_groups names {', '.join(repeated)} more than once")
    if not all(groups):
        raise InputError("--fm_groups has an empty group; groups are separated by one ';'")
