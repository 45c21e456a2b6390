"""Points as Grafana's JSON: what is the same as in the reply before is not written out again.

A window that moves on by a few samples has nearly all of its points in common with the one before, and to write
numbers out in decimals takes longer than all the rest of a reply.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from sisock.core.model import Times, Values
from sisock.gateway.tile_cache import Lru

PointsWriter = Callable[[Hashable, Times, Values], Any]
"""From the series' identity and its samples to what :func:`grafana_json.replies.encode` takes for its points."""

FEWEST = 64  # fewer are written as quickly as they are compared
MOSTLY = 0.9
OPENING = ord("[")


@dataclass(frozen=True, eq=False)
class _Written:
    """Points that were sent."""

    times: Times
    bits: NDArray[np.int64]
    text: bytes

    @cached_property
    def places(self) -> NDArray[np.intp]:
        """Where the text of each point begins, and after the last of them where the next one would."""
        return np.append(np.flatnonzero(np.frombuffer(self.text, np.uint8) == OPENING)[1:], len(self.text))

    @property
    def size_bytes(self) -> int:
        """The memory that it takes, places included."""
        return 3 * self.times.nbytes + len(self.text)


class PointCache:
    """Writes points and keeps those of each series that were written whole; not for use by several threads.

    Parameters
    ----------
    capacity_bytes
        The most that is kept.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self._kept = Lru(capacity_bytes)

    def write(self, series: Hashable, times: Times, values: Values) -> orjson.Fragment:
        """Return the points of a series, UNIX seconds and numbers, as a part of a document."""
        time_ms = apart_ms(times)
        if time_ms.size < FEWEST:
            return orjson.Fragment(_write(time_ms, values))
        bits = values.astype(np.float64).view(np.int64)  # so that NaN equals itself, and zero not minus zero
        kept: _Written | None = self._kept.get(series)
        low, high, shift = _common(kept, time_ms, bits) if kept is not None else (0, 0, 0)
        if kept is not None and high - low > MOSTLY * time_ms.size:
            same = memoryview(kept.text)[kept.places[low + shift] : kept.places[high + shift] - 1]
            before, behind = _write(time_ms[:low], values[:low]), _write(time_ms[high:], values[high:])
            opening = b"%b," % before[:-1] if low else b"["
            closing = b",%b" % behind[1:] if high < time_ms.size else b"]"
            return orjson.Fragment(b"".join((opening, same, closing)))
        written = _Written(time_ms, bits, _write(time_ms, values))
        self._kept.put(series, written, written.size_bytes)
        return orjson.Fragment(written.text)


def pairs(times: Times, values: Values) -> NDArray[np.float64]:
    """Return points as Grafana wants them, shape (n, 2): value and milliseconds."""
    return _pairs(apart_ms(times), values)


def milliseconds(times: Times) -> Times:
    """Return Grafana's times; rounded to microseconds, below which float64 can't tell times of today apart."""
    return np.rint(times * 1e3 * 1e3) / 1e3


def apart_ms(times: Times) -> Times:
    """Return Grafana's times of the samples of one series, ascending UNIX seconds, no two of them equal.

    Whoever joins series by time keeps one sample of equal times. So each is a microsecond after the one before at
    least.
    """
    return apart_us(np.rint(times * 1e3 * 1e3)) / 1e3


def apart_us(time_us: Times) -> Times:
    """Return whole microseconds, of which those that don't ascend are moved to one after the one before."""
    if time_us.size < 2 or (time_us[1:] > time_us[:-1]).all():  # noqa: PLR2004 - one sample is apart
        return time_us
    places = np.arange(time_us.size)
    apart: Times = np.maximum.accumulate(time_us - places) + places
    return apart


def _pairs(time_ms: Times, values: Values) -> NDArray[np.float64]:
    points = np.empty((time_ms.size, 2))
    points[:, 0] = values
    points[:, 1] = time_ms
    return points


def _write(time_ms: Times, values: Values) -> bytes:
    return orjson.dumps(_pairs(time_ms, values), option=orjson.OPT_SERIALIZE_NUMPY) if time_ms.size else b"[]"


def _common(kept: _Written, times: Times, bits: NDArray[np.int64]) -> tuple[int, int, int]:
    """Return the first and the end of the run of points about the middle one that is kept too, and how far away."""
    middle = times.size // 2
    shift = int(kept.times.searchsorted(times[middle])) - middle
    low, high = max(0, -shift), min(times.size, kept.times.size - shift)
    if not low <= middle < high:
        return 0, 0, 0
    there = slice(low + shift, high + shift)
    others = np.flatnonzero((times[low:high] != kept.times[there]) | (bits[low:high] != kept.bits[there])) + low
    position = int(others.searchsorted(middle))
    before = int(others[position - 1]) + 1 if position else low
    after = int(others[position]) if position < others.size else high
    return before, max(after, before), shift
