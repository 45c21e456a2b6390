"""The order of samples: ascending times, and each sample once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sisock.core.model import Times, Values


def ascending(times: Times, values: Values) -> tuple[Times, Values]:
    """Sort samples by time, stably."""
    if (np.diff(times) < 0).any():
        order = np.argsort(times, kind="stable")
        return times[order], values[order]
    return times, values


def in_order(times: Times, values: Values) -> tuple[Times, Values]:
    """Sort samples by time, stably, and keep one of those with the same time and the same value.

    Samples with the same time and different values are all kept, in the order of the file: which one is right
    cannot be told, and a spike must not get lost. NaN counts as equal to NaN.
    """
    times, values = ascending(times, values)
    if (np.diff(times) == 0).any():
        kept = _first_of_equals(times, values)
        times, values = times[kept], values[kept]
    return times, values


def _first_of_equals(times: Times, values: Values) -> NDArray[np.bool_]:
    """Return a mask without the samples that repeat an earlier one, time and value."""
    order = np.lexsort((values, times))
    sorted_values = values[order]
    same = sorted_values[1:] == sorted_values[:-1]
    same |= (sorted_values[1:] != sorted_values[1:]) & (sorted_values[:-1] != sorted_values[:-1])
    repeated = same & (np.diff(times[order]) == 0)
    kept = np.ones(len(times), dtype=bool)
    kept[order[1:][repeated]] = False
    return kept
