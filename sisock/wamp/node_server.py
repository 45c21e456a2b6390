"""A data node of :mod:`sisock.nodes` on the network."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from autobahn.wamp.types import ComponentConfig
from twisted.internet import threads
from twisted.internet.defer import Deferred, inlineCallbacks

from sisock.core.model import DataRequest
from sisock.core.window.edge_reading import EdgeReading, Patience
from sisock.core.window.review import Review
from sisock.core.window.spans import Reduction, SpanReading, reduce_spans
from sisock.core.wire.replies import answer, answer_columns, answer_spans
from sisock.nodes.contract import DataNode, InMemory, Polls, Summarizes
from sisock.wamp.data_node_server import DataNodeServer
from sisock.wamp.inbox import Inbox

# Of an interval: two polls closer than that would be one and the same.
SAME_POLL = 0.1
# That many are reduced in about a millisecond.
SAMPLES_AT_ONCE = 50_000
log = logging.getLogger(__name__)


class NodeServer(DataNodeServer):
    """Answers for a node that lives longer than any session.

    Parameters
    ----------
    inbox
        Takes the events of the topics that feed the node, where this session is to subscribe to them.
    """

    def __init__(self, config: ComponentConfig, node: DataNode, inbox: Inbox | None = None) -> None:
        super().__init__(config)
        self._inbox = inbox
        self.name = node.name
        self.description = node.description
        self._node = node
        self._in_memory = isinstance(node, InMemory) and node.in_memory

    @inlineCallbacks
    def onJoin(self, details: Any) -> Any:  # noqa: N802 - Autobahn's name
        """Subscribe to the topics that feed the node, before all else: what is published meanwhile is lost."""
        if self._inbox is not None:
            yield self._inbox.subscribe(self)
        yield super().onJoin(details)

    def _lacking(self) -> list[str]:
        # The node has what the contract demands.
        return []

    def _fields_in(self, start: float, end: float) -> Deferred[Any]:
        return self._in_thread(self._node.catalogue, start, end)

    def _reply_to(self, request: DataRequest) -> Any:
        if request.spans is not None:
            return self._reply_in_spans(request)
        if request.reduce is not None and isinstance(self._node, Summarizes):
            return self._reply_from_columns(self._node, request)
        if not self._in_memory:
            return self._in_thread(self._read_and_answer, request)
        block = self._node.read(request.fields, request.start, request.end)
        # To wake a thread, and to be woken by it, costs more than a small answer.
        if block.samples <= SAMPLES_AT_ONCE:
            return answer(block, request)
        return self._in_thread(answer, block, request)

    def _read_and_answer(self, request: DataRequest) -> Any:
        return answer(self._node.read(request.fields, request.start, request.end), request)

    def _reply_from_columns(self, node: Summarizes, request: DataRequest) -> Any:
        def answer() -> Any:
            return answer_columns(node.columns(request.fields), request)

        return answer() if self._in_memory else self._in_thread(answer)

    def _reply_in_spans(self, request: DataRequest) -> Any:
        if self._in_memory and self._is_quick(request):
            return self._answer_spans(request)
        return self._in_thread(self._answer_spans, request)

    def _is_quick(self, request: DataRequest) -> bool:
        if isinstance(self._node, Summarizes):
            return True
        # It returns views at once, so to read it once more for the answer costs next to nothing.
        return self._node.read(request.fields, request.start, request.end).samples <= SAMPLES_AT_ONCE

    def _answer_spans(self, request: DataRequest) -> Any:
        review = Review((request.start, request.end), self._proven)
        reductions = reduce_from(self._node, request, review)
        return answer_spans(reductions, request, self._reviewed(review, request).by_field())


def reduce_from(node: DataNode, request: DataRequest, review: Review | None = None) -> list[Reduction | None]:
    """Return the reductions of the fields of a request, out of the node's summaries if it keeps any.

    What is read in place of these is reviewed.
    """
    if isinstance(node, Summarizes):
        return reduce_spans(node.columns(request.fields), request)
    reading, edges = SpanReading(request), EdgeReading(request)
    while (read := reading.read) is not None:
        block = node.read(read.fields, *read.span)
        block = block if review is None else review.take(block).within(*read.span)
        reading.take(block)
        edges.take(read, block)
    patience = Patience(time.monotonic)
    while (read := edges.read(reading.known)) is not None and patience.lasts():
        edges.take(read, node.read(read.fields, *read.span))
    return edges.beside(reading.reductions())


def start_polling(node: DataNode, reactor: Any, wall: Callable[[], float] = time.time) -> None:
    """Let a node that polls take its samples, in a thread, for as long as the process lasts.

    The first poll comes at once, the others at the wall clock's multiples of the interval, so that nodes on several
    machines sample together. One that takes too long is followed by the next multiple, never by a burst. After a step
    of the wall clock, back or ahead, the next poll comes within an interval, and from there on at the new multiples.

    Parameters
    ----------
    reactor
        Measures the time until the next poll; a step of the wall clock should not touch it.
    wall
        Returns the present, UNIX seconds.
    """
    if isinstance(node, Polls):
        _Polling(node, reactor, wall).poll()


class _Polling:
    """The polls of one node, one after the other."""

    def __init__(self, node: Polls, reactor: Any, wall: Callable[[], float]) -> None:
        self._node = node
        self._reactor = reactor
        self._wall = wall

    def poll(self) -> None:
        polled = threads.deferToThread(self._node.poll, self._wall())
        polled.addErrback(self._failed).addCallback(self._polled)

    def _failed(self, failure: Any) -> None:
        log.error("a poll failed and is left out: %s", failure.value)

    def _polled(self, _: None) -> None:
        # Only now, so that a poll that takes long is never overtaken by the next one.
        self._reactor.callLater(until_next(self._wall(), self._node.poll_interval_s), self.poll)


def until_next(now: float, interval_s: float) -> float:
    """Return the seconds from ``now``, UNIX seconds, until a multiple of the interval that is not just about now.

    A delay ends by another clock than the one that says when it should: a little too soon, it must not count twice.
    """
    left_s = interval_s - now % interval_s
    return left_s if left_s > SAME_POLL * interval_s else left_s + interval_s
