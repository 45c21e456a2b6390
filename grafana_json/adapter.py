"""What the adapter answers, without any web framework: it asks a gateway, and turns answers into replies.

Everything runs in the reactor's thread but what could take long there: hostile patterns and very long replies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred, gatherResults

from grafana_json import protocol, replies
from grafana_json.choices import Choice, Reading, choose
from grafana_json.protocol import Query, Target
from grafana_json.targets import match
from sisock.core.errors import BadRequest
from sisock.gateway.answer import Answer, Series, SeriesWanted
from sisock.gateway.directory import Snapshot
from sisock.gateway.plan import PLAIN, Drawing

MOST_SERIES_IN_A_REQUEST = 1000
MOST_TEXTS_IN_A_REQUEST = 1000
MOST_POINTS_AT_ONCE = 50_000  # that many become JSON in a few milliseconds

Drawn = Mapping[Drawing, Mapping[SeriesWanted, Series]]


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

    def search(self, text: str) -> Deferred[list[str]]:
        """Return all targets that contain a text, whatever their case."""
        return self.status().addCallback(_search, text.strip().casefold())

    def status(self) -> Deferred[Snapshot]:
        """Return which nodes and fields there are, and what is wrong with them."""
        freshening: Deferred[Snapshot] = self._gateway.freshen()
        return freshening

    def query(self, body: bytes) -> Deferred[bytes]:
        """Return the reply to the body of a query: what is drawn for each target.

        What cannot be drawn is told in the place of its target only. The Deferred fails with BadRequest for a body
        that cannot be understood.
        """
        return Deferred.fromCoroutine(self._query(body))

    async def _query(self, body: bytes) -> bytes:
        query = protocol.parse_query(protocol.parse_json(body))
        choices = await self._choose(query)
        drawn = await self._draw(query, choices)
        entries = [entry for choice in choices for entry in _entries(choice, drawn)]
        if sum(series.times.size for found in drawn.values() for series in found.values()) <= MOST_POINTS_AT_ONCE:
            return replies.encode(entries)
        encoded: bytes = await self._in_thread(replies.encode, entries)
        return encoded

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
        answers: list[Answer] = await gatherResults(asked)
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
        texts = list(dict.fromkeys(text for target in targets for text in target.texts))
        if all(text in snapshot.targets for text in texts):
            return _match_texts(texts, snapshot)
        if len(texts) > MOST_TEXTS_IN_A_REQUEST:
            raise BadRequest(f"{len(texts)} different targets are too many: use patterns such as node::(a|b)")
        readings: dict[str, Reading] = await self._in_thread(_match_texts, texts, snapshot)
        return readings


def _search(snapshot: Snapshot, wanted: str) -> list[str]:
    return [name for name in snapshot.targets if wanted in name.casefold()]


def _match_texts(texts: Sequence[str], snapshot: Snapshot) -> dict[str, Reading]:
    return {text: match(text, snapshot.targets) for text in texts}


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
