"""Drawing series on a grid: which cells they get, what is asked for so that these can be made, and making them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

from twisted.internet.defer import Deferred, gatherResults

from sisock.core.model import Span
from sisock.gateway.directory import Directory
from sisock.gateway.drawing.cells import Cells, choose_cells
from sisock.gateway.drawing.laying import by_bucket, lay, parts_of, seam
from sisock.gateway.drawing.planner import STATE_REDUCER, Asked, Drawing, Resolution, SeriesWanted, clamp_points
from sisock.gateway.drawing.series import Answer, DrawnSeries, Series, splice_all, splice_by

FEWEST_ON_GRID = 8
# Of one request, which cells are made of: some 80 MB, held while it is drawn.
MOST_PART_VALUES = 5_000_000

AskAll = Callable[[Asked, Resolution], Deferred[DrawnSeries]]
DrawPlainly = Callable[[Asked, Drawing], Deferred[Answer]]
Noted = Callable[[Series, Span, Drawing], Series]


class Gridder:
    """Draws on grids, by the help of a gateway.

    Parameters
    ----------
    directory
        Knows the fields.
    now
        Returns the present, UNIX seconds.
    ask_all
        Asks all nodes for some series.
    draw_plainly
        Draws series where they were measured.
    noted
        Returns a series, as its samples came, with what its viewer should know of their age.
    """

    def __init__(
        self,
        directory: Directory,
        now: Callable[[], float],
        ask_all: AskAll,
        draw_plainly: DrawPlainly,
        noted: Noted,
    ) -> None:
        self._directory = directory
        self._now = now
        self._ask_all = ask_all
        self._draw_plainly = draw_plainly
        self._noted = noted

    def cells(
        self,
        drawn: Mapping[Drawing, Iterable[SeriesWanted]],
        start: float,
        end: float,
        max_points: int | None,
        least_s: float = 0.0,
    ) -> dict[Drawing, Cells]:
        """Return the grid of each drawing that is on one, of [start, end), which is not empty.

        All for which nobody chose the length of cells have the same.
        """
        points = clamp_points(max_points)
        on_grid = {drawing: series for drawing, series in drawn.items() if drawing.on_grid}
        common = [drawing for drawing in on_grid if drawing.every is None]
        cells: dict[Drawing, Cells] = {}
        if common:
            known = self._intervals_s(one for drawing in common for one in on_grid[drawing])
            if not any(drawing.align for drawing in common):
                # Who did not ask for a grid need not have the series that hardly have a sample here on it.
                known = [interval_s for interval_s in known if interval_s * FEWEST_ON_GRID <= end - start]
            cells = dict.fromkeys(common, choose_cells(start, end, points, known, least_s))
        chosen = {drawing.every: drawing.every.cells(start, end, points) for drawing in on_grid if drawing.every}
        return cells | {drawing: chosen[drawing.every] for drawing in on_grid if drawing.every}

    async def draw(self, asked: Asked, drawing: Drawing, cells: Cells) -> Answer:
        """Return numbers as one value a cell, and states so where somebody wants a grid."""
        states = [one for one in asked.series if self._is_state(one)]
        others = [one for one in asked.series if one not in states] if states else asked.series
        asking = [self._laid(asked.of(others), drawing.grid_reducer, drawing, cells)] if others else []
        if states and drawing.aligns:
            asking.append(self._laid(asked.of(states), STATE_REDUCER, drawing, cells))
        elif states:
            asking.append(self._draw_plainly(asked.of(states), drawing))
        answers: list[Answer] = await gatherResults(asking, consumeErrors=True)
        by_series = {one.wanted: one for answer in answers for one in answer.series}
        return Answer(tuple(by_series[one] for one in asked.series), asked.start, asked.end)

    def _intervals_s(self, series: Iterable[SeriesWanted]) -> list[float]:
        intervals_s = (self._directory.interval_s(part) for one in series for part in one.parts)
        return [interval_s for interval_s in intervals_s if interval_s]

    def _is_state(self, wanted: SeriesWanted) -> bool:
        field = self._directory.field(wanted)
        return field is not None and field.type != "number"

    async def _laid_all(self, asked: Asked, reducer: str, drawing: Drawing, cells: Cells) -> Answer:
        names = parts_of(reducer, cells)
        if not cells.whole and cells.parts * len(asked.series) * len(names) > MOST_PART_VALUES:
            return Answer(tuple(map(self._too_many, asked.series)), asked.start, asked.end)
        resolutions = [Resolution(name, cells.part_s, cells.parts, drawing.before, on_grid=True) for name in names]
        # A mean of cells needs the counts of their buckets as well: each reducer is a query of its own, side by side.
        outcomes = await gatherResults([self._ask_all(asked, one) for one in resolutions], consumeErrors=True)
        drawn = dict(zip(names, outcomes, strict=True))
        lay_one = partial(self._lay, drawn=drawn, reducer=reducer, drawing=drawing, cells=cells)
        return Answer(tuple(map(lay_one, asked.series)), asked.start, asked.end)

    def _laid(self, asked: Asked, reducer: str, drawing: Drawing, cells: Cells) -> Deferred[Answer]:
        return Deferred.fromCoroutine(self._laid_all(asked, reducer, drawing, cells))

    def _lay(
        self, wanted: SeriesWanted, drawn: Mapping[str, DrawnSeries], reducer: str, drawing: Drawing, cells: Cells
    ) -> Series:
        # As it was measured, for its age; few, so that splicing does not reduce it once more.
        resolution = Resolution(reducer, cells.part_s, cells.parts, few=True)
        (measured,) = splice_all([wanted], drawn[reducer], resolution)
        noted = self._noted(measured, (cells.start, cells.end), drawing)
        series = {name: _by_bucket(wanted, one, cells, name) for name, one in drawn.items()}
        nulls = drawing.breaks and (drawing.aligns or noted.interval_s is not None)
        laid = lay(series, reducer, cells, nulls=nulls, until=self._now())
        return replace(laid, notices=tuple(dict.fromkeys((*noted.notices, *laid.notices, *cells.remarks))))

    def _too_many(self, wanted: SeriesWanted) -> Series:
        problem = (
            "cells of this length are made of too many parts for so long a range and so many series: ask for fewer"
        )
        return Series.missing(wanted, problem, self._directory.field(wanted))


def _by_bucket(wanted: SeriesWanted, drawn: DrawnSeries, cells: Cells, reducer: str) -> Series:
    """Return a series with one value for each bucket, spliced of its parts."""
    parts = [by_bucket(drawn[part], cells.part_s) for part in wanted.parts]
    if len(parts) == 1:
        return parts[0]
    return splice_by(wanted, parts, partial(seam, part_s=cells.part_s, reducer=reducer, until=cells.end))
