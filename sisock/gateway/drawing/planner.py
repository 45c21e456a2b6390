"""The series that are wanted of the gateway, how finely they are drawn, and the query for each node; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import NamedTuple

from sisock.core.model import DataRequest, FieldCatalogue, FieldType
from sisock.core.reduce.reducers import find_reducer
from sisock.gateway.drawing.every import Every

SEPARATOR = "::"
# No node has it in its name.
SPLICE = "+"
DEFAULT_POINTS = 1000
MOST_POINTS = 50_000
FEWEST_REDUCED = 8
# What holds at the window's start, and the first sample; where there are so many points, they are no great part.
EDGE_POINTS = 2
ROOM_FOR_EDGE = 16
POINTS_FOR_FEW = 1000
DEFAULT_REDUCER = "minmax"
# What is drawn of few points, where nobody asked for a reducer: the last values.
FEW_REDUCER = "last"
# What a cell of a grid has of numbers, where a reducer keeps several samples; and of states, which hold.
GRID_REDUCER = "mean"
STATE_REDUCER = "last"
# About 4 MB packed as JSON, well inside every node's allowance.
POINTS_IN_A_CALL = 200_000


@dataclass(frozen=True)
class SeriesWanted:
    """One field of one node; or one quantity of several nodes, ``archive+live``, as a single series."""

    node: str
    field: str

    # Both are asked for at each refresh, of the same objects.
    @cached_property
    def target(self) -> str:
        """The name that panels use, ``node::field``."""
        return f"{self.node}{SEPARATOR}{self.field}"

    @cached_property
    def parts(self) -> tuple[SeriesWanted, ...]:
        """The series of single nodes: itself, or each part of a spliced series."""
        if SPLICE not in self.node:
            return (self,)
        return tuple(SeriesWanted(node, self.field) for node in self.node.split(SPLICE))


@dataclass(frozen=True)
class Drawing:
    """A way to draw series.

    Parameters
    ----------
    reducer
        Its name in :data:`sisock.core.reduce.reducers.REDUCERS`.
    breaks
        Whether the line is broken where data are missing.
    before
        Whether what holds at the window's start is drawn there; None for where that is usual, see
        :meth:`Resolution.holds`.
    align
        Whether the series stand on a grid that all series of a request have in common. A reducer that keeps several
        samples of a bucket has no place there: the mean is drawn.
    chosen
        Whether somebody asked for this reducer, so that it holds for few points as well.
    every
        The length of the grid's cells that somebody wants; None for one that the panel's width allows.
    """

    reducer: str = DEFAULT_REDUCER
    breaks: bool = True
    before: bool | None = None
    align: bool = False
    chosen: bool = False
    every: Every | None = None

    @property
    def aligns(self) -> bool:
        """Whether everything is drawn on a grid, because somebody wants one."""
        return self.align or self.every is not None

    @property
    def grid_reducer(self) -> str:
        """Return the reducer that numbers are drawn by on a grid."""
        return self.reducer if find_reducer(self.reducer).numbers.samples_per_bucket == 1 else GRID_REDUCER

    @property
    def on_grid(self) -> bool:
        """Whether numbers are drawn as one value a cell: all that is made of buckets is."""
        return self.aligns or not find_reducer(self.reducer).numbers.chooses


PLAIN = Drawing()
NEWEST = Drawing(before=False)
"""For the newest sample inside a window, with a point."""


class Buckets(NamedTuple):
    """The buckets that a field is reduced on, and how.

    Parameters
    ----------
    width_s
        Seconds.
    chooses
        Whether samples are chosen, such that the choice from many is the choice from some of them, if it lies among
        those.
    looks_ahead
        Whether few samples tell what is kept of each later part of a bucket.
    """

    width_s: float
    chooses: bool
    looks_ahead: bool


@dataclass(frozen=True)
class Resolution:
    """The resolution of a drawn span; the same for every type of field, so that one call of a node gets them all.

    Parameters
    ----------
    reducer
        Its name in :data:`sisock.core.reduce.reducers.REDUCERS`.
    stride_s
        A step of the ladder, such that no field needs more than ``max_points``.
    max_points
        The most samples of one series, with the newest, the first, what holds at the start, and the breaks.
    before
        As in :class:`Drawing`.
    on_grid
        Whether the buckets are those of cells, of which there are no more than may be drawn.
    few
        Whether these are the parts that a few points are chosen from.
    """

    reducer: str
    stride_s: float
    max_points: int
    before: bool | None = None
    on_grid: bool = False
    few: bool = False

    @property
    def points(self) -> int:
        """Return the most samples of one series that are asked for."""
        return POINTS_FOR_FEW if self.few else self.max_points

    def buckets(self, field_type: FieldType) -> Buckets:
        """Return the buckets that a field of this type is reduced on."""
        return _buckets(self.reducer, self.stride_s, field_type)

    def holds(self, field_type: FieldType, interval_s: float | None, span_s: float) -> bool:
        """Tell whether what holds at the window's start is drawn there; never among values made of buckets.

        It is of states, of a few points such as a stat panel's, and of fields slower than the window is long; but not
        where a choice among samples was asked for, of which that would be none.

        Parameters
        ----------
        interval_s, span_s
            Of the field, None where it is not known; length of the window, seconds.
        """
        if field_type == "number" and not self.buckets(field_type).chooses:
            return False
        if self.before is not None:
            return self.before
        if field_type != "number":
            return True
        if self.on_grid or (self.few and self.reducer != FEW_REDUCER):
            return False
        return self.max_points < FEWEST_REDUCED or (interval_s or 0.0) >= span_s


def clamp_points(max_points: int | None) -> int:
    """Return a number of points that can be served, whatever was asked for."""
    return DEFAULT_POINTS if max_points is None else min(max(max_points, 1), MOST_POINTS)


@lru_cache
def _buckets(reducer: str, stride_s: float, field_type: FieldType) -> Buckets:
    selection = find_reducer(reducer).for_type(field_type)
    return Buckets(selection.width(stride_s), selection.chooses, selection.looks_ahead)


def choose_resolution(
    start: float,
    end: float,
    max_points: int,
    reducer: str = DEFAULT_REDUCER,
    *,
    chosen: bool = False,
    least_s: float = 0.0,
    before: bool | None = None,
) -> Resolution:
    """Return the finest resolution of the ladder with which no series exceeds ``max_points``.

    For fewer than eight points a reducer that was not asked for becomes ``last``, on the buckets of eight: the newest
    of them are kept. One that was asked for gets many fine buckets, from whose samples it chooses few.

    Parameters
    ----------
    chosen
        Whether somebody asked for the reducer.
    least_s
        The shortest stride that somebody wants, seconds; it need not be a step of the ladder.
    """
    if max_points < max(FEWEST_REDUCED, find_reducer(reducer).fewest_points):
        if chosen:
            stride_s = _stride(start, end, POINTS_FOR_FEW, reducer)
            return Resolution(reducer, stride_s, max_points, before, few=True)
        reducer = FEW_REDUCER
    return Resolution(reducer, max(_stride(start, end, max_points, reducer), least_s), max_points, before)


def _stride(start: float, end: float, max_points: int, reducer: str) -> float:
    room = max_points if max_points < ROOM_FOR_EDGE else max_points - EDGE_POINTS
    return find_reducer(reducer).stride_for_points(start, end, max(room, FEWEST_REDUCED))


@dataclass(frozen=True)
class Asked:
    """Series that are asked for inside [start, end), and until when answers are waited for, by the gateway's clock.

    ``least_s`` is the shortest stride that somebody wants, seconds.
    """

    series: tuple[SeriesWanted, ...]
    start: float
    end: float
    max_points: int
    until: float
    least_s: float = 0.0

    def of(self, series: Iterable[SeriesWanted]) -> Asked:
        """Return the same for some of the series."""
        return replace(self, series=tuple(series))


@dataclass(frozen=True)
class NodeQuery:
    """One call of one node."""

    node: str
    request: DataRequest
    resolution: Resolution

    def holding(self, catalogue: FieldCatalogue) -> set[str]:
        """Return the fields of which what holds at the window's start is drawn there."""
        span_s = self.request.end - self.request.start
        names = set()
        for name in self.request.fields:
            field = catalogue.find(name)
            interval_s = catalogue.timelines[field.timeline].interval_s if field else None
            if self.resolution.holds(field.type if field else "number", interval_s, span_s):
                names.add(name)
        return names


def plan(wanted: Sequence[SeriesWanted], start: float, end: float, resolution: Resolution) -> list[NodeQuery]:
    """Return the queries, each field once, in the order in which the nodes are first wanted."""
    fields_of: dict[str, dict[str, None]] = {}
    for one in wanted:
        fields_of.setdefault(one.node, {})[one.field] = None
    fields_in_a_call = max(POINTS_IN_A_CALL // resolution.points, 1)
    queries = []
    for node, fields in fields_of.items():
        names = tuple(fields)
        for first in range(0, len(names), fields_in_a_call):
            part = names[first : first + fields_in_a_call]
            request = DataRequest(part, start, end, resolution.stride_s, resolution.reducer, packed=True)
            queries.append(NodeQuery(node, request, resolution))
    return queries
