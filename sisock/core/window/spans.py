"""Reducing several spans of one window at once: what a consumer asks that already holds the rest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sisock.core.column.column import Column
from sisock.core.column.series import ReducibleSeries
from sisock.core.errors import BadRequest
from sisock.core.model import DataBlock, DataRequest, Span, Statement, TimelineBlock
from sisock.core.reduce.reducers import Samples, add_newest, find_reducer
from sisock.core.window.edge import Edge, edge_of, look_ahead
from sisock.core.window.newest import NewestSearch
from sisock.core.window.parts import UNSTATED, Halving, Read, SpanStatement

# Bounds the work of a call: each span is reduced as a window of its own.
MOST_SPANS = 64
NO_SAMPLES: Samples = (np.empty(0), np.empty(0))


@dataclass(frozen=True)
class Reduction:
    """One field, reduced on each of the spans that were asked for.

    Parameters
    ----------
    samples
        For each span the times, UNIX seconds, and the values that the reducer leaves, shape (n,) each.
    newest
        The newest sample of the window, at most one.
    statement
        What the node states about the samples.
    ahead
        What is needed of the first bucket of windows that begin later, see :func:`look_ahead`;
        None where it was not wanted, or is not known.
    edge
        What lies at the window's start; None where it was not wanted, or is not told.
    final
        For each span the time before which it is final, UNIX seconds, and one more for what an edge tells; empty where
        the statement holds for all.
    """

    samples: tuple[Samples, ...]
    newest: Samples
    statement: Statement
    ahead: Samples | None = None
    edge: Edge | None = None
    final: tuple[float, ...] = ()


def check_spans(spans: Sequence[Span], start: float, end: float) -> tuple[Span, ...]:
    """Return spans as they are; raise BadRequest unless they ascend inside [start, end) without overlap."""
    edges = [edge for span in spans for edge in span]
    if len(spans) > MOST_SPANS or edges != sorted(edges) or any(low >= high for low, high in spans):
        raise BadRequest(f"'spans' must be at most {MOST_SPANS} pairs [start, end], ascending, none over another")
    if edges and not (start <= edges[0] and edges[-1] <= end):
        raise BadRequest("'spans' must lie between start and end")
    return tuple(spans)


def reduce_spans(columns: Mapping[str, ReducibleSeries], request: DataRequest) -> list[Reduction | None]:
    """Return the reduction of each field of a request, in its order; None for a field that is not known."""
    return [_reduce(columns[name], request) if name in columns else None for name in request.fields]


def reduce_window(columns: Mapping[str, ReducibleSeries], request: DataRequest) -> DataBlock:
    """Return the known fields of a request, each reduced over the whole window, on a timeline of its own."""
    assert request.reduce is not None
    assert request.min_stride is not None
    blocks = {}
    for name, column in columns.items():
        reduced = column.reduced(request.start, request.end, request.reduce, request.min_stride)
        selection = find_reducer(request.reduce).for_dtype(column.dtype)
        newest = column.newest(request.start, request.end) if selection.adds_newest else NO_SAMPLES
        times, values = add_newest(reduced, newest)
        blocks[name] = TimelineBlock(times, {name: values}, statement=column.statement)
    return DataBlock(blocks)


def _reduce(column: ReducibleSeries, request: DataRequest) -> Reduction:
    assert request.reduce is not None
    assert request.min_stride is not None
    spans = request.spans or ()
    samples = tuple(column.reduced(*span, request.reduce, request.min_stride) for span in spans)
    ahead = None
    if request.ahead:
        ahead = look_ahead(column, request.start, request.end, request.reduce, request.min_stride, request.ahead)
    edge = edge_of(column, request) if request.edge else None
    return Reduction(samples, column.newest(request.start, request.end), column.statement, ahead, edge)


class SpanReading:
    """Reduces the spans of a request from a source that can only be read: no more is read than they take.

    As long as ``read`` is not None, it is what to ask the source for; its answer goes to :meth:`take`, or to
    :meth:`refuse` when the source says that it is too much. A field that a source leaves out of an answer has nothing
    there, and nothing is stated of it there. Where the last span does not tell the newest sample of the window, it is
    looked for backwards.

    Parameters
    ----------
    known
        The fields that exist, whether or not they have samples, with the mean spacing of their samples if that is
        known, seconds; others exist if the source has something of them.
    """

    def __init__(self, request: DataRequest, known: Mapping[str, float | None] | None = None) -> None:
        assert request.reduce is not None
        assert request.min_stride is not None
        self._request = request
        self._reducer, self._stride = request.reduce, request.min_stride
        # Taken from the end, so the first span comes first.
        self._open = list(request.spans or ())[::-1]
        self._samples: dict[str, list[Samples]] = {name: [] for name in request.fields}
        self._statements: dict[str, list[SpanStatement]] = {name: [] for name in request.fields}
        known = known or {}
        # At least the spacing of the slowest field, whose newest sample a shorter look would miss.
        length_s = max([self._stride, *(known.get(name) or 0.0 for name in request.fields)])
        self._search = NewestSearch(request.fields, (request.start, request.end), self._stride, length_s)
        self._search.known.update(name for name in request.fields if name in known)
        self._halving = self._next_span()
        self.thinned: list[Span] = []

    @property
    def read(self) -> Read | None:
        """Return what to ask for next; None when all is known."""
        return self._search.read if self._halving is None else self._halving.read

    def take(self, block: DataBlock) -> None:
        """Take the samples that the source has of the fields of ``read`` inside its span."""
        if self._halving is None:
            self._search.take(block)
            return
        self._halving.take(block)
        if self._halving.read is None:
            self._reduce(self._open.pop(), self._halving)
            self._halving = self._next_span()

    def refuse(self) -> None:
        """Note that the source has more than it can give; raise BadReply when there is nothing left to try."""
        (self._search if self._halving is None else self._halving).refuse()

    @property
    def known(self) -> Sequence[str]:
        """The fields that exist."""
        return [name for name in self._request.fields if name in self._search.known]

    def reductions(self) -> list[Reduction | None]:
        """Return the reduction of each field, in the order of the request; None for one that the source lacks."""
        return [self._reduction(name) for name in self._request.fields]

    def _next_span(self) -> Halving | None:
        return Halving(self._request.fields, self._open[-1], self._stride) if self._open else None

    def _reduce(self, span: Span, halving: Halving) -> None:
        block = halving.block()
        for name in self._request.fields:
            timeline = block.find(name)
            samples = NO_SAMPLES
            if timeline is not None:
                samples = Column.of_block(timeline, name).reduced(*span, self._reducer, self._stride)
            self._samples[name].append(samples)
            # What came thinned tells nothing of the rest, and would be others had it been asked for otherwise.
            self._statements[name].append((span, None if halving.thinned else block.stated_of(name)))
        self.thinned += halving.thinned
        self._search.take_beside(span, block, whole=not halving.thinned)

    def _reduction(self, name: str) -> Reduction | None:
        if name not in self._search.known:
            return None
        statement = self._search.statement(name) or UNSTATED
        # A span may hold a later sample than the search found, if that came thinned.
        newest = _latest([*self._samples[name], self._search.newest.get(name, NO_SAMPLES)])
        return Reduction(
            tuple(self._samples[name]), newest, statement, final=_own_finals(self._statements[name], statement)
        )


def _latest(parts: Sequence[Samples]) -> Samples:
    """Return the last of all samples: where one came thinned, the search may have ended before another."""
    latest = [(times[-1:], values[-1:]) for times, values in parts if times.size]
    return max(latest, key=lambda sample: (sample[0][0], sample is latest[-1])) if latest else NO_SAMPLES


def _own_finals(statements: Sequence[SpanStatement], statement: Statement) -> tuple[float, ...]:
    """Return until when each span is final; nothing where the statement on the field tells it of all."""
    finals = tuple(
        one.finalized_until if one is not None and one.generation == statement.generation else -math.inf
        for _, one in statements
    )
    own_ends = [min(statement.finalized_until, span[1]) for span, _ in statements]
    return () if all(final >= end for final, end in zip(finals, own_ends, strict=True)) else finals
