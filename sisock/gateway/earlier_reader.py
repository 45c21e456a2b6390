"""The last samples before a window, of nodes that do not tell them with what else they are asked for."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sisock.core.model import DataBlock, DataRequest, TimelineBlock
from sisock.core.reduce.reducers import Samples
from sisock.core.times import EARLIEST
from sisock.core.window.edge import Edge
from sisock.core.window.edge_reading import longest_s
from sisock.core.window.newest import NewestSearch
from sisock.core.window.spans import NO_SAMPLES
from sisock.core.wire.data import decode_data
from sisock.core.wire.info import Capability
from sisock.core.wire.requests import request_arguments
from sisock.core.wire.spans import decode_reductions, spans_arguments
from sisock.gateway.drawing.planner import NodeQuery
from sisock.gateway.legacy_reader import LONGEST_REPLY_VALUES
from sisock.gateway.node_client import CALL_FAILURES, NodeClient
from sisock.gateway.tiles import add_held

FIRST_EARLIER_SPAN_S = 60.0
# With less, a call costs the node something and is hardly ever answered in time.
LEAST_EARLIER_TIME_S = 0.05
# Each looks twice as far: without refusals and limits, some 25 reach back to 1970.
MOST_CALLS = 64


@dataclass(frozen=True)
class Earlier:
    """A reading of a window, with what holds at its start.

    ``before`` has the times of the last samples before the window, UNIX seconds, and ``held`` the names of those that
    are drawn at its start.
    """

    block: DataBlock
    before: Mapping[str, float]
    held: Collection[str]


async def with_earlier(client: NodeClient, query: NodeQuery, block: DataBlock, clock: Any, until: float) -> Earlier:
    """Return what was read of a window, with what holds at its start as far as it is found until a time."""
    holding = query.holding(client.catalogue)
    blocks = {name: block.find(name) for name in query.request.fields}
    empty = {name for name, one in blocks.items() if one is None or not one.times.size}
    wanted = holding | (empty if query.resolution.before is not False else set())
    before = await EarlierReader(client, query.request, clock, until).read(sorted(wanted))
    held = {}
    for name in holding & before.keys():
        one = blocks[name] or TimelineBlock(NO_SAMPLES[0], {name: NO_SAMPLES[1]}, -math.inf)
        drawn = one.times, one.values[name]
        times, values = add_held(drawn, Edge(before[name], NO_SAMPLES), query.request.start)
        if times.size > drawn[0].size:
            held[name] = replace(one, times=times, values={name: values})
    others = {name: one.of_field(name) for name, one in blocks.items() if one is not None and name not in held}
    times_before = {name: float(one[0][0]) for name, one in before.items()}
    return Earlier(DataBlock({**others, **held}), times_before, held.keys())


class EarlierReader:
    """Looks for the last samples before a window, until a deadline; what is not found by then is not known.

    Parameters
    ----------
    request
        Of the window.
    until
        When to end, by the clock.
    """

    def __init__(self, client: NodeClient, request: DataRequest, clock: Any, until: float) -> None:
        self._client = client
        self._request = request
        self._clock = clock
        self._until = until

    async def read(self, fields: Sequence[str]) -> dict[str, Samples]:
        """Return the last sample before the window of some fields, of those that have one and of which it is known."""
        if not fields:
            return {}
        assert self._client.info is not None
        before: dict[str, Samples] = {}
        try:
            if Capability.SPANS in self._client.info.capabilities:
                await self._read_at_once(fields, before)
            else:
                await self._read_backwards(fields, before)
        except CALL_FAILURES:
            # What is drawn of the window is whole without, and a notice about what nobody asked for is noise.
            pass
        return before

    async def _read_at_once(self, fields: Sequence[str], before: dict[str, Samples]) -> None:
        """Ask for the newest sample of what was before: a call for no spans brings nothing else.

        Nodes of former versions look for it as far as they are told to, whatever that costs them.
        """
        start = self._request.start
        low = max(start - longest_s(self._client.catalogue.spacings_s(fields), fields), EARLIEST)
        request = replace(self._request, fields=tuple(fields), start=low, end=start, reduce="last", spans=())
        arguments, keywords = spans_arguments(request)
        reply = await self._client.call(self._time_left_s, "get_data", *arguments, **keywords)
        for name, reduction in decode_reductions(reply, request).items():
            self._note(name, reduction.newest, before)

    async def _read_backwards(self, fields: Sequence[str], before: dict[str, Samples]) -> None:
        """Ask a node of the original library for ever longer spans."""
        start = self._request.start
        past, stride = (EARLIEST, start), self._request.min_stride or 0.0
        length_s = min(FIRST_EARLIER_SPAN_S, self._longest_safe_s(fields))
        search = NewestSearch(tuple(fields), past, stride, length_s, self._longest_safe_s)
        # Their catalogue says that they are there, so what a reply lacks was not measured then.
        search.known.update(fields)
        calls = 0
        while (read := search.read) is not None and self._time_left_s > LEAST_EARLIER_TIME_S and calls < MOST_CALLS:
            calls += 1
            arguments, keywords = request_arguments(DataRequest(*read))
            reply = await self._client.call(self._time_left_s, "get_data", *arguments, **keywords)
            if reply is False:
                search.refuse()
                continue
            block, _ = decode_data(reply, read.fields, self._client.catalogue)
            search.take(block.within(*read.span))
        for name, sample in search.newest.items():
            self._note(name, sample, before)

    def _longest_safe_s(self, fields: Iterable[str]) -> float:
        """Return how many seconds of some fields a client of the original library may be sent at once."""
        names = list(fields)
        return longest_s(self._client.catalogue.spacings_s(names), names, LONGEST_REPLY_VALUES / len(names))

    @property
    def _time_left_s(self) -> float:
        return float(self._until - self._clock.seconds())

    def _note(self, name: str, sample: Samples, before: dict[str, Samples]) -> None:
        if sample[0].size and sample[0][0] < self._request.start:
            before[name] = sample
