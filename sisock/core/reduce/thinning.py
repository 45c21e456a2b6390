"""Thinning: the samples that are at least a stride apart, greedily from the first."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sisock.core.model import Times
from sisock.core.reduce.selectors import Indices
from sisock.core.times import check_stride

# Samples handled at once: small enough that the passes over them find them in the processor's cache.
_CHUNK_SAMPLES = 16384
# A search in Python costs as much as so many steps of a table.
_SEARCH_SAMPLES_PER_STEP = 64


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
    if most_steps * _SEARCH_SAMPLES_PER_STEP < len(times):
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
    next_indices = np.maximum(np.searchsorted(times, origins + stride), np.arange(first + 1, last + 1))
    # The sum is rounded otherwise than the difference that counts: the neighbours are tried too.
    next_indices -= times[next_indices - 1] - origins >= stride
    next_indices += ~_far_enough(times, next_indices, origins, stride)
    wrong = (times[next_indices - 1] - origins >= stride) | ~_far_enough(times, next_indices, origins, stride)
    for position in np.flatnonzero(wrong):
        next_indices[position] = _successor(times, first + int(position), stride)
    return next_indices


def _far_enough(times: Times, indices: Indices, origins: Times, stride: float) -> NDArray[np.bool_]:
    """Tell for each index found whether it is at least a stride after its origin; the end of the array is."""
    far = times[np.minimum(indices, len(times) - 1)] - origins >= stride
    reached: NDArray[np.bool_] = far | (indices == len(times))
    return reached
