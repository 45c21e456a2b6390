"""A column: one field's samples with their summary, of which a span is reduced in the time that its buckets take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sisock.core.model import ALL_FINAL, Stated, Statement, TimelineBlock, Times, Values
from sisock.core.reduce.aggregates import AggregatedBlocks, SampleBlocks, join_blocks
from sisock.core.reduce.indexed_array import BLOCK, IndexedArray, PlainArray
from sisock.core.reduce.pyramid import pyramid_for
from sisock.core.reduce.reducers import (
    Samples,
    Selection,
    bucket_starts,
    distinct,
    find_reducer,
    middles,
    reduce_samples,
)
from sisock.core.reduce.selectors import Indices, is_state, stops_of
from sisock.core.reduce.summaries import NumberSummary, StateSummary, Summary
from sisock.core.times import bucket_edges, bucket_number, check_stride

# So many samples of a bucket, and so many altogether, are read as quickly as a summary of them.
_FEW_SAMPLES_PER_BUCKET = 256
_FEW_SAMPLES = 4096
# So few that what is copied for them stays small.
_BUCKETS_AT_ONCE = 256
# What the names of a summary's arrays begin with in files.
_SUMMARY = "summary_"


@dataclass(frozen=True, eq=False)
class Column(Stated):
    """The samples of one field, which never change for who holds it.

    Parameters
    ----------
    times, values
        Samples by absolute index; times are UNIX seconds, ascending, equal ones may follow one another.
    stop, first
        What is kept: absolute indices [first, stop).
    steps
        Time of each 64th sample, of those whose index is a multiple of 64, by that multiple; at least of all kept.
        None: searched without.
    summary
        Of all complete blocks that are kept. None: the samples themselves are reduced.
    statement
        What is stated about the samples.
    """

    times: IndexedArray
    values: IndexedArray
    stop: int
    first: int = 0
    steps: PlainArray | None = None
    summary: Summary | None = field(default=None, repr=False)
    statement: Statement = ALL_FINAL

    @classmethod
    def of(cls, times: Times, values: Values, statement: Statement = ALL_FINAL) -> Self:
        """Return the column of two arrays, shape (n,), with a summary that is made now."""
        plain = cls.plain(times, values, statement)
        pyramid = pyramid_for(values.dtype)
        pyramid.update(plain.values, plain.stop)
        return replace(plain, steps=PlainArray(times[::BLOCK].copy()), summary=pyramid.view())

    @classmethod
    def plain(cls, times: Times, values: Values, statement: Statement = ALL_FINAL) -> Self:
        """Return the column of two arrays, shape (n,), of which each span is reduced from its samples."""
        return cls(PlainArray(times), PlainArray(values), len(times), statement=statement)

    @classmethod
    def of_block(cls, block: TimelineBlock, name: str) -> Self:
        """Return a field of a block, of which each span is reduced from its samples."""
        return cls.plain(block.times, block.values[name], block.statement)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], statement: Statement = ALL_FINAL) -> Self:
        """Return the column of which these are the :meth:`arrays`; memory-mapped files stay on disk."""
        plain = cls.plain(arrays["times"], arrays["values"], statement)
        kind = StateSummary if is_state(plain.values.dtype) else NumberSummary
        parts = {name.removeprefix(_SUMMARY): one for name, one in arrays.items() if name.startswith(_SUMMARY)}
        summary = kind.from_arrays(parts) if parts else None
        return replace(plain, steps=PlainArray(arrays["steps"]) if "steps" in arrays else None, summary=summary)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all there is as plain arrays, to be written to files; only of a column whose head is all there."""
        if self.first:
            # Blocks are aligned to absolute indices, which an array in a file would begin anew.
            raise ValueError("a column whose first samples were dropped has indices that files would not keep")
        arrays = {"times": self.times.slice(0, self.stop), "values": self.values.slice(0, self.stop)}
        if self.steps is not None:
            arrays["steps"] = self.steps.values
        if self.summary is not None:
            arrays.update({_SUMMARY + name: one for name, one in self.summary.arrays().items()})
        return arrays

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of every value."""
        return self.values.dtype

    def index_of(self, instants: Times) -> Indices:
        """Return for each instant, UNIX seconds, the index of the first sample that is not before it."""
        if self.steps is None:
            indices = self.times.slice(self.first, self.stop).searchsorted(instants)
            return np.asarray(indices + self.first, dtype=np.intp)
        if self.first == self.stop:
            return np.full(len(instants), self.stop, dtype=np.intp)
        # The step before is too early: what is sought lies behind it, and not behind the next.
        blocks, own = np.unique(self.steps.values.searchsorted(instants) - 1, return_inverse=True)
        blocks += self.steps.first
        earlier = np.count_nonzero(self._times_of(blocks)[own] < instants[:, np.newaxis], axis=1)
        return np.asarray(np.clip(blocks[own] * BLOCK + earlier, self.first, self.stop), dtype=np.intp)

    def within(self, start: float, end: float) -> Samples:
        """Return the samples inside [start, end), UNIX seconds, as views where possible."""
        low, high = self._span(start, end)
        return self.times.slice(low, high), self.values.slice(low, high)

    def newest(self, start: float, end: float) -> Samples:
        """Return the last sample inside [start, end), UNIX seconds, or none."""
        high = self._index(end)
        low = max(high - 1, self.first)
        times = self.times.slice(low, high)
        if times.size and times[0] >= start:
            return times, self.values.slice(low, high)
        return times[:0], self.values.slice(high, high)

    def following(self, start: float, until: float, end: float, most: int) -> Samples:
        """Return the first samples inside [start, end): those before ``until`` and the next one, ``most`` at most."""
        low = self._index(start)
        times = self.times.slice(low, min(low + most, self.stop))
        count = min(int(times.searchsorted(until)) + 1, int(times.searchsorted(end)))
        return times[:count], self.values.slice(low, low + count)

    def cut(self, start: float, end: float) -> Self:
        """Return the column with only the samples inside [start, end), UNIX seconds; nothing is copied."""
        first, stop = self._span(start, end)
        return replace(self, first=first, stop=stop)

    def block(self, start: float, end: float) -> AggregatedBlocks:
        """Return the numbers inside [start, end), at least one, as one block."""
        low, high = (np.array([index], dtype=np.intp) for index in self._span(start, end))
        if self.summary is None:
            return join_blocks(SampleBlocks(self.values.slice(int(low[0]), int(high[0]))), low - low)
        assert isinstance(self.summary, NumberSummary)
        return self.summary.join(self.values, low, high)

    def reduced(self, start: float, end: float, reducer: str, stride: float) -> Samples:
        """Return what a reducer keeps of each bucket of [start, end), without the newest sample for its own sake.

        Parameters
        ----------
        start, end, stride
            UNIX seconds, and seconds.
        reducer
            A key of :data:`sisock.core.reduce.reducers.REDUCERS`.

        Raises
        ------
        BadRequest
            For a reducer that does not exist, or a stride that is not a finite number above zero or too fine.
        """
        selection = find_reducer(reducer).for_dtype(self.values.dtype)
        width = selection.width(check_stride(stride))
        low, high = self._span(start, end)
        starts = self._bucket_starts(low, high, width)
        if self.summary is None or not self._summary_pays(self.summary, selection, starts, high):
            return reduce_samples(self.times.slice(low, high), self.values.slice(low, high), selection, starts - low)
        return self._summarised(self.summary, selection, starts, high)

    def _span(self, start: float, end: float) -> tuple[int, int]:
        low = self._index(start)
        return low, max(low, self._index(end))

    def _index(self, instant: float) -> int:
        """Return what :meth:`index_of` returns, for one instant and much sooner."""
        low, high = self.first, self.stop
        if self.steps is not None:
            # The step before is too early, so that the index lies in one block: a short search for it is left.
            block = self.steps.first + int(self.steps.values.searchsorted(instant))
            high = min(max(block * BLOCK, low), high)
            low = min(max((block - 1) * BLOCK, low), high)
        return low + int(self.times.slice(low, high).searchsorted(instant))

    def _times_of(self, blocks: Indices) -> Times:
        """Return the times of blocks, shape (n, 64); the first and the last kept for those that are not."""
        if not len(blocks) or (blocks[0] * BLOCK >= self.first and (blocks[-1] + 1) * BLOCK <= self.stop):
            return self.times.rows(blocks)
        places = np.clip(blocks[:, np.newaxis] * BLOCK + np.arange(BLOCK), self.first, self.stop - 1)
        return self.times.take(places.ravel()).reshape(places.shape)

    def _bucket_starts(self, low: int, high: int, width: float) -> Indices:
        """Return the index of the first sample of each bucket of the samples [low, high)."""
        if low < high and self.steps is not None:
            ends = self.times.slice(low, low + 1), self.times.slice(high - 1, high)
            first, last = (bucket_number(float(time[0]), width) for time in ends)
            if first == last:
                return np.array([low], dtype=np.intp)
            # With fewer edges than blocks, looking each of them up beats reading all times.
            if (last - first) * BLOCK < high - low:
                return distinct(self.index_of(bucket_edges(first + 1, last, width)), low)
        return bucket_starts(self.times.slice(low, high), width) + low

    @staticmethod
    def _summary_pays(summary: Summary, selection: Selection, starts: Indices, stop: int) -> bool:
        """Tell whether the summary is to be used: where that is quicker, or where an aggregate depends on it."""
        if not len(starts):
            return False
        if selection.aggregate is None:
            return bool(stop - starts[0] >= max(_FEW_SAMPLES_PER_BUCKET * len(starts), _FEW_SAMPLES))
        if selection.aggregate.needs_scatter and not summary.has_scatter():
            return False
        # Whatever is added up is so in the order of blocks where a bucket has any, to be the same for all spans.
        return bool((stops_of(starts, stop) - starts).max() >= BLOCK)

    def _summarised(self, summary: Summary, selection: Selection, starts: Indices, stop: int) -> Samples:
        stops = stops_of(starts, stop)
        parts = [slice(low, low + _BUCKETS_AT_ONCE) for low in range(0, len(starts), _BUCKETS_AT_ONCE)]
        if selection.aggregate is None:
            chosen = [summary.select(self.values, selection.selectors, starts[part], stops[part]) for part in parts]
            kept = np.unique(np.concatenate(chosen))
            return self.times.take(kept), self.values.take(kept)
        assert isinstance(summary, NumberSummary)
        values = [summary.aggregate(self.values, selection.aggregate, starts[part], stops[part]) for part in parts]
        return self.times.take(middles(starts, stop)), np.concatenate(values)
