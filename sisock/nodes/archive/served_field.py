"""What is served of a field of an archive at one moment, and the series that is handed out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sisock.core.column.column import Column
from sisock.core.column.concatenated import Concatenated
from sisock.core.column.series import ReducibleSeries
from sisock.core.model import DataBlock, Span, Statement, TimelineBlock, Times
from sisock.core.reduce.reducers import Samples
from sisock.nodes.archive.compaction import SegmentSlice, slices_of, to_compact
from sisock.nodes.archive.file_spans import FileSpans
from sisock.nodes.archive.generation import Generation
from sisock.nodes.archive.segments import Segment

FEW_PIECES = 8


@dataclass(frozen=True, eq=False)
class ServedField:
    """What is served of a field at one moment; replaced whole, so that readers need no lock.

    Parameters
    ----------
    parts, pieces
        What its stretches are put together to, and what these are cut into where they overlap.
    revision
        The index's, of which this is the state.
    valid_until
        From then on, UNIX seconds, more of it is final.
    """

    lineup: FileSpans
    parts: tuple[Segment, ...]
    pieces: tuple[SegmentSlice, ...]
    identity: Generation
    revision: int
    valid_until: float

    @property
    def statement(self) -> Statement:
        """What is stated about the samples."""
        return Statement(self.identity.until, generation=self.identity.generation)

    @cached_property
    def starts(self) -> Times:
        """Where each piece begins, UNIX seconds."""
        return np.array([piece.start for piece in self.pieces])

    @cached_property
    def stops(self) -> Times:
        """Where each piece ends, UNIX seconds."""
        return np.array([piece.stop for piece in self.pieces])

    @cached_property
    def singles(self) -> Mapping[str, Segment]:
        """The parts of one file each, by the names of the files."""
        return {part.members[0].file: part for part in self.parts if len(part.members) == 1}

    def with_parts(self, parts: Sequence[Segment]) -> ServedField:
        """Return the state with the same samples in other parts; pieces that stay keep what was made of them."""
        known = {(piece.start, piece.stop, piece.parts): piece for piece in self.pieces}
        pieces = tuple(known.get((one.start, one.stop, one.parts), one) for one in slices_of(parts))
        return dataclasses.replace(self, parts=tuple(parts), pieces=pieces)

    def to_merge(self, span: Span, now: float) -> list[tuple[int, int]]:
        """Return which of the parts inside a span had better be merged, at ``now``, UNIX seconds."""
        growing = self.lineup.growing(now)
        inside = [part.oldest < span[1] and part.newest >= span[0] for part in self.parts]
        # What was merged had been sealed, and would have been taken apart if it had changed.
        sealed = [
            one and not part.is_loose and (len(part.members) > 1 or part.members[0] not in growing)
            for part, one in zip(self.parts, inside, strict=True)
        ]
        return to_compact(self.parts, sealed)


Prepare = Callable[[ServedField, Span], ServedField]
Open = Callable[[ServedField, Sequence[SegmentSlice]], list[Column]]


class FieldSeries:
    """The samples of a field of an archive; those of files are read when they are asked for.

    Parameters
    ----------
    state
        What is served.
    prepare
        Returns the state with fewer parts inside a span, and the same samples.
    open_pieces
        Returns the columns of pieces.
    """

    def __init__(self, state: ServedField, prepare: Prepare, open_pieces: Open) -> None:
        self._state = state
        self._prepare = prepare
        self._open = open_pieces
        self._lacking_from = math.inf

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of every value."""
        return self._state.lineup.dtype

    @property
    def statement(self) -> Statement:
        """What is stated about the samples; what could not be read of those that were asked for may come yet."""
        stated = self._state.statement
        return dataclasses.replace(stated, finalized_until=min(stated.finalized_until, self._lacking_from))

    def within(self, start: float, end: float) -> Samples:
        """Return the samples inside [start, end), UNIX seconds, as views where possible."""
        return self._joined(start, end).within(start, end)

    def newest(self, start: float, end: float) -> Samples:
        """Return the last sample inside [start, end), UNIX seconds, or none."""
        return self._joined(end, end).newest(start, end)

    def following(self, start: float, until: float, end: float, most: int) -> Samples:
        """Return the first samples inside [start, end): those before ``until`` and the next one, ``most`` at most."""
        return self._joined(start, until).following(start, until, end, most)

    def reduced(self, start: float, end: float, reducer: str, stride: float) -> Samples:
        """Return what a reducer keeps of each bucket of [start, end), without the newest sample for its own sake."""
        return self._joined(start, end).reduced(start, end, reducer, stride)

    def _joined(self, start: float, end: float) -> Concatenated:
        """Return the pieces of the field, few of them inside a span."""
        state = self._state
        low, high = np.searchsorted(state.stops, start, side="right"), np.searchsorted(state.starts, end)
        if high - low >= FEW_PIECES:
            self._state = state = self._prepare(state, (start, end))
        return Concatenated(
            state.starts,
            state.stops,
            lambda low, high: self._opened(state, state.pieces[low:high]),
            state.lineup.dtype,
            state.statement,
        )

    def _opened(self, state: ServedField, pieces: Sequence[SegmentSlice]) -> list[Column]:
        columns = self._open(state, pieces)
        lacking = [part.oldest for piece in pieces for part in piece.parts if part.is_lacking]
        self._lacking_from = min([self._lacking_from, *lacking])
        return columns


def timelines_of(series: Mapping[str, ReducibleSeries], timelines: Mapping[str, str], span: Span) -> DataBlock:
    """Return the samples of fields inside a span, those on one timeline together where their times are the same."""
    blocks: dict[str, TimelineBlock] = {}
    for name, one in series.items():
        times, values = one.within(*span)
        block = TimelineBlock(times, {name: values}, statement=one.statement)
        timeline = timelines[name]
        other = blocks.get(timeline)
        if other is None:
            blocks[timeline] = block
        elif np.array_equal(other.times, times):
            blocks[timeline] = _join_timelines(other, block)
        else:
            blocks[f"{timeline}.{name}"] = block
    return DataBlock(blocks)


def _join_timelines(block: TimelineBlock, other: TimelineBlock) -> TimelineBlock:
    """Return two blocks with the same times as one, which promises what both do."""
    generations = sorted({str(block.generation), str(other.generation)})
    return TimelineBlock(
        block.times,
        {**block.values, **other.values},
        statement=Statement(
            min(block.finalized_until, other.finalized_until),
            max(block.available_from, other.available_from),
            "/".join(generations),
        ),
    )
