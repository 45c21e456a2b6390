"""What the next windows need of the bucket that their start cuts, so that one that moves on need not ask each time."""

from __future__ import annotations

import numpy as np

from sisock.core.choices import is_state
from sisock.core.downsample import Sampled, find_reducer
from sisock.core.series import Series
from sisock.core.times import bucket_number

MOST_SAMPLES = 4096  # that windows may begin among
MOST_CANDIDATES = 256
MOST_BUCKETS = 2


def look_ahead(column: Series, start: float, end: float, reducer: str, stride: float, ahead: float) -> Sampled | None:
    """Return all that a reducer keeps of the first bucket of any window [s, end) with start <= s <= start + ahead.

    What it keeps of one of them is what it keeps of these samples from s on.

    Parameters
    ----------
    start, end
        UNIX seconds.
    stride, ahead
        Seconds.

    Returns
    -------
    times, values
        Shape (n,) each, or None for reducers that do not keep extremes only, and where it would be too much.
    """
    selection = find_reducer(reducer).for_dtype(column.dtype)
    if is_state(column.dtype) or not selection.looks_ahead:
        return None
    width = selection.width(stride)
    until = min(start + ahead, end)
    number = bucket_number(start, width)
    if bucket_number(until, width) - number >= MOST_BUCKETS:
        return None
    parts = [column.within(start, start)]  # none of a window that is empty
    low = start
    while low <= until and low < end:
        number += 1
        edge = min(number * width, end)
        parts.append(_candidates(column, low, min(until, edge), edge, (reducer, stride)))
        low = edge
    times, values = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return (times, values) if times.size <= MOST_CANDIDATES else None


def _candidates(column: Series, low: float, until: float, edge: float, how: tuple[str, float]) -> Sampled:
    """Return what is an extreme of [s, edge), inside one bucket, for any s from ``low`` to ``until``."""
    behind = column.reduced(until, edge, *how)
    times, values = column.within(low, until)
    if times.size > MOST_SAMPLES:  # more than can be sent, whatever would be chosen of them
        return times[:MOST_SAMPLES], values[:MOST_SAMPLES]
    times, values = np.concatenate([times, behind[0]]), np.concatenate([values, behind[1]])
    if not np.isfinite(values).all():
        return times, values
    backwards = values[::-1]
    extreme = (backwards <= np.minimum.accumulate(backwards)) | (backwards >= np.maximum.accumulate(backwards))
    return times[extreme[::-1]], values[extreme[::-1]]
