"""Asking the nodes side by side, each with its own deadline, and answering with what came."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, FirstError, gatherResults, succeed
from twisted.internet.defer import TimeoutError as DeadlinePassed

from sisock.core.errors import NodeUnavailable, UnknownNode
from sisock.core.model import DataBlock, Span
from sisock.core.reduce.reducers import find_reducer
from sisock.core.times import format_iso8601
from sisock.core.wire.info import Capability
from sisock.gateway.cached_reader import CachedReader, CachedReading
from sisock.gateway.directory import Directory, NodeChange, NodeState, Snapshot
from sisock.gateway.drawing.cells import Cells
from sisock.gateway.drawing.gaps import age_notice, break_line, is_live
from sisock.gateway.drawing.planner import (
    PLAIN,
    Asked,
    Drawing,
    NodeQuery,
    Resolution,
    SeriesWanted,
    choose_resolution,
    clamp_points,
    plan,
)
from sisock.gateway.drawing.series import Answer, DrawnSeries, Series, draw_all, keep_few, splice_all
from sisock.gateway.earlier_reader import Earlier, with_earlier
from sisock.gateway.gridder import Gridder
from sisock.gateway.legacy_reader import LegacyReader
from sisock.gateway.node_client import Caller, NodeClient, RouterLink
from sisock.gateway.single_flight import CallsUnderWay
from sisock.gateway.tile_cache import TileCache

DEADLINE_S = 2.0
# Of the deadline: who misses less than half of it is not skipped.
EARLIER_SHARE = 0.4
CACHE_BYTES = 256 * 2**20


class Gateway:
    """The data nodes of a network, for a consumer that draws.

    Parameters
    ----------
    caller
        The session to call through; None while there is none (see :meth:`connected`).
    clock
        Twisted's IReactorTime: the reactor, or a manual clock. Deadlines, pauses and ages are measured by it, so a
        step of the wall clock should not touch it.
    deadline_s
        Seconds that one query waits for one node.
    cache_bytes
        The most that is kept of answers; 0 keeps nothing.
    wall
        Returns the present, UNIX seconds: what windows, samples and notices mean by now. The clock's time unless
        given.
    """

    def __init__(
        self,
        caller: Caller | None,
        clock: Any,
        deadline_s: float = DEADLINE_S,
        cache_bytes: int = CACHE_BYTES,
        wall: Callable[[], float] | None = None,
    ) -> None:
        self._clock = clock
        self._deadline_s = deadline_s
        self._link = RouterLink(caller, clock, wall)
        self._cache = TileCache(cache_bytes)
        self._calls = CallsUnderWay()
        self.directory = Directory(self._link, deadline_s)
        self.gridder = Gridder(self.directory, self.now, self._ask_all, self._drawn_plainly, self._noted)

    def connected(self, caller: Caller) -> Deferred[None]:
        """Use a session that has just joined; fires when the hub has been asked which nodes are online."""
        self._link.connected(caller)
        return self.directory.refresh()

    def disconnected(self) -> None:
        """Note that the session is gone: until the next one everything is answered at once, with that reason."""
        self._link.disconnected()

    def snapshot(self) -> Snapshot:
        """Return the nodes and fields known now; may be called from any thread."""
        return self.directory.snapshot()

    def freshen(self) -> Deferred[Snapshot]:
        """Ask for what may have changed, and return the nodes and fields known then."""
        return self.directory.freshen()

    def refresh(self) -> Deferred[None]:
        """Ask the hub which nodes are online, whenever that was last done."""
        return self.directory.refresh()

    def now(self) -> float:
        """Return the present, UNIX seconds."""
        return float(self._link.wall())

    def history(self) -> list[NodeChange]:
        """Return the nodes that came and left since the first list of the hub, oldest first, a bounded number."""
        return list(self.directory.history)

    def states(self) -> dict[str, NodeState]:
        """Return how each node that is online does."""
        return self.directory.states()

    def outage(self) -> str | None:
        """Return in words why nothing can be answered now: no router, or no hub; None while both are there."""
        return self._link.outage or self.directory.problem

    def query(
        self,
        series: Sequence[SeriesWanted],
        start: float,
        end: float,
        max_points: int | None = None,
        drawing: Drawing = PLAIN,
        *,
        cells: Cells | None = None,
        least_s: float = 0.0,
    ) -> Deferred[Answer]:
        """Ask for series inside [start, end), UNIX seconds.

        Never fails for what a node does: one result for each series wanted, with what came until the deadline and
        the reason why something did not. No series is longer than ``max_points``.

        Parameters
        ----------
        cells
            The grid of what is drawn on one; chosen from these series where none is given.
        least_s
            The shortest stride that somebody wants, seconds.
        """
        # Grafana asks for windows that end before they begin, while somebody types.
        if not end > start:
            return succeed(Answer(tuple(map(self._empty, series)), start, end))
        points = clamp_points(max_points)
        # One deadline for all calls that this takes, however many there are one after the other.
        asked = Asked(tuple(series), start, end, points, self._clock.seconds() + self._deadline_s, least_s)
        if drawing.on_grid:
            cells = cells or self.gridder.cells({drawing: series}, start, end, points, least_s)[drawing]
            return Deferred.fromCoroutine(self.gridder.draw(asked, drawing, cells))
        return self._drawn_plainly(asked, drawing)

    def _drawn_plainly(self, asked: Asked, drawing: Drawing) -> Deferred[Answer]:
        """Draw samples where they were measured."""
        start, end = asked.start, asked.end
        resolution = choose_resolution(
            start,
            end,
            asked.max_points,
            drawing.reducer,
            chosen=drawing.chosen,
            least_s=asked.least_s,
            before=drawing.before,
        )

        def assemble(drawn: DrawnSeries) -> Answer:
            spliced = splice_all(asked.series, drawn, resolution)
            return Answer(tuple(self._finish(one, asked, resolution, drawing) for one in spliced), start, end)

        return self._ask_all(asked, resolution).addCallback(assemble)

    def _ask_all(self, asked: Asked, resolution: Resolution) -> Deferred[DrawnSeries]:
        """Ask all nodes side by side."""
        parts = [part for one in asked.series for part in one.parts]
        asking = [self._ask(query, asked.until) for query in plan(parts, asked.start, asked.end, resolution)]

        def join_drawn(outcomes: list[DrawnSeries]) -> DrawnSeries:
            return {wanted: one for outcome in outcomes for wanted, one in outcome.items()}

        return gatherResults(asking, consumeErrors=True).addCallback(join_drawn)

    def _ask(self, query: NodeQuery, until: float) -> Deferred[DrawnSeries]:
        """Ask one node; whatever goes wrong with it becomes words on its own series."""
        try:
            client = self.directory.client(query.node)
        except UnknownNode as error:
            # What is kept of a node that has left is true still, and drawn.
            return succeed(self._without(query, self.directory.gone(query.node), str(error), until))
        if self._link.outage:
            return succeed(self._without(query, client, self._link.outage, until))
        asking = Deferred.fromCoroutine(self._ask_node(client, query, until))
        return asking.addErrback(lambda failure: self._all_missing(query, client.explain(_cause(failure))))

    def _without(self, query: NodeQuery, client: NodeClient | None, reason: str, until: float) -> DrawnSeries:
        """Return what is kept of a node that cannot be asked."""
        reason = self._link.outage or reason
        if client is None:
            return self._all_missing(query, reason)
        if client.left_at is not None and not self._link.outage:
            reason = f"{reason} since {format_iso8601(client.left_at)}"
        return self._drawn(client, query, self._reader(client, query, until).kept(NodeUnavailable(reason)))

    async def _ask_node(self, client: NodeClient, query: NodeQuery, until: float) -> DrawnSeries:
        # What a node can is known before it is asked: older ones would take an extension for an error.
        try:
            await self._introduce(client, until)
        except (DeadlinePassed, NodeUnavailable) as error:
            return self._drawn(client, query, self._reader(client, query, until).kept(error))
        assert client.info is not None
        if Capability.SPANS not in client.info.capabilities:
            return await self._ask_original(client, query, until)
        capability = find_reducer(query.resolution.reducer).capability
        # Not asked: an older node's error would not say what to do.
        if capability and capability not in client.info.capabilities:
            return self._all_missing(query, client.cannot(query.resolution.reducer))
        reading = await self._reader(client, query, until).read()
        # Nodes of former versions don't say what was before a window: they are asked for it on its own, and only
        # where all else came, for a node in trouble should not be asked once more.
        if Capability.EDGE not in client.info.capabilities and not reading.problems:
            earlier = await self._earlier(client, query, reading.block, until)
            reading = replace(reading, block=earlier.block, before=earlier.before, held=earlier.held)
        return self._drawn(client, query, reading)

    def _reader(self, client: NodeClient, query: NodeQuery, until: float) -> CachedReader:
        return CachedReader(client, query, self._cache, self._calls, self._clock, until)

    async def _earlier(self, client: NodeClient, query: NodeQuery, block: DataBlock, until: float) -> Earlier:
        """Look for what was before a window, for so short a time that a node which is late with it is not skipped."""
        soon = self._clock.seconds() + EARLIER_SHARE * self._deadline_s
        return await with_earlier(client, query, block, self._clock, min(until, soon))

    def _drawn(self, client: NodeClient, query: NodeQuery, reading: CachedReading) -> DrawnSeries:
        drawn = draw_all(client.name, query.request.fields, client.catalogue, reading.block, {}, query.resolution)
        drawn = _with_before(drawn, query, reading)
        _note_newest(client, drawn, self.now())
        for name, texts in reading.remarks.items():
            # Most nodes have none, and a copy of each series would be made for nothing.
            if texts:
                wanted = SeriesWanted(client.name, name)
                notices = (f"node '{client.name}': {text}" for text in texts)
                drawn[wanted] = replace(drawn[wanted], notices=(*drawn[wanted].notices, *notices))
        for name, problem in reading.problems.items():
            wanted = SeriesWanted(client.name, name)
            drawn[wanted] = replace(drawn[wanted], problem=problem)
        return drawn

    async def _introduce(self, client: NodeClient, until: float) -> None:
        """Wait until the node has said what it can."""
        if client.info is None:
            await client.fetching.wait().addTimeout(until - self._clock.seconds(), self._clock)
        if client.info is None:
            raise NodeUnavailable(
                client.problem or f"node '{client.name}' has not said yet what it can; it is asked again"
            )

    async def _ask_original(self, client: NodeClient, query: NodeQuery, until: float) -> DrawnSeries:
        reading = await LegacyReader(client, query, self._clock, until).read()
        earlier = await self._earlier(client, query, reading.block, until)
        fields, resolution = query.request.fields, query.resolution
        drawn = draw_all(client.name, fields, client.catalogue, earlier.block, reading.remarks, resolution)
        drawn = _with_before(drawn, query, earlier)
        _note_newest(client, drawn, self.now())
        return {
            wanted: replace(
                series, notices=(reading.notice, *series.notices), problem=series.problem or reading.problem
            )
            for wanted, series in drawn.items()
        }

    def _finish(self, series: Series, asked: Asked, resolution: Resolution, drawing: Drawing) -> Series:
        series = self._noted(series, (asked.start, asked.end), drawing)
        if resolution.few:
            return keep_few(series, resolution, asked.start, asked.end)
        return break_line(series, resolution) if drawing.breaks else series

    def _noted(self, series: Series, window: Span, drawing: Drawing) -> Series:
        """Return a series, as its samples came, with what its viewer should know of their age."""
        # Of a quantity that several nodes serve, the newest sample of any of them counts.
        newest = max(map(self.directory.newest, series.wanted.parts))
        notice = age_notice(series, newest, window, self.now(), held_on_purpose=drawing.before is True)
        return replace(series, notices=(*series.notices, notice)) if notice else series

    def _all_missing(self, query: NodeQuery, reason: str) -> DrawnSeries:
        wanted = [SeriesWanted(query.node, name) for name in query.request.fields]
        return {one: self._missing(one, reason) for one in wanted}

    def _empty(self, wanted: SeriesWanted) -> Series:
        field = self.directory.field(wanted)
        return Series(wanted, type=field.type, units=field.units) if field else Series(wanted)

    def _missing(self, wanted: SeriesWanted, reason: str) -> Series:
        return Series.missing(wanted, reason, self.directory.field(wanted))


def _cause(failure: Any) -> BaseException:
    """Return what went wrong in the first of several calls side by side."""
    error: BaseException = failure.value
    return error.subFailure.value if isinstance(error, FirstError) else error


def _with_before(
    drawn: dict[SeriesWanted, Series], query: NodeQuery, known: CachedReading | Earlier
) -> dict[SeriesWanted, Series]:
    """Return series with the times of the last samples before the window, where these are known."""
    whole = dict(drawn) if known.before else drawn
    for name, time in known.before.items():
        wanted = SeriesWanted(query.node, name)
        series = whole[wanted]
        # Of a field whose samples were refused meanwhile nothing is drawn, and so nothing held.
        held = name in known.held and series.times.size > 0 and series.times[0] == query.request.start
        whole[wanted] = replace(series, before=time, held=bool(held))
    return whole


def _note_newest(client: NodeClient, drawn: DrawnSeries, now: float) -> None:
    """Note the newest samples of fields that grow, or did: of what is closed the age says nothing."""
    for wanted, series in drawn.items():
        newest = series.before if series.newest is None else series.newest
        if newest is not None and (wanted.field in client.newest or is_live(series, now)):
            client.note_newest(wanted.field, newest)
