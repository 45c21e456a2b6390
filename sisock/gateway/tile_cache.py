"""What the gateway keeps of the nodes' answers, so that a refresh reads only what is new; pure."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

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
    KeptEdge,
    Lru,
    ReducedSpan,
    TileGrid,
    join_spans,
    join_touching,
    left_open,
)

LONGEST_PATIENCE_S = 1.0
MOST_CUT_PIECES = 4  # of one bucket, each for windows that begin at another time


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
        """Return how long what is not final may serve others."""
        return min(self.width, LONGEST_PATIENCE_S)


class LastStatement(NamedTuple):
    """What a node stated of a field, and when it was asked, in seconds of the clock that never steps."""

    statement: Statement
    asked_at: float


class Tail(NamedTuple):
    """The end of a window as it was when it was asked for, its newest sample among it."""

    piece: ReducedSpan
    newest: Samples
    asked_at: float


class Lookup(NamedTuple):
    """What is kept of a series in a window.

    Parameters
    ----------
    pieces
        In order of time, none over another.
    missing
        The spans that no piece covers.
    newest
        The newest sample of the window; None when it is not known.
    statement
        What the node stated last; None when it was never asked.
    fresh
        Whether that was a moment ago.
    tail
        What was asked for a moment ago and covers the last of the missing spans, though it is not final.
    lasting
        Whether what is kept of the bucket that the window's start cuts will do for the windows of the next moment.
    edge
        What lies at the window's start; None when it is not known.
    kept_edges
        What is kept of the starts of windows, the last one that was asked for first.
    """

    pieces: Sequence[ReducedSpan]
    missing: Sequence[Span]
    newest: Samples | None = None
    statement: Statement | None = None
    fresh: bool = False
    tail: Tail | None = None
    lasting: bool = False
    edge: Edge | None = None
    kept_edges: Sequence[KeptEdge] = ()

    @property
    def complete(self) -> bool:
        """Whether nothing need be asked."""
        return self.fresh and not self.missing and self.newest is not None

    def with_tail(self) -> Lookup:
        """Return the same with its tail as one more piece."""
        if self.tail is None:
            return self
        pieces = [*self.pieces, self.tail.piece]
        return self._replace(pieces=pieces, missing=self.missing[:-1], newest=self.tail.newest, tail=None)


class TileCache:
    """Keeps answers, at most so many bytes of them.

    Parameters
    ----------
    capacity_bytes
        0 keeps nothing, so that everything is asked for every time.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self._kept = Lru(capacity_bytes)
        self._any_remarks = False  # at most sites there are none, and each series is looked up

    @property
    def size_bytes(self) -> int:
        """Return the bytes that are in use."""
        return self._kept.size_bytes

    def look(self, key: SeriesKey, grid: TileGrid, now: float) -> Lookup:
        """Return what is kept of a series in a window, laid on the buckets of its width, at ``now``.

        The time is that of a clock which never steps, as for :meth:`keep`: only how long ago something was counts.
        """
        told: LastStatement | None = self._kept.get(("told", key.node, key.field))
        if told is None:
            return Lookup((), ((grid.start, grid.end),))
        return _Look(self._kept, key, told, now).at(grid)

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
        if not self._kept.capacity_bytes:
            return
        statement = reduction.statement
        final = min(statement.finalized_until, window[1])
        self._kept.put(("told", key.node, key.field), LastStatement(statement, asked_at), 0)
        scope = _scope(key, statement)
        finals = [min(final, own) for own in reduction.final or [final] * (len(spans) + 1)]
        for span, (times, values), own in zip(spans, reduction.pieces, finals, strict=False):
            self._keep_final(scope, key.width, ReducedSpan(*span, times, values), (statement.available_from, own))
        if reduction.ahead is not None and statement.available_from <= window[0]:
            self._keep_ahead(scope, key.width, ReducedSpan(window[0], window[0] + ahead_s, *reduction.ahead), final)
        if reduction.edge is not None:
            self._keep_edge((scope, "edges"), KeptEdge.of(window, reduction.edge, asked_at, finals[-1]))
        newest = ReducedSpan(*window, *(part.copy() for part in reduction.newest))
        if window[1] <= final:
            self._kept.put((scope, "newest", window[1]), newest, newest.size_bytes)
            return
        ends_with = spans and spans[-1][1] == window[1]
        if ends_with:
            piece = ReducedSpan(*spans[-1], *reduction.pieces[-1])
            own, low = finals[len(spans) - 1], piece.start
            if own > low:
                low = max(low, bucket_number(own, key.width) * key.width)
            tail = Tail(piece.part(low, piece.end).owned(), _samples(newest), asked_at)
            self._kept.put((scope, "tail"), tail, tail.piece.size_bytes + newest.size_bytes)

    def keep_remarks(self, key: SeriesKey, texts: Sequence[str]) -> None:
        """Take what a node tells of a field in words: it is told until the node is asked again."""
        if texts or self.remarks(key):
            self._any_remarks = True
            self._kept.put(("remarks", key), tuple(texts), sum(map(len, texts)))

    def remarks(self, key: SeriesKey) -> Sequence[str]:
        """Return what the node told of a field in words when it was asked last."""
        return (self._any_remarks and self._kept.get(("remarks", key))) or ()

    def _keep_final(self, scope: tuple[Hashable, ...], width: float, piece: ReducedSpan, sure: Span) -> None:
        """Keep the whole buckets of a piece that lie in the span that is sure, and what it cuts off others there."""
        low, high = max(piece.start, sure[0]), min(piece.end, sure[1])
        if not low < high:
            return
        grid = TileGrid.of(low, high, width)
        for number, edges in grid.tiles:
            self._keep_tile((scope, number), piece.part(*edges))
        # A cut that begins or ends where the certain does, and not where the piece does, is no window's own.
        number, last = bucket_number(low, width), bucket_number(high, width)
        if grid.head is not None and low == piece.start and (last > number or high == piece.end):
            self._keep_cut((scope, "cut", number), piece.part(*grid.head))
        if grid.foot is not None and high == piece.end:
            self._keep_cut((scope, "cut", last), piece.part(*grid.foot))

    def _keep_ahead(self, scope: tuple[Hashable, ...], width: float, ahead: ReducedSpan, final: float) -> None:
        """Keep among which samples those are that windows that begin inside a span keep of their first bucket."""
        ahead = ahead.owned()
        for number in range(bucket_number(ahead.start, width), bucket_number(ahead.end, width) + 1):
            if (number + 1) * width <= final:
                self._kept.put((scope, "ahead", number), ahead, ahead.size_bytes)

    def _keep_edge(self, key: tuple[Hashable, ...], edge: KeptEdge) -> None:
        """Keep an edge beside others: the clocks of people who look differ, and some look at the past."""
        finals = [one for one in self._kept.get(key) or () if one.is_final]
        others = [one for one in finals if one.window[0] != edge.window[0]]
        edges = (edge.beside(finals), *others[: MOST_EDGES - 1])
        self._kept.put(key, edges, sum(one.size_bytes for one in edges))

    def _keep_tile(self, key: tuple[Hashable, ...], piece: ReducedSpan) -> None:
        tile = join_touching(self._kept.get(key), piece).owned()
        self._kept.put(key, tile, tile.size_bytes)

    def _keep_cut(self, key: tuple[Hashable, ...], piece: ReducedSpan) -> None:
        others = [one for one in self._kept.get(key) or () if (one.start, one.end) != (piece.start, piece.end)]
        cuts = (piece.owned(), *others[: MOST_CUT_PIECES - 1])
        self._kept.put(key, cuts, sum(one.size_bytes for one in cuts))


class _Look:
    """One look into the store."""

    def __init__(self, kept: Lru, key: SeriesKey, told: LastStatement, now: float) -> None:
        self._kept = kept
        self._key = key
        self._scope = _scope(key, told.statement)
        self._statement = told.statement
        self._now = now
        self._fresh = self._is_fresh(told.asked_at)

    def at(self, grid: TileGrid) -> Lookup:
        head = self._cut(grid.head, grid)
        pieces = [*head, *self._whole(grid), *self._cut(grid.foot, grid)]
        missing = left_open((grid.start, grid.end), pieces)
        tail = None
        if self._fresh and missing and missing[-1][1] == grid.end:
            tail = self._tail(missing[-1], grid, _last_time(pieces))
        kept: Sequence[KeptEdge] = self._kept.get((self._scope, "edges")) or ()
        newest, edge, lasting = self._newest(grid), self._edge(kept, grid), self._lasts(head)
        return Lookup(pieces, missing, newest, self._statement, self._fresh, tail, lasting, edge, kept)

    def _edge(self, kept: Sequence[KeptEdge], grid: TileGrid) -> Edge | None:
        for one in kept:
            if one.is_final or self._is_fresh(one.asked_at):
                edge = one.at((grid.start, grid.end))
                if edge is not None:
                    return edge
        patience_s = self._key.patience_s
        if any(self._is_fresh(one.asked_at) and one.serves(grid.start, patience_s) for one in kept):
            return NO_EDGE
        return None

    def _is_fresh(self, asked_at: float) -> bool:
        return 0 <= self._now - asked_at <= self._key.patience_s

    def _whole(self, grid: TileGrid) -> list[ReducedSpan]:
        found = []
        for number, (low, high) in grid.tiles:
            tile: ReducedSpan | None = self._kept.get((self._scope, number))
            if tile is not None and low < tile.end and tile.start < high:
                found.append(tile.part(max(low, tile.start), min(high, tile.end)))
        return found

    def _cut(self, span: Span | None, grid: TileGrid) -> list[ReducedSpan]:
        """Return what the window cuts off a final bucket, if it is kept or follows from what is kept."""
        if span is None:
            return []
        number = bucket_number(span[0], grid.width)
        for piece in self._kept.get((self._scope, "cut", number)) or ():
            if (piece.start, piece.end) == span or self._follows(piece, span):
                return [ReducedSpan(*span, piece.times, piece.values)]
        tile: ReducedSpan | None = self._kept.get((self._scope, number // TILE_BUCKETS)) if self._key.chooses else None
        low, high = number * grid.width, (number + 1) * grid.width
        if tile is not None and tile.start <= low < high <= tile.end:
            bucket = tile.part(low, high)
            if bucket.lies_inside(*span):
                return [ReducedSpan(*span, bucket.times, bucket.values)]
        return self._from_ahead(span, number)

    def _from_ahead(self, span: Span, number: int) -> list[ReducedSpan]:
        """Return what the start of a window leaves of a final bucket, from what was told ahead of it."""
        ahead: ReducedSpan | None = self._kept.get((self._scope, "ahead", number)) if self._key.looks_ahead else None
        edge = (number + 1) * self._key.width
        if ahead is None or not (ahead.start <= span[0] <= ahead.end and span[1] == edge):
            return []
        low, high = ahead.times.searchsorted(span)
        times, values = ahead.times[low:high], ahead.values[low:high]
        selection = find_reducer(self._key.reducer).for_dtype(values.dtype)
        starts = np.zeros(min(1, times.size), dtype=np.intp)
        return [ReducedSpan(*span, *reduce_samples(times, values, selection, starts))]

    def _lasts(self, head: Sequence[ReducedSpan]) -> bool:
        """Tell whether windows that begin a moment later will find what they need of their first bucket."""
        if not head:
            return False
        until, end = head[0].start + self._key.patience_s, head[0].end
        return until < end and head[0].lies_inside(until, end)

    def _follows(self, piece: ReducedSpan, span: Span) -> bool:
        """Tell whether what was chosen from a longer span is what would be chosen from a shorter one."""
        longer = piece.start <= span[0] and span[1] <= piece.end
        return self._key.chooses and longer and piece.lies_inside(*span)

    def _newest(self, grid: TileGrid) -> Samples | None:
        found: ReducedSpan | None = self._kept.get((self._scope, "newest", grid.end))
        if found is None:
            return None
        if found.times.size:
            return _samples(found) if found.times[0] >= grid.start else NO_SAMPLES
        return NO_SAMPLES if grid.start >= found.start else None

    def _tail(self, span: Span, grid: TileGrid, known: float) -> Tail | None:
        """Return the end of the window as somebody else has just asked for it, if nothing later is known."""
        tail: Tail | None = self._kept.get((self._scope, "tail"))
        if tail is None or not self._is_fresh(tail.asked_at):
            return None
        piece = tail.piece
        if piece.start > span[0] or abs(piece.end - grid.end) > self._key.patience_s:
            return None
        newest_times = tail.newest[0]
        # The window that had none may have been shorter, and that which had one may have been asked for earlier.
        if not (max(grid.start, known) <= newest_times[0] < grid.end if newest_times.size else known == -np.inf):
            return None
        part = self._tail_part(piece, span)
        return None if part is None else Tail(part, tail.newest, tail.asked_at)

    def _tail_part(self, piece: ReducedSpan, span: Span) -> ReducedSpan | None:
        low, width = span[0], self._key.width
        if low == piece.start or bucket_number(low, width) * width == low:
            return ReducedSpan(*span, *_samples(piece.part(low, piece.end)))
        edge = min((bucket_number(low, width) + 1) * width, piece.end)
        begin = max(piece.start, bucket_number(low, width) * width)
        cut = piece.part(begin, edge)
        if not (self._key.chooses and cut.lies_inside(low, edge)):
            return None
        return ReducedSpan(*span, *_samples(join_spans([cut, piece.part(edge, piece.end)])))


def _last_time(pieces: Sequence[ReducedSpan]) -> float:
    """Return the time of the last sample of consecutive pieces; -inf when they have none."""
    return next((float(piece.times[-1]) for piece in reversed(pieces) if piece.times.size), -np.inf)


def _samples(piece: ReducedSpan) -> Samples:
    return piece.times, piece.values


def _scope(key: SeriesKey, statement: Statement) -> tuple[Hashable, ...]:
    return (key, statement.generation)
