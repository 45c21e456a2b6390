"""From the series that are wanted to the questions for each node; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sisock.core.model import DataRequest, FieldCatalogue
from sisock.gateway.drawing.resolution import Resolution
from sisock.gateway.drawing.series import SeriesWanted

POINTS_IN_A_CALL = 200_000  # about 4 MB packed as JSON, well inside every node's allowance


@dataclass(frozen=True)
class Asked:
    """What is asked for inside [start, end), and until when answers are waited for, by the gateway's clock.

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
class NodeQuestion:
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


def plan(wanted: Sequence[SeriesWanted], start: float, end: float, resolution: Resolution) -> list[NodeQuestion]:
    """Return the questions, each field once, in the order in which the nodes are first wanted."""
    fields_of: dict[str, dict[str, None]] = {}
    for one in wanted:
        fields_of.setdefault(one.node, {})[one.field] = None
    fields_in_a_call = max(POINTS_IN_A_CALL // resolution.points, 1)
    questions = []
    for node, fields in fields_of.items():
        names = tuple(fields)
        for first in range(0, len(names), fields_in_a_call):
            part = names[first : first + fields_in_a_call]
            request = DataRequest(part, start, end, resolution.stride_s, resolution.reducer, packed=True)
            questions.append(NodeQuestion(node, request, resolution))
    return questions
