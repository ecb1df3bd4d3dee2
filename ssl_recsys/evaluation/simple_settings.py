"""Which settings of the simple recommenders are tried, and how a user names others."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ssl_recsys.errors import InputError
from ssl_recsys.evaluation import HYBRID
from ssl_recsys.evaluation.simple_models import (
    MOST_NEIGHBOURS,
    AlternatingLeastSquares,
    ContentCosine,
    ContentNeighbours,
    CoOccurrence,
    SimpleModel,
)
from ssl_recsys.evaluation.user_models import (
    EASE,
    BayesianPersonalizedRanking,
    ContentProfile,
    Hybrid,
    ItemCoOccurrence,
    UserALS,
    UserModel,
)

ALL, FEW = GRIDS = ("all", "few")
KINDS: Mapping[str, type[SimpleModel] | type[UserModel]] = {
    "co_occurrence": CoOccurrence,
    "tfidf": ContentCosine,
    "content_knn": ContentNeighbours,
    "als": AlternatingLeastSquares,
    "item_knn": ItemCoOccurrence,
    "profile": ContentProfile,
    "user_als": UserALS,
    "bpr": BayesianPersonalizedRanking,
    "ease": EASE,
    HYBRID: Hybrid,
}
_VALUES: Mapping[str, Mapping[str, Mapping[str, Sequence[Any]]]] = {
    ALL: {
        "co_occurrence": {"both_directions": (False, True)},
        "tfidf": {},
        "content_knn": {
            "num_neighbours": (10, 30, 100),
            "power": (1.0, 2.0),
            "item_side": (False, True),
            "content_weight": (0.0, 0.5),
        },
        "als": {"factors": (32, 64, 128), "regularization": (0.05, 1.0)},
        "item_knn": {"cosine": (False, True)},
        "profile": {},
        "user_als": {"factors": (32, 64, 128), "regularization": (0.05, 1.0)},
        "bpr": {"factors": (32, 64), "iterations": (100, 300)},
        "ease": {"regularization": (30.0, 100.0, 300.0, 1000.0)},
        HYBRID: {"factors": (32, 64), "epochs": (5, 10, 20)},
    },
    FEW: {
        "co_occurrence": {"both_directions": (True,)},
        "tfidf": {},
        "content_knn": {"num_neighbours": (30, 100), "item_side": (False, True)},
        "als": {"factors": (64, 128)},
        "item_knn": {"cosine": (True,)},
        "profile": {},
        "user_als": {"factors": (64,)},
        "bpr": {"factors": (64,)},
        "ease": {"regularization": (100.0, 300.0)},
        HYBRID: {"factors": (32,), "epochs": (5, 10)},
    },
}
_TRUTH = {"true": True, "false": False}


def chosen(names: Sequence[str], texts: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """The settings of each method, of which validation pairs choose one.

    Args:
      names: methods.
      texts: `all` or `few`, and settings of a user's own, which take the place of the method's:
        `METHOD:name=value,name=value|value`. What is not named has its default.

    Raises:
      InputError: for anything else.
    """
    grids = [text for text in texts if text in GRIDS]
    if len(grids) > 1:
        raise InputError(f"--settings can be one of {', '.join(GRIDS)} (got {', '.join(grids)})")
    found = {name: _grid(name, _VALUES[grids[0] if grids else ALL][name]) for name in names}
    own: dict[str, tuple[Any, ...]] = {}
    for text in texts:
        if text in GRIDS:
            continue
        name, _, rest = text.partition(":")
        if name not in names:
            raise InputError(
                f"--settings={text}: expected {', '.join(GRIDS)} or METHOD:name=value, METHOD "
                f"being one of {', '.join(names)}"
            )
        own[name] = own.get(name, ()) + _grid(name, _parse(name, rest, text))
    return found | own


def describe(name: str, model: SimpleModel | UserModel) -> str:
    """A method's settings in the form that `chosen` reads."""
    values = ",".join(f"{key}={_text(value)}" for key, value in dataclasses.asdict(model).items())
    return f"{name}:{values}" if values else name


def _grid(name: str, values: Mapping[str, Sequence[Any]]) -> tuple[Any, ...]:
    return tuple(
        KINDS[name](**dict(zip(values, one, strict=True)))
        for one in itertools.product(*values.values())
    )


def _parse(name: str, text: str, flag: str) -> dict[str, list[Any]]:
    defaults = dataclasses.asdict(KINDS[name]())
    values = {}
    for part in filter(None, text.split(",")):
        key, _, given = part.partition("=")
        if key not in defaults or key in values:
            raise InputError(
                f"--settings={flag}: expected each of {', '.join(defaults) or 'nothing'} once "
                f"(got {part!r})"
            )
        try:
            values[key] = list(_read(key, given, type(defaults[key])))
        except (KeyError, ValueError) as error:
            raise InputError(f"--settings={flag}: {key} cannot be {given!r}") from error
    return values


def _read(key: str, given: str, kind: type) -> Iterator[Any]:
    """Values that stand between bars.

    Raises:
      ValueError, KeyError: for a value of another kind or out of range.
    """
    for text in given.split("|"):
        value = _TRUTH[text] if kind is bool else kind(text)
        lowest = 1 if kind is int else 0.0
        highest = MOST_NEIGHBOURS if key == "num_neighbours" else math.inf
        if not (lowest <= value <= highest and math.isfinite(value)):
            raise ValueError(value)
        yield value


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"
