"""What the adapter answers, without any web framework: it asks a gateway, and turns answers into replies.

Everything runs in the reactor's thread but what could take long there: hostile patterns and very long replies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol

from twisted.internet.defer import Deferred, gatherResults

from grafana_json import protocol, replies
from grafana_json.annotations import (
    Annotation,
    legacy_entries,
    limit,
    mark,
    mark_nodes,
    parse_annotation,
    table_entry,
)
from grafana_json.choices import Choice, Reading, choose
from grafana_json.exposition import NodeHealth
from grafana_json.protocol import Query, Target
from grafana_json.readings import Readings, check_work, match_texts
from grafana_json.rows import Arguments, parse_rows, points_of_each
from grafana_json.status import Status, gather
from sisock.core.errors import BadRequest, NodeUnavailable
from sisock.core.model import Field, FieldCatalogue
from sisock.gateway.answer import Answer, Series, SeriesWanted
from sisock.gateway.directory import NodeChange, NodeState, Snapshot
from sisock.gateway.plan import PLAIN, Drawing

MOST_SERIES_IN_A_REQUEST = 1000
MOST_POINTS_AT_ONCE = 50_000  # that many become JSON in a few milliseconds
MOST_POINTS_IN_A_REPLY = 5_000_000  # some 200 MB of JSON

POINTS_FOR_ANNOTATIONS = 20_000
PLAINLY_DRAWN: Mapping[str, Any] = {"reducer": "minmax", "connect": False}
PROBED_FIELDS = 3
PROBED_SPAN_S = 3600.0

Drawn = Mapping[Drawing, Mapping[SeriesWanted, Series]]


@dataclass(frozen=True)
class Rows:
    """Series to be sent as rows in a format, and in words what is missing of what was wanted."""

    series: Sequence[Series]
    format: str
    notices: tuple[str, ...]


class Source(Protocol):
    """What the application asks; the Gateway, or a fake of it."""

    def snapshot(self) -> Snapshot:
        """Return what is known now."""

    def freshen(self) -> Any:
        """Return a Deferred with what is known after asking again."""

    def query(
        self,
        series: Sequence[SeriesWanted],
        start: float,
        end: float,
        max_points: int | None,
        drawing: Drawing = PLAIN,
    ) -> Any:
        """Return a Deferred with an Answer."""

    def refresh(self) -> Any:
        """Return a Deferred that fires when the hub has been asked again."""

    def now(self) -> float:
        """Return the present, UNIX seconds."""

    def outage(self) -> str | None:
        """Return in words why nothing can be answered; None while router and hub are there."""

    def history(self) -> Sequence[NodeChange]:
        """Return the nodes that came and left."""

    def states(self) -> Mapping[str, NodeState]:
        """Return how each node that is online does."""


class Adapter:
    """Answers requests with what a gateway knows; to be called in the reactor's thread.

    Parameters
    ----------
    gateway
        What is asked.
    in_thread
        Calls a function in a worker thread and returns a Deferred of its result.
    """

    def __init__(self, gateway: Source, in_thread: Callable[..., Deferred[Any]]) -> None:
        self._gateway = gateway
        self._in_thread = in_thread
        self._readings = Readings()

    def status(self) -> Deferred[Snapshot]:
        """Return which nodes and fields there are, and what is wrong with them."""
        freshening: Deferred[Snapshot] = self._gateway.freshen()
        return freshening

    def page(self) -> Deferred[Status]:
        """Return what the status page shows."""
        return Deferred.fromCoroutine(gather(self._gateway, self._gateway.now()))

    def query(self, body: bytes) -> Deferred[bytes]:
        """Return the reply to the body of a query: what is drawn for each target.

        What cannot be drawn is told in the place of its target only. The Deferred fails with BadRequest for a body
        that cannot be understood.
        """
        return Deferred.fromCoroutine(self._query(body))

    def annotations(self, request: Any) -> Deferred[list[replies.Entry]]:
        """Return the annotations that the legacy plugin asks for; BadRequest where its query means nothing."""
        return Deferred.fromCoroutine(self._legacy_annotations(request))

    def rows(self, arguments: Arguments) -> Deferred[Rows]:
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
        if self._gateway.outage():  # a hub that was late at the start should not be called dead for long
            await self._gateway.refresh()
        return self._gateway.outage(), self._gateway.snapshot()

    async def _query(self, body: bytes) -> bytes:
        query = protocol.parse_query(protocol.parse_json(body))
        if query.annotation:
            return replies.encode([await self._annotation_entry(query, target) for target in query.targets])
        choices = await self._choose(query)
        drawn = await self._draw(query, choices)
        points = _count_points(choices, drawn)
        if points > MOST_POINTS_IN_A_REPLY:
            raise BadRequest(f"{points} points are over the {MOST_POINTS_IN_A_REPLY} of a reply: ask for fewer series")
        if points <= MOST_POINTS_AT_ONCE:
            return _encode(choices, drawn)
        encoded: bytes = await self._in_thread(_encode, choices, drawn)
        return encoded

    async def _annotation_entry(self, query: Query, target: Target) -> replies.Entry:
        marks, problems = await self._annotate(query, target)
        notices = [replies.Notice("error", problem) for problem in problems]
        return replies.with_notices(table_entry(target.ref_id, marks), notices)

    async def _legacy_annotations(self, request: Any) -> list[replies.Entry]:
        query, asked = protocol.parse_annotations(request)
        marks, problems = await self._annotate(query, query.targets[0]) if query.targets else ([], [])
        if problems and not marks:
            raise BadRequest("; ".join(problems))
        return legacy_entries(marks, asked)

    async def _annotate(self, query: Query, target: Target) -> tuple[list[Annotation], list[str]]:
        """Return the annotations of one query, and in words what could not be marked."""
        asked = parse_annotation(target.texts[0], changes=target.options.changes)
        if asked.kind == "nodes":
            marks = mark_nodes(asked, self._gateway.history(), query.start, query.end)
            return limit(marks), []
        plain = replace(target, text=asked.target, options=replace(target.options, metrics=(), **PLAINLY_DRAWN))
        (choice,) = await self._choose(replace(query, targets=(plain,)))
        points = max(POINTS_FOR_ANNOTATIONS // max(len(choice.wanted), 1), 1000)
        drawn = await self._draw(replace(query, max_points=points), [choice])
        problems = [notice.text for notice in choice.notices if notice.severity == "error"]
        marks = []
        for series in drawn.get(plain.options.drawing, {}).values():
            found = mark(asked, series)
            problems += [series.problem] if series.problem else []
            problems += [found] if isinstance(found, str) else []
            marks += [] if isinstance(found, str) else found
        return limit(marks), problems

    async def _rows(self, arguments: Arguments) -> Rows:
        request = parse_rows(arguments, self._gateway.now())
        choices = await self._choose(request.query)
        count = len({wanted for choice in choices for wanted in choice.wanted})
        points = points_of_each(count, request.query.max_points)
        drawn = await self._draw(replace(request.query, max_points=points), choices)
        said = [notice.text for choice in choices for notice in choice.notices]
        if not count:
            raise BadRequest("; ".join(said))
        series = list({wanted: one for found in drawn.values() for wanted, one in found.items()}.values())
        problems = [one.problem for one in series if one.problem]
        if len(problems) == len(series) and not any(one.times.size for one in series):
            raise NodeUnavailable("; ".join(problems))
        return Rows(series, request.format, tuple(dict.fromkeys((*said, *problems))))

    async def _node_healths(self) -> list[NodeHealth]:
        snapshot = await self.status()
        probed = [
            SeriesWanted(node.name, field.name)
            for node in snapshot.nodes.values()
            for field in islice(_periodic(node.catalogue), PROBED_FIELDS)
        ]
        now = self._gateway.now()
        await self._gateway.query(probed, now - PROBED_SPAN_S, now, 1)
        states = self._gateway.states()
        gone = {change.node for change in self._gateway.history()} - states.keys()
        healths = [_health(name, state, snapshot, now) for name, state in states.items()]
        return healths + [NodeHealth(name, online=False) for name in sorted(gone)]

    async def _choose(self, query: Query) -> list[Choice]:
        snapshot, readings = await self._read(query.targets)
        return [choose(target, readings, query.filters, snapshot) for target in query.targets]

    async def _draw(self, query: Query, choices: Sequence[Choice]) -> Drawn:
        """Ask for all series, those that are drawn in the same way at once."""
        groups: dict[Drawing, dict[SeriesWanted, None]] = {}
        for choice in choices:
            groups.setdefault(choice.target.options.drawing, {}).update(dict.fromkeys(choice.wanted))
        count = sum(len(group) for group in groups.values())
        if count > MOST_SERIES_IN_A_REQUEST:
            raise BadRequest(f"the targets match {count} series, over {MOST_SERIES_IN_A_REQUEST}: narrow them")
        asked = [
            self._gateway.query(list(group), query.start, query.end, query.max_points, drawing)
            for drawing, group in groups.items()
        ]
        # Most panels draw in one way only, and gathering costs as much as all the rest here.
        answers: list[Answer] = [await asked[0]] if len(asked) == 1 else await gatherResults(asked)
        found = [{series.wanted: series for series in answer.series} for answer in answers]
        return dict(zip(groups, found, strict=True))

    async def _read(self, targets: Sequence[Target]) -> tuple[Snapshot, dict[str, Reading]]:
        """Match the targets; where one is unknown it may be new, so the nodes are asked again, if not just now."""
        snapshot = self._gateway.snapshot()
        readings = await self._match_all(targets, snapshot)
        if any(isinstance(reading, str) and text.strip() for text, reading in readings.items()):
            fresh: Snapshot = await self._gateway.freshen()
            if fresh is not snapshot:
                snapshot, readings = fresh, await self._match_all(targets, fresh)
        return snapshot, readings

    async def _match_all(self, targets: Sequence[Target], snapshot: Snapshot) -> dict[str, Reading]:
        texts = dict.fromkeys(text for target in targets for text in target.texts)
        known = self._readings.of(snapshot.targets)
        new = [text for text in texts if text not in known]
        if all(text in snapshot.targets for text in new):
            found = match_texts(new, snapshot.targets)
        else:
            check_work(new, snapshot.targets)
            found = await self._in_thread(match_texts, new, snapshot.targets)
        readings = {text: found[text] if text in found else known[text] for text in texts}
        self._readings.keep(snapshot.targets, found)
        return readings


def _count_points(choices: Sequence[Choice], drawn: Drawn) -> int:
    """Return the points of a reply, in which a series may stand several times."""
    return sum(
        drawn[choice.target.options.drawing][wanted].times.size for choice in choices for wanted in choice.wanted
    )


def _encode(choices: Sequence[Choice], drawn: Drawn) -> bytes:
    return replies.encode([entry for choice in choices for entry in _entries(choice, drawn)])


def _entries(choice: Choice, drawn: Drawn) -> list[replies.Entry]:
    """Return what a target gets; what is to be said of all of it is said with the first series."""
    if not choice.wanted:
        return [replies.notices_entry(choice.target, choice.notices)]
    found = drawn[choice.target.options.drawing]
    first, *others = [found[wanted] for wanted in choice.wanted]
    return [
        replies.series_entry(choice.target, first, choice.notices),
        *(replies.series_entry(choice.target, series) for series in others),
    ]


def _periodic(catalogue: FieldCatalogue) -> Iterator[Field]:
    """Yield the fields that have a rhythm: of others nobody can tell whether they are late."""
    fields = catalogue.fields.values()
    return (field for field in fields if catalogue.timelines[field.timeline].interval_s is not None)


def _health(name: str, state: NodeState, snapshot: Snapshot, now: float) -> NodeHealth:
    node = snapshot.nodes.get(name)
    age_s = None if state.newest is None else max(now - state.newest, 0.0)
    return NodeHealth(name, state.skipped, len(node.catalogue.fields) if node else 0, age_s)
