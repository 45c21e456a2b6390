"""The tile cache: what is kept of the nodes' answers, so that a refresh reads only what is new; pure.

Each kind of entry has a key of its own. All but the last statement and the remarks are kept in a scope: a series, and
the generation of its data. When that changes, nothing that was kept is found any more, and goes out by its age.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from sisock.core.model import Span, Statement
from sisock.core.reduce.reducers import Samples, find_reducer, reduce_samples
from sisock.core.times import bucket_number
from sisock.core.window.edge import Edge
from sisock.core.window.spans import NO_SAMPLES, Reduction
from sisock.gateway.tiles import (
    MOST_EDGES,
    NO_EDGE,
    TILE_BUCKETS,
    AheadKey,
    CutsKey,
    EdgesKey,
    KeptEdge,
    NewestKey,
    ReducedSpan,
    RemarksKey,
    Scope,
    SeriesKey,
    StatementKey,
    TailKey,
    TileGrid,
    TileKey,
    join_spans,
    join_touching,
    left_open,
)

# Measured, of an entry: its key, with the objects in it, and its place in the table.
OVERHEAD_BYTES = 640
# Of a reduced span, and of an edge: their arrays without what these hold, their numbers and themselves.
OBJECTS_BYTES = 360
EDGE_OBJECTS_BYTES = 800
# Of one bucket, each for windows that begin at another time.
MOST_CUTS = 4


class Lru:
    """A table bounded in bytes: what was used longest ago goes first. Not for use by several threads.

    Parameters
    ----------
    capacity_bytes
        The most that all entries take together; 0 keeps nothing.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self._entries: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self.size_bytes = 0

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._entries)

    def get(self, key: Hashable) -> Any:
        """Return an entry, which is then the one used last; None when it is not there."""
        # The order of the table is that of use: what is first was used longest ago.
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: Hashable, value: Any, size_bytes: int) -> None:
        """Keep an entry in place of the one of that key, and drop what was used longest ago for it."""
        size_bytes += OVERHEAD_BYTES
        former = self._entries.pop(key, None)
        self._entries[key] = (value, size_bytes)
        self.size_bytes += size_bytes - (former[1] if former else 0)
        while self.size_bytes > self.capacity_bytes:
            _, (_, dropped_bytes) = self._entries.popitem(last=False)
            self.size_bytes -= dropped_bytes


class LastStatement(NamedTuple):
    """The last statement of a node on a field, and when it was asked, in seconds of the clock that never steps."""

    statement: Statement
    asked_at: float


class Tail(NamedTuple):
    """The end of a window as it was when it was asked for, its newest sample among it."""

    reduced: ReducedSpan
    newest: Samples
    asked_at: float


class Lookup(NamedTuple):
    """The samples that are kept of a series in a window, and what is missing there.

    Parameters
    ----------
    kept
        In order of time, none over another.
    missing
        The spans that nothing kept covers.
    newest
        The newest sample of the window; None when it is not known.
    statement
        What the node stated last; None when it was never asked.
    is_fresh
        Whether that was a moment ago.
    tail
        What was asked for a moment ago and covers the last of the missing spans, though it is not final.
    is_lasting
        Whether what is kept of the bucket that the window's start cuts will do for the windows of the next moment.
    edge
        What lies at the window's start; None when it is not known.
    edges
        What is kept of the starts of windows, the last one that was asked for first.
    """

    kept: Sequence[ReducedSpan]
    missing: Sequence[Span]
    newest: Samples | None = None
    statement: Statement | None = None
    is_fresh: bool = False
    tail: Tail | None = None
    is_lasting: bool = False
    edge: Edge | None = None
    edges: Sequence[KeptEdge] = ()

    @property
    def is_complete(self) -> bool:
        """Whether nothing need be asked."""
        return self.is_fresh and not self.missing and self.newest is not None

    def with_tail(self) -> Lookup:
        """Return the same with its tail as one more reduced span."""
        if self.tail is None:
            return self
        kept = [*self.kept, self.tail.reduced]
        return self._replace(kept=kept, missing=self.missing[:-1], newest=self.tail.newest, tail=None)


class TileCache:
    """Keeps answers, at most so many bytes of them.

    Parameters
    ----------
    capacity_bytes
        0 keeps nothing, so that everything is asked for every time.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self._entries = Lru(capacity_bytes)
        # At most sites there are no remarks, and each series is looked up at each refresh.
        self._any_remarks = False

    @property
    def size_bytes(self) -> int:
        """The bytes that are in use."""
        return self._entries.size_bytes

    def look(self, key: SeriesKey, grid: TileGrid, now: float) -> Lookup:
        """Return what is kept of a series in a window, laid on the buckets of its width, at ``now``.

        The time is that of a clock which never steps, as for :meth:`keep`: only how long ago something was counts.
        """
        last: LastStatement | None = self._entries.get(StatementKey(key.node, key.field))
        if last is None:
            return Lookup((), ((grid.start, grid.end),))
        return _Look(self._entries, key, last, now).at(grid)

    def remarks(self, keys: Iterable[SeriesKey]) -> list[Sequence[str]]:
        """Return what the node told of each field in words when it was asked last."""
        return [(self._any_remarks and self._entries.get(RemarksKey(key))) or () for key in keys]

    def keep_remarks(self, remarks: Mapping[SeriesKey, Sequence[str]]) -> None:
        """Take what a node tells of fields in words: it is told until the node is asked again."""
        for key, texts in remarks.items():
            if texts or (self._any_remarks and self._entries.get(RemarksKey(key))):
                self._any_remarks = True
                self._entries.put(RemarksKey(key), tuple(texts), sum(map(len, texts)))

    def keep(
        self,
        key: SeriesKey,
        window: Span,
        spans: Sequence[Span],
        reduction: Reduction,
        asked_at: float,
        ahead_s: float = 0.0,
    ) -> None:
        """Take a node's answer: the reductions of some spans of a window, and what it tells of the next windows."""
        if not self._entries.capacity_bytes:
            return
        statement = reduction.statement
        self._entries.put(StatementKey(key.node, key.field), LastStatement(statement, asked_at), 0)
        scope = Scope(key, statement.generation)
        final = min(statement.finalized_until, window[1])
        # Of each span, and of the window's end, until when it is final: a node may know less of one than of all.
        finals = [min(final, own) for own in reduction.final or [final] * (len(spans) + 1)]
        reduced = [ReducedSpan(*span, *samples) for span, samples in zip(spans, reduction.samples, strict=False)]
        for one, own in zip(reduced, finals, strict=False):
            self._keep_final(scope, one, (statement.available_from, own))
        if reduction.ahead is not None and statement.available_from <= window[0]:
            self._keep_ahead(scope, ReducedSpan(window[0], window[0] + ahead_s, *reduction.ahead), final)
        if reduction.edge is not None:
            self._keep_edge(scope, KeptEdge.of(window, reduction.edge, asked_at, finals[-1]))
        # A copy of the one sample: a view would keep the whole reply in memory.
        newest = ReducedSpan(*window, *(part.copy() for part in reduction.newest))
        if window[1] <= final:
            self._entries.put(NewestKey(scope, window[1]), newest, size_bytes_of(newest))
        elif spans and spans[-1][1] == window[1]:
            self._keep_tail(scope, reduced[-1], finals[len(spans) - 1], newest, asked_at)

    def _keep_final(self, scope: Scope, reduced: ReducedSpan, certain: Span) -> None:
        """Keep the whole buckets of a span that lie in the certain one, and what it cuts off others there."""
        low, high = max(reduced.start, certain[0]), min(reduced.end, certain[1])
        if not low < high:
            return
        grid = TileGrid.of(low, high, scope.key.width)
        for number, edges in grid.tiles:
            tile_key = TileKey(scope, number)
            tile = own_arrays(join_touching(self._entries.get(tile_key), reduced.part(*edges)))
            self._entries.put(tile_key, tile, size_bytes_of(tile))
        # A cut that begins or ends where the certain does, and not where the span does, is no window's own.
        is_within = grid.last > grid.first or high == reduced.end
        if grid.head is not None and low == reduced.start and is_within:
            self._keep_cut(CutsKey(scope, grid.first), reduced.part(*grid.head))
        if grid.foot is not None and high == reduced.end:
            self._keep_cut(CutsKey(scope, grid.last), reduced.part(*grid.foot))

    def _keep_cut(self, key: CutsKey, cut: ReducedSpan) -> None:
        others = [one for one in self._entries.get(key) or () if (one.start, one.end) != (cut.start, cut.end)]
        cuts = (own_arrays(cut), *others[: MOST_CUTS - 1])
        self._entries.put(key, cuts, sum(map(size_bytes_of, cuts)))

    def _keep_ahead(self, scope: Scope, ahead: ReducedSpan, final: float) -> None:
        """Keep among which samples those are that windows that begin inside a span keep of their first bucket."""
        # One span under each bucket that a window may begin in, of which there are two at most.
        ahead, width = own_arrays(ahead), scope.key.width
        for number in range(bucket_number(ahead.start, width), bucket_number(ahead.end, width) + 1):
            if (number + 1) * width <= final:
                self._entries.put(AheadKey(scope, number), ahead, size_bytes_of(ahead))

    def _keep_edge(self, scope: Scope, edge: KeptEdge) -> None:
        """Keep an edge beside others: the clocks of people who look differ, and some look at the past."""
        # One that is not final is only good for a moment, in which the newest is at hand.
        finals = [one for one in self._entries.get(EdgesKey(scope)) or () if one.is_final]
        others = [one for one in finals if one.window[0] != edge.window[0]]
        edges = (edge.beside(finals), *others[: MOST_EDGES - 1])
        # Texts apart: there are few, and most edges are of numbers.
        size_bytes = sum(EDGE_OBJECTS_BYTES + 16 * one.edge.following[0].size for one in edges)
        self._entries.put(EdgesKey(scope), edges, size_bytes)

    def _keep_tail(
        self, scope: Scope, reduced: ReducedSpan, final: float, newest: ReducedSpan, asked_at: float
    ) -> None:
        """Keep the end of a window from its first bucket that is not final."""
        # What is final of it is in tiles already.
        low, width = reduced.start, scope.key.width
        if final > low:
            low = max(low, bucket_number(final, width) * width)
        tail = own_arrays(reduced.part(low, reduced.end))
        kept = Tail(tail, (newest.times, newest.values), asked_at)
        self._entries.put(TailKey(scope), kept, size_bytes_of(tail) + size_bytes_of(newest))


class _Look:
    """One look into the cache, for one series."""

    def __init__(self, entries: Lru, key: SeriesKey, last: LastStatement, now: float) -> None:
        self._entries = entries
        self._key = key
        self._scope = Scope(key, last.statement.generation)
        self._statement = last.statement
        self._now = now
        self._patience_s = key.patience_s
        self._is_fresh = self._is_recent(last.asked_at)

    def at(self, grid: TileGrid) -> Lookup:
        head = self._cut(grid.head, grid.first, grid)
        kept = [*head, *self._tiles(grid), *self._cut(grid.foot, grid.last, grid)]
        missing = left_open((grid.start, grid.end), kept)
        tail = None
        if self._is_fresh and missing and missing[-1][1] == grid.end:
            tail = self._tail(missing[-1], grid, _last_time(kept))
        edges: Sequence[KeptEdge] = self._entries.get(EdgesKey(self._scope)) or ()
        newest, edge, is_lasting = self._newest(grid), self._edge(edges, grid), self._is_lasting(head)
        return Lookup(kept, missing, newest, self._statement, self._is_fresh, tail, is_lasting, edge, edges)

    def _is_recent(self, asked_at: float) -> bool:
        return 0 <= self._now - asked_at <= self._patience_s

    def _tiles(self, grid: TileGrid) -> list[ReducedSpan]:
        kept = []
        for number, (low, high) in grid.tiles:
            tile: ReducedSpan | None = self._entries.get(TileKey(self._scope, number))
            if tile is not None and low < tile.end and tile.start < high:
                kept.append(tile.part(max(low, tile.start), min(high, tile.end)))
        return kept

    def _cut(self, span: Span | None, number: int, grid: TileGrid) -> list[ReducedSpan]:
        """Return what the window cuts off a final bucket, if it is kept or follows from what is kept."""
        if span is None:
            return []
        for cut in self._entries.get(CutsKey(self._scope, number)) or ():
            if (cut.start, cut.end) == span or self._follows(cut, span):
                return [ReducedSpan(*span, cut.times, cut.values)]
        # Of what is computed of a whole bucket nothing follows for a part of it.
        tile: ReducedSpan | None = None
        if self._key.chooses:
            tile = self._entries.get(TileKey(self._scope, number // TILE_BUCKETS))
        low, high = number * grid.width, (number + 1) * grid.width
        if tile is not None and tile.start <= low < high <= tile.end:
            bucket = tile.part(low, high)
            if bucket.lies_inside(*span):
                return [ReducedSpan(*span, bucket.times, bucket.values)]
        return self._from_ahead(span, number)

    def _from_ahead(self, span: Span, number: int) -> list[ReducedSpan]:
        """Return what the start of a window leaves of a final bucket, from what came ahead of it."""
        ahead: ReducedSpan | None = None
        if self._key.looks_ahead:
            ahead = self._entries.get(AheadKey(self._scope, number))
        edge = (number + 1) * self._key.width
        if ahead is None or not (ahead.start <= span[0] <= ahead.end and span[1] == edge):
            return []
        low, high = ahead.times.searchsorted(span)
        times, values = ahead.times[low:high], ahead.values[low:high]
        selection = find_reducer(self._key.reducer).for_dtype(values.dtype)
        starts = np.zeros(min(1, times.size), dtype=np.intp)
        return [ReducedSpan(*span, *reduce_samples(times, values, selection, starts))]

    def _is_lasting(self, head: Sequence[ReducedSpan]) -> bool:
        """Tell whether windows that begin a moment later will find what they need of their first bucket."""
        if not head:
            return False
        until, end = head[0].start + self._patience_s, head[0].end
        return until < end and head[0].lies_inside(until, end)

    def _follows(self, cut: ReducedSpan, span: Span) -> bool:
        """Tell whether what was chosen from a longer span is what would be chosen from a shorter one."""
        is_longer = cut.start <= span[0] and span[1] <= cut.end
        return self._key.chooses and is_longer and cut.lies_inside(*span)

    def _newest(self, grid: TileGrid) -> Samples | None:
        newest: ReducedSpan | None = self._entries.get(NewestKey(self._scope, grid.end))
        if newest is None:
            return None
        if newest.times.size:
            return (newest.times, newest.values) if newest.times[0] >= grid.start else NO_SAMPLES
        return NO_SAMPLES if grid.start >= newest.start else None

    def _edge(self, edges: Sequence[KeptEdge], grid: TileGrid) -> Edge | None:
        for one in edges:
            if one.is_final or self._is_recent(one.asked_at):
                edge = one.at((grid.start, grid.end))
                if edge is not None:
                    return edge
        if any(self._is_recent(one.asked_at) and one.serves(grid.start, self._patience_s) for one in edges):
            return NO_EDGE
        return None

    def _tail(self, span: Span, grid: TileGrid, known: float) -> Tail | None:
        """Return the end of the window as somebody else has just asked for it, if nothing later is known."""
        tail: Tail | None = self._entries.get(TailKey(self._scope))
        if tail is None or not self._is_recent(tail.asked_at):
            return None
        reduced = tail.reduced
        if reduced.start > span[0] or abs(reduced.end - grid.end) > self._patience_s:
            return None
        newest_times = tail.newest[0]
        # The window that had none may have been shorter, and that which had one may have been asked for earlier.
        if not (max(grid.start, known) <= newest_times[0] < grid.end if newest_times.size else known == -np.inf):
            return None
        part = self._tail_from(reduced, span)
        return None if part is None else Tail(part, tail.newest, tail.asked_at)

    def _tail_from(self, reduced: ReducedSpan, span: Span) -> ReducedSpan | None:
        """Return the tail from the start of a span on; None where what the start cuts off does not follow."""
        low, width = span[0], self._key.width
        if low == reduced.start or bucket_number(low, width) * width == low:
            return reduced.part(low, reduced.end)._replace(start=span[0], end=span[1])
        edge = min((bucket_number(low, width) + 1) * width, reduced.end)
        begin = max(reduced.start, bucket_number(low, width) * width)
        cut = reduced.part(begin, edge)
        if not (self._key.chooses and cut.lies_inside(low, edge)):
            return None
        return join_spans([cut, reduced.part(edge, reduced.end)])._replace(start=span[0], end=span[1])


def own_arrays(reduced: ReducedSpan) -> ReducedSpan:
    """Return the same in arrays of its own, which keep nothing larger in memory."""
    if reduced.times.base is None and reduced.values.base is None:
        return reduced
    return reduced._replace(times=reduced.times.copy(), values=reduced.values.copy())


def size_bytes_of(reduced: ReducedSpan) -> int:
    """Return the memory that a reduced span takes, texts included."""
    texts = sum(map(sys.getsizeof, reduced.values)) if reduced.values.dtype.hasobject else 0
    return OBJECTS_BYTES + reduced.times.nbytes + reduced.values.nbytes + texts


def _last_time(kept: Sequence[ReducedSpan]) -> float:
    """Return the time of the last sample of consecutive spans; -inf when they have none."""
    return next((float(one.times[-1]) for one in reversed(kept) if one.times.size), -np.inf)
