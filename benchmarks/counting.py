"""A router in memory between a gateway and one data node that counts what travels: calls, samples, bytes.

Calls and results pass through Autobahn's own messages and serializer, so the bytes are those of WAMP.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import sisock.wamp  # noqa: F401 - before Autobahn, which it keeps quiet

# isort: split
from autobahn.wamp.message import Call, Result
from autobahn.wamp.serializer import MsgPackSerializer
from twisted.internet.defer import Deferred, succeed

from sisock import __version__
from sisock.core.wire.info import CAPABILITIES, NodeInfo, encode_info
from sisock.core.wire.replies import EXTENDED_ALLOWANCE_BYTES, answer_fields, answer_spans
from sisock.core.wire.requests import parse_request
from sisock.nodes.contract import DataNode
from sisock.wamp.node_server import reduce_from

TIME_BYTES = 8


@dataclass
class Traffic:
    """The traffic since it was last taken."""

    calls: int = 0
    samples: int = 0
    payload_bytes: int = 0


@dataclass
class CountingRouter:
    """The caller of a gateway; the hub knows one node.

    Parameters
    ----------
    node
        Answered for by the code that answers for nodes on the network.
    clock
        Tells the node the time.
    """

    node: DataNode
    clock: Any
    traffic: Traffic = field(default_factory=Traffic)
    _serializer: Any = field(default_factory=MsgPackSerializer)

    def take(self) -> Traffic:
        """Return what has travelled, and begin anew."""
        taken, self.traffic = self.traffic, Traffic()
        return taken

    def call(self, procedure: str, *arguments: Any, **keywords: Any) -> Deferred[Any]:
        """Call a procedure by its full URI."""
        asked = self._send(Call(1, procedure, args=list(arguments), kwargs=keywords or None))
        reply = self._answer(procedure.rpartition(".")[2], *(asked.args or ()), **(asked.kwargs or {}))
        return succeed(self._send(Result(1, args=[reply])).args[0])

    def _send(self, message: Any) -> Any:
        payload, _ = self._serializer.serialize(message)
        self.traffic.payload_bytes += len(payload)
        return self._serializer.unserialize(payload)[0]

    def _answer(self, name: str, *arguments: Any, **keywords: Any) -> Any:
        if name == "get_data_node":
            return [{"name": self.node.name, "description": self.node.description}]
        if name == "info":
            return encode_info(NodeInfo(__version__, CAPABILITIES, EXTENDED_ALLOWANCE_BYTES))
        if name == "get_fields":
            return answer_fields(self.node.catalogue(*arguments), **keywords)
        return self._get_data(*arguments, **keywords)

    def _get_data(self, names: Any, start: float, end: float, min_stride: Any, **extensions: Any) -> Any:
        request = parse_request(names, start, end, min_stride, self.clock.seconds(), **extensions)
        reply = answer_spans(reduce_from(self.node, request), request)
        self.traffic.calls += 1
        self.traffic.samples += sum(len(times) // TIME_BYTES for _, _, _, times, _ in reply["series"])
        return reply
