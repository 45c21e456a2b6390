"""From the series that were chosen to a reply: all that are drawn in the same way are asked for at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from twisted.internet.defer import gatherResults

from grafana_json import replies
from grafana_json.replies import PointsWriter
from grafana_json.requests import Query
from grafana_json.resolve import ResolvedTarget
from sisock.core.errors import BadRequest
from sisock.gateway.drawing.cells import Cells
from sisock.gateway.drawing.laying import with_ragged_ends, without_times
from sisock.gateway.drawing.planner import Drawing, SeriesWanted
from sisock.gateway.drawing.series import Answer, Series
from sisock.gateway.gateway import Gateway

MOST_SERIES_IN_A_REQUEST = 1000

DrawnPanel = Mapping[Drawing, Mapping[SeriesWanted, Series]]
DrawnLine = tuple[Series, str]
"""A series that is drawn, and what is put behind its legend."""


async def draw_panel(gateway: Gateway, query: Query, choices: Sequence[ResolvedTarget]) -> DrawnPanel:
    """Ask for all series of some choices; BadRequest when they are too many for one request."""
    groups: dict[Drawing, dict[SeriesWanted, None]] = {}
    for choice in choices:
        for drawing in choice.target.options.drawings:
            groups.setdefault(drawing, {}).update(dict.fromkeys(choice.wanted))
    count = sum(len(group) for group in groups.values())
    if count > MOST_SERIES_IN_A_REQUEST:
        raise BadRequest(f"the targets match {count} series, over {MOST_SERIES_IN_A_REQUEST}: narrow them")
    cells = _cells(gateway, query, groups)
    asked = [
        gateway.query(
            list(group),
            query.start,
            query.end,
            query.max_points,
            drawing,
            cells=cells.get(drawing),
            least_s=query.least_s if query.is_sure else 0.0,
        )
        for drawing, group in groups.items()
    ]
    # Most panels draw in one way only, and gathering costs as much as all the rest here.
    answers: list[Answer] = [await asked[0]] if len(asked) == 1 else await gatherResults(asked)
    found = [{series.wanted: series for series in answer.series} for answer in answers]
    drawn = dict(zip(groups, found, strict=True))
    return _with_even_ends(drawn, cells, gateway.now()) if cells else drawn


def _with_even_ends(drawn: DrawnPanel, cells: Mapping[Drawing, Cells], now: float) -> DrawnPanel:
    """Leave out the cells at the ends of the window in which some of the series on a grid have no value yet."""
    even = dict(drawn)
    for grid in dict.fromkeys(cells.values()):
        members = [drawing for drawing, own in cells.items() if own is grid]
        on_grid = [one for drawing in members for one in drawn[drawing].values() if _is_on_grid(one, drawing)]
        left_out = with_ragged_ends(on_grid, grid, now)
        if left_out:
            for drawing in members:
                even[drawing] = {
                    wanted: without_times(one, left_out) if _is_on_grid(one, drawing) else one
                    for wanted, one in drawn[drawing].items()
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
    return gateway.cells(groups, query.start, query.end, query.max_points, query.least_s)


def count_points(choices: Sequence[ResolvedTarget], drawn: DrawnPanel) -> int:
    """Return the points of a reply, in which a series may stand several times."""
    return sum(series.times.size for choice in choices for series, _ in lines(choice, drawn))


def encode_panel(
    choices: Sequence[ResolvedTarget], drawn: DrawnPanel, points: PointsWriter = replies.as_pairs
) -> bytes:
    """Return the reply, with points as they are written by ``points``."""
    return replies.encode([entry for choice in choices for entry in _entries(choice, drawn, points)])


def encode_panel_apart(choices: Sequence[ResolvedTarget], drawn: DrawnPanel) -> bytes:
    """Return the same, made of one series after the other, between which other threads go on."""
    return b"[%b]" % b",".join(replies.encode(entry) for choice in choices for entry in _entries(choice, drawn))


def lines(choice: ResolvedTarget, drawn: DrawnPanel) -> Iterator[DrawnLine]:
    """Yield the series of a choice: one for each field, or the parts of its band from below; states have no band."""
    ways = [(drawn[drawing], ending) for drawing, ending in choice.target.options.drawings.items()]
    for wanted in choice.wanted:
        parts = [(found[wanted], ending) for found, ending in ways]
        middle = parts[len(parts) // 2][0]
        if len(parts) == 1 or middle.type != "number" or not any(part.times.size for part, _ in parts):
            yield middle, ""
        else:
            yield from ((part if part is middle else _quiet(part, middle), ending) for part, ending in parts)


def _entries(
    choice: ResolvedTarget, drawn: DrawnPanel, points: PointsWriter = replies.as_pairs
) -> Iterator[replies.Entry]:
    """Yield what a target gets; what is to be said of all of it is said with the first series."""
    said = choice.notices
    for series, ending in lines(choice, drawn):
        yield replies.series_entry(choice.target, series, said, ending, points)
        said = ()
    if not choice.wanted:
        yield replies.notices_entry(choice.target, said)


def _quiet(series: Series, other: Series) -> Series:
    """Return a series that says nothing which another says too."""
    notices = tuple(text for text in series.notices if text not in other.notices)
    return replace(series, notices=notices, problem=None if series.problem == other.problem else series.problem)
