"""A data node of :mod:`sisock.nodes` on the network."""

from __future__ import annotations

import logging
import time
from typing import Any

from autobahn.wamp.types import ComponentConfig
from twisted.internet import task, threads
from twisted.internet.defer import Deferred, inlineCallbacks

from sisock.base import DataNodeServer
from sisock.core import serving
from sisock.core.model import DataRequest
from sisock.core.reduction import Reduction, SpanReading, reduce_spans
from sisock.core.review import Review
from sisock.nodes.contract import DataNode, InMemory, Polls, Summarizes
from sisock.wamp.inbox import Inbox

SAMPLES_AT_ONCE = 50_000  # that many are reduced in about a millisecond
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
        return []  # the node has what the contract demands

    def _fields_in(self, start: float, end: float) -> Deferred[Any]:
        return threads.deferToThread(self._node.catalogue, start, end)

    def _reply_to(self, request: DataRequest) -> Any:
        if request.spans is not None:
            return self._reply_in_spans(request)
        if request.reduce is not None and isinstance(self._node, Summarizes):
            return self._reply_from_columns(self._node, request)
        if not self._in_memory:
            return threads.deferToThread(self._read_and_answer, request)
        block = self._node.read(request.fields, request.start, request.end)
        # To wake a thread, and to be woken by it, costs more than a small answer.
        if block.samples <= SAMPLES_AT_ONCE:
            return serving.answer(block, request)
        return threads.deferToThread(serving.answer, block, request)

    def _read_and_answer(self, request: DataRequest) -> Any:
        return serving.answer(self._node.read(request.fields, request.start, request.end), request)

    def _reply_from_columns(self, node: Summarizes, request: DataRequest) -> Any:
        def answer() -> Any:
            return serving.answer_columns(node.columns(request.fields), request)

        return answer() if self._in_memory else threads.deferToThread(answer)

    def _reply_in_spans(self, request: DataRequest) -> Any:
        if self._in_memory and self._is_quick(request):
            return self._answer_spans(request)
        return threads.deferToThread(self._answer_spans, request)

    def _is_quick(self, request: DataRequest) -> bool:
        if isinstance(self._node, Summarizes):
            return True
        return self._node.read(request.fields, request.start, request.end).samples <= SAMPLES_AT_ONCE

    def _answer_spans(self, request: DataRequest) -> Any:
        review = Review((request.start, request.end), self._proven)
        reductions = reduce_from(self._node, request, review)
        return serving.answer_spans(reductions, request, self._reviewed(review).by_field())


def reduce_from(node: DataNode, request: DataRequest, review: Review | None = None) -> list[Reduction | None]:
    """Return the reductions of the fields of a request, out of the node's summaries if it keeps any.

    What is read in place of these is reviewed.
    """
    if isinstance(node, Summarizes):
        return reduce_spans(node.columns(request.fields), request)
    reading = SpanReading(request)
    while (read := reading.read) is not None:
        block = node.read(read.fields, *read.span)
        reading.take(block if review is None else review.take(block).within(*read.span))
    return reading.reductions()


def start_polling(node: DataNode, reactor: Any) -> None:
    """Let a node that polls take its samples, in a thread, for as long as the process lasts.

    Polls follow the wall clock's multiples of the interval, so that nodes on several machines sample together; one
    that takes too long is followed by the next multiple, never by a burst.
    """
    if isinstance(node, Polls):
        loop = task.LoopingCall(_poll, node)
        loop.clock = reactor
        loop.start(node.poll_interval_s)


def _poll(node: Polls) -> Deferred[None]:
    def failed(failure: Any) -> None:
        log.error("a poll failed and is left out: %s", failure.value)

    return threads.deferToThread(node.poll, time.time()).addErrback(failed)
