"""The space of a search: ranges and lists of values of training flags."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ssl_recsys.errors import InputError
from ssl_recsys.options import check_distinct

if TYPE_CHECKING:
    import optuna

_RANGE = re.compile(r"(?P<low>[^|:]+)\.\.(?P<high>[^|:]+?)(?::(?P<scale>log|int))?")
_FORMS = "name=low..high, name=low..high:log, name=low..high:int or name=value|value|…"


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers between two bounds, both included.

    Attributes:
      name: the flag.
      low: lower bound.
      high: upper bound.
      scale: `linear`, `log` or `int` (whole numbers).
    """

    name: str
    low: float
    high: float
    scale: str = "linear"

    def suggest(self, trial: optuna.Trial) -> str:
        """The trial's value, as a flag's."""
        if self.scale == "int":
            return self.text(trial.suggest_int(self.name, int(self.low), int(self.high)))
        return self.text(
            trial.suggest_float(self.name, self.low, self.high, log=self.scale == "log")
        )

    def text(self, value: float) -> str:
        """A value, as a flag's."""
        return str(int(value)) if self.scale == "int" else f"{value:.6g}"

    def value(self, text: str) -> float | int:
        """A value given as text, as Optuna stores it.

        Raises:
          InputError: if it is no number between the bounds.
        """
        try:
            value = int(text) if self.scale == "int" else float(text)
        except ValueError as error:
            raise InputError(f"{self.name}={text!r} is no number") from error
        if not self.low <= value <= self.high:
            raise InputError(f"{self.name}={text} is not between {self.low} and {self.high}")
        return value


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of several values.

    Attributes:
      name: the flag.
      values: what it may be.
    """

    name: str
    values: tuple[str, ...]

    def suggest(self, trial: optuna.Trial) -> str:
        """The trial's value, as a flag's."""
        return str(trial.suggest_categorical(self.name, self.values))

    def value(self, text: str) -> str:
        """A value given as text.

        Raises:
          InputError: if it is none of the values.
        """
        if text not in self.values:
            raise InputError(f"{self.name}={text} is none of {', '.join(self.values)}")
        return text


Parameter = Range | Choice


def parse(lines: Sequence[str]) -> tuple[Parameter, ...]:
    """Parameters of a search.

    Args:
      lines: `learning_rate=0.01..0.2:log`, `dropout_rate=0.1..0.5`, `batch_size=256..1024:int` or
        `pooling=mean|sqrtn`.

    Raises:
      InputError: for any other form, empty ranges and repeated flags.
    """
    parameters = tuple(_parse_one(line) for line in lines)
    check_distinct("the flags of --search", [parameter.name for parameter in parameters])
    return parameters


def _parse_one(line: str) -> Parameter:
    name, equals, text = line.partition("=")
    name = name.strip().lstrip("-")
    if not equals or not name or not text.strip():
        raise InputError(f"--search={line!r} is none of {_FORMS}")
    found = _RANGE.fullmatch(text.strip())
    if not found:
        values = tuple(value.strip() for value in text.split("|"))
        check_distinct(f"the values of --search={line!r}", values)
        return Choice(name, values)
    scale = found["scale"] or "linear"
    try:
        low, high = float(found["low"]), float(found["high"])
    except ValueError as error:
        raise InputError(f"--search={line!r}: the bounds of a range are numbers") from error
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(f"--search={line!r}: the lower bound comes first, and both are finite")
    if scale == "log" and low <= 0:
        raise InputError(f"--search={line!r}: a logarithmic range is above 0")
    if scale == "int" and not (low.is_integer() and high.is_integer()):
        raise InputError(f"--search={line!r}: bounds of an :int range are whole numbers")
    return Range(name, low, high, scale)


def parse_values(line: str, space: Sequence[Parameter]) -> dict[str, float | int | str]:
    """Values of every parameter, from `name=value,name=value`.

    Raises:
      InputError: if one is missing, unknown or out of its range.
    """
    # A value may have commas of its own, as --hidden_layers=1024,128 has.
    given = dict(part.strip().partition("=")[::2] for part in re.split(r",(?=\s*\w+=)", line))
    names = [parameter.name for parameter in space]
    if sorted(given) != sorted(names):
        raise InputError(
            f"{line!r} must give a value to each of {', '.join(names)}, as name=value,name=value"
        )
    return {parameter.name: parameter.value(given[parameter.name]) for parameter in space}
