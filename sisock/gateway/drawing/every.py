"""Cells as long as somebody wants them: a duration, or whole days, weeks, months or years of a time zone; pure.

A local day begins when its date first comes: at midnight, or where clocks that are set jump over midnight. So it has
23, 24 or 25 hours, or what a zone makes of it. Weeks begin on Mondays.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np

from sisock.core.errors import BadRequest
from sisock.core.times import DAY_S, UNIT_SECONDS, bucket_number, format_duration, parse_duration
from sisock.gateway.drawing.cells import Cells, aligned_cells, equal_cells

# Of a window; they are read once and then kept.
MOST_PARTS = 200_000
LONGEST_ZONE = 64
_CALENDAR = re.compile(r"\s*([1-9][0-9]{0,3})([dwMy])\s*")
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH, _MONDAY = date(1970, 1, 1).toordinal(), date(1970, 1, 5).toordinal()
_MONTHS, _WEEK_DAYS = 12, 7
# Calendars of Python end with the year 9999; the last days are beyond all windows.
_KNOWN_UNTIL_S = 2.5e11
_FIRST_DAY, _LAST_DAY = date(2, 1, 1).toordinal(), date(9999, 12, 30).toordinal()
# Float64 cannot number buckets of today that are much shorter.
_SHORTEST_S = 1e-6
_MOST_TRIES = 1000
_EXACT = 1000
_COARSER_PARTS_S = (900, 1800, 3600, 7200, 14400, 28800, DAY_S)
_NUMBER_OF: Mapping[str, Callable[[int], int]] = {
    "d": lambda day: day - _EPOCH,
    "w": lambda day: (day - _MONDAY) // _WEEK_DAYS,
    "M": lambda day: date.fromordinal(day).year * _MONTHS + date.fromordinal(day).month - 1,
    "y": lambda day: date.fromordinal(day).year,
}
"""The number of the day, week, month or year of an ordinal."""
_FIRST_OF: Mapping[str, Callable[[int], int]] = {
    "d": lambda number: number + _EPOCH,
    "w": lambda number: number * _WEEK_DAYS + _MONDAY,
    "M": lambda number: date(number // _MONTHS, number % _MONTHS + 1, 1).toordinal(),
    "y": lambda number: date(number, 1, 1).toordinal(),
}
"""The ordinal of the first day of a day, week, month or year."""


@dataclass(frozen=True)
class Every:
    """The length that somebody wants of cells.

    Parameters
    ----------
    text
        As it was written, for people.
    length
        So many of the unit.
    unit
        ``s``; or of a calendar ``d``, ``w``, ``M``, ``y``.
    zone
        Of the calendar. Durations that divide a day are counted from its midnight, where that makes a difference.
    """

    text: str
    length: float
    unit: str = "s"
    zone: str = "UTC"

    def cells(self, start: float, end: float, max_points: int) -> Cells:
        """Return the cells of a window that is not empty.

        Where there would be more than ``max_points``, they are the smallest whole multiple of which there are not; a
        single one is the window.
        """
        if max_points == 1:
            return equal_cells(start, end, 1)
        if end > _KNOWN_UNTIL_S:
            return self._durations(start, end, max_points)
        if self.unit != "s":
            return self._calendar(start, end, max_points)
        if self._differs(start, end):
            return self._local_clock(start, end, max_points)
        return self._durations(start, end, max_points)

    def _differs(self, start: float, end: float) -> bool:
        """Tell whether a local midnight of the window is no edge of the aligned buckets of the duration."""
        if self.length % 1 or DAY_S % self.length:
            return False
        zone = find_zone(self.zone)
        # Of a window of centuries only some midnights are looked at: zones change their offset for months, not a day.
        days = range(_local_day(start, zone), _local_day(end, zone) + 2)
        return any(_start_of_day(day, zone) % self.length for day in days[:: max(len(days) // _MOST_TRIES, 1)])

    def _durations(self, start: float, end: float, max_points: int) -> Cells:
        length = self.length * UNIT_SECONDS[self.unit]
        multiple = _smallest((end - start) / length, max_points, lambda number: _touched(start, end, length * number))
        return aligned_cells(start, end, length * multiple, self._remarks(multiple, max_points))

    def _calendar(self, start: float, end: float, max_points: int) -> Cells:
        zone, length = find_zone(self.zone), int(self.length)

        lowest, highest = (_NUMBER_OF[self.unit](day) for day in (_FIRST_DAY, _LAST_DAY))

        def edge(number: int) -> int:
            return _start_of_day(_FIRST_OF[self.unit](min(max(number, lowest), highest)), zone)

        first, last = (_NUMBER_OF[self.unit](_local_day(instant, zone)) for instant in (start, end))
        last -= edge(last) >= end
        multiple = _smallest(
            (last - first) / length,
            max_points,
            lambda number: last // (length * number) - first // (length * number) + 1,
        )
        step = length * multiple
        edges = [edge(number * step) for number in range(first // step, last // step + 2)]
        return _of_parts(start, end, edges, self._remarks(multiple, max_points))

    def _local_clock(self, start: float, end: float, max_points: int) -> Cells:
        zone, length = find_zone(self.zone), int(self.length)
        # Only what divides a day: each day then begins with a whole cell.
        for step in range(length, DAY_S, length):
            if DAY_S % step == 0 and (end - start) / step <= max_points:
                edges = _clock_edges(start, end, step, zone)
                if len(edges) - 1 <= max_points:
                    return _of_parts(start, end, edges, self._remarks(step // length, max_points))
        days = Every(self.text, 1, "d", self.zone).cells(start, end, max_points)
        return replace(days, remarks=self._remarks(0, max_points))

    def _remarks(self, multiple: int, max_points: int) -> tuple[str, ...]:
        if multiple == 1:
            return ()
        drawn = f"{multiple} times {self.text} are" if multiple else "whole days are"
        return (f"{drawn} drawn as one: every {self.text} is more than the {max_points} points that fit",)


def parse_every(text: str) -> Every:
    """Read a length such as ``10m``, ``1h``, or of a calendar ``1d``, ``2w``, ``1M``, ``1y``.

    Raises
    ------
    BadRequest
        For what is no duration, or none of a microsecond at least.
    """
    match = _CALENDAR.fullmatch(text)
    if match:
        return Every(text.strip(), int(match[1]), match[2])
    seconds = parse_duration(text)
    if not seconds >= _SHORTEST_S:
        raise BadRequest(f"{text!r:.80} is shorter than a microsecond: write a length such as 10m, 1h or 1d")
    return Every(text.strip(), seconds)


def _clock_edges(start: float, end: float, step: int, zone: ZoneInfo) -> list[int]:
    """Return the edges of a window's cells that are counted from each local midnight."""
    days = range(_local_day(start, zone), _local_day(end, zone) + 2)
    midnights = [_start_of_day(day, zone) for day in days]
    edges = np.unique([edge for day in pairwise(midnights) for edge in (*range(*day, step), day[1])])
    inside: list[int] = edges[edges.searchsorted(start, side="right") - 1 : edges.searchsorted(end) + 1].tolist()
    return inside


@lru_cache(maxsize=64)
def find_zone(name: str) -> ZoneInfo:
    """Return a time zone of the IANA database, such as ``Europe/Berlin``; BadRequest for one that is not known."""
    try:
        if len(name) <= LONGEST_ZONE:
            return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        pass
    raise BadRequest(
        f"{name!r:.80} is no time zone that this machine knows: write UTC or one such as Europe/Berlin "
        "(they come with the package tzdata)"
    )


def _local_day(instant: float, zone: ZoneInfo) -> int:
    """Return the ordinal of the last local day that has begun at an instant."""
    day = (_UNIX_EPOCH + timedelta(seconds=math.floor(instant))).astimezone(zone).toordinal()
    return day + (_start_of_day(day + 1, zone) <= instant)


@lru_cache(maxsize=65536)
def _start_of_day(day: int, zone: ZoneInfo) -> int:
    """Return when a local day begins, UNIX seconds; a day that a zone left out begins when the next one does."""
    midnight = datetime.combine(date.fromordinal(day), datetime.min.time(), zone)
    instant = (midnight - _UNIX_EPOCH) // timedelta(seconds=1)
    if _date_at(instant - 1, zone) < day:
        return instant
    # Clocks jumped over midnight from before it: the day began when they did.
    low, high = instant - DAY_S, instant
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _date_at(middle, zone) < day else (low, middle)
    return high


def _date_at(instant: int, zone: ZoneInfo) -> int:
    return (_UNIX_EPOCH + timedelta(seconds=instant)).astimezone(zone).toordinal()


def _touched(start: float, end: float, width: float) -> int:
    """Return how many buckets of a width a window touches."""
    return math.ceil(end / width) - bucket_number(start, width)


def _smallest(count: float, max_points: int, touched: Callable[[int], int]) -> int:
    """Return the smallest multiple of which a window touches at most ``max_points``, of at least two.

    Of more than a thousand it is the smallest but for a few in a thousand.

    Parameters
    ----------
    count
        About how many the window has of the length itself.
    """
    # Counting is cheap, but a week of microseconds has 10**11 of them: so no more than some thousand tries.
    first = max(math.floor(count / max_points), 1)
    step = max(first // _EXACT, 1)
    multiples = range(first, 4 * first + _EXACT, step)
    return next((number for number in multiples if touched(number) <= max_points), math.ceil(count) + 1)


def _of_parts(start: float, end: float, edges: Sequence[int], remarks: tuple[str, ...]) -> Cells:
    """Return cells of the longest buckets that all edges are edges of, or of longer ones where those are too many."""
    # Nodes are asked for aligned buckets only. A local day is made of hours, or of quarters where its zone demands it.
    distinct = sorted(set(edges))
    part_s = math.gcd(*distinct)
    length = min(distinct[-1], end) - max(distinct[0], start)
    if length > MOST_PARTS * part_s:
        part_s = next((one for one in _COARSER_PARTS_S if length <= MOST_PARTS * one), DAY_S)
        low, *inner, high = distinct
        rounded = {low // part_s, *(round(edge / part_s) for edge in inner), -(-high // part_s)}
        distinct = [number * part_s for number in sorted(rounded)]
        remarks = (*remarks, f"for so long a range the edges of days are rounded to {format_duration(part_s)}")
    return Cells(start, end, np.array(distinct, dtype=np.float64), float(part_s), remarks)
