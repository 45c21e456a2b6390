"""Downsampling: buckets aligned to the epoch, of which a few samples are chosen or one value is made.

A reducer is a line of ``REDUCERS``: how wide its buckets are in strides, how many samples it keeps of each, and how it
finds them, for numbers and for states (strings and bools). Those that choose keep true times and true values; the
others make one value of the numbers of a bucket, at the time of its middle sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from sisock.core.errors import BadRequest
from sisock.core.model import DataBlock, FieldType, TimelineBlock, Times, Values
from sisock.core.reduce.aggregates import AGGREGATES, SampleBuckets, join_blocks, summed_blocks
from sisock.core.reduce.selectors import (
    LONG_BUCKET,
    NUMBER_SELECTORS,
    STATE_SELECTORS,
    Indices,
    Selector,
    is_state,
    stops_of,
)
from sisock.core.reduce.thinning import thin
from sisock.core.times import bucket_edges, bucket_number, bucket_of, check_stride, stride_for_points

Samples = tuple[Times, Values]
"""Times and as many values."""

# Samples handled at once: small enough that the passes over them find them in the processor's cache.
_CHUNK_SAMPLES = 65536
_PIECE_SAMPLES = 8192  # where the passes leave several arrays behind


@dataclass(frozen=True)
class Selection:
    """What a reducer keeps of one kind of values: at most so many samples of each bucket of so many strides.

    Parameters
    ----------
    picks
        Names of the choices that keep a sample of each bucket, keys of ``NUMBER_CHOICES`` or ``STATE_CHOICES``.
    make
        In place of picks: what makes a value of each bucket, a key of ``MAKES``.
    """

    strides_per_bucket: int
    samples_per_bucket: int
    picks: tuple[str, ...] = ()
    make: str | None = None

    @property
    def chooses(self) -> bool:
        """Whether it keeps real samples, by an order that a subset keeps.

        Then a choice among many samples that all lie among a few of them is also the choice among those few.
        """
        return self.make is None

    @property
    def adds_newest(self) -> bool:
        """Whether the newest sample may stand behind what it keeps: a count, a sum or a deviation is no such value."""
        return self.make in (None, "mean", "min", "max")

    @cached_property
    def looks_ahead(self) -> bool:
        """Whether it keeps extremes only: few samples tell what is kept of each later part of a bucket."""
        return bool(self.picks) and {"lowest", "highest"}.issuperset(self.picks)

    def width(self, stride: float) -> float:
        """Return the width in seconds of the buckets for a stride in seconds."""
        return self.strides_per_bucket * stride


@dataclass(frozen=True)
class Reducer:
    """How a reducer treats numbers, and how it treats states."""

    numbers: Selection
    states: Selection

    def for_type(self, field_type: FieldType) -> Selection:
        """Return the selection for the fields of a type."""
        return self.numbers if field_type == "number" else self.states

    def for_dtype(self, dtype: np.dtype[Any]) -> Selection:
        """Return the selection for values of a type: states are bools and texts."""
        return self.states if is_state(dtype) else self.numbers

    @property
    def fewest_points(self) -> int:
        """How many points a panel must have at least to be reduced to: two buckets and the newest sample."""
        return 2 * max(self.numbers.samples_per_bucket, self.states.samples_per_bucket) + 1

    def stride_for_points(self, start: float, end: float, max_points: int) -> float:
        """Return the smallest step of the ladder that keeps every field of any type within ``max_points``."""
        return max(
            stride_for_points(start, end, max_points, one.samples_per_bucket, one.strides_per_bucket)
            for one in (self.numbers, self.states)
        )


def find_reducer(name: str) -> Reducer:
    """Return the reducer of a name; raise BadRequest, with the known ones, when there is none."""
    if not isinstance(name, str) or name not in REDUCERS:
        raise BadRequest(f"there is no reducer {name!r:.80}: choose one of {', '.join(REDUCERS)}")
    return REDUCERS[name]


def reduce_block(block: DataBlock, reducer: str, stride: float) -> DataBlock:
    """Return at most a few samples of each bucket of each field, as a reducer keeps or makes them.

    Each field becomes a timeline of its own under the field's name, for different fields keep different samples.
    The newest sample of a field is always there, if it is of the kind of what is kept. A bucket that the block's span
    cuts is reduced from what is there. What the timelines state about finality, age and generation is carried over.

    Parameters
    ----------
    block
        Samples with ascending times.
    reducer
        A key of ``REDUCERS``.
    stride
        Seconds; it bounds the number of samples, not each spacing: buckets are whole multiples of it.

    Raises
    ------
    BadRequest
        For a reducer that does not exist, or a stride that is not a finite number above zero.
    """
    chosen = find_reducer(reducer)
    stride = check_stride(stride)
    timelines: dict[str, TimelineBlock] = {}
    for timeline in block.timelines.values():
        timelines.update(_reduce_timeline(timeline, chosen, stride))
    return DataBlock(timelines)


def thin_block(block: DataBlock, min_stride: float | None) -> DataBlock:
    """Return the samples of each timeline that are at least ``min_stride`` seconds apart, the same for all fields.

    With None the block comes back as it is.
    """
    if min_stride is None:
        return block
    thinned = {name: one.take(thin(one.times, min_stride)) for name, one in block.timelines.items()}
    return DataBlock(thinned)


def reduce_samples(times: Times, values: Values, selection: Selection, starts: Indices) -> Samples:
    """Return what a selection keeps of buckets, without the newest sample for its own sake.

    Parameters
    ----------
    times, values
        Shape (n,), with ascending times.
    starts
        The index of the first sample of each bucket, as ``bucket_starts`` finds them.
    """
    if selection.make is None:
        kept = _picked(values, selection.picks, starts)
        return times[kept], values[kept]
    made = [_aggregated(selection.make, part, own) for part, own in _parts(values, starts, _CHUNK_SAMPLES)]
    return times[middles(starts, len(times))], np.concatenate([*made, empty_aggregates(selection.make, values)])


def add_newest(reduced: Samples, newest: Samples) -> Samples:
    """Return reduced samples with the newest one at their end, unless the last of them equals it in time and value.

    Parameters
    ----------
    newest
        One sample, or none.
    """
    (times, values), (newest_times, newest_values) = reduced, newest
    if len(newest_times) and len(times) and times[-1] == newest_times[0] and _same(values[-1], newest_values[0]):
        return reduced
    return np.concatenate([times, newest_times]), np.concatenate([values, newest_values])


def bucket_starts(times: Times, width: float) -> Indices:
    """Return the index of the first sample of each bucket that has any; the width is in seconds."""
    if not len(times):
        return np.empty(0, dtype=np.intp)
    first, last = bucket_number(float(times[0]), width), bucket_number(float(times[-1]), width)
    if first == last:
        return np.zeros(1, dtype=np.intp)
    if last - first < len(times):
        return distinct(times.searchsorted(bucket_edges(first + 1, last, width)))
    return distinct(np.flatnonzero(np.diff(bucket_of(times, width))) + 1)


def distinct(edges: Indices, first: int = 0) -> Indices:
    """Return ``first`` and the ascending indices after it, each once: a bucket without samples begins nowhere."""
    starts = np.empty(len(edges) + 1, dtype=np.intp)
    starts[0], starts[1:] = first, edges
    kept = np.ones(len(starts), dtype=np.bool_)
    np.greater(starts[1:], starts[:-1], out=kept[1:])
    return starts[kept]


def middles(starts: Indices, stop: int) -> Indices:
    """Return the index of the middle sample of each bucket, whose time a value has that is made of it."""
    middle: Indices = (starts + stops_of(starts, stop)) // 2
    return middle


def empty_aggregates(make: str, values: Values) -> Values:
    """Return no values of the type that is made of such values."""
    return np.empty(0, dtype=values.dtype if make in ("min", "max") else np.float64)


def selectors_for(dtype: np.dtype[Any]) -> Mapping[str, Selector]:
    """Return the choices by their names for values of a type."""
    return STATE_SELECTORS if is_state(dtype) else NUMBER_SELECTORS


def _reduce_timeline(timeline: TimelineBlock, reducer: Reducer, stride: float) -> Iterator[tuple[str, TimelineBlock]]:
    """Reduce each field of a timeline; fields with buckets of the same width share the search for them."""
    starts: dict[float, Indices] = {}
    for name, values in timeline.values.items():
        selection = reducer.for_dtype(values.dtype)
        width = selection.width(stride)
        if width not in starts:
            starts[width] = bucket_starts(timeline.times, width)
        reduced = reduce_samples(timeline.times, values, selection, starts[width])
        newest = slice(-1 if selection.adds_newest else len(values), None)
        times, kept = add_newest(reduced, (timeline.times[newest], values[newest]))
        yield name, replace(timeline, times=times, values={name: kept})


def _aggregated(make: str, values: Values, starts: Indices) -> Values:
    """Return what is made of each bucket; of a long one's deviation in pieces, which takes several arrays more."""
    if make == "stddev" and len(values) > _CHUNK_SAMPLES:  # they are of one bucket
        parts = [values[low : low + _PIECE_SAMPLES] for low in range(0, len(values), _PIECE_SAMPLES)]
        return AGGREGATES[make](
            join_blocks([summed_blocks(SampleBuckets(part), len(part), len(part)) for part in parts]), starts
        )
    return AGGREGATES[make](SampleBuckets(values), starts)


def _picked(values: Values, picks: tuple[str, ...], starts: Indices) -> Indices:
    """Return the indices, ascending, of what is chosen from all buckets."""
    choices = selectors_for(values.dtype)
    low, kept = 0, [np.empty(0, dtype=np.intp)]
    at_once = len(values) if len(values) > LONG_BUCKET * len(starts) else _CHUNK_SAMPLES
    for part, own in _parts(values, starts, at_once):
        kept.append(low + _join_indices([choices[pick](part, own) for pick in picks], len(part)))
        low += len(part)
    return np.concatenate(kept)


def _join_indices(chosen: list[Indices], count: int) -> Indices:
    """Return the indices, below ``count``, that are in any of the arrays, ascending."""
    if count > LONG_BUCKET * len(chosen[0]):
        return np.unique(np.concatenate(chosen))
    marked = np.zeros(count, dtype=bool)  # quicker than sorting where many are chosen
    for indices in chosen:
        marked[indices] = True
    return marked.nonzero()[0]


def _parts(values: Values, starts: Indices, at_once: int) -> Iterator[tuple[Values, Indices]]:
    """Cut the values into parts of whole buckets, about ``at_once`` where there are several, with their own starts."""
    first = 0
    while first < len(starts):
        reach = starts[first] + at_once
        last = len(starts) if reach >= len(values) else int(starts.searchsorted(reach, side="right")) - 1
        last = max(last, first + 1)
        low = starts[first]
        high = starts[last] if last < len(starts) else len(values)
        yield values[low:high], starts[first:last] - low
        first = last


def _same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal; NaN equals NaN."""
    return bool(one == other or (one != one and other != other))  # noqa: PLR0124 - NaN differs from itself


_STATES = Selection(3, 3, picks=("first", "change", "last"))

REDUCERS: Mapping[str, Reducer] = {
    "first": Reducer(Selection(1, 1, picks=("first",)), Selection(1, 1, picks=("first",))),
    "last": Reducer(Selection(1, 1, picks=("last",)), Selection(1, 1, picks=("last",))),
    "minmax": Reducer(Selection(2, 2, picks=("lowest", "highest")), _STATES),
    "m4": Reducer(Selection(4, 4, picks=("first", "lowest", "highest", "last")), _STATES),
    "mean": Reducer(Selection(1, 1, make="mean"), _STATES),
    "min": Reducer(Selection(1, 1, make="min"), _STATES),
    "max": Reducer(Selection(1, 1, make="max"), _STATES),
    "count": Reducer(Selection(1, 1, make="count"), _STATES),
    "sum": Reducer(Selection(1, 1, make="sum"), _STATES),
    "stddev": Reducer(Selection(1, 1, make="stddev"), _STATES),
}
"""The reducers by the names that requests give them."""
