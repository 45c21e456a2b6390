"""What times look like that all lie outside of the span that was asked for: in which unit they probably are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from sisock.core.model import Times
from sisock.core.times import format_iso8601

DAY_S = 86400.0
YEAR_S = 31_556_952.0
PLAUSIBLE = 631_152_000.0, 4_102_444_800.0
"""UNIX seconds, 1990 to 2100: times that are none, but of which one of ``LOOKS`` makes such, are told as that."""
ZONES_S = 15 * 3600.0
LAST_YEAR = 9998  # of calendars
SILLY_YEAR = 10**6


@dataclass(frozen=True)
class Look:
    """A way to write a time, how it becomes UNIX seconds, and in words what to do."""

    name: str
    to_unix: Callable[[float], float]
    advice: str


LOOKS = (
    Look("milliseconds", lambda t: t / 1e3, "divide by 1000"),
    Look("microseconds", lambda t: t / 1e6, "divide by 1e6"),
    Look("tens of nanoseconds, as G3Time has", lambda t: t / 1e8, "divide by 1e8"),
    Look("nanoseconds", lambda t: t / 1e9, "divide by 1e9"),
    Look("days of the modified Julian date", lambda t: (t - 40_587) * DAY_S, "subtract 40587, multiply by 86400"),
    Look("days of the Julian date", lambda t: (t - 2_440_587.5) * DAY_S, "subtract 2440587.5, multiply by 86400"),
)
OFFSETS = (
    Look("seconds since 1904, as LabVIEW has", lambda t: t - 2_082_844_800, "subtract 2082844800"),
    Look("seconds since 1900, as NTP has", lambda t: t - 2_208_988_800, "subtract 2208988800"),
)
"""These are plausible themselves, in sixty years: what they make must lie inside of the span."""


def misplaced(times: Times, start: float, end: float) -> str | None:
    """Return in words that all of some times lie outside [start, end), and what to do; None when one lies inside.

    Parameters
    ----------
    times
        Shape (n,), ascending, as a server gave them.
    start, end
        UNIX seconds.
    """
    if not times.size or times.searchsorted(start) < times.searchsorted(end):
        return None
    first, last = float(times[0]), float(times[-1])
    many = f"all {times.size} samples lie" if times.size > 1 else "its only sample lies"
    said = f"{many} outside of the span; the first is {_moment(first)}"
    look = _look(first, last, start, end)
    if look is not None:
        return f"{said}: UNIX seconds are expected, these look like {look.name}: {look.advice}"
    asked = f"{_moment(start)} to {_moment(end)}".replace("of ", "")
    return f"{said}, the last {_moment(last)}, and the span is {asked}: {_advice(first, end)}"


def is_unmistakable(times: Times) -> bool:
    """Tell whether times cannot be UNIX seconds: they are of no year that a clock of today shows."""
    return bool(times.size) and not (PLAUSIBLE[0] <= times[-1] and times[0] <= PLAUSIBLE[1])


def _look(first: float, last: float, start: float, end: float) -> Look | None:
    low, high = PLAUSIBLE
    if not low <= last <= high:
        for look in LOOKS:
            if low <= look.to_unix(first) <= look.to_unix(last) <= high:
                return look
    return next((one for one in OFFSETS if start <= one.to_unix(first) and one.to_unix(last) < end), None)


def _advice(first: float, end: float) -> str:
    if not PLAUSIBLE[0] <= first <= PLAUSIBLE[1]:
        return "UNIX seconds are expected, which count from 1970 in UTC"
    if end <= first < end + ZONES_S:
        return "give those inside; UNIX seconds are of UTC, is this the local time?"
    return "give those from the start to before the end"


def _moment(t: float) -> str:
    """Return a time for people; of one that no calendar has, the year."""
    year = math.floor(1970 + t / YEAR_S)
    if 1 <= year <= LAST_YEAR:
        return f"of {format_iso8601(t)}"
    return f"in the year {year}" if abs(year) < SILLY_YEAR else f"{t:.4g} s after 1970"
