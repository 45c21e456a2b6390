"""The adapter without any web framework: it asks a gateway, and turns its answers into replies.

Everything runs in the reactor's thread but what could take long there: hostile patterns and very long replies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from twisted.internet.defer import Deferred

from grafana_json import replies, requests
from grafana_json.annotations import annotate, legacy_entries, table_entry
from grafana_json.panel import Panel, count_points, draw_panel, encode_panel, encode_panel_apart, lines
from grafana_json.replies import PointCache
from grafana_json.requests import Query, Target
from grafana_json.resolve import InThread, ResolvedTarget, Resolver, check_series, check_targets
from grafana_json.rows import Arguments, RowsRequest, parse_rows, points_of_each
from grafana_json.status import NodeHealth, Status, gather
from sisock.core.errors import BadRequest, NodeUnavailable
from sisock.core.model import Field, FieldCatalogue
from sisock.gateway.directory import NodeState, Snapshot
from sisock.gateway.drawing.planner import NEWEST, SeriesWanted
from sisock.gateway.drawing.series import Series
from sisock.gateway.gateway import Gateway

# That many become JSON in a few milliseconds, in which the reactor does nothing else.
MOST_POINTS_AT_ONCE = 50_000
# Some 200 MB of JSON.
MOST_POINTS_IN_A_REPLY = 5_000_000
# Of points as they were written, some 70 bytes each.
WRITTEN_BYTES = 64 * 2**20
PROBED_FIELDS = 3
PROBED_SPAN_S = 3600.0


@dataclass(frozen=True)
class RowsReply:
    """Series to be sent as rows in a format, and notices of what is missing."""

    series: Sequence[Series]
    format: str
    notices: tuple[str, ...]


class Adapter:
    """Answers requests with what a gateway knows; to be called in the reactor's thread.

    Parameters
    ----------
    gateway
        What is asked.
    in_thread
        Calls a function in a worker thread and returns a Deferred of its result.
    """

    def __init__(self, gateway: Gateway, in_thread: InThread) -> None:
        self._gateway = gateway
        self._in_thread = in_thread
        self._resolver = Resolver(gateway, in_thread)
        self._points = PointCache(WRITTEN_BYTES)

    def status(self) -> Deferred[Snapshot]:
        """Return which nodes and fields there are, and what is wrong with them."""
        freshening: Deferred[Snapshot] = self._gateway.freshen()
        return freshening

    def page(self) -> Deferred[Status]:
        """Return what the status page shows."""
        return Deferred.fromCoroutine(gather(self._gateway, self._gateway.now()))

    def query(self, body: bytes) -> Deferred[bytes]:
        """Return the reply to the body of a query: the entries of each target.

        What cannot be drawn is a notice in the place of its target only. The Deferred fails with BadRequest for a
        body that cannot be understood.
        """
        return Deferred.fromCoroutine(self._query(body))

    def annotations(self, request: Any) -> Deferred[list[replies.Entry]]:
        """Return the annotations that the legacy plugin asks for; BadRequest where its query means nothing."""
        return Deferred.fromCoroutine(self._legacy_annotations(request))

    def rows(self, arguments: Arguments) -> Deferred[RowsReply]:
        """Return the series that are wanted as rows, and what is missing of them.

        The Deferred fails with BadRequest when nothing of what is wanted is known, and with NodeUnavailable when
        nothing of it came.
        """
        return Deferred.fromCoroutine(self._rows(arguments))

    def health(self) -> Deferred[tuple[str | None, Snapshot]]:
        """Return in words why nothing can be drawn (None when all is well), and what is known."""
        return Deferred.fromCoroutine(self._health())

    def node_healths(self) -> Deferred[list[NodeHealth]]:
        """Return how each node does; a few fields of each are asked for, so that their age is true."""
        return Deferred.fromCoroutine(self._node_healths())

    async def _health(self) -> tuple[str | None, Snapshot]:
        await self.status()
        # A hub that was late at the start should not be called dead for long.
        if self._gateway.outage():
            await self._gateway.refresh()
        return self._gateway.outage(), self._gateway.snapshot()

    async def _query(self, body: bytes) -> bytes:
        query = requests.parse_query(requests.parse_json(body))
        if query.annotation:
            return replies.encode([await self._annotation_entry(query, target) for target in query.targets])
        resolved = await self._resolver.resolve(query)
        panel = await draw_panel(self._gateway, query, resolved)
        points = count_points(resolved, panel)
        if points > MOST_POINTS_IN_A_REPLY:
            raise BadRequest(f"{points} points are over the {MOST_POINTS_IN_A_REPLY} of a reply: ask for fewer series")
        if points <= MOST_POINTS_AT_ONCE:
            return encode_panel(resolved, panel, self._points.write)
        # Without the cache of points, which is the reactor thread's own.
        encoded: bytes = await self._in_thread(encode_panel_apart, resolved, panel)
        return encoded

    async def _annotation_entry(self, query: Query, target: Target) -> replies.Entry:
        annotations, problems = await annotate(self._gateway, self._resolver, query, target)
        notices = [replies.Notice("error", problem) for problem in problems]
        return replies.with_notices(table_entry(target.ref_id, annotations), notices)

    async def _legacy_annotations(self, request: Any) -> list[replies.Entry]:
        query, annotation = requests.parse_annotations(request)
        if not query.targets:
            return []
        annotations, problems = await annotate(self._gateway, self._resolver, query, query.targets[0])
        if problems and not annotations:
            raise BadRequest("; ".join(problems))
        return legacy_entries(annotations, annotation)

    async def _rows(self, arguments: Arguments) -> RowsReply:
        request = parse_rows(arguments, self._gateway.now())
        resolved = request.on_grid(await self._resolver.resolve(request.query))
        if request.strict:
            # In a thread, for each member of a list is matched by itself.
            await self._in_thread(check_targets, resolved, self._gateway.snapshot())
        ways = {(wanted, way) for one in resolved for wanted in one.wanted for way in one.target.options.drawings}
        points = points_of_each(len(ways), request.query.max_points)
        panel = await draw_panel(self._gateway, replace(request.query, max_points=points), resolved)
        return _rows_reply(request, resolved, panel)

    async def _node_healths(self) -> list[NodeHealth]:
        snapshot = await self.status()
        probed = [
            SeriesWanted(node.name, field.name)
            for node in snapshot.nodes.values()
            for field in islice(_periodic(node.catalogue), PROBED_FIELDS)
        ]
        now = self._gateway.now()
        # The answer is not looked at: the gateway notes the newest sample of each field that it sees.
        await self._gateway.query(probed, now - PROBED_SPAN_S, now, 1, NEWEST)
        states = self._gateway.states()
        gone = {change.node for change in self._gateway.history()} - states.keys()
        healths = [_health(name, state, snapshot, now) for name, state in states.items()]
        return healths + [NodeHealth(name, online=False) for name in sorted(gone)]


def _rows_reply(request: RowsRequest, resolved: Sequence[ResolvedTarget], panel: Panel) -> RowsReply:
    """Return the series of a panel as rows, or raise what the request makes of those that are missing."""
    of_targets = [notice.text for one in resolved for notice in one.notices]
    named = [_named(series, ending) for one in resolved for series, ending in lines(one, panel)]
    if not named:
        raise BadRequest("; ".join(of_targets))
    # Two targets may mean the same series, of which a table of rows would then have each sample twice.
    series = list({one.wanted: one for one in named}.values())
    if request.strict:
        check_series(series)
    problems = [one.problem for one in series if one.problem]
    if len(problems) == len(series) and not any(one.times.size for one in series):
        raise NodeUnavailable("; ".join(problems))
    of_series = [text for one in series for text in one.notices]
    return RowsReply(series, request.format, tuple(dict.fromkeys((*of_targets, *problems, *of_series))))


def _named(series: Series, ending: str) -> Series:
    """Return a series under its name with an ending."""
    wanted = series.wanted
    return replace(series, wanted=SeriesWanted(wanted.node, wanted.field + ending)) if ending else series


def _periodic(catalogue: FieldCatalogue) -> Iterator[Field]:
    """Yield the fields with an interval: of others nobody can tell whether they are late."""
    fields = catalogue.fields.values()
    return (field for field in fields if catalogue.timelines[field.timeline].interval_s is not None)


def _health(name: str, state: NodeState, snapshot: Snapshot, now: float) -> NodeHealth:
    node = snapshot.nodes.get(name)
    age_s = None if state.newest is None else max(now - state.newest, 0.0)
    return NodeHealth(name, state.skipped, len(node.catalogue.fields) if node else 0, age_s)
