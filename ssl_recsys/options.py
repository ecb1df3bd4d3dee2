"""One setting, one line: a dataclass field is the flag, its check and its line in docs/flags.md.

    @dataclasses.dataclass(frozen=True)
    class TowerConfig(options.Options):
        embedding_dim: int = option(120, "Width of the embedding tables.", at_least=1)
        pooling: str = option("mean", "How a bag becomes one vector.", choices=("mean", "sqrtn"))

`define(TowerConfig)` defines the flags `--embedding_dim` and `--pooling`, `read(TowerConfig)`
makes the object from them, and `parse(TowerConfig, {"pooling": "sqrtn"})` makes it from text,
which is how studies and searches check a run's flags before they start one.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from absl import flags

from ssl_recsys.errors import InputError

# The flags belong to the command that is run, which is how --help finds them.
flags.disclaim_key_flags()


@dataclasses.dataclass(frozen=True)
class Option:
    """What is known of a field besides its name, type and default.

    Attributes:
      help: what the setting means.
      at_least: smallest value, if any; of a tuple, of each of its values.
      above: value that it must exceed, if any.
      at_most: largest value, if any.
      below: value that it must stay under, if any.
      choices: allowed values, if they are few.
      required: remedy where the value is empty; empty for settings that may be.
      repeated: whether the flag may be given several times, each time with one value.
      parse: text to value, for types that no flag has.
      show: the inverse of `parse`.
    """

    help: str
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    choices: Collection[str] = ()
    required: str = ""
    repeated: bool = False
    parse: Callable[[str], Any] | None = None
    show: Callable[[Any], str] = str

    def expected(self) -> str:
        """The allowed values in words, such as `at least 1`, `in [0, 1)` or `one of a, b`."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        low = self.at_least if self.at_least is not None else self.above
        high = self.at_most if self.at_most is not None else self.below
        if low is not None and high is not None:
            left, right = (
                "(" if self.at_least is None else "[",
                ")" if self.at_most is None else "]",
            )
            return f"in {left}{low:g}, {high:g}{right}"
        for word, bound in (
            ("at least", self.at_least),
            ("greater than", self.above),
            ("at most", self.at_most),
            ("less than", self.below),
        ):
            if bound is not None:
                return f"{word} {bound:g}"
        return "finite"

    def allows(self, value: Any) -> bool:
        """Whether a single value is among those."""
        if self.choices and value not in self.choices:
            return False
        if isinstance(value, float) and not math.isfinite(value):
            return False
        return (
            (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )


def option(default: Any, help: str, **limits: Any) -> Any:
    """A field of an `Options` class.

    Args:
      default: the field's default.
      help: what the setting means, in a sentence or two.
      **limits: the other attributes of `Option`.
    """
    return dataclasses.field(default=default, metadata={"option": Option(help, **limits)})


@dataclasses.dataclass(frozen=True)
class Options:
    """Base of classes whose fields are made by `option`; a field may itself be of such a class.

    A class with checks between fields calls `super().__post_init__()` first.

    Raises:
      InputError: for a value out of range; the message names the flag.
    """

    def __post_init__(self) -> None:
        for field in own_fields(type(self)):
            _check(field, getattr(self, field.name))


@dataclasses.dataclass(frozen=True)
class Field:
    """One setting of an `Options` class.

    Attributes:
      name: of the field and of the flag.
      default: its default.
      type: bool, int, float or str; of a tuple, the type of its values.
      is_tuple: whether it has any number of values.
      option: everything else.
    """

    name: str
    default: Any
    type: type
    is_tuple: bool
    option: Option

    def text(self, value: Any) -> str:
        """The value as it is given on the command line."""
        if self.option.parse is not None:
            return self.option.show(value)
        if self.is_tuple:
            return ",".join(map(str, value))
        if value is None:
            return ""
        return str(value).lower() if isinstance(value, bool) else str(value)


def own_fields(options_class: type[Options]) -> tuple[Field, ...]:
    """The settings that stand in the class itself, in order."""
    hints = _type_hints(options_class)
    return tuple(
        Field(field.name, field.default, *_value_type(hints[field.name]), field.metadata["option"])
        for field in dataclasses.fields(options_class)
        if "option" in field.metadata
    )


def all_fields(options_class: type[Options]) -> Iterator[Field]:
    """The settings of the class, then those of the classes that its other fields are of."""
    yield from own_fields(options_class)
    for _, section in _sections(options_class):
        yield from all_fields(section)


def define(options_class: type[Options], flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines a flag for each setting of the class."""
    for field in all_fields(options_class):
        _define(field, flag_values)


AnyOptions = TypeVar("AnyOptions", bound=Options)


def read(
    options_class: type[AnyOptions], flag_values: flags.FlagValues = flags.FLAGS
) -> AnyOptions:
    """Makes the object that parsed flags describe.

    Raises:
      InputError: for a value out of range.
    """
    values: dict[str, Any] = {
        name: read(section, flag_values) for name, section in _sections(options_class)
    }
    for field in own_fields(options_class):
        values[field.name] = _value(field, flag_values[field.name].value)
    return options_class(**values)


def parse(options_class: type[AnyOptions], texts: Mapping[str, str]) -> AnyOptions:
    """Makes the object that values given as text describe, by flag name; defaults for the others.

    Raises:
      InputError: for an unknown flag or a value out of range.
    """
    known = [field.name for field in all_fields(options_class)]
    for name in texts:
        if name not in known:
            similar = difflib.get_close_matches(name, known, n=3)
            hint = f" (similar: {', '.join('--' + other for other in similar)})" if similar else ""
            raise InputError(f"there is no flag --{name}{hint}")
    flag_values = flags.FlagValues()
    define(options_class, flag_values)
    try:
        flag_values(["", *(f"--{name}={text}" for name, text in texts.items())])
    except flags.Error as error:
        raise InputError(str(error)) from error
    return read(options_class, flag_values)


def table(options_class: type[Options]) -> str:
    """The settings as a Markdown table: flag, default, allowed values, meaning."""
    rows = ["| flag | default | values | meaning |", "|---|---|---|---|"]
    for field in all_fields(options_class):
        text = field.text(field.default)
        allowed = field.option.expected().replace("one of ", "")
        cells = (
            f"`--{field.name}`",
            f"`{text}`" if text else "",
            "" if allowed == "finite" else allowed,
            field.option.help,
        )
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def check_distinct(what: str, values: Sequence[object]) -> None:
    """Raises InputError if a value occurs more than once."""
    if repeated := repetitions(values):
        raise InputError(f"{what} must be unique (repeated: {', '.join(repeated)})")


def repetitions(values: Sequence[object]) -> list[str]:
    """The values that occur more than once, as text, in order."""
    return sorted({str(value) for value in values if values.count(value) > 1})


def _sections(options_class: type[Options]) -> list[tuple[str, type[Options]]]:
    hints = _type_hints(options_class)
    return [
        (field.name, hints[field.name])
        for field in dataclasses.fields(options_class)
        if "option" not in field.metadata
    ]


# Of each class, since to evaluate its annotations takes most of the time of `parse`.
_TYPE_HINTS: dict[type, dict[str, Any]] = {}


def _type_hints(options_class: type[Options]) -> dict[str, Any]:
    if options_class not in _TYPE_HINTS:
        _TYPE_HINTS[options_class] = typing.get_type_hints(options_class)
    return _TYPE_HINTS[options_class]


def _value_type(hint: Any) -> tuple[type, bool]:
    """The type of a field's values, and whether it has any number of them."""
    if isinstance(hint, types.UnionType):  # X | None
        hint = next(part for part in typing.get_args(hint) if part is not types.NoneType)
    if typing.get_origin(hint) is tuple:
        return typing.get_args(hint)[0], True
    return typing.get_origin(hint) or hint, False


def _define(field: Field, flag_values: flags.FlagValues) -> None:
    setting = field.option
    named: dict[str, Any] = {"name": field.name, "help": setting.help, "flag_values": flag_values}
    if setting.parse is not None:
        flags.DEFINE_string(default=field.text(field.default), **named)
    elif setting.repeated:
        flags.DEFINE_multi_string(default=list(field.default), **named)
    elif field.is_tuple:
        flags.DEFINE_list(default=[str(value) for value in field.default], **named)
    elif field.type is bool:
        flags.DEFINE_boolean(default=field.default, **named)
    elif field.type is int:
        flags.DEFINE_integer(default=field.default, **named)
    elif field.type is float:
        flags.DEFINE_float(default=field.default, **named)
    else:
        if setting.choices:
            named["help"] += f" One of {', '.join(filter(None, setting.choices))}."
        flags.DEFINE_string(default=field.default, **named)


def _value(field: Field, parsed: Any) -> Any:
    """A flag's value in the type of its field."""
    if field.option.parse is not None:
        return field.option.parse(parsed)
    if not field.is_tuple:
        return parsed
    try:
        return tuple(field.type(value) for value in parsed if value.strip())
    except ValueError as error:
        kind = "whole numbers" if field.type is int else "numbers"
        raise InputError(f"--{field.name} must be {kind} (got {','.join(parsed)!r})") from error


def _check(field: Field, value: Any) -> None:
    setting = field.option
    if setting.required and not value:
        raise InputError(f"--{field.name} is missing: {setting.required}")
    values = value if field.is_tuple else (value,)
    if setting.parse is not None or value is None:
        return
    for one in values:
        if not setting.allows(one):
            got = repr(one) if isinstance(one, str) else one
            raise InputError(f"--{field.name} must be {setting.expected()} (got {got})")
