"""What lies at the start of a window: the sample before it, which holds there, and the first ones inside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sisock.core.downsample import Sampled
from sisock.core.model import DataRequest, Span
from sisock.core.series import Series
from sisock.core.times import EARLIEST

MOST_FOLLOWING = 64
_NOTHING: Sampled = (np.empty(0), np.empty(0))


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
    until = min(start + request.edge, end)
    following = _first(series.within(start, until))
    if following[0].size < MOST_FOLLOWING:
        following = joined(following, series.oldest(until, end))
    return Edge(series.newest(EARLIEST, start) if request.before else None, following)


def joined(one: Sampled, other: Sampled) -> Sampled:
    """Return samples that follow one another as one."""
    if not (one[0].size and other[0].size):
        return one if one[0].size else other
    return np.concatenate([one[0], other[0]]), np.concatenate([one[1], other[1]])


def is_edge_of(edge: Edge, window: Span) -> bool:
    """Tell whether samples ascend and lie where they are said to: before a window's start, and inside it."""
    before, following = (edge.before or _NOTHING)[0], edge.following[0]
    times = np.concatenate([before, following])
    inside = (following >= window[0]) & (following < window[1])
    return bool((times[1:] >= times[:-1]).all() and (before < window[0]).all() and inside.all())


def _first(samples: Sampled) -> Sampled:
    return samples[0][:MOST_FOLLOWING], samples[1][:MOST_FOLLOWING]
