"""The annotations that a query asks for, drawn from the changes of series and from the comings of nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from grafana_json.annotations import Annotation, limit, mark, mark_nodes, parse_annotation
from grafana_json.choosing import Chooser
from grafana_json.drawing import draw
from grafana_json.protocol import Query, Target
from grafana_json.source import Source

POINTS_FOR_ANNOTATIONS = 20_000
PLAINLY_DRAWN: Mapping[str, Any] = {
    "reducer": "minmax",
    "connect": False,
    "align": False,
    "every": None,
    "chosen": False,
    "before": True,
}


async def annotate(
    source: Source, chooser: Chooser, query: Query, target: Target
) -> tuple[list[Annotation], list[str]]:
    """Return the annotations of one target, and in words what could not be marked."""
    asked = parse_annotation(target.texts[0], changes=target.options.changes)
    if asked.kind == "nodes":
        marks = mark_nodes(asked, source.history(), query.start, query.end)
        return limit(marks), []
    plain = replace(target, text=asked.target, options=replace(target.options, metrics=(), **PLAINLY_DRAWN))
    (choice,) = await chooser.choose(replace(query, targets=(plain,)))
    points = max(POINTS_FOR_ANNOTATIONS // max(len(choice.wanted), 1), 1000)
    drawn = await draw(source, replace(query, max_points=points, least_s=0.0), [choice])
    until = min(query.end, max(source.now(), query.start))  # a state that lasts, lasts until now
    problems = [notice.text for notice in choice.notices if notice.severity == "error"]
    marks = []
    for series in (series for found in drawn.values() for series in found.values()):
        found = mark(asked, series, until)
        problems += [series.problem] if series.problem else []
        problems += [found] if isinstance(found, str) else []
        marks += [] if isinstance(found, str) else found
    return limit(marks), problems
