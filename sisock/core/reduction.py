"""Reducing several spans of one window at once: what a consumer asks that already holds the rest.

A consumer that keeps what is final asks for the spans that it lacks. Each is reduced as a window of its own; the
newest sample of the whole window, which is always drawn, comes apart from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sisock.core.column import Column
from sisock.core.downsample import Sampled, add_newest, find_reducer
from sisock.core.edge import Edge, edge_of
from sisock.core.errors import BadRequest
from sisock.core.lookahead import look_ahead
from sisock.core.model import DataBlock, DataRequest, Span, Statement, TimelineBlock
from sisock.core.series import Series

MOST_SPANS = 64
NO_SAMPLES: Sampled = (np.empty(0), np.empty(0))


@dataclass(frozen=True)
class Reduction:
    """One field, reduced on each of the spans that were asked for.

    Parameters
    ----------
    pieces
        For each span the times, UNIX seconds, and the values that the reducer leaves, shape (n,) each.
    newest
        The newest sample of the window, at most one.
    statement
        What the node states about the samples.
    ahead
        What is needed of the first bucket of windows that begin later, see :func:`sisock.core.lookahead.look_ahead`;
        None where it was not wanted, or is not known.
    edge
        What lies at the window's start; None where it was not wanted, or is not told.
    """

    pieces: tuple[Sampled, ...]
    newest: Sampled
    statement: Statement
    ahead: Sampled | None = None
    edge: Edge | None = None


def check_spans(spans: Sequence[Span], start: float, end: float) -> tuple[Span, ...]:
    """Return spans as they are; raise BadRequest unless they ascend inside [start, end) without overlap."""
    edges = [edge for span in spans for edge in span]
    if len(spans) > MOST_SPANS or edges != sorted(edges) or any(low >= high for low, high in spans):
        raise BadRequest(f"'spans' must be at most {MOST_SPANS} pairs [start, end], ascending, none over another")
    if edges and not (start <= edges[0] and edges[-1] <= end):
        raise BadRequest("'spans' must lie between start and end")
    return tuple(spans)


def reduce_spans(columns: Mapping[str, Series], request: DataRequest) -> list[Reduction | None]:
    """Return the reduction of each field of a request, in its order; None for a field that is not known."""
    return [_reduce(columns[name], request) if name in columns else None for name in request.fields]


def reduce_window(columns: Mapping[str, Series], request: DataRequest) -> DataBlock:
    """Return the known fields of a request, each reduced over the whole window, on a timeline of its own."""
    assert request.reduce is not None
    assert request.min_stride is not None
    blocks = {}
    for name, column in columns.items():
        reduced = column.reduced(request.start, request.end, request.reduce, request.min_stride)
        selection = find_reducer(request.reduce).for_dtype(column.dtype)
        newest = column.newest(request.start, request.end) if selection.adds_newest else NO_SAMPLES
        times, values = add_newest(reduced, newest)
        stated = column.statement
        blocks[name] = TimelineBlock(
            times, {name: values}, stated.finalized_until, stated.available_from, stated.generation
        )
    return DataBlock(blocks)


def _reduce(column: Series, request: DataRequest) -> Reduction:
    assert request.reduce is not None
    assert request.min_stride is not None
    spans = request.spans or ()
    pieces = tuple(column.reduced(*span, request.reduce, request.min_stride) for span in spans)
    ahead = None
    if request.ahead:
        ahead = look_ahead(column, request.start, request.end, request.reduce, request.min_stride, request.ahead)
    edge = edge_of(column, request) if request.edge else None
    return Reduction(pieces, column.newest(request.start, request.end), column.statement, ahead, edge)


class SpanReading:
    """Reduces the spans of a request from a source that can only be read: no more is read than they take.

    As long as ``span`` is not None, it is what to read; the samples in it go to :meth:`take`. Where the last span
    does not tell the newest sample of the window, it is looked for backwards, twice as far each time. What the source
    states is taken from the reading nearest to the end of the window.
    """

    def __init__(self, request: DataRequest) -> None:
        assert request.reduce is not None
        assert request.min_stride is not None
        self._request = request
        self._reducer, self._stride = request.reduce, request.min_stride
        self._spans = request.spans or ()
        self._taken = 0
        self._searched = request.end
        self._length_s = max(self._stride, float(np.spacing(request.end)))
        self._pieces: dict[str, list[Sampled]] = {}
        self._newest: dict[str, Sampled] = {}
        self._stated: dict[str, Statement] = {}

    @property
    def span(self) -> Span | None:
        """Return what to read next; None when all is known."""
        if self._taken < len(self._spans):
            return self._spans[self._taken]
        start, end = self._request.start, self._request.end
        told = self._searched < end and self._newest.keys() >= self._stated.keys()
        if told or self._searched <= start:
            return None
        return max(start, self._searched - self._length_s), self._searched

    def take(self, block: DataBlock) -> None:
        """Take the samples of the fields inside ``span``."""
        span = self.span
        assert span is not None
        found = {name: block.find(name) for name in self._request.fields}
        columns = {name: Column.of_block(one, name) for name, one in found.items() if one is not None}
        reducing = self._taken < len(self._spans)
        for name, column in columns.items():
            if reducing:
                self._pieces.setdefault(name, []).append(column.reduced(*span, self._reducer, self._stride))
            self._note(name, column, span)
        self._taken += reducing
        if span[1] == self._searched:
            self._length_s *= 1 if reducing else 2
            self._searched = span[0]

    def _note(self, name: str, column: Column, span: Span) -> None:
        """Keep what is told at the end of the window."""
        if span[1] == self._searched and name not in self._newest and column.newest(*span)[0].size:
            self._newest[name] = column.newest(*span)
        if span[1] == self._request.end or name not in self._stated:
            self._stated[name] = _until(column.statement, span[1], self._request.end)

    @property
    def known(self) -> Sequence[str]:
        """The fields that the source has told of."""
        return [name for name in self._request.fields if name in self._stated]

    def reductions(self) -> list[Reduction | None]:
        """Return the reduction of each field, in the order of the request; None for one that the source lacks."""
        return [self._reduction(name) for name in self._request.fields]

    def _reduction(self, name: str) -> Reduction | None:
        pieces = tuple(self._pieces.get(name, ()))
        if name not in self._stated or len(pieces) != len(self._spans):
            return None
        return Reduction(pieces, self._newest.get(name, NO_SAMPLES), self._stated[name])


def _until(statement: Statement, end: float, window_end: float) -> Statement:
    """A source that calls all of a part final has said nothing of what is after it."""
    if end >= window_end:
        return statement
    return replace(statement, finalized_until=min(statement.finalized_until, end))
