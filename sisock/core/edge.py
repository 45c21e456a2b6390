"""What lies at the start of a window: the sample before it, which holds there, and the first ones inside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sisock.core.downsample import Sampled
from sisock.core.model import DataRequest, Span
from sisock.core.series import Series
from sisock.core.times import EARLIEST

MOST_FOLLOWING = 64


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

    before: Sampled | None
    following: Sampled


def edge_of(series: Series, request: DataRequest) -> Edge:
    """Return the edge of a request's window."""
    start, end = request.start, request.end
    following = series.following(start, start + request.edge, end, MOST_FOLLOWING)
    return Edge(series.newest(EARLIEST, start) if request.before else None, following)


def joined(one: Sampled, other: Sampled) -> Sampled:
    """Return samples that follow one another as one."""
    if not (one[0].size and other[0].size):
        return one if one[0].size else other
    return np.concatenate([one[0], other[0]]), np.concatenate([one[1], other[1]])


def is_edge_of(edge: Edge, window: Span) -> bool:
    """Tell whether samples ascend and lie where they are said to: before a window's start, and inside it."""
    (start, end), times = window, edge.following[0]
    if edge.before is not None and edge.before[0].size and not edge.before[0][-1] < start:
        return False
    if times.size and not (start <= times[0] and times[-1] < end):
        return False
    return bool((times[1:] >= times[:-1]).all())
