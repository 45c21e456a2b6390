"""Concatenated columns: one series of several that follow one another in time, reduced from those in a span."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sisock.core.column.column import Column
from sisock.core.model import Span, Statement, Times
from sisock.core.reduce.aggregates import Aggregate, Scatter, concatenate_blocks
from sisock.core.reduce.reducers import Samples, bucket_starts, find_reducer, reduce_samples
from sisock.core.reduce.selectors import Indices
from sisock.core.times import bucket_edges, bucket_of, check_stride

_NONE = np.empty(0, dtype=np.intp)
_ONE_BUCKET = np.zeros(1, dtype=np.intp)


@dataclass(frozen=True, eq=False)
class Concatenated:
    """A series of columns, each after the one before, of which only those are opened that a question is about.

    What it returns is what one column of all the samples returns, bit for bit; only means, sums and deviations are
    added up by columns: they depend on the samples of their bucket and on how they are spread over columns, but not on
    the span asked for.

    Parameters
    ----------
    starts, stops
        Shape (n,), UNIX seconds, ascending: column i has no sample outside [starts[i], stops[i]), and
        ``stops[i] <= starts[i + 1]``.
    open
        Returns the columns from one number up to another; all are of the same dtype.
    dtype
        The type of every value.
    statement
        What is stated about the samples.
    """

    starts: Times
    stops: Times
    open: Callable[[int, int], Sequence[Column]]
    dtype: np.dtype[Any]
    statement: Statement

    @classmethod
    def of(cls, columns: Sequence[Column], statement: Statement) -> Concatenated:
        """Join columns that are at hand, at least one and none empty, each of which ends before the next begins."""
        starts = [column.times.slice(column.first, column.first + 1)[0] for column in columns]
        ends = [column.times.slice(column.stop - 1, column.stop)[0] for column in columns]
        # A stop is the first time that is too late for a column.
        stops = np.nextafter(np.array(ends), np.inf)
        return cls(np.array(starts), stops, lambda low, high: columns[low:high], columns[0].dtype, statement)

    def within(self, start: float, end: float) -> Samples:
        """Return the samples inside [start, end), UNIX seconds, as views where possible."""
        parts = [column.within(start, end) for column in self._columns(start, end)]
        return self._concatenate([one for one in parts if len(one[0])])

    def newest(self, start: float, end: float) -> Samples:
        """Return the last sample inside [start, end), UNIX seconds, or none."""
        low, high = self._numbers(start, end)
        # One by one: the last that has a sample is found soon, and no other need be opened.
        for number in range(high - 1, low - 1, -1):
            (column,) = self.open(number, number + 1)
            sample = column.newest(start, end)
            if len(sample[0]):
                return sample
        return self._concatenate([])

    def following(self, start: float, until: float, end: float, most: int) -> Samples:
        """Return the first samples inside [start, end): those before ``until`` and the next one, ``most`` at most."""
        parts: list[Samples] = []
        for number in range(*self._numbers(start, end)):
            (column,) = self.open(number, number + 1)
            samples = column.following(start, until, end, most)
            if len(samples[0]):
                parts.append(samples)
                most -= len(samples[0])
                if not most or samples[0][-1] >= until:
                    break
        return self._concatenate(parts)

    def reduced(self, start: float, end: float, reducer: str, stride: float) -> Samples:
        """Return what a reducer keeps of each bucket of [start, end), without the newest sample for its own sake.

        Raises
        ------
        BadRequest
            For a reducer that does not exist, or a stride that is not a finite number above zero or too fine.
        """
        selection = find_reducer(reducer).for_dtype(self.dtype)
        width = selection.width(check_stride(stride))
        columns = self._columns(start, end)
        parts = [column.reduced(start, end, reducer, stride) for column in columns]
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return reduce_samples(*self._concatenate([]), selection, _NONE)
        if selection.aggregate is not None:
            return _Joining(columns, parts, selection.aggregate, width, (start, end)).joined()
        # A choice among what was chosen of each column is the choice among all their samples.
        times, values = self._concatenate(parts)
        return reduce_samples(times, values, selection, bucket_starts(times, width))

    def _numbers(self, start: float, end: float) -> tuple[int, int]:
        """Return the numbers of the first column that may have a sample in a span, and of the one after the last."""
        low = int(self.stops.searchsorted(start, side="right"))
        return low, max(low, int(self.starts.searchsorted(end)))

    def _columns(self, start: float, end: float) -> Sequence[Column]:
        low, high = self._numbers(start, end)
        return self.open(low, high) if low < high else ()

    def _concatenate(self, parts: Sequence[Samples]) -> Samples:
        """Return samples one after the other; of one part, as they are."""
        if not parts:
            return np.empty(0), np.empty(0, dtype=self.dtype)
        times, values = zip(*parts, strict=True)
        return (times[0], values[0]) if len(parts) == 1 else (np.concatenate(times), np.concatenate(values))


class _Joining:
    """Joins the aggregates of several columns, where a bucket has samples of more than one."""

    def __init__(
        self, columns: Sequence[Column], parts: Sequence[Samples], aggregate: Aggregate, width: float, span: Span
    ) -> None:
        self._columns = columns
        self._aggregate = aggregate
        self._width = width
        self._span = span
        self._owners = np.repeat(np.arange(len(parts)), [len(times) for times, _ in parts])
        self._times = np.concatenate([times for times, _ in parts])
        self._values = np.concatenate([values for _, values in parts])

    def joined(self) -> Samples:
        """Return one value for each bucket, at the time of its middle sample."""
        starts = bucket_starts(self._times, self._width)
        stops = np.append(starts[1:], len(self._times))
        for number in np.flatnonzero(stops - starts > 1):
            self._join(starts[number], stops[number])
        return self._times[starts], self._values[starts]

    def _join(self, low: int, high: int) -> None:
        """Put in place of the first of the values [low, high) the aggregate of their whole bucket."""
        bucket = int(bucket_of(self._times[low], self._width))
        first, last = bucket_edges(bucket, bucket + 1, self._width)
        span = max(first, self._span[0]), min(last, self._span[1])
        columns = [self._columns[owner] for owner in self._owners[low:high]]
        blocks = concatenate_blocks([column.block(*span) for column in columns])
        if self._aggregate.needs_scatter:
            # The values are the deviations of the columns' own parts of the bucket: they need not be found again.
            deviation = np.where(blocks.count > 0, self._values[low:high], 0.0)
            blocks = replace(blocks, scatter=Scatter(deviation, np.zeros(high - low)))
        self._values[low] = self._aggregate.of(blocks, _ONE_BUCKET)[0]
        self._times[low] = _middle([column.within(*span)[0] for column in columns])


def _middle(times: Sequence[Times]) -> float:
    """Return the middle one of times that are in several arrays."""
    ends: Indices = np.cumsum([len(part) for part in times])
    middle = ends[-1] // 2
    owner = int(np.searchsorted(ends, middle, side="right"))
    return float(times[owner][middle - ends[owner]])
