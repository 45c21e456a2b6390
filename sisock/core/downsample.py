"""Downsampling: real samples chosen on buckets aligned to the epoch, or thinned to a spacing.

Reducers choose samples and never make any, so that every time and every value drawn is true. A reducer is a
line of ``REDUCERS``: how wide its buckets are in strides, how many samples it keeps of each, and how it chooses
them, for numbers and for states (strings and bools).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sisock.core.errors import BadRequest
from sisock.core.model import DataBlock, FieldType, TimelineBlock, Times, Values
from sisock.core.times import bucket_edges, bucket_of, check_stride, stride_for_points

Indices = NDArray[np.intp]
Choice = Callable[[Values, Indices], Indices]
"""From values and the index of each bucket's first sample (ascending, the first is 0) to the indices chosen."""

# Samples handled at once: small enough that the passes over them find them in the processor's cache.
_CHUNK_SAMPLES = 16384
_FEW_BUCKETS = 8
_THIN_SEARCH_SAMPLES_PER_STEP = 64  # a search in Python costs as much as so many steps of a table


@dataclass(frozen=True)
class Selection:
    """What a reducer keeps of one kind of values: at most so many samples of each bucket of so many strides."""

    strides_per_bucket: int
    samples_per_bucket: int
    choose: Choice
    chooses: bool = True

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

    def for_values(self, values: Values) -> Selection:
        """Return the selection for an array: states are bools and texts."""
        return self.states if values.dtype.kind in "bOUST" else self.numbers

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
    """Return at most a few samples of each bucket of each field, chosen by a reducer.

    Each field becomes a timeline of its own under the field's name, for different fields keep different samples.
    The newest sample of a field is always kept. A bucket that the block's span cuts is reduced from what is
    there. What the timelines state about finality, age and generation is carried over.

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


def reduce_samples(times: Times, values: Values, reducer: str, stride: float) -> tuple[Times, Values]:
    """Return what a reducer leaves of the samples of one field, without the newest; see :func:`reduce_block`."""
    selection = find_reducer(reducer).for_values(values)
    kept = _select(selection.choose, values, _bucket_starts(times, selection.width(stride)), newest=False)
    return times[kept], values[kept]


def thin_block(block: DataBlock, min_stride: float | None) -> DataBlock:
    """Return the samples of each timeline that are at least ``min_stride`` seconds apart, the same for all fields.

    With None the block comes back as it is.
    """
    if min_stride is None:
        return block
    thinned = {name: one.take(thin(one.times, min_stride)) for name, one in block.timelines.items()}
    return DataBlock(thinned)


def thin(times: Times, min_stride: float) -> Indices:
    """Return the indices of samples that are at least ``min_stride`` seconds apart, greedily from the first.

    The successor of sample i is the first j with ``times[j] - times[i] >= min_stride``, exactly as float64
    evaluates it.

    Parameters
    ----------
    times
        Shape (n,), ascending.
    min_stride
        Seconds; BadRequest unless it is a finite number above zero.
    """
    stride = check_stride(min_stride)
    if not len(times):
        return np.empty(0, dtype=np.intp)
    most_steps = (times[-1] - times[0]) / stride
    if most_steps * _THIN_SEARCH_SAMPLES_PER_STEP < len(times):
        return np.fromiter(_walk_far(times, stride), dtype=np.intp)
    if np.all(np.diff(times) >= stride):
        return np.arange(len(times))
    return np.fromiter(_walk_near(times, stride), dtype=np.intp)


def _successor(times: Times, index: int, stride: float) -> int:
    """Return the first index at least a stride after ``index``, by bisecting the condition itself."""
    origin = times[index]
    return bisect_left(range(len(times)), True, lo=index, key=lambda later: bool(times[later] - origin >= stride))  # noqa: FBT003 - the value sought


def _walk_far(times: Times, stride: float) -> Iterator[int]:
    """Walk where a step passes over many samples: one search a step."""
    index = 0
    while index < len(times):
        yield index
        index = _successor(times, index, stride)


def _walk_near(times: Times, stride: float) -> Iterator[int]:
    """Walk where a step passes over few samples: the successors of all of a chunk are found at once."""
    index = 0
    while index < len(times):
        first, last = index, min(index + _CHUNK_SAMPLES, len(times))
        table = _successors(times, first, last, stride).tolist()
        while index < last:
            yield index
            index = table[index - first]


def _successors(times: Times, first: int, last: int, stride: float) -> Indices:
    """Return the successors of the samples from ``first`` up to ``last``."""
    origins = times[first:last]
    # Never the sample itself, even where a stride is too small to change the sum.
    found = np.maximum(np.searchsorted(times, origins + stride), np.arange(first + 1, last + 1))
    # The sum is rounded otherwise than the difference that counts: the neighbours are tried too.
    found -= times[found - 1] - origins >= stride
    found += ~_far_enough(times, found, origins, stride)
    wrong = (times[found - 1] - origins >= stride) | ~_far_enough(times, found, origins, stride)
    for position in np.flatnonzero(wrong):
        found[position] = _successor(times, first + int(position), stride)
    return found


def _far_enough(times: Times, found: Indices, origins: Times, stride: float) -> NDArray[np.bool_]:
    """Tell for each index found whether it is at least a stride after its origin; the end of the array is."""
    far = times[np.minimum(found, len(times) - 1)] - origins >= stride
    reached: NDArray[np.bool_] = far | (found == len(times))
    return reached


def _reduce_timeline(timeline: TimelineBlock, reducer: Reducer, stride: float) -> Iterator[tuple[str, TimelineBlock]]:
    """Reduce each field of a timeline; fields with buckets of the same width share the search for them."""
    starts: dict[float, Indices] = {}
    for name, values in timeline.values.items():
        selection = reducer.for_values(values)
        width = selection.width(stride)
        if width not in starts:
            starts[width] = _bucket_starts(timeline.times, width)
        kept = _select(selection.choose, values, starts[width], newest=False)
        if len(values) and not _repeats(timeline.times, values, kept):
            kept = np.append(kept, len(values) - 1)
        yield name, timeline.of_field(name).take(kept)


def _repeats(times: Times, values: Values, kept: Indices) -> bool:
    """Tell whether the last sample kept has the newest one's time and value; NaN equals NaN."""
    last, value = values[kept[-1]], values[-1]
    same = bool(last == value or (last != last and value != value))  # noqa: PLR0124 - NaN
    return same and bool(times[kept[-1]] == times[-1])


def _bucket_starts(times: Times, width: float) -> Indices:
    """Return the index of the first sample of each bucket that has any."""
    if not len(times):
        return np.empty(0, dtype=np.intp)
    first, last = (int(number) for number in bucket_of(times[[0, -1]], width))
    if last - first < len(times):
        starts = np.searchsorted(times, bucket_edges(first + 1, last, width))
    else:
        starts = np.flatnonzero(np.diff(bucket_of(times, width))) + 1
    starts = np.concatenate([np.zeros(1, dtype=np.intp), starts])
    return starts[np.diff(starts, prepend=-1) > 0]


def _select(choose: Choice, values: Values, starts: Indices, *, newest: bool = True) -> Indices:
    """Return the indices, ascending, of what is chosen from all buckets, and of the newest sample."""
    kept = np.zeros(len(values), dtype=bool)
    for first, last in _chunks(starts, len(values)):
        low = starts[first]
        high = starts[last] if last < len(starts) else len(values)
        kept[low + choose(values[low:high], starts[first:last] - low)] = True
    if newest:
        kept[-1:] = True
    return np.flatnonzero(kept)


def _chunks(starts: Indices, count: int) -> Iterator[tuple[int, int]]:
    """Cut the buckets into runs [first, last) of whole buckets, of about a chunk's samples where there are several."""
    first = 0
    while first < len(starts):
        reach = starts[first] + _CHUNK_SAMPLES
        last = len(starts) if reach >= count else int(np.searchsorted(starts, reach, side="right")) - 1
        last = max(last, first + 1)
        yield first, last
        first = last


def _spread(per_bucket: NDArray[Any], starts: Indices, count: int) -> NDArray[Any]:
    """Repeat each bucket's entry for each of its samples."""
    return np.repeat(per_bucket, np.diff(starts, append=count))


def _of_numbers(choose: Choice) -> Choice:
    """Make a choice pass over NaN and infinities: finite values win, then infinities; of NaN alone the first."""

    def choose_best(values: Values, starts: Indices) -> Indices:
        finite = np.isfinite(values)
        if finite.all():
            return choose(values, starts)
        kept = _best_ranked(values, finite, starts)
        ranked = np.where(np.isnan(values[kept]), 0.0, values[kept])
        return kept[choose(ranked, np.searchsorted(kept, starts))]

    return choose_best


def _best_ranked(values: Values, finite: NDArray[np.bool_], starts: Indices) -> Indices:
    """Return the indices of the finite values of each bucket, or of its infinities, or of its first NaN."""
    ranks = np.where(finite, 0, np.where(np.isnan(values), 2, 1)).astype(np.int8)
    best = np.minimum.reduceat(ranks, starts)
    kept = (ranks == _spread(best, starts, len(values))) & (ranks < 2)  # noqa: PLR2004 - the rank of NaN
    kept[starts[best == 2]] = True  # noqa: PLR2004 - the rank of NaN
    return np.flatnonzero(kept)


def _first(values: Values, starts: Indices) -> Indices:  # noqa: ARG001 - a choice is given the values
    return starts


def _last(values: Values, starts: Indices) -> Indices:
    return np.append(starts[1:], len(values)) - 1


def _lowest_and_highest(values: Values, starts: Indices) -> Indices:
    """Choose the earliest of the lowest and of the highest values of each bucket; no NaN is among them."""
    if len(starts) == 1:
        return np.array([values.argmin(), values.argmax()], dtype=np.intp)
    lengths = np.diff(starts)
    if len(starts) > _FEW_BUCKETS and (lengths[1:] == lengths[1]).all():
        return _of_equal_buckets(values, starts, int(lengths[1]))
    lowest = _earliest(values, np.minimum.reduceat(values, starts), starts)
    highest = _earliest(values, np.maximum.reduceat(values, starts), starts)
    return np.concatenate([lowest, highest])


def _of_equal_buckets(values: Values, starts: Indices, length: int) -> Indices:
    """Choose the same where all buckets but the first and the last are as long, as they are of regular samples."""
    middle, last = starts[1:-1], starts[-1]
    table = values[middle[0] : last].reshape(-1, length)
    edges = [
        low + extreme
        for low, part in ((0, values[: middle[0]]), (last, values[last:]))
        for extreme in (part.argmin(), part.argmax())
    ]
    return np.concatenate(
        [middle + table.argmin(axis=1), middle + table.argmax(axis=1), np.array(edges, dtype=np.intp)]
    )


def _earliest(values: Values, wanted: Values, starts: Indices) -> Indices:
    """Return for each bucket the first index that has the wanted value, which is in it."""
    hits = np.flatnonzero(values == _spread(wanted, starts, len(values)))
    return hits[np.searchsorted(hits, starts)]


def _first_change_last(values: Values, starts: Indices) -> Indices:
    """Choose of each bucket the first state, the first that differs from it, and the last."""
    changed = np.flatnonzero(values != _spread(values[starts], starts, len(values)))
    changed = changed[np.diff(np.searchsorted(starts, changed, side="right"), prepend=0) > 0]
    return np.concatenate([starts, changed, _last(values, starts)])


REDUCERS: Mapping[str, Reducer] = {
    "first": Reducer(Selection(1, 1, _of_numbers(_first)), Selection(1, 1, _first)),
    "last": Reducer(Selection(1, 1, _of_numbers(_last)), Selection(1, 1, _last)),
    "minmax": Reducer(Selection(2, 2, _of_numbers(_lowest_and_highest)), Selection(3, 3, _first_change_last)),
}
"""The reducers by the names that requests give them."""
