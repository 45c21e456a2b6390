"""The cells of a grid that all series of a request have in common, so that they can be joined; pure.

A value in a cell stands at the cell's start, or at the window's start in the first one. Nodes and what is kept of
their answers know nothing of cells: they are asked for buckets aligned to the epoch, of which each cell is made.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sisock.core.model import Times
from sisock.core.times import LADDER, bucket_edges, bucket_number, ladder_stride, stride_for_points

FEW_PARTS = 512  # of a window that is cut into few cells of equal length
SLACK = 1.1  # samples that come a little late leave no cell empty
CLOSE = 1.001  # a mean spacing is never the exact one
FEWEST_CELLS = 8


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of a grid that a window touches.

    Parameters
    ----------
    start, end
        Of the window, UNIX seconds.
    edges
        Shape (n + 1,), ascending: cell i is [edges[i], edges[i + 1]). The first one has the window's start in it.
    part_s
        Width of the buckets that nodes are asked for, seconds; each edge is the start of one.
    remarks
        What a viewer should know of the cells, in words.
    """

    start: float
    end: float
    edges: Times
    part_s: float
    remarks: tuple[str, ...] = ()

    @cached_property
    def times(self) -> Times:
        """The times at which the values of the cells stand, UNIX seconds."""
        return np.maximum(self.edges[:-1], self.start)

    @cached_property
    def parts(self) -> int:
        """The number of buckets that all cells are made of that the window touches."""
        first, stop = _touched(self.start, self.end, self.part_s)
        return stop - first

    @cached_property
    def whole(self) -> bool:
        """Whether each cell is one of the buckets that nodes are asked for."""
        first, stop = (bucket_number(float(edge), self.part_s) for edge in self.edges[[0, -1]])
        return stop - first == self.times.size

    @property
    def is_cut(self) -> tuple[bool, bool]:
        """Whether the window cuts the first and the last of them."""
        return bool(self.edges[0] < self.start), bool(self.end < self.edges[-1])

    @property
    def longest_s(self) -> float:
        """Return the length of the longest cell, seconds."""
        return self.part_s if self.whole else float(np.diff(self.edges).max())

    def of(self, times: Times) -> NDArray[np.intp]:
        """Return the number of the cell of each time in the window."""
        numbers: NDArray[np.intp] = self.edges.searchsorted(times, side="right") - 1
        return numbers


def aligned_cells(start: float, end: float, width: float, remarks: tuple[str, ...] = ()) -> Cells:
    """Return the buckets of a width that [start, end) touches, as cells."""
    first, stop = _touched(start, end, width)
    return Cells(start, end, bucket_edges(first, stop, width), width, remarks)


def equal_cells(start: float, end: float, count: int) -> Cells:
    """Return so many cells of about the same length."""
    part_s = stride_for_points(start, end, FEW_PARTS, 1, 1)
    return Cells(start, end, equal_edges(start, end, count, part_s), part_s)


def equal_edges(start: float, end: float, count: int, width: float) -> Times:
    """Return the edges of parts of a window as equal as whole buckets of a width allow; fewer where there are few."""
    first, stop = _touched(start, end, width)
    # Parts of whole buckets, not of seconds: only so does a node's bucket never lie in two of them.
    numbers = np.rint(np.linspace(first, stop, min(count, stop - first) + 1))
    edges: Times = numbers * width
    return edges


def choose_cells(
    start: float, end: float, max_points: int, intervals_s: Iterable[float] = (), least_s: float = 0.0
) -> Cells:
    """Return the finest cells of which a window has at most ``max_points``.

    They are buckets of a step of the ladder, no shorter than the slowest series' interval, so that none is empty
    where nothing is missing; or as long as somebody wants, where that fits. Fewer than eight are equal parts of the
    window.

    Parameters
    ----------
    intervals_s
        Mean spacings of the series, seconds.
    least_s
        The shortest that somebody wants, seconds; it need not be a step of the ladder.
    """
    interval_s = max(intervals_s, default=0.0)
    slowest_s = interval_s * SLACK
    if max_points < FEWEST_CELLS:
        shortest_s = max(slowest_s, least_s)
        room = (end - start) / shortest_s if shortest_s else math.inf
        return equal_cells(start, end, max(min(max_points, math.floor(min(room, max_points))), 1))
    # What somebody wants holds exactly, also where it is no step of the ladder.
    if least_s and least_s * CLOSE >= interval_s and math.ceil((end - start) / least_s) < max_points:
        return aligned_cells(start, end, least_s)
    # One more than may be drawn: on a grid the newest sample has no point of its own.
    width = stride_for_points(start, end, max_points + 1, 1, 1)
    if slowest_s > width:
        width = ladder_stride(min(slowest_s, LADDER[-1]))
    return aligned_cells(start, end, max(width, least_s))


def _touched(start: float, end: float, width: float) -> tuple[int, int]:
    """Return the number of the first bucket of a width that [start, end) touches, and the one behind the last."""
    first, stop = bucket_number(start, width), bucket_number(end, width)
    return first, stop + (stop * width < end)
