"""The tiles of a series: reduced samples of spans, the grid that they lie on, and the starts of windows; pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from sisock.core.errors import BadReply
from sisock.core.model import Span, Times, Values
from sisock.core.reduce.reducers import Samples
from sisock.core.times import bucket_number
from sisock.core.window.edge import MOST_FOLLOWING, Edge, join_edges
from sisock.core.window.spans import MOST_SPANS, NO_SAMPLES, Reduction

# A tile of fewer buckets costs more entries, one of more is copied longer when a bucket is added.
TILE_BUCKETS = 256
# In place of an unknown one, which would be asked for: of dense samples the first is not worth a call.
NO_EDGE = Edge(None, NO_SAMPLES)
# Of one series, each for windows that begin elsewhere.
MOST_EDGES = 16
# Brings the first sample and no more.
LEAST_REACH_S = 1e-9
# In spacings: what comes tells whether samples are still dense.
DENSE_REACH = 2.0
# In patiences: who looked no longer ago, and at no other window, is somebody who looks on with others.
NEARBY = 2.0
# Asking for so much more than a field lacks costs less than a call of its own.
CLOSE_BUCKETS = 4.0
# Who looks at live data sees none older than that, however wide the buckets are.
LONGEST_PATIENCE_S = 1.0


class ReducedSpan(NamedTuple):
    """The samples that a reducer leaves of [start, end), a window of its own; without the newest."""

    start: float
    end: float
    times: Times
    values: Values

    def part(self, start: float, end: float) -> ReducedSpan:
        """Return the part of a span whose ends are edges of buckets, or ends of this span."""
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


def join_spans(reduced: Sequence[ReducedSpan]) -> ReducedSpan:
    """Return consecutive reduced spans as one."""
    if len(reduced) == 1:
        return reduced[0]
    # Without the empty ones: their values are floats, and would make floats of whole numbers.
    filled = [one for one in reduced if one.times.size] or [reduced[0]]
    times, values = filled[0].times, filled[0].values
    if len(filled) > 1:
        times = np.concatenate([one.times for one in filled])
        values = np.concatenate([one.values for one in filled])
    return ReducedSpan(reduced[0].start, reduced[-1].end, times, values)


def join_touching(former: ReducedSpan | None, reduced: ReducedSpan) -> ReducedSpan:
    """Return the union of two spans of whole buckets where they touch, else the latter."""
    if former is None or former.end < reduced.start or reduced.end < former.start:
        return reduced
    parts = [former]
    if reduced.start < former.start:
        parts.insert(0, reduced.part(reduced.start, former.start))
    if reduced.end > former.end:
        parts.append(reduced.part(former.end, reduced.end))
    return join_spans(parts)


@dataclass(frozen=True, slots=True)
class TileGrid:
    """A window on the buckets of a width: tiles with the whole ones inside it, and what it cuts at its ends.

    A window inside one bucket is all head.

    Parameters
    ----------
    first, last
        Numbers of the buckets that its ends lie in.
    tiles
        Numbers of the tiles, each with the part of it that is inside the window and whole.
    head, foot
        What the window cuts off its first and its last bucket, where it does.
    """

    start: float
    end: float
    width: float
    first: int
    last: int
    tiles: Sequence[tuple[int, Span]]
    head: Span | None
    foot: Span | None

    @classmethod
    def of(cls, start: float, end: float, width: float) -> TileGrid:
        """Lay a window [start, end), which is not empty, on buckets of a width in seconds."""
        first, last = bucket_number(start, width), bucket_number(end, width)
        cut_start, cut_end = first * width < start, last * width < end
        if first == last and cut_start:
            return cls(start, end, width, first, last, (), (start, end), None)
        head = (start, (first + 1) * width) if cut_start else None
        foot = (last * width, end) if cut_end else None
        return cls(start, end, width, first, last, _tiles(first + cut_start, last, width), head, foot)


def _tiles(first: int, stop: int, width: float) -> Sequence[tuple[int, Span]]:
    """Return the tiles of the buckets from ``first`` up to ``stop``, each with its part of them."""
    tiles = []
    for number in range(first // TILE_BUCKETS, -(-stop // TILE_BUCKETS) if stop > first else -1):
        low, high = max(first, number * TILE_BUCKETS), min(stop, (number + 1) * TILE_BUCKETS)
        tiles.append((number, (low * width, high * width)))
    return tiles


def left_open(span: Span, kept: Sequence[ReducedSpan]) -> list[Span]:
    """Return the parts of a span that consecutive reduced spans inside it leave open."""
    open_parts = []
    low = span[0]
    for one in kept:
        if one.start > low:
            open_parts.append((low, one.start))
        low = one.end
    return [*open_parts, (low, span[1])] if low < span[1] else open_parts


class KeptEdge(NamedTuple):
    """Consecutive samples about the start of a window, which tell the same of windows that begin near it.

    Parameters
    ----------
    window
        For which it was asked.
    edge
        As the node told it.
    asked_at
        When, by the clock that never steps.
    is_final
        Whether no sample will come between those.
    """

    window: Span
    edge: Edge
    asked_at: float
    is_final: bool

    @classmethod
    def of(cls, window: Span, edge: Edge, asked_at: float, final_until: float) -> KeptEdge:
        """Keep an edge of data that are final until a time, UNIX seconds."""
        kept = cls(window, edge, asked_at, is_final=False)
        return kept._replace(is_final=kept.reach <= final_until)

    @property
    def reach(self) -> float:
        """Return the start, UNIX seconds, of the last window of which it tells the first sample."""
        times = self.edge.following[0]
        return float(times[-1]) if times.size else self.window[1]

    @property
    def spacing_s(self) -> float:
        """Return the mean spacing of the first samples, seconds; infinite where there is but one."""
        times = self.edge.following[0]
        return float(times[-1] - times[0]) / (times.size - 1) if times.size > 1 else math.inf

    def tells_of(self, start: float) -> bool:
        """Tell whether the first sample of a window that begins here follows from it."""
        before = self.edge.before
        low = self.window[0] if before is None else before[0][0] if before[0].size else -math.inf
        return low < start <= self.reach or start == self.window[0]

    def at(self, window: Span) -> Edge | None:
        """Return the edge of another window; None where it does not follow from this one."""
        start, end = window
        before, (times, values) = self.edge.before, self.edge.following
        if not self.tells_of(start) or (not times.size and end > self.window[1]):
            return None
        place = times.searchsorted(start)
        stop = times.size if not times.size or end > times[-1] else times.searchsorted(end)
        if place:
            before = times[place - 1 : place], values[place - 1 : place]
        return Edge(before, (times[place:stop], values[place:stop]))

    def beside(self, others: Sequence[KeptEdge]) -> KeptEdge:
        """Return it with what was before its window, where that was not asked for and follows from others."""
        if self.edge.before is None:
            for one in others:
                other = one.at(self.window)
                if other is not None and other.before is not None:
                    return self._replace(edge=Edge(other.before, self.edge.following))
        return self

    def is_dense(self, patience_s: float) -> bool:
        """Tell whether as many samples as a node sends do not reach to the windows of the next moment."""
        return self.spacing_s * MOST_FOLLOWING < patience_s

    def serves(self, start: float, patience_s: float) -> bool:
        """Tell whether a window goes without its first sample: the samples are too many to reach to its start."""
        return 0 < start - self.window[0] <= patience_s and self.is_dense(patience_s)


def lacking_s(kept: Sequence[KeptEdge], start: float, now: float, patience_s: float) -> float:
    """Return how far an edge should reach that is asked for now: not at all where what is kept does for a moment.

    Who looks alone needs the first sample only. Where several look, the next ones are spared a call, unless the
    samples are too dense for that.

    Parameters
    ----------
    kept
        The edges of the series, the newest first.
    """
    if any(one.is_final and one.tells_of(start) and start + patience_s <= one.reach for one in kept):
        return 0.0
    near_s = NEARBY * patience_s
    nearby = (one for one in kept if abs(start - one.window[0]) <= near_s and 0 <= now - one.asked_at <= near_s)
    near = next(nearby, None)
    # Nobody knows yet how dense samples are, or whether others look, so the first time a whole moment is asked for.
    if near is None:
        return LEAST_REACH_S if kept else patience_s
    return max(DENSE_REACH * near.spacing_s, LEAST_REACH_S) if near.is_dense(patience_s) else patience_s


def add_first(drawn: Samples, edge: Edge) -> Samples:
    """Return the samples of a window with its first one at their beginning, unless it is there."""
    times, values = edge.following
    if not times.size or _begins_with(drawn, edge.following):
        return drawn
    return join_edges((times[:1], values[:1]), drawn)


def add_held(drawn: Samples, edge: Edge, start: float) -> Samples:
    """Return the samples of a window with what was there before drawn at its start, unless there is one."""
    held = edge.before
    if held is None or not held[0].size or (drawn[0].size and drawn[0][0] <= start):
        return drawn
    return join_edges((np.array([start]), held[1]), drawn)


def _begins_with(drawn: Samples, following: Samples) -> bool:
    """Tell whether the first sample is drawn already, or is newer than what is: then that is of another moment."""
    times, values = drawn
    if not times.size or following[0][0] > times[0]:
        return bool(times.size)
    # NaN differs from itself, and is one sample all the same.
    return bool(following[0][0] == times[0] and (following[1][0] == values[0] or following[1][0] != following[1][0]))


def group_fields(lacking: Mapping[str, tuple[float, Sequence[Span]]]) -> list[tuple[tuple[Span, ...], list[str]]]:
    """Return which fields are asked for which spans, as few calls as cost little more than what is lacking.

    Fields on buckets of one width share a call where they lack about the same.
    """
    groups: list[tuple[float, tuple[Span, ...], list[str]]] = []
    for name, (width, missing) in lacking.items():
        for position, (other_width, spans, names) in enumerate(groups):
            joined = join_overlapping([*spans, *missing])
            # Judged by what lacks least, for which all the rest comes as well.
            if (
                width == other_width
                and length_of(joined) <= min(length_of(spans), length_of(missing)) + CLOSE_BUCKETS * width
            ):
                groups[position] = (width, joined, [*names, name])
                break
        else:
            groups.append((width, tuple(missing), [name]))
    return [(few_enough(spans), names) for _, spans, names in groups]


def join_overlapping(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Return the union of spans as few ascending ones."""
    joined: list[Span] = []
    for low, high in sorted(spans):
        if joined and low <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(high, joined[-1][1])
        else:
            joined.append((low, high))
    return tuple(joined)


def few_enough(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    """Return no more spans than a call may have: what is kept between the last ones comes anew."""
    if len(spans) <= MOST_SPANS:
        return spans
    *others, (low, _) = spans[:MOST_SPANS]
    return (*others, (low, spans[-1][1]))


def length_of(spans: Iterable[Span]) -> float:
    """Return how long spans are altogether."""
    return sum(high - low for low, high in spans)


def inside(reduction: Reduction, spans: Sequence[Span], window: Span) -> Reduction:
    """Drop what a node sent outside of what it was asked for, and put in order what is not."""
    cut = tuple(cut_to(samples, span) for samples, span in zip(reduction.samples, spans, strict=True))
    ahead = None if reduction.ahead is None else cut_to(reduction.ahead, window)
    newest = cut_to(reduction.newest, window)
    last_times = cut[-1][0] if cut else NO_SAMPLES[0]
    if newest[0].size and last_times.size and last_times[-1] > newest[0][0]:
        raise BadReply("the answer to 'get_data' with spans has samples after the one that it calls the newest")
    return replace(reduction, samples=cut, newest=newest, ahead=ahead)


def cut_to(samples: Samples, span: Span) -> Samples:
    """Return the samples inside a span; BadReply where they are not in order."""
    times, values = samples
    # All that is kept is searched by bisection: what is not in order would not be found, and be asked for for ever.
    if times.size > 1 and not (times[1:] >= times[:-1]).all():
        raise BadReply("the answer to 'get_data' with spans is not in order of time")
    if not times.size or (times[0] >= span[0] and times[-1] < span[1]):
        return samples
    low, high = times.searchsorted(span)
    return times[low:high], values[low:high]


class SeriesKey(NamedTuple):
    """One field as it is drawn.

    Parameters
    ----------
    width
        Of the buckets, seconds.
    chooses
        Whether the reducer chooses samples such that its choice from many is its choice from some of them, if it lies
        among those.
    looks_ahead
        Whether few samples tell what it keeps of each later part of a bucket.
    """

    node: str
    field: str
    reducer: str
    width: float
    chooses: bool = True
    looks_ahead: bool = False

    @property
    def patience_s(self) -> float:
        """The time for which samples that are not final may serve others, seconds."""
        return min(self.width, LONGEST_PATIENCE_S)


class Scope(NamedTuple):
    """A series under one generation of its data."""

    key: SeriesKey
    generation: str | None


# The keys. Tuples of the same values are equal whatever their class, so each has its kind among its values.
class StatementKey(NamedTuple):
    """Of a :class:`LastStatement`."""

    node: str
    field: str
    kind: str = "statement"


class RemarksKey(NamedTuple):
    """Of what a node tells of a field in words, a tuple of texts."""

    key: SeriesKey
    kind: str = "remarks"


class TileKey(NamedTuple):
    """Of a :class:`ReducedSpan` of whole final buckets, all or consecutive ones of a tile."""

    scope: Scope
    number: int
    kind: str = "tile"


class CutsKey(NamedTuple):
    """Of what windows cut off a final bucket, a tuple of :class:`ReducedSpan`, the last one asked for first."""

    scope: Scope
    bucket: int
    kind: str = "cuts"


class AheadKey(NamedTuple):
    """Of a :class:`ReducedSpan` with what windows that begin inside it keep of a final bucket."""

    scope: Scope
    bucket: int
    kind: str = "ahead"


class EdgesKey(NamedTuple):
    """Of what lies at the starts of windows, a tuple of :class:`KeptEdge`, the last one asked for first."""

    scope: Scope
    kind: str = "edges"


class NewestKey(NamedTuple):
    """Of the newest sample of a final window, a :class:`ReducedSpan` of the window."""

    scope: Scope
    end: float
    kind: str = "newest"


class TailKey(NamedTuple):
    """Of a :class:`Tail`."""

    scope: Scope
    kind: str = "tail"
