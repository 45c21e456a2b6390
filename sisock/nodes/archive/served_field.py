"""A field of an archive as it is served at one moment, and the series that is handed out."""

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

FEW_SLICES = 8


@dataclass(frozen=True, eq=False)
class ServedField:
    """A field as it is served at one moment; replaced whole, so that readers need no lock.

    Parameters
    ----------
    spans
        Of the files that it is in.
    segments, slices
        What the spans are joined to, and what the segments are cut into where they overlap.
    revision
        That of the index at that moment.
    valid_until
        From then on, UNIX seconds, more of it is final.
    """

    spans: FileSpans
    segments: tuple[Segment, ...]
    slices: tuple[SegmentSlice, ...]
    generation: Generation
    revision: int
    valid_until: float

    @property
    def statement(self) -> Statement:
        """The statement about the samples."""
        return self.generation.statement

    @cached_property
    def starts(self) -> Times:
        """The beginning of each slice, UNIX seconds."""
        return np.array([one.start for one in self.slices])

    @cached_property
    def stops(self) -> Times:
        """The end of each slice, UNIX seconds."""
        return np.array([one.stop for one in self.slices])

    @cached_property
    def singles(self) -> Mapping[str, Segment]:
        """The segments of one file each, by the names of the files."""
        return {one.members[0].file: one for one in self.segments if len(one.members) == 1}

    def with_segments(self, segments: Sequence[Segment]) -> ServedField:
        """Return the field with the same samples in other segments; slices that stay keep their joined columns."""
        known = {(one.start, one.stop, one.segments): one for one in self.slices}
        slices = tuple(known.get((one.start, one.stop, one.segments), one) for one in slices_of(segments))
        return dataclasses.replace(self, segments=tuple(segments), slices=slices)

    def to_compact(self, span: Span, now: float) -> list[tuple[int, int]]:
        """Return which of the segments inside a span had better be one, at ``now``, UNIX seconds."""
        growing = self.spans.growing(now)
        inside = [one.oldest < span[1] and one.newest >= span[0] for one in self.segments]
        # What was compacted had been sealed, and would have been taken apart if it had changed.
        sealed = [
            is_inside and not one.is_provisional and (len(one.members) > 1 or one.members[0] not in growing)
            for one, is_inside in zip(self.segments, inside, strict=True)
        ]
        return to_compact(self.segments, sealed)


Compact = Callable[[ServedField, Span], ServedField]
Open = Callable[[ServedField, Sequence[SegmentSlice]], list[Column]]


class FieldSeries:
    """The samples of a field of an archive; those of files are read when they are asked for.

    Parameters
    ----------
    served
        The field as it is served.
    compact
        Returns it with fewer segments inside a span, and the same samples.
    open_slices
        Returns the columns of slices.
    """

    def __init__(self, served: ServedField, compact: Compact, open_slices: Open) -> None:
        self._served = served
        self._compact = compact
        self._open_slices = open_slices
        self._lacking_from = math.inf

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of every value."""
        return self._served.spans.dtype

    @property
    def statement(self) -> Statement:
        """The statement about the samples; what could not be read of those that were asked for may come yet."""
        stated = self._served.statement
        return dataclasses.replace(stated, finalized_until=min(stated.finalized_until, self._lacking_from))

    def within(self, start: float, end: float) -> Samples:
        """Return the samples inside [start, end), UNIX seconds, as views where possible."""
        return self._join(start, end).within(start, end)

    def newest(self, start: float, end: float) -> Samples:
        """Return the last sample inside [start, end), UNIX seconds, or none."""
        return self._join(end, end).newest(start, end)

    def following(self, start: float, until: float, end: float, most: int) -> Samples:
        """Return the first samples inside [start, end): those before ``until`` and the next one, ``most`` at most."""
        return self._join(start, until).following(start, until, end, most)

    def reduced(self, start: float, end: float, reducer: str, stride: float) -> Samples:
        """Return what a reducer keeps of each bucket of [start, end), without the newest sample for its own sake."""
        return self._join(start, end).reduced(start, end, reducer, stride)

    def _join(self, start: float, end: float) -> Concatenated:
        """Return the slices of the field as one series, few of them inside [start, end)."""
        served = self._served
        low, high = np.searchsorted(served.stops, start, side="right"), np.searchsorted(served.starts, end)
        # A few files are read as quickly as they are compacted, which would write them a second time.
        if high - low >= FEW_SLICES:
            self._served = served = self._compact(served, (start, end))
        return Concatenated(
            served.starts,
            served.stops,
            lambda low, high: self._opened(served, served.slices[low:high]),
            served.spans.dtype,
            served.statement,
        )

    def _opened(self, served: ServedField, slices: Sequence[SegmentSlice]) -> list[Column]:
        columns = self._open_slices(served, slices)
        # Known only now that they were read; whoever asks for the statement does so after that.
        lacking = [segment.oldest for one in slices for segment in one.segments if segment.is_incomplete]
        self._lacking_from = min([self._lacking_from, *lacking])
        return columns


def join_timelines(series: Mapping[str, ReducibleSeries], timelines: Mapping[str, str], span: Span) -> DataBlock:
    """Return the samples of fields inside a span, those of a timeline as one block where their times are the same."""
    blocks: dict[str, TimelineBlock] = {}
    for name, one in series.items():
        times, values = one.within(*span)
        # The statement after the samples: what could not be read of them is not final.
        block = TimelineBlock(times, {name: values}, statement=one.statement)
        timeline = timelines[name]
        other = blocks.get(timeline)
        if other is None:
            blocks[timeline] = block
        elif np.array_equal(other.times, times):
            blocks[timeline] = _join_blocks(other, block)
        else:
            blocks[f"{timeline}.{name}"] = block
    return DataBlock(blocks)


def _join_blocks(block: TimelineBlock, other: TimelineBlock) -> TimelineBlock:
    """Return two blocks with the same times as one, which promises what both do."""
    statement = _join_statements(block.statement, other.statement)
    return TimelineBlock(block.times, {**block.values, **other.values}, statement=statement)


def _join_statements(one: Statement, other: Statement) -> Statement:
    """Return what holds of the samples of both."""
    generations = sorted({str(one.generation), str(other.generation)})
    return Statement(
        finalized_until=min(one.finalized_until, other.finalized_until),
        available_from=max(one.available_from, other.available_from),
        generation="/".join(generations),
    )
