"""The points that a panel must show, by looking at every sample: slow, plain, sharing nothing with the fast code."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Choice = Callable[[Array], set[int]]


def lowest_and_highest(values: Array) -> set[int]:
    """Return where the earliest of the lowest values is, and of the highest; finite ones go first, then infinities."""
    for able in (np.isfinite(values), np.isinf(values)):
        if able.any():
            indices = np.flatnonzero(able)
            return {int(indices[values[indices].argmin()]), int(indices[values[indices].argmax()])}
    return {0}


def first_change_last(states: Array) -> set[int]:
    """Return where the first state is, the first that differs from it, and the last."""
    changed = states != states[0]
    return {0, len(states) - 1} | ({int(np.argmax(changed))} if changed.any() else set())


def drawn(times: Array, values: Array, start: float, end: float, width: float, choose: Choice) -> tuple[Array, Array]:
    """Return the times and the values that a panel must show: each bucket's choice, and the newest sample."""
    kept: set[int] = set()
    for low, high in buckets(times, start, end, width):
        kept |= {low + index for index in choose(np.asarray(values[low:high]))}
    low, high = np.searchsorted(times, [start, end])
    if high > low:
        kept.add(int(high) - 1)
    indices = sorted(kept)
    return np.asarray(times[indices]), np.asarray(values[indices])


def with_start(
    times: Array, values: Array, start: float, end: float, shown: tuple[Array, Array], *, holds: bool
) -> tuple[Array, Array]:
    """Return what a panel must show with what it begins with.

    Of numbers that is the first sample; of states, which hold, the last one before, at the start of the window.
    """
    low, high = (int(index) for index in np.searchsorted(times, [start, end]))
    if holds and low and not (low < high and times[low] == start):
        first = start, values[low - 1]
    elif not holds and low < high and shown[0][0] != times[low]:
        first = times[low], values[low]
    else:
        return shown
    return np.concatenate([[first[0]], shown[0]]), np.concatenate([[first[1]], shown[1]])


def buckets(times: Array, start: float, end: float, width: float) -> Iterator[tuple[int, int]]:
    """Yield the samples of each bucket that has some inside [start, end), as indices from and up to."""
    low, last = (int(index) for index in np.searchsorted(times, [start, end]))
    number = math.floor(start / width) - 1
    while low < last:
        number += 1
        high = min(int(np.searchsorted(times, (number + 1) * width)), last)
        if high > low:
            yield low, high
        low = high
