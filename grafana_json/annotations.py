"""Annotations of panels: the changes of a field, the crossings of a threshold, the absences of nodes."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from grafana_json.panel import draw_panel
from grafana_json.replies import Entry, milliseconds
from grafana_json.requests import Query, Target
from grafana_json.resolve import Resolver
from grafana_json.targets import find
from sisock.core.model import Values
from sisock.gateway.directory import NodeChange
from sisock.gateway.drawing.series import Series
from sisock.gateway.gateway import Gateway

MOST_ANNOTATIONS = 1000
COLUMNS = (("time", "time"), ("timeEnd", "time"), ("title", "string"), ("text", "string"), ("tags", "string"))
_TAG = re.compile(r"\s*#([^\s#]+)")
_CROSSING = re.compile(r"(.+?)\s*(>=|<=|>|<)\s*([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?)")
_COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
POINTS_FOR_ANNOTATIONS = 20_000
# What an author sets for lines would move the times at which something changed.
PLAINLY_DRAWN: Mapping[str, Any] = {
    "reducer": "minmax",
    "connect": False,
    "align": False,
    "every": None,
    "chosen": False,
    "before": True,
}


@dataclass(frozen=True)
class AnnotationQuery:
    """A query of an annotation; ``changes`` are asked for by that word, ``states`` by a bare target."""

    kind: Literal["states", "changes", "crossing", "nodes"]
    target: str
    tags: tuple[str, ...] = ()
    comparison: str = ""
    threshold: float = 0.0


@dataclass(frozen=True)
class Annotation:
    """One mark, at a time or over a region, UNIX seconds."""

    time: float
    end: float | None
    title: str
    text: str
    tags: tuple[str, ...] = ()


def parse_annotation(text: str, *, changes: bool = False) -> AnnotationQuery:
    """Read the query of an annotation; ``changes`` is as if it began with that word."""
    tags = []
    while tag := _TAG.match(text):
        tags.append(tag[1])
        text = text[tag.end() :]
    text = text.strip()
    word, _, rest = text.partition(" ")
    if word == "nodes":
        return AnnotationQuery("nodes", rest.strip(), tuple(tags))
    if word == "changes" and rest.strip():
        return AnnotationQuery("changes", rest.strip(), tuple(tags))
    # Names may have blanks and comparisons in them: what ends in a number is a threshold, whatever stands before.
    crossing = _CROSSING.fullmatch(text)
    if crossing:
        return AnnotationQuery("crossing", crossing[1], tuple(tags), crossing[2], float(crossing[3]))
    return AnnotationQuery("changes" if changes else "states", text, tuple(tags))


def mark(query: AnnotationQuery, series: Series, until: float) -> list[Annotation] | str:
    """Return the annotations of one series, or in words why it has none of this kind.

    A state that is the last one holds ``until`` then, UNIX seconds.
    """
    name = series.wanted.target
    if query.kind == "crossing":
        if series.type != "number":
            return f"'{name}' is a {series.type}, which is on no side of a threshold: write changes {name}"
        marks = _crossings(query, series)
    elif series.type != "number":
        marks = _states(series, until)
    elif query.kind == "changes":
        marks = _changes(series)
    else:
        return f"'{name}' is a number: write '{name} > 5' for the times above 5, or 'changes {name}'"
    return [replace(one, tags=(*query.tags, series.wanted.node)) for one in marks]


def mark_nodes(query: AnnotationQuery, history: Iterable[NodeChange], start: float, end: float) -> list[Annotation]:
    """Return the absences of nodes that touch [start, end), and the first comings of new ones."""
    history = list(history)
    names = dict.fromkeys(change.node for change in history)
    wanted = set(find(query.target, names)) if query.target else set(names)
    marks = []
    left: dict[str, float] = {}
    for change in history:
        node = change.node
        if not change.came:
            left[node] = change.time
        elif node in left:
            marks.append(
                Annotation(left.pop(node), change.time, f"{node} was away", f"node '{node}' was away", (node,))
            )
        else:
            marks.append(Annotation(change.time, None, f"{node} came", f"node '{node}' came online", (node,)))
    marks += [Annotation(time, None, f"{node} left", f"node '{node}' left", (node,)) for node, time in left.items()]
    inside = [one for one in marks if one.time < end and (one.end or one.time) >= start and one.tags[0] in wanted]
    return [replace(one, tags=(*query.tags, "node", *one.tags)) for one in inside]


def limit(annotations: Sequence[Annotation]) -> list[Annotation]:
    """Return the annotations by time, at most so many; the last one says how many are not shown."""
    ordered = sorted(annotations, key=lambda one: one.time)
    # Grafana draws each as an element of its page, which thousands of them make slow.
    kept = ordered[:MOST_ANNOTATIONS]
    if len(ordered) > len(kept):
        note = f"{len(ordered) - len(kept)} more are not shown: choose a shorter range"
        kept[-1] = replace(kept[-1], text=f"{kept[-1].text}; {note}")
    return kept


def legacy_entries(annotations: Sequence[Annotation], annotation: Any) -> list[Entry]:
    """Return what ``POST /annotations`` replies; each entry carries the annotation that it was asked for."""
    return [_legacy_entry(one, annotation) for one in annotations]


def table_entry(ref_id: str, annotations: Sequence[Annotation]) -> Entry:
    """Return what the JSON plugin takes: a table with a row an annotation."""
    rows = [[_time_ms(one.time), _time_ms(one.end), one.title, one.text, ",".join(one.tags)] for one in annotations]
    columns = [{"text": text, "type": kind} for text, kind in COLUMNS]
    return {"type": "table", "columns": columns, "rows": rows, "refId": ref_id}


def _legacy_entry(one: Annotation, annotation: Any) -> Entry:
    entry = {"annotation": annotation, "time": _time_ms(one.time), "title": one.title, "text": one.text}
    region = {"timeEnd": _time_ms(one.end), "isRegion": True} if one.end is not None else {}
    return entry | region | {"tags": list(one.tags)}


def _time_ms(time: float | None) -> float | None:
    return None if time is None else float(milliseconds(np.array([time]))[0])


def _states(series: Series, until: float) -> Iterator[Annotation]:
    """Yield a region for each text, and for each time that a bool was true: each holds until the next sample."""
    name = series.wanted.target
    for first, behind in _runs(series.values):
        value = series.values[first]
        if value is None or (series.type == "bool" and not value):
            continue
        title = str(value) if series.type == "string" else name
        text = f"{name} is {value if series.type == 'string' else 'true'}"
        end = float(series.times[behind]) if behind < series.times.size else max(until, float(series.times[-1]))
        yield Annotation(float(series.times[first]), end, title, text)


def _changes(series: Series) -> Iterator[Annotation]:
    """Yield a mark for each change of a number."""
    # A broken line is no change of the value.
    values = series.values[~np.isnan(series.values)]
    times = series.times[~np.isnan(series.values)]
    name = series.wanted.target
    for first, _ in _runs(values)[1:]:
        text = f"{name} changed from {values[first - 1]:g} to {values[first]:g}"
        yield Annotation(float(times[first]), None, name, text)


def _crossings(query: AnnotationQuery, series: Series) -> Iterator[Annotation]:
    """Yield a region for each time that the condition held, with the farthest value in it."""
    holds: NDArray[np.bool_] = _COMPARISONS[query.comparison](series.values, query.threshold)
    title = f"{series.wanted.target} {query.comparison} {query.threshold:g}"
    farthest = np.max if ">" in query.comparison else np.min
    for first, behind in _runs(holds):
        if holds[first]:
            text = f"{title}: up to {farthest(series.values[first:behind]):g}"
            text = text if ">" in query.comparison else text.replace("up to", "down to", 1)
            yield Annotation(float(series.times[first]), _end(series, behind), title, text)


def _end(series: Series, behind: int) -> float:
    """Return when a run of numbers ended: at the next sample, unless there is none or the line is broken there."""
    if behind < series.times.size:
        value = series.values[behind]
        if value is not None and value == value:  # noqa: PLR0124 - NaN is what differs from itself
            return float(series.times[behind])
    return float(series.times[behind - 1])


def _runs(values: Values) -> list[tuple[int, int]]:
    """Return where each run of equal values begins, and the index behind it."""
    if not len(values):
        return []
    begun = [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist()]
    return list(zip(begun, [*begun[1:], len(values)], strict=True))


async def annotate(
    gateway: Gateway, resolver: Resolver, query: Query, target: Target
) -> tuple[list[Annotation], list[str]]:
    """Return the annotations of one target, and the problems of what could not be marked."""
    asked = parse_annotation(target.texts[0], changes=target.options.changes)
    if asked.kind == "nodes":
        return limit(mark_nodes(asked, gateway.history(), query.start, query.end)), []
    plain = replace(target, text=asked.target, options=replace(target.options, metrics=(), **PLAINLY_DRAWN))
    (resolved,) = await resolver.resolve(replace(query, targets=(plain,)))
    # Many more than a panel is wide: of several changes within a bucket not each is marked.
    points = max(POINTS_FOR_ANNOTATIONS // max(len(resolved.wanted), 1), 1000)
    panel = await draw_panel(gateway, replace(query, max_points=points, least_s=0.0), [resolved])
    # A state that lasts, lasts until now.
    until = min(query.end, max(gateway.now(), query.start))
    problems = [notice.text for notice in resolved.notices if notice.severity == "error"]
    annotations: list[Annotation] = []
    for series in (series for group in panel.values() for series in group.values()):
        marked = mark(asked, series, until)
        problems += [series.problem] if series.problem else []
        problems += [marked] if isinstance(marked, str) else []
        annotations += [] if isinstance(marked, str) else marked
    return limit(annotations), problems
