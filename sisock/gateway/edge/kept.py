"""What lies at the start of windows, as it is kept and drawn; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sisock.core.model import Span
from sisock.core.reduce.reducers import Samples
from sisock.core.window.edge import MOST_FOLLOWING, Edge, join_edges
from sisock.core.window.spans import NO_SAMPLES

NO_EDGE = Edge(None, NO_SAMPLES)
EDGE_OBJECT_BYTES = 800  # of an edge: its arrays without what they hold, its numbers and itself
MOST_EDGES = 16  # of one series
LEAST_REACH_S = 1e-9  # brings the first sample and no more
DENSE_REACH = 2.0  # spacings: what comes tells whether samples are still dense
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
    """

    window: Span
    edge: Edge
    asked_at: float
    is_final: bool

    @classmethod
    def of(cls, window: Span, edge: Edge, asked_at: float, final_until: float) -> KeptEdge:
        """Keep an edge of data that are final until a time, UNIX seconds."""
        kept = cls(window, edge, asked_at, is_final=False)
        return kept._replace(is_final=kept.reach <= final_until)

    @property
    def reach(self) -> float:
        """Return the start, UNIX seconds, of the last window of which it tells the first sample."""
        times = self.edge.following[0]
        return float(times[-1]) if times.size else self.window[1]

    @property
    def spacing_s(self) -> float:
        """Return the mean spacing of the first samples, seconds; infinite where there is but one."""
        times = self.edge.following[0]
        return float(times[-1] - times[0]) / (times.size - 1) if times.size > 1 else math.inf

    @property
    def size_bytes(self) -> int:
        """Return the memory that it takes, texts apart."""
        return EDGE_OBJECT_BYTES + 16 * self.edge.following[0].size

    def tells_of(self, start: float) -> bool:
        """Tell whether the first sample of a window that begins here follows from it."""
        before = self.edge.before
        low = self.window[0] if before is None else before[0][0] if before[0].size else -math.inf
        return low < start <= self.reach or start == self.window[0]

    def at(self, window: Span) -> Edge | None:
        """Return the edge of another window; None where it does not follow from this one."""
        start, end = window
        before, (times, values) = self.edge.before, self.edge.following
        if not self.tells_of(start) or (not times.size and end > self.window[1]):
            return None
        place = times.searchsorted(start)
        stop = times.size if not times.size or end > times[-1] else times.searchsorted(end)
        if place:
            before = times[place - 1 : place], values[place - 1 : place]
        return Edge(before, (times[place:stop], values[place:stop]))

    def beside(self, others: Sequence[KeptEdge]) -> KeptEdge:
        """Return it with what was before its window, where that was not asked for and follows from others."""
        if self.edge.before is None:
            for one in others:
                told = one.at(self.window)
                if told is not None and told.before is not None:
                    return self._replace(edge=Edge(told.before, self.edge.following))
        return self

    def is_dense(self, patience_s: float) -> bool:
        """Tell whether as many samples as a node sends do not reach to the windows of the next moment."""
        return self.spacing_s * MOST_FOLLOWING < patience_s

    def serves(self, start: float, patience_s: float) -> bool:
        """Tell whether a window goes without its first sample: the samples are too many to reach to its start."""
        return 0 < start - self.window[0] <= patience_s and self.is_dense(patience_s)


def lacking_s(kept: Sequence[KeptEdge], start: float, now: float, patience_s: float) -> float:
    """Return how far an edge should reach that is asked for now: not at all where what is kept does for a moment.

    Who looks alone needs the first sample only. Where several look, the next ones are spared a call, unless the
    samples are too dense for that.

    Parameters
    ----------
    kept
        The edges of the series, the newest first.
    """
    if any(one.is_final and one.tells_of(start) and start + patience_s <= one.reach for one in kept):
        return 0.0
    near_s = NEARBY * patience_s
    nearby = (one for one in kept if abs(start - one.window[0]) <= near_s and 0 <= now - one.asked_at <= near_s)
    near = next(nearby, None)
    if near is None:
        return LEAST_REACH_S if kept else patience_s
    return max(DENSE_REACH * near.spacing_s, LEAST_REACH_S) if near.is_dense(patience_s) else patience_s


def add_first(drawn: Samples, edge: Edge) -> Samples:
    """Return the samples of a window with its first one at their beginning, unless it is there."""
    times, values = edge.following
    if not times.size or _begins_with(drawn, edge.following):
        return drawn
    return join_edges((times[:1], values[:1]), drawn)


def add_held(drawn: Samples, edge: Edge, start: float) -> Samples:
    """Return the samples of a window with what was there before drawn at its start, unless there is one."""
    held = edge.before
    if held is None or not held[0].size or (drawn[0].size and drawn[0][0] <= start):
        return drawn
    return join_edges((np.array([start]), held[1]), drawn)


def _begins_with(drawn: Samples, following: Samples) -> bool:
    """Tell whether the first sample is drawn already, or is newer than what is: then that is of another moment."""
    times, values = drawn
    if not times.size or following[0][0] > times[0]:
        return bool(times.size)
    return bool(following[0][0] == times[0] and (following[1][0] == values[0] or following[1][0] != following[1][0]))
