"""What the adapter answers, without any web framework: it asks a gateway, and turns answers into replies.

Everything runs in the reactor's thread but what could take long there: hostile patterns and very long replies.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from grafana_json import protocol, replies
from grafana_json.protocol import Query, Target
from grafana_json.status import Status, gather
from grafana_json.targets import Matched, match
from sisock.core.errors import BadRequest
from sisock.gateway.answer import Answer, Series, SeriesWanted
from sisock.gateway.directory import Snapshot

MOST_SERIES_IN_A_REQUEST = 1000
MOST_POINTS_AT_ONCE = 50_000  # that many become JSON in a few milliseconds

Reading = Matched | str


class Source(Protocol):
    """What the application asks; the Gateway, or a fake of it."""

    def snapshot(self) -> Snapshot:
        """Return what is known now."""

    def freshen(self) -> Any:
        """Return a Deferred with what is known after asking again."""

    def query(self, series: Sequence[SeriesWanted], start: float, end: float, max_points: int | None) -> Any:
        """Return a Deferred with an Answer."""


class Adapter:
    """Answers requests with what a gateway knows; to be called in the reactor's thread.

    Parameters
    ----------
    gateway
        What is asked.
    in_thread
        Calls a function in a worker thread and returns a Deferred of its result.
    now
        Tells the time, UNIX seconds.
    """

    def __init__(
        self, gateway: Source, in_thread: Callable[..., Deferred[Any]], now: Callable[[], float] = time.time
    ) -> None:
        self._gateway = gateway
        self._in_thread = in_thread
        self._now = now

    def search(self, text: str) -> Deferred[list[str]]:
        """Return all targets that contain a text, whatever their case."""
        return self.status().addCallback(_search, text.strip().casefold())

    def status(self) -> Deferred[Snapshot]:
        """Return which nodes and fields there are, and what is wrong with them."""
        freshening: Deferred[Snapshot] = self._gateway.freshen()
        return freshening

    def page(self) -> Deferred[Status]:
        """Return what the status page shows."""
        return Deferred.fromCoroutine(gather(self._gateway, self._now()))

    def query(self, body: bytes) -> Deferred[bytes]:
        """Return the reply to the body of a query: what is drawn for each target.

        What cannot be drawn is told in the place of its target only. The Deferred fails with BadRequest for a body
        that cannot be understood.
        """
        return Deferred.fromCoroutine(self._query(body))

    async def _query(self, body: bytes) -> bytes:
        query = protocol.parse_query(protocol.parse_json(body))
        snapshot, readings = await self._read(query.targets)
        answer = await self._ask(query, snapshot, readings)
        entries = _all_entries(query, snapshot, readings, answer)
        if sum(series.times.size for series in answer.series) <= MOST_POINTS_AT_ONCE:
            return replies.encode(entries)
        encoded: bytes = await self._in_thread(replies.encode, entries)
        return encoded

    async def _ask(self, query: Query, snapshot: Snapshot, readings: Mapping[str, Reading]) -> Answer:
        names = {name: None for reading in readings.values() if isinstance(reading, Matched) for name in reading.names}
        if len(names) > MOST_SERIES_IN_A_REQUEST:
            raise BadRequest(f"the targets match {len(names)} series, over {MOST_SERIES_IN_A_REQUEST}: narrow them")
        wanted = [snapshot.targets[name] for name in names]
        answer: Answer = await self._gateway.query(wanted, query.start, query.end, query.max_points)
        return answer

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
        texts = list(dict.fromkeys(target.text for target in targets))
        if all(text in snapshot.targets for text in texts):
            return _match_texts(texts, snapshot)
        readings: dict[str, Reading] = await self._in_thread(_match_texts, texts, snapshot)
        return readings


def _search(snapshot: Snapshot, wanted: str) -> list[str]:
    return [name for name in snapshot.targets if wanted in name.casefold()]


def _match_texts(texts: Sequence[str], snapshot: Snapshot) -> dict[str, Reading]:
    return {text: match(text, snapshot.targets) for text in texts}


def _all_entries(
    query: Query, snapshot: Snapshot, readings: Mapping[str, Reading], answer: Answer
) -> list[replies.Entry]:
    found = {series.wanted: series for series in answer.series}
    entries: list[replies.Entry] = []
    for target in query.targets:
        entries += _entries(target, readings[target.text], snapshot, found)
    return entries


def _entries(
    target: Target, reading: Reading, snapshot: Snapshot, found: Mapping[SeriesWanted, Series]
) -> list[replies.Entry]:
    if isinstance(reading, str):
        severity = "error" if target.text.strip() else "info"
        return [replies.notice_entry(target, severity, _reason(reading, target, snapshot))]
    warnings = [reading.warning] if reading.warning else []
    return [replies.series_entry(target, found[snapshot.targets[name]], warnings) for name in reading.names]


def _reason(reading: str, target: Target, snapshot: Snapshot) -> str:
    """Return why a target means nothing: what is known to be wrong with its node says more than its spelling."""
    if not target.text.strip():
        return reading
    node = snapshot.nodes.get(target.text.partition("::")[0].strip())
    return snapshot.outage or (node.problem if node and node.problem else reading)
