"""Reading fields of one node through the tile cache: only what is missing is asked for, and only once at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from autobahn.wamp.exception import ApplicationError
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.defer import TimeoutError as DeadlinePassed

from sisock.core.errors import OverAllowance
from sisock.core.model import DataBlock, Span, Statement, TimelineBlock
from sisock.core.reduce.reducers import Samples, add_newest
from sisock.core.window.edge import Edge
from sisock.core.window.remarks import Remarked
from sisock.core.window.spans import NO_SAMPLES, Reduction
from sisock.core.wire.info import Capability
from sisock.core.wire.spans import decode_reductions, decode_remarks, spans_arguments
from sisock.gateway.drawing.planner import NodeQuery
from sisock.gateway.node_client import CALL_FAILURES, NodeClient
from sisock.gateway.single_flight import CallsUnderWay, CallUnderWay
from sisock.gateway.tile_cache import Lookup, TileCache
from sisock.gateway.tiles import (
    LEAST_REACH_S,
    ReducedSpan,
    SeriesKey,
    TileGrid,
    add_first,
    add_held,
    group_fields,
    inside,
    join_spans,
    lacking_s,
    left_open,
)

# Data may change while they are asked for, or another's call may fail: then it is looked and asked again, a few times.
# The last round asks for all of the window at once, so that what comes fits together.
ROUNDS = 5
# In the first ones, others' calls are waited for; then this one asks itself, as those may fail for its own reasons.
PATIENT_ROUNDS = 2


class WindowEdges:
    """The edges of the fields of one query to one node.

    Attributes
    ----------
    held
        The fields of which what was before the window is drawn at its start.
    before
        Times of the last samples before the window, UNIX seconds, of these fields and of those without any in it.
    """

    def __init__(self, client: NodeClient, query: NodeQuery) -> None:
        self._start = query.request.start
        self._tells = client.info is not None and Capability.EDGE in client.info.capabilities
        self._asks_when_empty = self._tells and query.resolution.before is not False
        self._holding = query.holding(client.catalogue)
        self._wanting = set(self._holding) if self._tells else set()
        self.held: set[str] = set()
        self.before: dict[str, float] = {}

    def lacks(self, key: SeriesKey, lookup: Lookup) -> bool:
        """Tell whether what lies at the window's start is drawn, but not known."""
        if key.field in self._wanting:
            return not _tells_before(lookup.edge)
        return self._tells and key.looks_ahead and lookup.edge is None

    def wanted(self, key: SeriesKey, lookup: Lookup, now: float) -> tuple[float, bool]:
        """Return for how many seconds a call that is due should bring an edge, and whether with what is before.

        Of a window of which nothing is kept but that it was empty, what is before will be wanted.
        """
        wanting, lacks = key.field in self._wanting, self.lacks(key, lookup)
        if not lacks and not (self._tells and (key.looks_ahead or wanting)):
            return 0.0, False
        edge_s = lacking_s(lookup.edges, self._start, now, key.patience_s) or LEAST_REACH_S * lacks
        empty = lacks and bool(lookup.kept) and not any(one.times.size for one in lookup.kept)
        return edge_s, edge_s > 0 and (wanting or (self._asks_when_empty and empty))

    def added(self, key: SeriesKey, samples: Samples, edge: Edge | None) -> Samples:
        """Return the samples of a field with what its edge adds to them."""
        if edge is None:
            return samples
        name = key.field
        first = add_first(samples, edge) if key.looks_ahead else samples
        whole = add_held(first, edge, self._start) if name in self._holding else first
        if whole[0].size > first[0].size:
            self.held.add(name)
        is_wanted = name in self.held or (self._asks_when_empty and not whole[0].size)
        if is_wanted and edge.before is not None and edge.before[0].size:
            self.before[name] = float(edge.before[0][0])
        return whole

    def asks_before(self, name: str, edge: Edge | None) -> bool:
        """Tell whether what was before an empty window must be asked for, from now on; once at most."""
        if not self._asks_when_empty or name in self._wanting or _tells_before(edge):
            return False
        self._wanting.add(name)
        return True

    def give_up(self, name: str) -> None:
        """Ask for nothing more of a field."""
        self._wanting.add(name)


def _tells_before(edge: Edge | None) -> bool:
    return edge is not None and edge.before is not None


@dataclass(frozen=True)
class CachedReading:
    """A reading of fields of one node, a timeline each; and, for those not whole, why in words.

    What the node itself tells of fields is in ``remarks``. ``before`` has the times of the last samples before the
    window, UNIX seconds, where these are known, and ``held`` the names of those that are drawn at its start.
    """

    block: DataBlock
    problems: Mapping[str, str]
    remarks: Remarked
    before: Mapping[str, float] = field(default_factory=dict)
    held: Collection[str] = ()


class CachedReader:
    """Answers one query from the tile cache and from its node, until a deadline."""

    def __init__(
        self,
        client: NodeClient,
        query: NodeQuery,
        cache: TileCache,
        calls: CallsUnderWay,
        clock: Any,
        until: float,
    ) -> None:
        self._client = client
        self._request = query.request
        self._window = query.request.start, query.request.end
        self._cache = cache
        self._calls = calls
        self._clock = clock
        self._until = until
        self._grids: dict[float, TileGrid] = {}
        self._keys = {name: self._key(name, query) for name in query.request.fields}
        self._blocks: dict[str, TimelineBlock] = {}
        self._problems: dict[str, str] = {}
        self._absent: set[str] = set()
        self._doubted: set[str] = set()
        # Until it is known what was before the window.
        self._empty: dict[str, TimelineBlock] = {}
        self._edges = WindowEdges(client, query)
        self._remarks: dict[str, Sequence[str]] = {}

    async def read(self) -> CachedReading:
        """Read all fields; what goes wrong becomes words beside what was kept of them."""
        for turn in range(ROUNDS):
            # Looked up anew each time: while this one waited, others' calls may have brought what it lacks.
            lookups = {name: self._look(key) for name, key in self._keys.items() if self._is_open(name)}
            with_tails = {name: one.with_tail() for name, one in lookups.items()}
            lacking = self._lacking(with_tails)
            under_way = self._under_way(lacking) if lacking and turn < PATIENT_ROUNDS else None
            if under_way is not None:
                await self._wait(under_way, lacking)
                continue
            if lacking:
                await self._ask_anew(lookups, whole=turn == ROUNDS - 1)
            else:
                self._put_all(with_tails)
            if not any(map(self._is_open, self._keys)):
                break
        return self._reading()

    async def _ask_anew(self, lookups: Mapping[str, Lookup], *, whole: bool) -> None:
        """Ask for what is lacking without the tails that others have asked for, and put the rest.

        A call is due anyway: it brings the end of the window anew for all fields, and spares the next one.
        """
        lacking = self._lacking(lookups)
        self._put_all({name: one for name, one in lookups.items() if name not in lacking})
        await self._ask_all(lacking, whole=whole)

    def _put_all(self, lookups: Mapping[str, Lookup]) -> None:
        for name, lookup in lookups.items():
            self._put(name, lookup, {}, None)

    def kept(self, error: BaseException) -> CachedReading:
        """Return what is kept of all fields, where the node cannot be asked at all."""
        self._give_up({name: self._look(key).with_tail() for name, key in self._keys.items()}, error)
        return self._reading()

    def _reading(self) -> CachedReading:
        remarks = dict(zip(self._keys, self._cache.remarks(self._keys.values()), strict=True))
        block = DataBlock({**self._empty, **self._blocks})
        return CachedReading(block, self._problems, {**remarks, **self._remarks}, self._edges.before, self._edges.held)

    def _key(self, name: str, query: NodeQuery) -> SeriesKey:
        field = self._client.catalogue.find(name)
        buckets = query.resolution.buckets(field.type if field else "number")
        return SeriesKey(self._client.name, name, query.resolution.reducer, *buckets)

    def _lacking(self, lookups: Mapping[str, Lookup]) -> dict[str, Lookup]:
        """Return what must be asked for."""
        keys, edges = self._keys, self._edges
        return {name: one for name, one in lookups.items() if not one.is_complete or edges.lacks(keys[name], one)}

    def _put(self, name: str, lookup: Lookup, came: Mapping[Span, Samples], reduction: Reduction | None) -> None:
        """Join what there is of a field; of an empty window it is asked what was before, where nodes tell that."""
        edge = lookup.edge
        if reduction is not None and reduction.edge is not None:
            edge = reduction.edge
            # The call brought the edge for others' sake, without what was before; that is known already.
            if edge.before is None and lookup.edge is not None:
                edge = replace(edge, before=lookup.edge.before)
        times, values = self._edges.added(self._keys[name], _join_samples(lookup, came, reduction), edge)
        statement = (reduction.statement if reduction else lookup.statement) or Statement()
        block = TimelineBlock(times, {name: values}, statement=statement)
        if not times.size and self._edges.asks_before(name, edge):
            self._empty[name] = block
        else:
            self._blocks[name] = block

    def _is_open(self, name: str) -> bool:
        return not (name in self._blocks or name in self._problems or name in self._absent)

    def _look(self, key: SeriesKey) -> Lookup:
        grid = self._grids.get(key.width)
        if grid is None:
            grid = self._grids[key.width] = TileGrid.of(*self._window, key.width)
        return self._cache.look(key, grid, self._clock.seconds())

    def _under_way(self, lacking: Mapping[str, Lookup]) -> list[CallUnderWay] | None:
        """Return the calls whose answers will hold all that is lacking, or None."""
        end = self._window[1]
        covering = [self._calls.covering(self._keys[name], one.missing, end) for name, one in lacking.items()]
        return None if None in covering else list(dict.fromkeys(filter(None, covering)))

    async def _wait(self, under_way: Iterable[CallUnderWay], lacking: Mapping[str, Lookup]) -> None:
        # Each waits with a Deferred of its own: a timeout of one must not end the call for the others.
        waiters: list[Deferred[None]] = []
        for call in under_way:
            waiter: Deferred[None] = Deferred()
            call.waiting.append(waiter)
            waiters.append(waiter)
        try:
            for waiter in waiters:
                await waiter.addTimeout(max(self._until - self._clock.seconds(), 0.0), self._clock)
        except DeadlinePassed as error:
            self._give_up(lacking, error)

    async def _ask_all(self, lacking: Mapping[str, Lookup], *, whole: bool) -> None:
        """Ask for what is lacking, side by side; ``whole`` asks for all of the window, whatever is kept."""
        anew = lacking if whole else self._doubted
        lacking = {name: Lookup((), (self._window,)) if name in anew else one for name, one in lacking.items()}
        groups = group_fields({name: (self._keys[name].width, one.missing) for name, one in lacking.items()})
        asking = [
            Deferred.fromCoroutine(self._ask({name: lacking[name] for name in names}, spans))
            for spans, names in groups
        ]
        await gatherResults(asking, consumeErrors=True)

    async def _ask(self, lacking: Mapping[str, Lookup], spans: tuple[Span, ...]) -> None:
        """Ask for some spans of some fields in one call, or in several where one would be too large."""
        try:
            reductions = await self._call(tuple(lacking), spans, self._ahead_s(lacking), self._edge_s(lacking))
        except CALL_FAILURES as error:
            # No node tells in advance how large its reply will be: many fields are asked for in halves until it fits.
            if len(lacking) > 1 and isinstance(error, ApplicationError) and error.error == OverAllowance.uri:
                names = list(lacking)
                for part in (names[: len(names) // 2], names[len(names) // 2 :]):
                    await self._ask({name: lacking[name] for name in part}, spans)
                return
            self._give_up(lacking, error)
            return
        for name, lookup in lacking.items():
            self._take(name, lookup, spans, reductions.get(name))

    def _ahead_s(self, lacking: Mapping[str, Lookup]) -> float:
        """Return for how long the next windows should find the bucket that their start cuts; zero if they will."""
        if self._client.info is None or Capability.AHEAD not in self._client.info.capabilities:
            return 0.0
        return max(self._ahead_of(self._keys[name], lookup) for name, lookup in lacking.items())

    def _ahead_of(self, key: SeriesKey, lookup: Lookup) -> float:
        # A window that is final altogether does not move on: no other will begin a moment later.
        moves = lookup.statement is not None and lookup.statement.finalized_until < self._window[1]
        return key.patience_s if moves and key.looks_ahead and not lookup.is_lasting else 0.0

    def _edge_s(self, lacking: Mapping[str, Lookup]) -> tuple[float, bool]:
        """Return how long windows to come should find what lies at their start, and whether what is before, too."""
        now = self._clock.seconds()
        wanted = [self._edges.wanted(self._keys[name], lookup, now) for name, lookup in lacking.items()]
        return max(edge_s for edge_s, _ in wanted), any(before for _, before in wanted)

    async def _call(
        self, names: tuple[str, ...], spans: tuple[Span, ...], ahead_s: float, edge: tuple[float, bool]
    ) -> dict[str, Reduction]:
        # Whatever is asked for, the window stays that of the panel: what is stated is about all of it.
        request = replace(self._request, fields=names, spans=spans, ahead=ahead_s, edge=edge[0], before=edge[1])
        under_way = CallUnderWay(frozenset(self._keys[name] for name in names), self._window, spans)
        arguments, keywords = spans_arguments(request)
        # The time of asking, not of the answer: samples that came meanwhile are not in it.
        asked_at = self._clock.seconds()
        self._calls.begin(self._client.name, under_way)
        try:
            reply = await self._client.call(self._until - asked_at, "get_data", *arguments, **keywords)
            reductions = decode_reductions(reply, request)
            remarks = decode_remarks(reply, request)
            self._remarks.update({name: remarks.get(name, ()) for name in names})
            self._cache.keep_remarks({self._keys[name]: self._remarks[name] for name in names})
            for name, reduction in reductions.items():
                identified = self._identified(inside(reduction, spans, self._window))
                reductions[name] = identified
                self._cache.keep(self._keys[name], self._window, spans, identified, asked_at, ahead_s)
        finally:
            # Only now those go on who wait for this call: by then all that it brought is kept, and they find it.
            self._calls.end(self._client.name, under_way)
        return reductions

    def _identified(self, reduction: Reduction) -> Reduction:
        """Give data that have no identity that of the node's session: after a reconnect they may be others."""
        if reduction.statement.generation is not None:
            return reduction
        return replace(reduction, statement=replace(reduction.statement, generation=f"session {self._client.number}"))

    def _take(self, name: str, lookup: Lookup, spans: tuple[Span, ...], reduction: Reduction | None) -> None:
        """Join what was kept and what has come, unless the data have become others between the two."""
        if reduction is None:
            # Nodes of former versions took a field without samples in one of several spans for unknown: it is asked
            # for again, for the whole window.
            (self._absent if spans == (self._window,) else self._doubted).add(name)
            return
        same = lookup.statement is not None and lookup.statement.generation == reduction.statement.generation
        if not same and (lookup.kept or lookup.edge is not None):
            return  # the next round sees what is missing of the new data
        came = dict(zip(spans, reduction.samples, strict=True))
        self._put(name, lookup, came, reduction)

    def _give_up(self, lacking: Mapping[str, Lookup], error: BaseException) -> None:
        """Draw what is kept, and say why there is no more."""
        reason = self._client.explain(error)
        for name, lookup in lacking.items():
            self._problems[name] = reason
            self._edges.give_up(name)
            if lookup.kept:
                self._put(name, lookup, {}, None)


def _join_samples(lookup: Lookup, came: Mapping[Span, Samples], reduction: Reduction | None) -> Samples:
    """Return one field's samples of a window out of what was kept and what has come."""
    parts = lookup.kept
    if came:
        fresh = [ReducedSpan(*span, *samples) for span, samples in came.items()]
        kept = [part for one in lookup.kept for part in _beside(one, came)]
        parts = sorted([*kept, *fresh], key=lambda one: one.start)
    whole = join_spans(parts) if parts else ReducedSpan(0.0, 0.0, *NO_SAMPLES)
    newest = (reduction.newest if reduction is not None else lookup.newest) or NO_SAMPLES
    times, values = whole.times, whole.values
    if newest[0].size and not (times.size and newest[0][0] < times[-1]):  # else the node no longer has what is kept
        return add_newest((times, values), newest)
    return times, values


def _beside(kept: ReducedSpan, came: Mapping[Span, Samples]) -> list[ReducedSpan]:
    """Return the parts of a kept span that have not come anew; what came begins and ends on buckets there."""
    over = [ReducedSpan(*span, *NO_SAMPLES) for span in came if span[0] < kept.end and kept.start < span[1]]
    return [kept.part(*span) for span in left_open((kept.start, kept.end), over)] if over else [kept]
