"""Downsampling: buckets aligned to the epoch, of which a few samples are chosen or all are aggregated to one value.

A reducer is an entry of ``REDUCERS``: its name, and what it keeps of each bucket, of numbers and of states (strings
and bools). Those that choose keep true times and true values; the others aggregate the numbers of a bucket, at the
time of its middle sample. Whoever needs to know how a reducer behaves asks its entry, and never for its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from sisock.core.errors import BadRequest
from sisock.core.model import DataBlock, FieldType, TimelineBlock, Times, Values
from sisock.core.reduce import combining
from sisock.core.reduce.aggregates import (
    Aggregate,
    Parts,
    SampleBlocks,
    concatenate_blocks,
    count_of,
    join_every,
    max_of,
    mean_of,
    min_of,
    stddev_of,
    sum_of,
)
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
# The same where the passes leave several arrays behind.
_SCATTER_SAMPLES = 8192


@dataclass(frozen=True)
class Selection:
    """A reducer for one kind of values: it keeps some samples of each bucket, or one value of all of them.

    Parameters
    ----------
    selectors
        Choose a sample of each bucket each.
    aggregate
        In place of selectors.
    """

    selectors: tuple[Selector, ...] = ()
    aggregate: Aggregate | None = None

    @property
    def chooses(self) -> bool:
        """Whether it keeps real samples, by an order that a subset keeps.

        Then a choice among many samples that all lie among a few of them is also the choice among those few.
        """
        return self.aggregate is None

    @property
    def samples_per_bucket(self) -> int:
        """The most samples that it keeps of a bucket."""
        return len(self.selectors) or 1

    @property
    def strides_per_bucket(self) -> int:
        """The width of a bucket in strides: as many as samples are kept of it, so that these are bounded in number."""
        return self.samples_per_bucket

    @property
    def adds_newest(self) -> bool:
        """Whether the newest sample may stand behind what it keeps."""
        return self.aggregate is None or self.aggregate.adds_newest

    @property
    def adds_up(self) -> bool:
        """Whether what it keeps grows with the number of samples, so that it is too low of some of them."""
        return self.aggregate is not None and self.aggregate.adds_up

    @property
    def keeps_last(self) -> bool:
        """Whether the last sample of each bucket is among what it keeps."""
        return any(one.is_last for one in self.selectors)

    @cached_property
    def looks_ahead(self) -> bool:
        """Whether it keeps extremes only: few samples tell what is kept of each later part of a bucket."""
        return bool(self.selectors) and all(one.is_extreme for one in self.selectors)

    def width(self, stride: float) -> float:
        """Return the width in seconds of the buckets for a stride in seconds."""
        return self.strides_per_bucket * stride


@dataclass(frozen=True)
class Reducer:
    """A way to downsample.

    Parameters
    ----------
    numbers, states
        What it keeps of each.
    capability
        What a node must say that it can, beside reducing spans; empty for what all that reduce can.
    smaller
        The reducer that takes its place where there is no room for all that it keeps; empty where it keeps one value.
    """

    name: str
    numbers: Selection
    states: Selection
    capability: str = ""
    smaller: str = ""

    def for_type(self, field_type: FieldType) -> Selection:
        """Return the selection for the fields of a type."""
        return self.numbers if field_type == "number" else self.states

    def for_dtype(self, dtype: np.dtype[Any]) -> Selection:
        """Return the selection for values of a type: states are bools and texts."""
        return self.states if is_state(dtype) else self.numbers

    @property
    def fewest_points(self) -> int:
        """The fewest points of a panel that it can reduce to: two buckets and the newest sample."""
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
    """Return at most a few samples of each bucket of each field, as a reducer chooses or aggregates them.

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
    if selection.aggregate is None:
        kept = _chosen(values, selection.selectors, starts)
        return times[kept], values[kept]
    parts = _parts(values, starts, _CHUNK_SAMPLES)
    aggregates = [_aggregated(selection.aggregate, part, own) for part, own in parts]
    return times[middles(starts, len(times))], np.concatenate([*aggregates, selection.aggregate.none_of(values)])


def combine_buckets(reducer: str, parts: Parts, starts: Indices) -> Values:
    """Return for each group of buckets what a reducer that aggregates has of all their samples.

    A bucket without samples may be there, with NaN for all that is known of it; of such alone NaN comes out.

    Parameters
    ----------
    reducer
        A key of ``PARTS``.
    parts
        Shape (n,) for each name that ``PARTS`` has for the reducer; more are passed over.
    starts
        The index of the first bucket of each group: the first is 0, each is above the one before.
    """
    aggregate = find_reducer(reducer).numbers.aggregate
    assert aggregate is not None
    return aggregate.combine(parts, starts) if len(starts) else np.empty(0)


def add_newest(reduced: Samples, newest: Samples) -> Samples:
    """Return reduced samples with the newest one at their end, unless the last of them equals it in time and value.

    Parameters
    ----------
    newest
        One sample, or none.
    """
    (times, values), (newest_times, newest_values) = reduced, newest
    # The newest sample may be the one that is kept of its bucket.
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
    # Looking for edges is quicker where they are fewer than samples; of many empty buckets they are not.
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
    """Return the index of the middle sample of each bucket, whose time an aggregate has."""
    middle: Indices = (starts + stops_of(starts, stop)) // 2
    return middle


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


def _aggregated(aggregate: Aggregate, values: Values, starts: Indices) -> Values:
    """Return the aggregate of each bucket; where that leaves several arrays behind, of a long one by way of blocks."""
    if aggregate.needs_scatter and len(values) > _CHUNK_SAMPLES:
        # So many samples come at once only if they are of one bucket.
        parts = [values[low : low + _SCATTER_SAMPLES] for low in range(0, len(values), _SCATTER_SAMPLES)]
        blocks = [join_every(SampleBlocks(part), len(part), len(part)) for part in parts]
        return aggregate.of(concatenate_blocks(blocks), starts)
    return aggregate.of(SampleBlocks(values), starts)


def _chosen(values: Values, selectors: tuple[Selector, ...], starts: Indices) -> Indices:
    """Return the indices, ascending, of what is chosen from all buckets."""
    low, kept = 0, [np.empty(0, dtype=np.intp)]
    at_once = len(values) if len(values) > LONG_BUCKET * len(starts) else _CHUNK_SAMPLES
    for part, own in _parts(values, starts, at_once):
        kept.append(low + _join_indices([one.choose(part, own) for one in selectors], len(part)))
        low += len(part)
    return np.concatenate(kept)


def _join_indices(chosen: list[Indices], count: int) -> Indices:
    """Return the indices, below ``count``, that are in any of the arrays, ascending."""
    if count > LONG_BUCKET * len(chosen[0]):
        return np.unique(np.concatenate(chosen))
    # Quicker than sorting where many are chosen.
    marked = np.zeros(count, dtype=bool)
    for indices in chosen:
        marked[indices] = True
    return marked.nonzero()[0]


def _parts(values: Values, starts: Indices, at_once: int) -> Iterator[tuple[Values, Indices]]:
    """Cut the values into parts of whole buckets, about ``at_once`` where there are several, with their own starts."""
    first = 0
    while first < len(starts):
        reach = starts[first] + at_once
        last = len(starts) if reach >= len(values) else int(starts.searchsorted(reach, side="right")) - 1
        # Whole buckets only: one that is longer than a part should be is a part of its own.
        last = max(last, first + 1)
        low = starts[first]
        high = starts[last] if last < len(starts) else len(values)
        yield values[low:high], starts[first:last] - low
        first = last


def _same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal; NaN equals NaN."""
    return bool(one == other or (one != one and other != other))  # noqa: PLR0124 - NaN differs from itself


def _of_numbers(*names: str) -> Selection:
    return Selection(tuple(NUMBER_SELECTORS[name] for name in names))


def _of_states(*names: str) -> Selection:
    return Selection(tuple(STATE_SELECTORS[name] for name in names))


def _aggregating(name: str, aggregate: Aggregate, capability: str = "") -> Reducer:
    return Reducer(name, Selection(aggregate=aggregate), _CHANGES, capability)


# A state that lasts for one sample is never lost, whatever is done with numbers.
_CHANGES = _of_states("first", "change", "last")

REDUCERS: Mapping[str, Reducer] = {
    one.name: one
    for one in (
        Reducer("first", _of_numbers("first"), _of_states("first")),
        Reducer("last", _of_numbers("last"), _of_states("last")),
        Reducer("minmax", _of_numbers("lowest", "highest"), _CHANGES, smaller="last"),
        Reducer("m4", _of_numbers("first", "lowest", "highest", "last"), _CHANGES, smaller="minmax"),
        _aggregating("mean", Aggregate(mean_of, combining.combine_means, ("mean", "count"), adds_newest=True)),
        _aggregating(
            "min",
            Aggregate(min_of, combining.combine_minima, ("min",), adds_newest=True, keeps_dtype=True, extreme=np.fmin),
        ),
        _aggregating(
            "max",
            Aggregate(max_of, combining.combine_maxima, ("max",), adds_newest=True, keeps_dtype=True, extreme=np.fmax),
        ),
        # The first nodes that reduced had none of these.
        _aggregating("count", Aggregate(count_of, combining.combine_counts, ("count",), adds_up=True), "aggregates"),
        _aggregating("sum", Aggregate(sum_of, combining.combine_sums, ("sum", "count"), adds_up=True), "aggregates"),
        _aggregating(
            "stddev",
            Aggregate(stddev_of, combining.combine_deviations, ("stddev", "mean", "count"), needs_scatter=True),
            "aggregates",
        ),
    )
}
"""The reducers by the names that requests give them."""

PARTS: Mapping[str, tuple[str, ...]] = {
    name: one.numbers.aggregate.parts for name, one in REDUCERS.items() if one.numbers.aggregate is not None
}
"""The reducers whose values of smaller buckets combine to that of a larger one, by reducer: those that aggregate."""
