"""Reading nodes that have only the original library, in spans small enough for their clients.

Such a node loses its connection when one reply exceeds 1 MiB, and cannot reduce. So it is asked for all samples of
small spans, from the newest backwards, and the spans follow the density of what comes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from sisock.core import times
from sisock.core.errors import BadReply
from sisock.core.model import DataBlock, DataRequest, TimelineBlock
from sisock.core.reduce.reducers import find_reducer, reduce_block
from sisock.core.window.edge import Edge
from sisock.core.window.parts import UNSTATED, join_blocks_of
from sisock.core.window.remarks import Remarked
from sisock.core.window.review import Review
from sisock.core.window.walks import BackwardWalk
from sisock.core.wire.data import decode_data
from sisock.core.wire.requests import request_arguments
from sisock.gateway.drawing.planner import NodeQuery
from sisock.gateway.node_client import CALL_FAILURES, NodeClient
from sisock.gateway.tiles import add_first

SHORTEST_LEGACY_SPAN_S = 1e-3
VALUES_IN_A_REPLY = 8_000
# Under 1 MiB in any serializer.
LONGEST_REPLY_VALUES = 20_000
# What can be read in the time that a panel waits.
MOST_REPLIES = 50
MOST_LEGACY_VALUES = MOST_REPLIES * VALUES_IN_A_REPLY
# One after the other: what fits is found sooner, unless the node wants a stride.
REFUSALS_BEFORE_STRIDE = 6
LEAST_LEGACY_TIME_S = 0.1


@dataclass(frozen=True)
class LegacyReading:
    """A reading of a node with the original library: reduced samples, and what a viewer must know about them."""

    block: DataBlock
    notice: str
    problem: str | None
    remarks: Remarked


class LegacyReader:
    """Reads one query, until its span is covered or the time is up."""

    def __init__(self, client: NodeClient, query: NodeQuery, clock: Any, until: float) -> None:
        self._client = client
        self._query = query
        self._clock = clock
        self._until = until
        start, end = query.request.start, query.request.end
        limits = {"longest_s": self._longest_span_s(), "shortest_s": SHORTEST_LEGACY_SPAN_S}
        self._walk = BackwardWalk(start, end, VALUES_IN_A_REPLY, most_parts=MOST_REPLIES, **limits)
        self._blocks: list[DataBlock] = []
        self._review = Review((query.request.start, query.request.end))
        self._thinned_before: float | None = None

    async def read(self) -> LegacyReading:
        """Read; raise what the first call raised when nothing came at all."""
        # From the newest backwards: when the time is up, what is missing is the oldest.
        stopped = None
        while (span := self._walk.span) is not None and stopped is None:
            stopped = await self._step(span)
        return LegacyReading(
            block=self._reduced(),
            notice=self._notice(),
            problem=stopped and self._what_is_missing(stopped),
            remarks=self._review.by_field(),
        )

    def _longest_span_s(self) -> float:
        """Return the span that one reply holds at the spacing that the node states, where it states one."""
        spacings_s = self._client.catalogue.spacings_s(self._query.request.fields).values()
        rate = sum(1.0 / spacing_s for spacing_s in spacings_s if spacing_s)
        return LONGEST_REPLY_VALUES / rate if rate else math.inf

    async def _step(self, span: tuple[float, float]) -> str | None:
        """Ask for one span; return in words why nothing more can be asked for, or None."""
        time_left_s = self._until - self._clock.seconds()
        # A call that cannot be answered in time would count as the node's failure.
        if time_left_s < LEAST_LEGACY_TIME_S and self._blocks:
            return "there was no more time to read it"
        request = self._plain_request(span)
        arguments, keywords = request_arguments(request)
        try:
            reply = await self._client.call(time_left_s, "get_data", *arguments, **keywords)
            if reply is not False:
                self._take(reply, request)
                return None
        except CALL_FAILURES as error:
            if not self._blocks:
                raise
            return self._client.explain(error)
        if not self._walk.refused():
            return "the node refuses even the shortest span"
        if self._walk.refusals >= REFUSALS_BEFORE_STRIDE and self._thinned_before is None:
            self._thinned_before = self._walk.reached
            self._walk.forget_refusals()
        return None

    def _plain_request(self, span: tuple[float, float]) -> DataRequest:
        stride_s = None if self._thinned_before is None else self._query.request.min_stride
        return DataRequest(self._query.request.fields, *span, min_stride=stride_s)

    def _take(self, reply: Any, request: DataRequest) -> None:
        block = self._review.take(*decode_data(reply, request.fields, self._client.catalogue))
        timelines = {name: one.within(request.start, request.end) for name, one in block.timelines.items()}
        self._blocks.append(DataBlock(timelines))
        # Silence counts as well: a reply without samples tells how sparse they are.
        expected = self._walk.answered(sum(one.times.size * len(one.values) for one in timelines.values()))
        if (expected > MOST_LEGACY_VALUES or self._walk.is_long) and self._thinned_before is None:
            self._thinned_before = self._walk.reached
            self._walk.longest_s = math.inf

    def _reduced(self) -> DataBlock:
        request = self._query.request
        if request.reduce is None or request.min_stride is None:
            raise BadReply("a node with the original library is read to be reduced")
        # Nothing is promised about the past: the original library cannot say what changed.
        fields = [(name, [block.find(name) for block in self._blocks[::-1]]) for name in request.fields]
        joined = {name: join_blocks_of(name, blocks, UNSTATED) for name, blocks in fields}
        whole = DataBlock({name: one for name, one in joined.items() if one is not None})
        reduced = reduce_block(whole, request.reduce, request.min_stride)
        return DataBlock({name: self._with_first(name, one, whole) for name, one in reduced.timelines.items()})

    def _with_first(self, name: str, block: TimelineBlock, whole: DataBlock) -> TimelineBlock:
        """Draw the first sample of a field, where all of its window was read, as a node tells it by its edge."""
        samples = whole.timelines[name]
        selection = find_reducer(self._query.resolution.reducer).for_dtype(block.values[name].dtype)
        if not selection.looks_ahead or self._walk.span is not None:
            return block
        first = Edge(None, (samples.times[:1], samples.values[name][:1]))
        times, values = add_first((block.times, block.values[name]), first)
        return replace(block, times=times, values={name: values})

    def _notice(self) -> str:
        text = f"node '{self._client.name}' uses the original library: it is read slowly and nothing is kept"
        if self._thinned_before is None:
            return text
        spacing = times.format_duration(self._query.request.min_stride or 0.0)
        moment = times.format_iso8601(self._thinned_before)
        lacking = "short excursions may be missing"
        reducer = self._query.request.reduce
        if reducer is not None and find_reducer(reducer).numbers.adds_up:
            lacking = "what is counted or summed there is far too low: ask for a shorter range"
        return f"{text}; before {moment} only one sample in {spacing} was read, so {lacking}"

    def _what_is_missing(self, reason: str) -> str:
        moment = times.format_iso8601(self._walk.reached)
        lacking = f"what is before {moment} is missing, because {reason}"
        return f"node '{self._client.name}': {lacking}; ask for a shorter range"
