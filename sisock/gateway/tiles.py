"""Reduced samples of spans, and the tiles that they are kept in; pure."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sisock.core.model import Span, Times, Values
from sisock.core.times import bucket_number

TILE_BUCKETS = 256
OBJECTS_BYTES = 360  # of a piece: its arrays without what they hold, its numbers and itself


class ReducedSpan(NamedTuple):
    """What a reducer leaves of the samples inside [start, end), a window of its own; without the newest."""

    start: float
    end: float
    times: Times
    values: Values

    def part(self, start: float, end: float) -> ReducedSpan:
        """Return the part of a span whose ends are edges of buckets, or ends of this piece."""
        if start == self.start and end == self.end:
            return self
        times = self.times
        low = times.searchsorted(start) if start > self.start else 0
        high = times.searchsorted(end) if end < self.end else times.size
        return ReducedSpan(start, end, times[low:high], self.values[low:high])

    def lies_inside(self, start: float, end: float) -> bool:
        """Tell whether all of its samples are inside [start, end)."""
        times = self.times
        return not times.size or bool(times[0] >= start and times[-1] < end)

    def owned(self) -> ReducedSpan:
        """Return the same in arrays of its own, which keep nothing larger in memory."""
        if self.times.base is None and self.values.base is None:
            return self
        return ReducedSpan(self.start, self.end, self.times.copy(), self.values.copy())

    @property
    def size_bytes(self) -> int:
        """Return the memory that it takes, texts included."""
        texts = sum(map(sys.getsizeof, self.values)) if self.values.dtype.hasobject else 0
        return OBJECTS_BYTES + self.times.nbytes + self.values.nbytes + texts


def join_spans(pieces: Sequence[ReducedSpan]) -> ReducedSpan:
    """Return consecutive pieces as one."""
    if len(pieces) == 1:
        return pieces[0]
    filled = [piece for piece in pieces if piece.times.size] or [pieces[0]]
    times, values = filled[0].times, filled[0].values
    if len(filled) > 1:
        times = np.concatenate([piece.times for piece in filled])
        values = np.concatenate([piece.values for piece in filled])
    return ReducedSpan(pieces[0].start, pieces[-1].end, times, values)


def join_touching(former: ReducedSpan | None, piece: ReducedSpan) -> ReducedSpan:
    """Return the union of two pieces of whole buckets where they touch, else the latter."""
    if former is None or former.end < piece.start or piece.end < former.start:
        return piece
    parts = [former]
    if piece.start < former.start:
        parts.insert(0, piece.part(piece.start, former.start))
    if piece.end > former.end:
        parts.append(piece.part(former.end, piece.end))
    return join_spans(parts)


@dataclass(frozen=True, slots=True)
class TileGrid:
    """A window on the buckets of a width: tiles with the whole ones inside it, and what it cuts at its ends.

    A window inside one bucket is all head.

    Parameters
    ----------
    tiles
        Numbers of the tiles, each with the part of it that is inside the window and whole.
    head, foot
        What the window cuts off its first and its last bucket, where it does.
    """

    start: float
    end: float
    width: float
    tiles: Sequence[tuple[int, Span]]
    head: Span | None
    foot: Span | None

    @classmethod
    def of(cls, start: float, end: float, width: float) -> TileGrid:
        """Lay a window [start, end), which is not empty, on buckets of a width in seconds."""
        first, stop = bucket_number(start, width), bucket_number(end, width)
        cut_start, cut_end = first * width < start, stop * width < end
        if first == stop and cut_start:
            return cls(start, end, width, (), (start, end), None)
        head = (start, (first + 1) * width) if cut_start else None
        foot = (stop * width, end) if cut_end else None
        return cls(start, end, width, _tiles(first + cut_start, stop, width), head, foot)


def _tiles(first: int, stop: int, width: float) -> Sequence[tuple[int, Span]]:
    """Return the tiles of the buckets from ``first`` up to ``stop``, each with its part of them."""
    tiles = []
    for number in range(first // TILE_BUCKETS, -(-stop // TILE_BUCKETS) if stop > first else -1):
        low, high = max(first, number * TILE_BUCKETS), min(stop, (number + 1) * TILE_BUCKETS)
        tiles.append((number, (low * width, high * width)))
    return tiles


def left_open(span: Span, pieces: Sequence[ReducedSpan]) -> list[Span]:
    """Return the parts of a span that consecutive pieces inside it leave open."""
    open_parts = []
    low = span[0]
    for piece in pieces:
        if piece.start > low:
            open_parts.append((low, piece.start))
        low = piece.end
    return [*open_parts, (low, span[1])] if low < span[1] else open_parts
