"""The contents of the status page: nodes and fields, the newest value of each and its age, and problems."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np

from sisock.core import times
from sisock.core.model import Field
from sisock.gateway.directory import Snapshot
from sisock.gateway.drawing.gaps import is_overdue
from sisock.gateway.drawing.planner import NEWEST, Drawing, SeriesWanted
from sisock.gateway.drawing.series import Answer, Series
from sisock.gateway.node_client import NodeView

RECENT_S = 3600.0
# On a page, shared by all nodes, but each has a few in any case.
MOST_SHOWN_FIELDS = 400
FEWEST_FIELDS = 10
MOST_SHOWN_REMARKS = 20
LONGEST_VALUE_TEXT = 80
LATE_FIELD_S = 10.0
BYTE_UNITS = {"B", "B/s"}
BYTE_PREFIXES = ("", "Ki", "Mi", "Gi", "Ti", "Pi")
BYTE_STEP = 1024


@dataclass(frozen=True)
class FieldRow:
    """A line of the page, as words: one field. ``late`` when its samples used to come more often."""

    target: str
    description: str
    value: str = ""
    units: str = ""
    age: str = ""
    late: bool = False


@dataclass(frozen=True)
class NodeStatus:
    """One node of the page; ``hidden`` is how many of its fields are not shown."""

    name: str
    description: str
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    rows: tuple[FieldRow, ...]
    hidden: int


@dataclass(frozen=True)
class Status:
    """All of the page."""

    outage: str | None
    nodes: tuple[NodeStatus, ...]
    field_count: int
    at: str

    @property
    def problem_count(self) -> int:
        """Return how many nodes have something wrong."""
        return sum(bool(node.problems) for node in self.nodes)


class StatusSource(Protocol):
    """The part of the gateway that is asked."""

    def freshen(self) -> Any:
        """Return a Deferred with what is known after asking again."""

    def query(
        self, series: Sequence[SeriesWanted], start: float, end: float, max_points: int | None, drawing: Drawing
    ) -> Any:
        """Return a Deferred with an Answer."""


async def gather(gateway: StatusSource, now: float) -> Status:
    """Ask for the newest value of the fields that fit on the page.

    One question for each node about the last hour. Nodes that have nothing so young are archives: they are asked once
    more, for all time. A node that is known not to answer is not asked at all.
    """
    snapshot: Snapshot = await gateway.freshen()
    shown = {name: _shown(node, len(snapshot.nodes)) for name, node in snapshot.nodes.items()}
    asked = {name: fields for name, fields in shown.items() if not snapshot.nodes[name].problem}
    newest = await _newest(gateway, asked, now - RECENT_S, now)
    live = {wanted.node for wanted in newest}
    archives = {
        name: fields
        for name, fields in asked.items()
        # One of the original library would be read through in small spans.
        if name not in live and not snapshot.nodes[name].original_library
    }
    newest |= await _newest(gateway, archives, times.EARLIEST, now)
    nodes = tuple(_node_status(node, shown[name], newest, now) for name, node in snapshot.nodes.items())
    return Status(snapshot.outage, nodes, len(snapshot.targets), times.format_iso8601(now))


def _shown(node: NodeView, node_count: int) -> list[Field]:
    most = max(FEWEST_FIELDS, MOST_SHOWN_FIELDS // node_count)
    return list(islice(node.catalogue.fields.values(), most))


async def _newest(
    gateway: StatusSource, fields: Mapping[str, Iterable[Field]], start: float, end: float
) -> dict[SeriesWanted, Series]:
    """Return the series that have a sample inside the span, each with the newest one only."""
    wanted = [SeriesWanted(node, one.name) for node, ones in fields.items() for one in ones]
    if not wanted:
        return {}
    answer: Answer = await gateway.query(wanted, start, end, 1, NEWEST)
    return {series.wanted: series for series in answer.series if series.times.size}


def _node_status(
    node: NodeView, shown: Sequence[Field], newest: Mapping[SeriesWanted, Series], now: float
) -> NodeStatus:
    problems = (*([node.problem] if node.problem else []), *node.remarks[:MOST_SHOWN_REMARKS])
    rows = tuple(_row(node.name, one, newest.get(SeriesWanted(node.name, one.name)), now) for one in shown)
    hidden = len(node.catalogue.fields) - len(shown)
    return NodeStatus(node.name, node.description, problems, tuple(_notes(node)), rows, hidden)


def _notes(node: NodeView) -> Iterator[str]:
    if node.original_library:
        yield "uses the original library: it is read slowly and nothing is kept"
    if not node.problem and not node.catalogue.fields:
        yield "serves no fields"


def _row(node: str, field: Field, series: Series | None, now: float) -> FieldRow:
    target = SeriesWanted(node, field.name).target
    description = field.description or ""
    if series is None:
        return FieldRow(target, description)
    age_s = max(now - float(series.times[-1]), 0.0)
    value, units = value_in_words(series.values[-1], field.units or "")
    # What has stopped for longer than the page looks back is no alarm any more, but an archive.
    late = series.interval_s is not None and is_overdue(age_s, series.interval_s, LATE_FIELD_S)
    return FieldRow(target, description, value, units, age_in_words(age_s), late and age_s < RECENT_S)


def age_in_words(age_s: float) -> str:
    """Return an age as people read it; what is younger than a second is new."""
    return times.format_duration(age_s) if age_s >= 1 else "now"


def value_in_words(value: Any, units: str) -> tuple[str, str]:
    """Return a value and its units as people read them: bytes with a prefix, long texts cut."""
    if isinstance(value, str):
        return (value if len(value) <= LONGEST_VALUE_TEXT else f"{value[:LONGEST_VALUE_TEXT]}…"), units
    if isinstance(value, bool | np.bool_):
        return ("true" if value else "false"), units
    number = float(value)
    if units in BYTE_UNITS:
        step = next((n for n in range(len(BYTE_PREFIXES)) if abs(number) < BYTE_STEP ** (n + 1)), 0)
        return f"{number / BYTE_STEP**step:.4g}", f"{BYTE_PREFIXES[step]}{units}"
    return f"{number:.6g}", units


@dataclass(frozen=True)
class NodeHealth:
    """The state of a node; ``newest_age_s`` is None when no field of it that still grows was ever seen."""

    name: str
    skipped: bool = False
    fields: int = 0
    newest_age_s: float | None = None
    online: bool = True
