"""What lies at the start of windows, as it is kept and drawn; pure."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from sisock.core.downsample import Sampled
from sisock.core.edge import MOST_FOLLOWING, Edge, joined
from sisock.core.model import Span
from sisock.core.reduction import NO_SAMPLES

NO_EDGE = Edge(None, NO_SAMPLES)
OBJECTS_BYTES = 800  # of an edge: its arrays without what they hold, its numbers and itself
LEAST_REACH_S = 1e-9  # brings the first sample and no more
NEARBY = 2.0  # patiences: who looked no longer ago, and at no other window, is somebody who looks on with others


class KeptEdge(NamedTuple):
    """Consecutive samples about the start of a window, which tell the same of windows that begin near it.

    Parameters
    ----------
    window
        For which it was asked.
    edge
        As the node told it.
    asked_at
        When, by the clock that never steps.
    is_final
        Whether no sample will come between those.
    is_cut
        Whether samples are so dense that as many as a node sends do not reach to the windows of the next moment.
    since
        The start of the earliest window of which it tells, UNIX seconds.
    """

    window: Span
    edge: Edge
    asked_at: float
    is_final: bool
    is_cut: bool
    since: float

    @classmethod
    def of(cls, window: Span, edge: Edge, asked_at: float, final_until: float) -> KeptEdge:
        """Keep an edge of data that are final until a time, UNIX seconds."""
        times = edge.following[0]
        reach = float(times[-1]) if times.size else window[1]
        return cls(window, edge, asked_at, reach <= final_until, times.size >= MOST_FOLLOWING, window[0])

    def beside(self, former: KeptEdge | None, margin_s: float) -> KeptEdge:
        """Return this with what a former one tells of windows that begin up to so many seconds earlier.

        The clocks of people who look at one panel differ, so that windows do not come in the order of their starts.
        """
        start, following = self.window[0], self.edge.following
        if former is None or not following[0].size or self.is_cut:
            return self
        if former.is_cut and following[0].size == 1:  # no more was asked for
            return self._replace(is_cut=bool(following[0][0] - start <= margin_s / MOST_FOLLOWING))
        if not (self.is_final and former.is_final):
            return self
        low = max(former.since, start - margin_s)
        earlier = former.at((low, start)) if low < start <= former.reach else None
        if earlier is None or (self.edge.before is not None and earlier.before is None):
            return self
        return self._replace(edge=Edge(earlier.before, joined(earlier.following, following)), since=low)

    @property
    def reach(self) -> float:
        """Return the start, UNIX seconds, of the last window of which it tells the first sample."""
        times = self.edge.following[0]
        return float(times[-1]) if times.size else self.window[1]

    @property
    def size_bytes(self) -> int:
        """Return the memory that it takes, texts apart."""
        return OBJECTS_BYTES + 16 * self.edge.following[0].size

    def at(self, window: Span) -> Edge | None:
        """Return the edge of another window; None where it does not follow from this one."""
        start, end = window
        before, (times, values) = self.edge.before, self.edge.following
        low = self.since if before is None else before[0][0] if before[0].size else -math.inf
        high = times[-1] if times.size else self.window[1]
        if not (low < start <= high or start == self.since) or (not times.size and end > self.window[1]):
            return None
        place = times.searchsorted(start)
        stop = times.size if end > high else times.searchsorted(end)
        if place:
            before = times[place - 1 : place], values[place - 1 : place]
        return Edge(before, (times[place:stop], values[place:stop]))

    def lacking_s(self, start: float, now: float, patience_s: float) -> float:
        """Return how far an edge should reach that is asked for now: not at all where this one does for a moment.

        Who looks alone needs the first sample only; where several look, the next ones are spared a call, unless the
        samples are too dense for that.
        """
        if self.is_final and start + patience_s <= self.reach:
            return 0.0
        near_s = NEARBY * patience_s
        shared = abs(start - self.window[0]) <= near_s and 0 <= now - self.asked_at <= near_s
        return patience_s if shared and not self.is_cut else LEAST_REACH_S

    def serves(self, start: float, patience_s: float) -> bool:
        """Tell whether a window goes without its first sample: the kept ones are too many to reach to its start."""
        return self.is_cut and 0 < start - self.window[0] <= patience_s


def add_first(drawn: Sampled, edge: Edge) -> Sampled:
    """Return the samples of a window with its first one at their beginning, unless it is there."""
    times, values = edge.following
    if not times.size or _begins_with(drawn, edge.following):
        return drawn
    return joined((times[:1], values[:1]), drawn)


def add_held(drawn: Sampled, edge: Edge, start: float) -> Sampled:
    """Return the samples of a window with what was there before drawn at its start, unless there is one."""
    held = edge.before
    if held is None or not held[0].size or (drawn[0].size and drawn[0][0] <= start):
        return drawn
    return joined((np.array([start]), held[1]), drawn)


def _begins_with(drawn: Sampled, following: Sampled) -> bool:
    """Tell whether the first sample is drawn already, or is newer than what is: then that is of another moment."""
    times, values = drawn
    if not times.size or following[0][0] > times[0]:
        return bool(times.size)
    return bool(following[0][0] == times[0] and (following[1][0] == values[0] or following[1][0] != following[1][0]))
