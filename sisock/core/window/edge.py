"""The start of a window: the sample before it, the first ones inside, and what windows that begin later need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sisock.core.column.series import ReducibleSeries
from sisock.core.model import DataRequest
from sisock.core.reduce.reducers import Samples, find_reducer
from sisock.core.reduce.selectors import is_state
from sisock.core.times import EARLIEST, bucket_number

# Bounds what an edge adds to a reply, however fast the field is.
MOST_FOLLOWING = 64
# That windows may begin among.
MOST_AHEAD_SAMPLES = 4096
MOST_CANDIDATES = 256
MOST_BUCKETS = 2


@dataclass(frozen=True)
class Edge:
    """Consecutive samples about the start of a window.

    Parameters
    ----------
    before
        The last sample before the start, at most one; None where it was not wanted, or is not known.
    following
        The first samples inside the window, one at least where it has any: those that windows need which begin up to
        ``DataRequest.edge`` seconds later, but no more than 64.
    """

    before: Samples | None
    following: Samples


def edge_of(series: ReducibleSeries, request: DataRequest) -> Edge:
    """Return the edge of a request's window."""
    start, end = request.start, request.end
    following = series.following(start, start + request.edge, end, MOST_FOLLOWING)
    return Edge(series.newest(EARLIEST, start) if request.before else None, following)


def join_edges(one: Samples, other: Samples) -> Samples:
    """Return samples that follow one another as one."""
    if not (one[0].size and other[0].size):
        return one if one[0].size else other
    return np.concatenate([one[0], other[0]]), np.concatenate([one[1], other[1]])


def look_ahead(
    column: ReducibleSeries, start: float, end: float, reducer: str, stride: float, ahead: float
) -> Samples | None:
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
    # Nothing, but of the right type: what stands for a window that is empty.
    parts = [column.within(start, start)]
    low = start
    while low <= until and low < end:
        number += 1
        edge = min(number * width, end)
        parts.append(_ahead_candidates(column, low, min(until, edge), edge, (reducer, stride)))
        low = edge
    times, values = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return (times, values) if times.size <= MOST_CANDIDATES else None


def _ahead_candidates(
    column: ReducibleSeries, low: float, until: float, edge: float, how: tuple[str, float]
) -> Samples:
    """Return what is an extreme of [s, edge), inside one bucket, for any s from ``low`` to ``until``."""
    behind = column.reduced(until, edge, *how)
    times, values = column.within(low, until)
    if times.size > MOST_AHEAD_SAMPLES:
        # More than can be sent, whatever would be chosen of them.
        return times[:MOST_AHEAD_SAMPLES], values[:MOST_AHEAD_SAMPLES]
    times, values = np.concatenate([times, behind[0]]), np.concatenate([values, behind[1]])
    # NaN and infinities count only where nothing else is left, which the start decides: all are sent.
    if not np.isfinite(values).all():
        return times, values
    # From the end, because a window that begins later has all that follows. Of equal values the earliest counts,
    # which may be any of them, depending on the start.
    backwards = values[::-1]
    extreme = (backwards <= np.minimum.accumulate(backwards)) | (backwards >= np.maximum.accumulate(backwards))
    return times[extreme[::-1]], values[extreme[::-1]]
