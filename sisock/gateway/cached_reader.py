"""Reading fields of one node through the tile cache: only what is missing is asked for, and only once at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from autobahn.wamp.exception import ApplicationError
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.defer import TimeoutError as DeadlinePassed

from sisock.core.errors import OverAllowance
from sisock.core.model import DataBlock, Span, Statement, TimelineBlock
from sisock.core.reduce.reducers import Samples, add_newest
from sisock.core.window.edge import Edge
from sisock.core.window.remarks import Remarked
from sisock.core.window.spans import NO_SAMPLES, Reduction
from sisock.core.wire.requests import request_arguments
from sisock.core.wire.spans import decode_reductions, decode_remarks
from sisock.gateway.drawing.planner import NodeQuestion
from sisock.gateway.node_client import NodeClient
from sisock.gateway.rpc import CALL_FAILURES
from sisock.gateway.tile_cache import Lookup, SeriesKey, TileCache
from sisock.gateway.tiles import (
    LEAST_REACH_S,
    ReducedSpan,
    TileGrid,
    add_first,
    add_held,
    group_keys,
    inside,
    join_spans,
    lacking_s,
    left_open,
)

ROUNDS = 5
PATIENT_ROUNDS = 2  # in which answers to others are waited for


@dataclass(eq=False)
class CallUnderWay:
    """A call that is under way, for all who want some of its answer."""

    keys: frozenset[SeriesKey]
    window: Span
    spans: tuple[Span, ...]
    waiting: list[Deferred[None]] = field(default_factory=list)

    def covers(self, key: SeriesKey, missing: Sequence[Span], end: float) -> bool:
        """Tell whether its answer will hold what a series lacks, up to what may be shared."""
        if key not in self.keys or abs(end - self.window[1]) > key.patience_s:
            return False
        last_end = self.spans[-1][1] if self.spans else -np.inf
        slack = key.patience_s if last_end == self.window[1] else 0.0
        return all(
            any(low <= span[0] and span[1] <= high + (slack if high == last_end else 0.0) for low, high in self.spans)
            for span in missing
        )

    def done(self) -> None:
        """Let those go on who waited."""
        for waiter in self.waiting:
            if not waiter.called:
                waiter.callback(None)


class CallsUnderWay:
    """The calls that are under way, by node."""

    def __init__(self) -> None:
        self._of_node: dict[str, list[CallUnderWay]] = {}

    def covering(self, key: SeriesKey, missing: Sequence[Span], end: float) -> CallUnderWay | None:
        """Return a call whose answer will hold what a series lacks, or None."""
        return next((one for one in self._of_node.get(key.node, ()) if one.covers(key, missing, end)), None)

    def begin(self, node: str, question: CallUnderWay) -> None:
        """Note a call."""
        self._of_node.setdefault(node, []).append(question)

    def end(self, node: str, question: CallUnderWay) -> None:
        """Forget a call that was answered, or failed."""
        self._of_node[node].remove(question)
        if not self._of_node[node]:
            del self._of_node[node]
        question.done()


class WindowEdges:
    """The edges of the fields of one question to one node.

    Attributes
    ----------
    held
        The fields of which what was before the window is drawn at its start.
    before
        Times of the last samples before the window, UNIX seconds, of these fields and of those without any in it.
    """

    def __init__(self, peer: NodeClient, question: NodeQuestion) -> None:
        self._start = question.request.start
        self._tells = peer.info is not None and "edge" in peer.info.capabilities
        self._asks_when_empty = self._tells and question.resolution.before is not False
        self._holding = question.holding(peer.catalogue)
        self._wanting = set(self._holding) if self._tells else set()
        self.held: set[str] = set()
        self.before: dict[str, float] = {}

    def lacks(self, key: SeriesKey, found: Lookup) -> bool:
        """Tell whether what lies at the window's start is drawn, but not known."""
        if key.field in self._wanting:
            return not _tells_before(found.edge)
        return self._tells and key.looks_ahead and found.edge is None

    def wanted(self, key: SeriesKey, found: Lookup, now: float) -> tuple[float, bool]:
        """Return for how many seconds a call that is due should bring an edge, and whether with what is before.

        Of a window of which nothing is kept but that it was empty, what is before will be wanted.
        """
        wanting, lacks = key.field in self._wanting, self.lacks(key, found)
        if not lacks and not (self._tells and (key.looks_ahead or wanting)):
            return 0.0, False
        edge_s = lacking_s(found.kept_edges, self._start, now, key.patience_s) or LEAST_REACH_S * lacks
        empty = lacks and bool(found.pieces) and not any(piece.times.size for piece in found.pieces)
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
        told = name in self.held or (self._asks_when_empty and not whole[0].size)
        if told and edge.before is not None and edge.before[0].size:
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
    """What could be read of the fields of one node, a timeline each; and, for those not whole, why in words.

    What the node itself tells of fields is in ``remarks``. ``before`` has the times of the last samples before the
    window, UNIX seconds, where these are known, and ``held`` the names of those that are drawn at its start.
    """

    block: DataBlock
    problems: Mapping[str, str]
    remarks: Remarked
    before: Mapping[str, float] = field(default_factory=dict)
    held: Collection[str] = ()


class CachedReader:
    """Answers one question from the store and from its node, until a deadline."""

    def __init__(
        self,
        peer: NodeClient,
        question: NodeQuestion,
        store: TileCache,
        questions: CallsUnderWay,
        clock: Any,
        until: float,
    ) -> None:
        self._peer = peer
        self._request = question.request
        self._window = question.request.start, question.request.end
        self._store = store
        self._questions = questions
        self._clock = clock
        self._until = until
        self._grids: dict[float, TileGrid] = {}
        self._keys = {name: self._key(name, question) for name in question.request.fields}
        self._blocks: dict[str, TimelineBlock] = {}
        self._problems: dict[str, str] = {}
        self._absent: set[str] = set()
        self._doubted: set[str] = set()
        self._empty: dict[str, TimelineBlock] = {}  # until it is known what was before
        self._edges = WindowEdges(peer, question)
        self._remarks: dict[str, Sequence[str]] = {}

    async def read(self) -> CachedReading:
        """Read all fields; what goes wrong becomes words beside what was kept of them."""
        for turn in range(ROUNDS):
            settled = {name: self._look(key) for name, key in self._keys.items() if self._is_open(name)}
            found = {name: one.with_tail() for name, one in settled.items()}
            lacking = self._lacking(found)
            under_way = self._under_way(lacking) if lacking and turn < PATIENT_ROUNDS else None
            if under_way is not None:
                await self._wait(under_way, lacking)
                continue
            if lacking:  # a call is due: it brings the end of the window anew for all, and spares the next one
                found = settled
                lacking = self._lacking(found)
            for name in found.keys() - lacking.keys():
                self._put(name, found[name], {}, None)
            if lacking:
                await self._ask_all(lacking, whole=turn == ROUNDS - 1)
            if not any(map(self._is_open, self._keys)):
                break
        return self._reading()

    def kept(self, error: BaseException) -> CachedReading:
        """Return what is kept of all fields, where the node cannot be asked at all."""
        self._give_up({name: self._look(key).with_tail() for name, key in self._keys.items()}, error)
        return self._reading()

    def _reading(self) -> CachedReading:
        remarks = {name: self._store.remarks(key) for name, key in self._keys.items()}
        block = DataBlock({**self._empty, **self._blocks})
        return CachedReading(block, self._problems, {**remarks, **self._remarks}, self._edges.before, self._edges.held)

    def _key(self, name: str, question: NodeQuestion) -> SeriesKey:
        known = self._peer.catalogue.find(name)
        selection = question.resolution.selection(known.type if known else "number")
        width = selection.width(question.resolution.stride_s)
        reducer = question.resolution.reducer
        return SeriesKey(self._peer.name, name, reducer, width, selection.chooses, selection.looks_ahead)

    def _lacking(self, found: Mapping[str, Lookup]) -> dict[str, Lookup]:
        """Return what must be asked for."""
        return {
            name: one for name, one in found.items() if not one.complete or self._edges.lacks(self._keys[name], one)
        }

    def _put(self, name: str, found: Lookup, came: Mapping[Span, Samples], reduction: Reduction | None) -> None:
        """Put together what there is of a field; of an empty window it is asked what was before, if that is told."""
        edge = found.edge
        if reduction is not None and reduction.edge is not None:
            edge = reduction.edge
            if edge.before is None and found.edge is not None:  # asked for for the sake of others
                edge = replace(edge, before=found.edge.before)
        times, values = self._edges.added(self._keys[name], _join_read(found, came, reduction), edge)
        statement = (reduction.statement if reduction else found.statement) or Statement()
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
        return self._store.look(key, grid, self._clock.seconds())

    def _under_way(self, lacking: Mapping[str, Lookup]) -> list[CallUnderWay] | None:
        """Return the calls whose answers will hold all that is lacking, or None."""
        end = self._window[1]
        covering = [self._questions.covering(self._keys[name], one.missing, end) for name, one in lacking.items()]
        return None if None in covering else list(dict.fromkeys(filter(None, covering)))

    async def _wait(self, under_way: Iterable[CallUnderWay], lacking: Mapping[str, Lookup]) -> None:
        waiters: list[Deferred[None]] = []
        for question in under_way:
            waiter: Deferred[None] = Deferred()
            question.waiting.append(waiter)
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
        groups = group_keys({name: (self._keys[name].width, one.missing) for name, one in lacking.items()})
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
            if len(lacking) > 1 and isinstance(error, ApplicationError) and error.error == OverAllowance.uri:
                names = list(lacking)
                for part in (names[: len(names) // 2], names[len(names) // 2 :]):
                    await self._ask({name: lacking[name] for name in part}, spans)
                return
            self._give_up(lacking, error)
            return
        for name, found in lacking.items():
            self._take(name, found, spans, reductions.get(name))

    def _ahead_s(self, lacking: Mapping[str, Lookup]) -> float:
        """Return for how long the next windows should find the bucket that their start cuts; zero if they will."""
        if self._peer.info is None or "ahead" not in self._peer.info.capabilities:
            return 0.0
        return max(self._ahead_of(self._keys[name], found) for name, found in lacking.items())

    def _ahead_of(self, key: SeriesKey, found: Lookup) -> float:
        moves = found.statement is not None and found.statement.finalized_until < self._window[1]
        return key.patience_s if moves and key.looks_ahead and not found.lasting else 0.0

    def _edge_s(self, lacking: Mapping[str, Lookup]) -> tuple[float, bool]:
        """Return how long windows to come should find what lies at their start, and whether what is before, too."""
        now = self._clock.seconds()
        wanted = [self._edges.wanted(self._keys[name], found, now) for name, found in lacking.items()]
        return max(edge_s for edge_s, _ in wanted), any(before for _, before in wanted)

    async def _call(
        self, names: tuple[str, ...], spans: tuple[Span, ...], ahead_s: float, edge: tuple[float, bool]
    ) -> dict[str, Reduction]:
        request = replace(self._request, fields=names, spans=spans, ahead=ahead_s, edge=edge[0], before=edge[1])
        question = CallUnderWay(frozenset(self._keys[name] for name in names), self._window, spans)
        arguments, keywords = request_arguments(request)
        asked_at = self._clock.seconds()
        self._questions.begin(self._peer.name, question)
        try:
            reply = await self._peer.call(self._until - asked_at, "get_data", *arguments, **keywords)
            reductions = decode_reductions(reply, request)
            remarks = decode_remarks(reply, request)
            for name in names:
                self._remarks[name] = remarks.get(name, ())
                self._store.keep_remarks(self._keys[name], self._remarks[name])
            for name, reduction in reductions.items():
                identified = self._identified(inside(reduction, spans, self._window))
                reductions[name] = identified
                self._store.keep(self._keys[name], self._window, spans, identified, asked_at, ahead_s)
        finally:
            self._questions.end(self._peer.name, question)
        return reductions

    def _identified(self, reduction: Reduction) -> Reduction:
        """Give data that have no identity that of the node's session: after a reconnect they may be others."""
        if reduction.statement.generation is not None:
            return reduction
        return replace(reduction, statement=replace(reduction.statement, generation=f"session {self._peer.number}"))

    def _take(self, name: str, found: Lookup, spans: tuple[Span, ...], reduction: Reduction | None) -> None:
        """Put what was kept and what has come together, unless the data have become others between the two."""
        if reduction is None:
            # Nodes of former versions took a field without samples in one of several spans for unknown.
            (self._absent if spans == (self._window,) else self._doubted).add(name)
            return
        same = found.statement is not None and found.statement.generation == reduction.statement.generation
        if not same and (found.pieces or found.edge is not None):
            return  # the next round sees what is missing of the new data
        came = dict(zip(spans, reduction.pieces, strict=True))
        self._put(name, found, came, reduction)

    def _give_up(self, lacking: Mapping[str, Lookup], error: BaseException) -> None:
        """Draw what is kept, and say why there is no more."""
        reason = self._peer.explain(error)
        for name, found in lacking.items():
            self._problems[name] = reason
            self._edges.give_up(name)
            if found.pieces:
                self._put(name, found, {}, None)


def _join_read(found: Lookup, came: Mapping[Span, Samples], reduction: Reduction | None) -> Samples:
    """Return one field's samples of a window out of the parts that were kept and those that came."""
    pieces = found.pieces
    if came:
        kept = [part for piece in pieces for part in _beside(piece, came)]
        pieces = sorted(
            [*kept, *(ReducedSpan(*span, *samples) for span, samples in came.items())], key=lambda one: one.start
        )
    whole = join_spans(pieces) if pieces else ReducedSpan(0.0, 0.0, *NO_SAMPLES)
    newest = (reduction.newest if reduction is not None else found.newest) or NO_SAMPLES
    times, values = whole.times, whole.values
    if newest[0].size and not (times.size and newest[0][0] < times[-1]):  # else the node no longer has what is kept
        return add_newest((times, values), newest)
    return times, values


def _beside(piece: ReducedSpan, came: Mapping[Span, Samples]) -> list[ReducedSpan]:
    """Return the parts of a kept piece that have not come anew; what came begins and ends on buckets there."""
    over = [ReducedSpan(*span, *NO_SAMPLES) for span in came if span[0] < piece.end and piece.start < span[1]]
    return [piece.part(*span) for span in left_open((piece.start, piece.end), over)] if over else [piece]
