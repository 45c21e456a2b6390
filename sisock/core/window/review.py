"""Judging what a server answers to one request, in however many parts it is asked: what must be told of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

from sisock.core.model import DataBlock, Span, TimelineBlock, Times
from sisock.core.times import DAY_S, format_iso8601
from sisock.core.window.remarks import field_of

YEAR_S = 31_556_952.0
PLAUSIBLE = 631_152_000.0, 4_102_444_800.0
"""UNIX seconds, 1990 to 2100: times that are none, but of which one of ``LOOKS`` makes such, are told as that."""
# No zone is more than 14 hours ahead of UTC.
ZONES_S = 15 * 3600.0
# One before the last year that calendars have: years are only estimated here.
LAST_YEAR = 9998
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
    text = f"{many} outside of the span; the first is {_moment(first)}"
    look = _look(first, last, start, end)
    if look is not None:
        return f"{text}: UNIX seconds are expected, these look like {look.name}: {look.advice}"
    asked = f"{_moment(start)} to {_moment(end)}".replace("of ", "")
    return f"{text}, the last {_moment(last)}, and the span is {asked}: {_advice(first, end)}"


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


class Review:
    """Collects what is wrong with the answers to one request.

    Samples outside of the span that was asked for are cut off, and that is fine. It is told only where all samples of
    a field lie outside of the window: when they cannot be UNIX seconds, or none was ever inside of any window.

    Parameters
    ----------
    window
        What the asker is interested in, UNIX seconds; parts of it are asked for.
    proven
        Fields of which samples were inside of a window before.

    Attributes
    ----------
    placed
        Fields of which samples are inside of this window, where it is one that only UNIX seconds lie in.
    """

    def __init__(self, window: Span, proven: Collection[str] = ()) -> None:
        self._window = window
        self._proven = proven
        self._problems: dict[str, None] = {}
        self._suspects: dict[str, str] = {}
        self._inside: set[str] = set()
        self.placed: set[str] = set()

    def take(self, block: DataBlock, problems: Iterable[str] = ()) -> DataBlock:
        """Note what is wrong with an answer; return it, but with nothing promised where its times may be none."""
        self._problems.update(dict.fromkeys(problems))
        return replace(block, timelines={name: self._judged(one) for name, one in block.timelines.items()})

    def problems(self) -> list[str]:
        """Return in words what is wrong, each with its field where it is that of one."""
        return [*self._problems, *(f"field '{name}' is empty: {text}" for name, text in self._suspects.items())]

    def by_field(self) -> dict[str, list[str]]:
        """Return what is wrong with each field that something is wrong with."""
        by_field: dict[str, list[str]] = {}
        for problem in self.problems():
            name = field_of(problem)
            if name is not None:
                by_field.setdefault(name, []).append(problem)
        return by_field

    def _judged(self, block: TimelineBlock) -> TimelineBlock:
        text = misplaced(block.times, *self._window)
        if text is None:
            if block.times.size:
                self._note_inside(block)
            return block
        sure = is_unmistakable(block.times)
        names = [name for name in block.values if name not in self._inside and (sure or name not in self._proven)]
        # What was seen first is told: it is of the part that was asked for first.
        self._suspects = {**dict.fromkeys(names, text), **self._suspects}
        # What it calls final may be so in another unit: then an empty span would be kept, and the word on it lost.
        return block.restated(finalized_until=-math.inf) if names else block

    def _note_inside(self, block: TimelineBlock) -> None:
        self._inside.update(block.values)
        # A window of all time also holds days of the Julian date and the like: it proves nothing.
        if self._window[0] >= PLAUSIBLE[0]:
            self.placed.update(block.values)
        self._suspects = {name: text for name, text in self._suspects.items() if name not in self._inside}
