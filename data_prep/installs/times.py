"""Times: numbers, and dates and times as in ISO 8601, to microseconds since 1970 in UTC."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_prep import tables
from data_prep.installs.log_spec import TIMESTAMP_UNITS

# A time and a window of this size can be subtracted in 64-bit microseconds.
MAX_SECONDS = 4e12
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_DATE = (
    r"(?P<year>\d{4})(?P<dash1>-?)"
    r"(?:(?P<month>\d\d)(?P<dash2>-?)(?P<day>\d\d)"
    r"|W(?P<week>\d\d)(?P<dash3>-?)(?P<weekday>[1-7])"
    r"|(?P<ordinal>\d{3}))"
)
_CLOCK = (
    r"(?P<hour>\d\d)(?:(?P<colon1>:?)(?P<minute>\d\d)(?:(?P<colon2>:?)(?P<second>\d\d))?)?"
    r"(?:[.,](?P<fraction>\d+))?"
)
# ISO 8601, and what is common besides: a blank for the T, blanks before the zone, UTC for Z.
_ZONE = r" *(?:[Zz]|(?i:UTC|GMT)|(?P<sign>[+-])(?P<zone_hour>\d\d)(?::?(?P<zone_minute>\d\d))?)"
_ISO = rf"^{_DATE}(?:(?:[Tt]| +){_CLOCK}(?:{_ZONE})?)?$"
_DAY = 86400


def timestamps(column: pa.Array, unit: str) -> tuple[np.ndarray, np.ndarray]:
    """Reads times.

    Args:
      column: `[rows]` numbers of `unit`s since any moment, or dates and times as in ISO 8601
        (UTC where they name no zone), as text or in Arrow's types.
      unit: one of TIMESTAMP_UNITS, for numbers.

    Returns:
      Microseconds `[rows]` int64 (0 for what is no time), and whether each is a time.
    """
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return _arrow_times(column)
    text = tables.texts(column)
    numeric = np.asarray(pc.match_substring_regex(text, _NUMBER))
    numbers = text if numeric.all() else pc.if_else(pa.array(numeric), text, "0")
    scaled = np.asarray(pc.cast(numbers, pa.float64())) * TIMESTAMP_UNITS[unit]
    usable = numeric & (np.abs(scaled) < MAX_SECONDS * 1e6)
    times = np.rint(np.where(usable, scaled, 0.0)).astype(np.int64)
    if not numeric.all():
        others = np.flatnonzero(~numeric)
        times[others], usable[others] = iso_times(text.take(pa.array(others)))
    return times, usable


def _arrow_times(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Reads a column of Arrow's timestamps or dates, as `timestamps`."""
    kind = column.type
    if pa.types.is_date32(kind):
        per_second, column = 1 / _DAY, pc.cast(column, pa.int32())
    else:
        unit = "ms" if pa.types.is_date(kind) else kind.unit
        per_second = {"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}[unit]
    values = np.asarray(pc.fill_null(pc.cast(column, pa.int64()), 0))
    usable = np.asarray(pc.is_valid(column)) & (np.abs(values / per_second) < MAX_SECONDS)
    values = np.where(usable, values, 0)
    micros = values // 1000 if per_second == 1e9 else values * round(1e6 / per_second)
    return micros, usable


def iso_times(text: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Reads dates and times as in ISO 8601: calendar, week and ordinal dates, basic or extended.

    Args:
      text: `[rows]` text.

    Returns:
      As `timestamps`. What is finer than a microsecond is cut off; a leap second is the one after.
    """
    found = pc.extract_regex(text, _ISO)
    usable = np.asarray(found.is_valid())
    fields = {
        field.name: pc.fill_null(pc.struct_field(found, field.name), "") for field in found.type
    }
    days, is_day = _days(fields)
    micros, is_clock = _clock(fields)
    offset, is_zone = _offset(fields)
    usable = usable & is_day & is_clock & is_zone
    times = (days * _DAY - offset) * 1_000_000 + micros
    return np.where(usable, times, 0), usable


def _number(fields: dict[str, pa.Array], name: str, default: int = 0) -> np.ndarray:
    """The numbers in a group of the pattern, `[rows]` int64."""
    text = fields[name]
    return np.asarray(pc.cast(pc.if_else(pc.equal(text, ""), str(default), text), pa.int64()))


def _has(fields: dict[str, pa.Array], name: str) -> np.ndarray:
    return np.asarray(pc.not_equal(fields[name], ""))


def _months_to_days(months: np.ndarray) -> np.ndarray:
    """Days from 1970 to the begin of a month, which is counted from January 1970."""
    return months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)


def _days(fields: dict[str, pa.Array]) -> tuple[np.ndarray, np.ndarray]:
    """Days since 1970, and whether there is such a day; `[rows]`."""
    year, month, day = (_number(fields, name, 1) for name in ("year", "month", "day"))
    week, weekday, ordinal = (_number(fields, n, 1) for n in ("week", "weekday", "ordinal"))
    months = (year - 1970) * 12 + month - 1
    first, behind = _months_to_days(months), _months_to_days(months + 1)
    days = first + day - 1
    fits = (month >= 1) & (month <= 12) & (day >= 1) & (days < behind)
    january, january_behind = (_months_to_days((year - 1970 + add) * 12) for add in (0, 1))
    if (has_ordinal := _has(fields, "ordinal")).any():
        days = np.where(has_ordinal, january + ordinal - 1, days)
        fits &= ~has_ordinal | ((ordinal >= 1) & (days < january_behind))
    if (has_week := _has(fields, "week")).any():
        # Week 1 has January 4; day 0, in 1970, is the fourth of a week that begins on Monday.
        monday = january + 3 - (january + 3 + 3) % 7
        days = np.where(has_week, monday + (week - 1) * 7 + weekday - 1, days)
        thursday = monday + (week - 1) * 7 + 3
        fits &= ~has_week | ((january <= thursday) & (thursday < january_behind))
    dash1 = _has(fields, "dash1")
    fits &= (dash1 == _has(fields, "dash2")) | ~_has(fields, "day")
    fits &= (dash1 == _has(fields, "dash3")) | ~has_week
    return days, fits


def _clock(fields: dict[str, pa.Array]) -> tuple[np.ndarray, np.ndarray]:
    """Microseconds since midnight, and whether there is such a time of day; `[rows]`."""
    hour, minute, second = (_number(fields, name) for name in ("hour", "minute", "second"))
    has_minute, has_second = _has(fields, "minute"), _has(fields, "second")
    digits = pc.utf8_slice_codeunits(pc.utf8_rpad(fields["fraction"], 9, "0"), 0, 9)
    nanos = np.asarray(pc.cast(digits, pa.int64()))
    # A fraction is one of the smallest unit that is written.
    nanos = nanos * np.where(has_second, 1, np.where(has_minute, 60, 3600))
    seconds = (hour * 60 + minute) * 60 + second
    fits = (hour < 24) | ((seconds == _DAY) & (nanos == 0))
    fits &= (minute < 60) & (second <= 60)
    fits &= (_has(fields, "colon1") == _has(fields, "colon2")) | ~has_second
    return seconds * 1_000_000 + nanos // 1000, fits


def _offset(fields: dict[str, pa.Array]) -> tuple[np.ndarray, np.ndarray]:
    """Seconds by which local time is ahead of UTC, and whether a zone can be; `[rows]`."""
    hour, minute = _number(fields, "zone_hour"), _number(fields, "zone_minute")
    sign = np.where(np.asarray(pc.equal(fields["sign"], "-")), -1, 1)
    return sign * (hour * 60 + minute) * 60, (hour < 24) & (minute < 60)
