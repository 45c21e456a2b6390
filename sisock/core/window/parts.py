"""Reading a span in parts that a source can give: with a stride, or in halves, where it refuses."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from sisock.core.errors import BadReply
from sisock.core.model import DataBlock, Span, Statement, TimelineBlock

# Refusals one after the other; each halves the span.
MOST_REFUSALS = 64
# Parts of a span: so many calls take seconds, and whoever asked waits no longer.
MOST_HALVES = 1000
UNSTATED = Statement(finalized_until=-math.inf)
"""The statement of a source that has stated nothing: nothing is promised."""

SpanStatement = tuple[Span, Statement | None]
"""A span that was read, and what was stated of a field there; None where it was left out."""


class Read(NamedTuple):
    """A read of a source: fields inside [start, end), UNIX seconds; a stride in seconds, or None for all."""

    fields: tuple[str, ...]
    start: float
    end: float
    stride: float | None = None

    @property
    def span(self) -> Span:
        """Return the span."""
        return self.start, self.end


class Halving:
    """Reads one span of some fields. As long as ``read`` is not None, its answer goes to ``take`` or ``refuse``.

    What is refused is asked for with the stride, if there is one; what is refused then too, in halves.

    Parameters
    ----------
    stride
        Seconds, or None.
    strided
        Whether all is asked for with the stride.

    Attributes
    ----------
    parted
        Whether the span is read in parts.
    thinned
        The spans that came with the stride only because they were refused without.
    """

    def __init__(
        self, fields: tuple[str, ...], span: Span, stride: float | None = None, *, strided: bool = False
    ) -> None:
        self._fields = fields
        self._stride = stride
        self._open = [span]
        self._always = self._strided = strided and stride is not None
        self.parted = False
        self._refusals = 0
        self._parts: list[tuple[Span, DataBlock]] = []
        self.thinned: list[Span] = []

    @property
    def read(self) -> Read | None:
        """Return what to ask for next; None when all of the span is read."""
        if not self._open:
            return None
        return Read(self._fields, *self._open[-1], self._stride if self._strided else None)

    @property
    def must_part(self) -> bool:
        """Whether nothing but halves is left to try if ``read`` is refused."""
        return self._stride is None or self._strided

    def take(self, block: DataBlock) -> None:
        """Take samples inside the span of ``read``."""
        span = self._open.pop()
        self._refusals = 0
        self._parts.append((span, block))
        if self._strided and not self._always:
            self.thinned.append(span)
        # The next part may be sparser, and is tried without the stride first.
        self._strided = self._always

    def refuse(self) -> None:
        """Note that it was too much; raise BadReply when there is nothing left to try."""
        self._refusals += 1
        if not self.must_part:
            self._strided = True
            return
        self._strided = self._always
        self.parted = True
        low, high = self._open.pop()
        middle = low + (high - low) / 2
        if self._refusals > MOST_REFUSALS or not low < middle < high:
            raise BadReply("the node says even of a short span that it holds more than it can give: ask for less")
        if len(self._parts) + len(self._open) >= MOST_HALVES:
            raise BadReply(f"the node gives so little at once that it takes over {MOST_HALVES} calls: ask for less")
        # Taken from the end of the list, so the earlier half comes first.
        self._open += [(middle, high), (low, middle)]

    def block(self) -> DataBlock:
        """Return all that was read."""
        if not self.parted:
            return self._parts[0][1]
        return join_block_parts(self._parts, self._fields)


def join_block_parts(parts: Sequence[tuple[Span, DataBlock]], fields: Iterable[str]) -> DataBlock:
    """Return what was read of consecutive spans as one block, each field on a timeline of its own."""
    timelines, stated = {}, {}
    for name in fields:
        blocks = [block.find(name) for _, block in parts]
        statements = [(span, block.stated_of(name)) for span, block in parts]
        # On its own, because a field that some part leaves out does not have its timeline's times there.
        joined = join_blocks_of(name, blocks, join_statements(statements))
        if joined is not None:
            timelines[name] = joined
        elif any(statement for _, statement in statements):
            stated[name] = join_statements(statements)
    return DataBlock(timelines, stated)


def join_blocks_of(name: str, blocks: Iterable[TimelineBlock | None], statement: Statement) -> TimelineBlock | None:
    """Return the samples of a field in consecutive blocks as one, with a statement; None where it is in none."""
    filled = [one for one in blocks if one is not None]
    if not filled:
        return None
    times = np.concatenate([one.times for one in filled])
    return TimelineBlock(times, {name: np.concatenate([one.values[name] for one in filled])}, statement=statement)


def join_statements(statements: Sequence[SpanStatement]) -> Statement:
    """Return what is stated of a field in all of several spans: no more than of each of them.

    A span of which nothing was stated is not final. Identity and age are those of the span that ends last.
    """
    ends = [(span[1], statement) for span, statement in statements if statement is not None]
    if not ends:
        return UNSTATED
    _, latest = max(ends, key=lambda one: one[0])
    bounds = [_final_until(span, statement) for span, statement in statements]
    # It changed while it was read: what came before is no part of what is stated now.
    if any(one.generation != latest.generation for _, one in ends):
        bounds.append(-math.inf)
    return replace(latest, finalized_until=min(bounds))


def _final_until(span: Span, statement: Statement | None) -> float:
    """Return the time before which a span is final: infinity where all of it is."""
    if statement is None:
        return span[0]
    return math.inf if statement.finalized_until >= span[1] else statement.finalized_until
