"""Times in tables: which column they are in, how they are written there, and their UNIX seconds."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sisock.core.errors import BadRequest, UnusableFile
from sisock.core.model import Times
from sisock.core.times import parse_iso8601
from sisock.nodes.table.fields import Label

PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "µs": 10**6, "μs": 10**6, "ns": 10**9}
ISO = "iso"
COMMON_NAMES = (
    *("time", "timestamp", "datetime", "date_time", "utc", "time_utc", "timestamp_utc", "datetime_utc", "utc_time"),
    *("unix_time", "unixtime", "unix", "epoch", "ctime", "_time", "ts", "t", "date"),
)
UNIT_IN_NAME = re.compile(r"(.+)_(s|ms|us|ns)")
DATE = re.compile(r"\d{4}[-/]\d\d[-/]\d\d")
TIME_OF_DAY = re.compile(r"(\d?\d)(:\d\d(?::\d\d(?:[.,]\d+)?)?)(?: ?([AP])M|(Z|[+-]\d\d(?::?\d\d)?))?", re.IGNORECASE)
FINER_THAN_DATETIME = re.compile(r"[.,]\d{7}")
LONGEST_WITH_MICROSECONDS = 26
# A quotient of whole numbers below it is rounded once, of larger ones twice.
EXACT = 2**53
# The year 10000.
END_OF_TIME = 253402300800.0
# Until 2046: 3.8e9 counts from 1904, as LabVIEW does, and 2403040800 is the digits of a date.
# From 1973 on: others count seconds since something else began.
PLAUSIBLE_IF_NAMED = (1e8, 2.4e9)
# From 2000 on.
PLAUSIBLE_IF_NOT = (946684800.0, 2.4e9)
# From 1990 on, of parts of a second: 202403040800 would be milliseconds of 1976.
PLAUSIBLE_IN_PARTS = 631152000.0
HALF_A_DAY_H = 12
HALVES = ("AM", "PM")
AFTER_SHORT_HOUR = len("2000-01-01 8")
SAMPLE = 100
FITTING = 0.9
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class TimeColumns:
    """The columns of a table's times: one, or a date and a time of day in two; and how they are written.

    Parameters
    ----------
    places
        Numbers of the columns, from 0.
    unit
        A key of ``PER_SECOND``, or ``ISO``.
    """

    places: tuple[int, ...]
    unit: str

    @property
    def is_exact_in_float(self) -> bool:
        """Whether they are counts since 1970 of which float64 has all digits, as long as people count years so."""
        return len(self.places) == 1 and self.unit in PER_SECOND and PER_SECOND[self.unit] < PER_SECOND["us"]

    def seconds(self, columns: Sequence[Sequence[str]]) -> Times:
        """Return UNIX seconds, NaN for what is no time; of all columns of the table as texts."""
        return self.seconds_of_cells([columns[place] for place in self.places])

    def seconds_of_cells(self, columns: Sequence[Sequence[str]]) -> Times:
        """Return the same of the columns of times alone."""
        first, *others = columns
        return seconds_of_texts(list(map(_join_columns, first, *others)) if others else first, self.unit)


def seconds_of_texts(cells: Sequence[str], unit: str) -> Times:
    """Return UNIX seconds of texts, NaN for what is no time between 1970 and the year 10000."""
    if unit == ISO:
        return valid_times(np.array([_iso_seconds(cell) for cell in cells], dtype=np.float64))
    try:
        numbers = np.array([int(cell) for cell in cells if "_" not in cell], dtype=np.int64)
    except (ValueError, OverflowError):
        numbers = np.empty(0, dtype=np.int64)
    if len(numbers) == len(cells):
        return seconds_of_numbers(numbers, unit)
    return seconds_of_numbers(np.array([_number(cell) for cell in cells], dtype=np.float64), unit)


def seconds_of_numbers(numbers: NDArray[Any], unit: str) -> Times:
    """Return UNIX seconds of int64 or float64 counts of a unit; whole ones are rounded once only."""
    per_second = PER_SECOND[unit]
    if numbers.dtype.kind == "f" or not (numbers >= EXACT).any():
        return valid_times(numbers / per_second)
    whole, rest = np.divmod(numbers, per_second)
    return valid_times(np.where(numbers < EXACT, numbers / per_second, whole + rest / per_second))


def valid_times(seconds: Times) -> Times:
    """Return times with NaN in place of those that cannot be served."""
    with np.errstate(invalid="ignore"):
        return np.where((seconds > 0) & (seconds < END_OF_TIME), seconds, math.nan)


def unit_by_size(number: float) -> str:
    """Return the unit in which a count since 1970 is a date of our time."""
    return next((unit for unit, limit in (("s", 1e11), ("ms", 1e14), ("us", 1e17)) if number < limit), "ns")


def find_times(
    labels: Sequence[Label], columns: Sequence[Sequence[str]], wanted: Sequence[str], unit: str | None
) -> TimeColumns:
    """Find the times of a table by the option, by a common name, or by what its first rows are.

    Parameters
    ----------
    labels, columns
        What the header says of each column, and its first cells as texts.
    wanted
        Names of the column, or of two with date and time of day; empty to find them.
    unit
        A key of ``PER_SECOND`` that is sure; None to find it.

    Raises
    ------
    UnusableFile
        When there is no such column.
    """
    # What a user names is believed; what is found must look like times of our days.
    if wanted:
        return _wanted_times(labels, columns, wanted, unit)
    times = _find_times(labels, columns, unit)
    if times is None:
        raise UnusableFile(f"has no column that is known to hold times: name it by the option time; {named(labels)}")
    if _format([labels[times.places[0]].header], None, PLAUSIBLE_IF_NAMED):
        raise UnusableFile("has no header: its first line must name the columns")
    return times


def _find_times(labels: Sequence[Label], columns: Sequence[Sequence[str]], unit: str | None) -> TimeColumns | None:
    for place in _by_name(labels):
        time_unit = _format(columns[place], unit or _unit_in(labels[place]), PLAUSIBLE_IF_NAMED)
        if time_unit:
            return _with_time_of_day(TimeColumns((place,), time_unit), columns)
    for place, cells in enumerate(columns):
        if _format(cells, unit, PLAUSIBLE_IF_NOT) == ISO:
            return _with_time_of_day(TimeColumns((place,), ISO), columns)
    # Without a name, a counter or a serial number would look like times in any other column.
    time_unit = _format(columns[0], unit, PLAUSIBLE_IF_NOT)
    counts_up = time_unit and (np.diff(seconds_of_texts(_sample(columns[0]), time_unit)) > 0).all()
    return TimeColumns((0,), time_unit) if time_unit and counts_up else None


def named(labels: Sequence[Label]) -> str:
    """Return a part of a sentence that names the columns of a table."""
    names = ", ".join(f"'{label.header:.40}'" for label in labels[:10])
    return f"its columns are {names}" + (f" and {len(labels) - 10} others" if len(labels) > 10 else "")  # noqa: PLR2004


def place_of(labels: Sequence[Label], name: str) -> int:
    """Return the number of the column of a name, with or without its units; UnusableFile when there is none."""
    for place, label in enumerate(labels):
        if name in (label.header, label.name):
            return place
    raise UnusableFile(f"has no column '{name}', where its times should be; {named(labels)}")


def _wanted_times(
    labels: Sequence[Label], columns: Sequence[Sequence[str]], wanted: Sequence[str], unit: str | None
) -> TimeColumns:
    places = tuple(place_of(labels, name) for name in wanted)
    if len(places) > 1:
        return TimeColumns(places, ISO)
    time_unit = _format(columns[places[0]], unit or _unit_in(labels[places[0]]), (0.0, END_OF_TIME))
    if time_unit is None:
        raise UnusableFile(
            f"has no times in column '{wanted[0]}': they must be UNIX times or ISO 8601, and "
            "of UNIX times that are not of our days the option time_unit must say which"
        )
    return TimeColumns(places, time_unit)


def _by_name(labels: Sequence[Label]) -> Iterator[int]:
    """Yield the columns whose names are common for times, the most common name first."""
    names = [label.name.lower().replace(" ", "_").replace("-", "_") for label in labels]
    bases = [match[1] if (match := UNIT_IN_NAME.fullmatch(name)) else name for name in names]
    for common in COMMON_NAMES:
        yield from (place for place, pair in enumerate(zip(names, bases, strict=True)) if common in pair)


def _unit_in(label: Label) -> str | None:
    """Return the unit that a header states, ``time [ms]`` or ``time_ms``."""
    match = UNIT_IN_NAME.fullmatch(label.name)
    stated = label.units if label.units in PER_SECOND else match and match[2]
    return stated or None


def _sample(cells: Sequence[str]) -> list[str]:
    """Return the first cells that are not empty."""
    return [cell for cell in cells if cell.strip()][:SAMPLE]


def _format(cells: Sequence[str], unit: str | None, plausible: tuple[float, float]) -> str | None:
    """Return how times are written in a column, or None when nine in ten cells are no plausible times."""
    sample = _sample(cells)
    numbers = [number for number in map(_number, sample) if math.isfinite(number)]
    if sample and len(numbers) >= FITTING * len(sample):
        guess = unit_by_size(float(np.median(numbers)))
        earliest, latest = plausible
        if not unit:
            earliest, latest = max(earliest, 0.0 if guess == "s" else PLAUSIBLE_IN_PARTS), PLAUSIBLE_IF_NAMED[1]
        seconds = np.array(numbers) / PER_SECOND[unit or guess]
        return (unit or guess) if np.mean((seconds > earliest) & (seconds < latest)) >= FITTING else None
    times = [cell for cell in sample if not math.isnan(_iso_seconds(cell))]
    return ISO if sample and len(times) >= FITTING * len(sample) else None


def _with_time_of_day(times: TimeColumns, columns: Sequence[Sequence[str]]) -> TimeColumns:
    """Add the column that has the time of day, where the one that was found has dates alone."""
    if times.unit == ISO and all(map(DATE.fullmatch, map(str.strip, _sample(columns[times.places[0]])))):
        for place, cells in enumerate(columns):
            sample = _sample(cells)
            if sample and all(map(TIME_OF_DAY.fullmatch, map(str.strip, sample))):
                return TimeColumns((*times.places, place), ISO)
    return times


def _join_columns(date: str, time_of_day: str) -> str:
    """Return a date and a time of day as ISO 8601 has them: with two digits for the hour, and 24 hours a day."""
    match = TIME_OF_DAY.fullmatch(time_of_day.strip())
    if match is None:
        return f"{date.strip()}T{time_of_day.strip()}"
    hour, rest, half, zone = match.groups("")
    if half and not 1 <= int(hour) <= HALF_A_DAY_H:
        return ""
    hours = int(hour) % HALF_A_DAY_H + HALF_A_DAY_H * (half.upper() == "P") if half else int(hour)
    return f"{date.strip()}T{hours:02}{rest}{zone.upper()}"


def _number(cell: str) -> float:
    """Return the number that a text is, with a decimal comma maybe, or NaN; Python's own underscores are none."""
    try:
        return math.nan if "_" in cell else float(cell.replace(",", "."))
    except ValueError:
        return math.nan


def _iso_seconds(cell: str) -> float:
    """Return the UNIX seconds of an ISO 8601 text, in UTC if it has no zone, or NaN."""
    text = cell.strip().removesuffix("UTC").rstrip().replace("/", "-")
    if text[AFTER_SHORT_HOUR : AFTER_SHORT_HOUR + 1] == ":" or text[-2:].upper() in HALVES:
        text = _join_columns(text[: AFTER_SHORT_HOUR - 2], text[AFTER_SHORT_HOUR - 1 :])
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            instant, text = instant.replace(tzinfo=UTC), f"{text}Z"
        # datetime cuts a fraction after six digits.
        if len(text) > LONGEST_WITH_MICROSECONDS and FINER_THAN_DATETIME.search(text):
            return parse_iso8601(text.replace(" ", "T").replace(",", "."))
        return (instant - _EPOCH).total_seconds()
    except (ValueError, OverflowError, BadRequest):
        return math.nan
