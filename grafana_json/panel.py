"""From the series of each target to a reply: all that are drawn in the same way are asked for at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from twisted.internet.defer import gatherResults

from grafana_json import replies
from grafana_json.replies import Notice, PointsWriter
from grafana_json.requests import Query
from grafana_json.resolve import ResolvedTarget
from sisock.core.errors import BadRequest
from sisock.gateway.drawing.cells import Cells
from sisock.gateway.drawing.laying import with_ragged_ends, without_times
from sisock.gateway.drawing.planner import Drawing, SeriesWanted
from sisock.gateway.drawing.series import Answer, Series
from sisock.gateway.gateway import Gateway

MOST_SERIES_IN_A_REQUEST = 1000

Panel = Mapping[Drawing, Mapping[SeriesWanted, Series]]
"""The series of a panel, by the way in which they are drawn."""
Line = tuple[Series, str]
"""A series, and the ending of its legend."""


async def draw_panel(gateway: Gateway, query: Query, resolved: Sequence[ResolvedTarget]) -> Panel:
    """Ask for all series of some targets; BadRequest when they are too many for one request."""
    groups: dict[Drawing, dict[SeriesWanted, None]] = {}
    for one in resolved:
        for drawing in one.target.options.drawings:
            groups.setdefault(drawing, {}).update(dict.fromkeys(one.wanted))
    count = sum(len(group) for group in groups.values())
    if count > MOST_SERIES_IN_A_REQUEST:
        raise BadRequest(f"the targets match {count} series, over {MOST_SERIES_IN_A_REQUEST}: narrow them")
    cells = _cells(gateway, query, groups)
    # Samples are passed over only for a minimum interval that somebody surely set; cells may be longer in any case.
    least_s = query.least_s if query.is_sure else 0.0
    span = (query.start, query.end)
    asked = [
        gateway.query(list(group), *span, query.max_points, drawing, cells=cells.get(drawing), least_s=least_s)
        for drawing, group in groups.items()
    ]
    # Most panels draw in one way only, and gathering costs as much as all the rest here.
    answers: list[Answer] = [await asked[0]] if len(asked) == 1 else await gatherResults(asked)
    by_series = [{series.wanted: series for series in answer.series} for answer in answers]
    panel = dict(zip(groups, by_series, strict=True))
    return _with_even_ends(panel, cells, gateway.now()) if cells else panel


def _with_even_ends(panel: Panel, cells: Mapping[Drawing, Cells], now: float) -> Panel:
    """Leave out the cells at the ends of the window in which some of the series on a grid have no value yet."""
    even = dict(panel)
    # Drawings of one grid are evened together: their series stand in the same rows of a table.
    for grid in dict.fromkeys(cells.values()):
        members = [drawing for drawing, own in cells.items() if own is grid]
        on_grid = [one for drawing in members for one in panel[drawing].values() if _is_on_grid(one, drawing)]
        left_out = with_ragged_ends(on_grid, grid, now)
        if left_out:
            for drawing in members:
                even[drawing] = {
                    wanted: without_times(one, left_out) if _is_on_grid(one, drawing) else one
                    for wanted, one in panel[drawing].items()
                }
    return even


def _is_on_grid(series: Series, drawing: Drawing) -> bool:
    return drawing.aligns or (drawing.on_grid and series.type == "number")


def _cells(
    gateway: Gateway, query: Query, groups: Mapping[Drawing, Iterable[SeriesWanted]]
) -> Mapping[Drawing, Cells]:
    """Return the grid of each drawing that is on one."""
    if not query.end > query.start or not any(drawing.on_grid for drawing in groups):
        return {}
    return gateway.gridder.cells(groups, query.start, query.end, query.max_points, query.least_s)


def count_points(resolved: Sequence[ResolvedTarget], panel: Panel) -> int:
    """Return the points of a reply, in which a series may stand several times."""
    return sum(series.times.size for one in resolved for series, _ in lines(one, panel))


def encode_panel(resolved: Sequence[ResolvedTarget], panel: Panel, points: PointsWriter = replies.as_pairs) -> bytes:
    """Return the reply, with points as they are written by ``points``."""
    return replies.encode([entry for one in resolved for entry in _entries(one, panel, points)])


def encode_panel_apart(resolved: Sequence[ResolvedTarget], panel: Panel) -> bytes:
    """Return the same, one series after the other, between which other threads go on."""
    return b"[%b]" % b",".join(replies.encode(entry) for one in resolved for entry in _entries(one, panel))


def lines(resolved: ResolvedTarget, panel: Panel) -> Iterator[Line]:
    """Yield the lines of a target: one for each field, or the parts of its band from below; states have no band."""
    ways = [(panel[drawing], ending) for drawing, ending in resolved.target.options.drawings.items()]
    for wanted in resolved.wanted:
        parts = [(by_series[wanted], ending) for by_series, ending in ways]
        middle = parts[len(parts) // 2][0]
        # Where nothing came, one line is enough to say why.
        if len(parts) == 1 or middle.type != "number" or not any(part.times.size for part, _ in parts):
            yield middle, ""
        else:
            yield from (
                (part if part is middle else _without_notices_of(middle, part), ending) for part, ending in parts
            )


def _entries(
    resolved: ResolvedTarget, panel: Panel, points: PointsWriter = replies.as_pairs
) -> Iterator[replies.Entry]:
    """Yield the entries of a target; notices of all of it come with the first series."""
    notices: Sequence[Notice] = resolved.notices
    for series, ending in lines(resolved, panel):
        yield replies.series_entry(resolved.target, series, notices, ending, points)
        notices = ()
    if not resolved.wanted:
        yield replies.notices_entry(resolved.target, notices)


def _without_notices_of(other: Series, series: Series) -> Series:
    """Return a series without the notices and the problem that another has too."""
    notices = tuple(text for text in series.notices if text not in other.notices)
    return replace(series, notices=notices, problem=None if series.problem == other.problem else series.problem)
