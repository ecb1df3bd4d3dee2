"""What requests and answers hold, with the limits of each."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from data_prep.installs.keys import MAX_KEY_BYTES
from data_prep.vectors import MAX_SIZE
from ssl_recsys.raw.rules import MAX_NUMBER

MAX_TEXT_BYTES = 1 << 16
MAX_VALUES = 1000  # of a list of texts
MAX_QUERY_KEYS = 100
MAX_ONLY_KEYS = 10_000
MAX_SUGGESTIONS = 100


def _checked_text(text: str, most: int = MAX_TEXT_BYTES) -> str:
    try:
        length = len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise ValueError("a text has half of a surrogate pair") from error
    if length > most:
        raise ValueError(f"a text has at most {most:,} bytes in UTF-8 (got {length:,})")
    return text


def _checked_key(key: str) -> str:
    _checked_text(key, MAX_KEY_BYTES)
    if not key or "\0" in key or key != " ".join(key.splitlines()).strip():
        raise ValueError(
            "a key is a text in one line, without blanks around it and without NUL characters"
        )
    return key


def _checked_value(value: Any) -> Any:
    if isinstance(value, str):
        return _checked_text(value)
    if isinstance(value, list):
        if value and all(isinstance(one, (int, float)) for one in value):
            return _checked_vector(value)
        if len(value) > MAX_VALUES:
            raise ValueError(f"a list has at most {MAX_VALUES:,} texts (got {len(value):,})")
        if not all(isinstance(one, str) for one in value):
            raise ValueError("a list holds texts only, or numbers only")
        return [_checked_text(one) for one in value]
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        # Also a number is read as text; none has that many digits.
        if isinstance(value, int) and abs(value) >= 10**400:
            raise ValueError("a number is too long")
        return value
    raise ValueError("a value is a text, a number, a list of texts or of numbers, or null")


def _checked_vector(numbers: list[Any]) -> list[float]:
    if len(numbers) > MAX_SIZE:
        raise ValueError(f"a vector has at most {MAX_SIZE:,} numbers (got {len(numbers):,})")
    if any(isinstance(one, bool) or not abs(one) <= MAX_NUMBER for one in numbers):
        raise ValueError("a vector holds finite numbers of float32 only")
    return [float(one) for one in numbers]


_VALUE_SCHEMA = {
    "anyOf": [
        {"type": "string"},
        {"type": "number"},
        {"type": "array", "items": {"type": "string"}, "maxItems": MAX_VALUES},
        {"type": "array", "items": {"type": "number"}, "maxItems": MAX_SIZE},
        {"type": "null"},
    ]
}
Text = Annotated[str, AfterValidator(_checked_text)]
Key = Annotated[str, AfterValidator(_checked_key), Field(min_length=1)]
Value = Annotated[Any, AfterValidator(_checked_value), WithJsonSchema(_VALUE_SCHEMA)]
Columns = dict[Text, Value]


class Request(BaseModel):
    """Bodies are taken as they are: no other fields, no texts for numbers."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Only(Request):
    """What alone is recommended: items of a list, or those with a value of a feature."""

    keys: list[Key] | None = Field(None, max_length=MAX_ONLY_KEYS)
    feature: Text | None = None
    value: Text | None = None

    @pydantic.model_validator(mode="after")
    def _one_of_both(self) -> Only:
        by_value = self.feature is not None and self.value is not None
        either = self.feature is not None or self.value is not None
        if (self.keys is None) != by_value or either != by_value:
            raise ValueError("only needs either keys, or feature and value")
        return self


class RecommendRequest(Request):
    """A query: the key of an item, the mean of several, raw features, free text, or a history."""

    model: Text | None = Field(None, description="Name of a model; by default the first.")
    key: Key | None = None
    keys: list[Key] | None = Field(None, min_length=1, max_length=MAX_QUERY_KEYS)
    item: Columns | None = Field(None, description="Raw features by column; others are missing.")
    text: Text | None = Field(None, min_length=1, description="Words, all that is known.")
    history: list[Key] | None = Field(
        None,
        min_length=1,
        max_length=MAX_VALUES,
        description="Keys of items that a user had, the latest first, where queries are histories.",
    )
    k: int = Field(10, ge=1, description="Number of items.")
    exclude: list[Key] = Field([], max_length=MAX_VALUES, description="Keys that are left out.")
    exclude_self: bool = Field(True, description="Leave out the query's own items.")
    only: Only | None = None

    @pydantic.model_validator(mode="after")
    def _one_query(self) -> RecommendRequest:
        queries = (self.key, self.keys, self.item, self.text, self.history)
        if sum(one is not None for one in queries) != 1:
            raise ValueError("give one of key, keys, item, text and history")
        return self


class ItemRequest(Request):
    """An item's raw features by column of the item table; that of the key may be left out."""

    columns: Columns


class ReloadRequest(Request):
    """Which model; by default all."""

    model: Text | None = None


class ExplainRequest(Request):
    """A query and an item that is recommended for it."""

    model: Text | None = Field(None, description="Name of a model; by default the first.")
    query: Key | Columns = Field(description="The key of an item, or raw features by column.")
    item: Key


class Error(BaseModel):
    """What is wrong with a request, or why it cannot be answered now."""

    detail: str


class Item(BaseModel):
    """An item: its key and title, and whether the model knows it from training pairs."""

    key: str
    title: str
    slice: Literal["head", "tail", "fresh"]
    train_count: int


class FullItem(Item):
    """An item with the values of its features."""

    model: str
    features: dict[str, list[str]]


class Recommended(Item):
    """An item of a ranking."""

    rank: int
    score: float


class QueryItem(BaseModel):
    """The item that was asked for."""

    key: str
    title: str


class Recommendations(BaseModel):
    """The answer to a query, the best item first."""

    model: str
    index_version: int
    query: QueryItem | None
    items: list[Recommended]


class Suggested(BaseModel):
    """Items with a title that begins with what was typed, or has a word that does."""

    items: list[Item]


class FeatureShare(BaseModel):
    """What a score owes to a feature: it falls by `drop` if query and item both lack it."""

    feature: str
    shared: list[str]
    score_without: float
    drop: float


class Explanation(BaseModel):
    """A score, and its features, those first without which it falls most."""

    model: str
    score: float
    features: list[FeatureShare]


class MapPoint(Item):
    """An item on the map; x and y are between -1 and 1."""

    x: float
    y: float
    group: str | None


class MapLabel(BaseModel):
    """What is typical of the items around a place of the map."""

    text: str
    x: float
    y: float


class CatalogMap(BaseModel):
    """A sample of items, and the feature whose values their groups, and the labels, are."""

    points: list[MapPoint]
    labels: list[MapLabel]
    groups: str | None


class Changed(BaseModel):
    """A change of items: the version of the index that has it."""

    model: str
    key: str
    index_version: int


class Column(BaseModel):
    """A column of raw features and the first feature that is made of it."""

    name: str
    kind: Literal["text", "list", "number", "vector"]
    feature: str | None
    label: str


class Raw(BaseModel):
    """The columns of an item's raw features."""

    key: str
    title: str | None
    columns: list[Column]


class Model(BaseModel):
    """A model and the version of its index that answers."""

    name: str
    model_dir: str
    method: str | None
    label: str
    items: int
    fresh: int
    removed: int
    index_version: int
    retrieval: str
    num_train_pairs: int
    queries: Literal["items", "users"]
    raw: Raw | None


class ModelList(BaseModel):
    """The models of a server, the default one first."""

    models: list[Model]


class Reloaded(BaseModel):
    """For each model whether there was something newer, and its version of the index."""

    models: list[ReloadedModel]


class ReloadedModel(BaseModel):
    """One model after a reload."""

    name: str
    changed: bool
    index_version: int


class Status(BaseModel):
    """How a server is."""

    status: str
