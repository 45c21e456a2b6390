"""Fakes at the seam between a consumer and the router: nodes and a hub in memory, and a clock set by hand.

::

    clock = ManualClock(1_700_000_000)
    hub = FakeHub([FakeNode("weather", {"temperature": ([1_699_999_990.0], [4.5])})])
    gateway = Gateway(FakeRouter(hub, clock), clock)

Replies are made by the code that real nodes use and pass through MsgPack, so what a fake sends is what travels.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import msgpack
import numpy as np
from autobahn.wamp.exception import ApplicationError
from twisted.internet.defer import Deferred, ensureDeferred, fail, maybeDeferred
from twisted.internet.task import Clock

from sisock import __version__
from sisock.core.column.column import Column
from sisock.core.errors import SisockError
from sisock.core.model import DataBlock, Field, FieldCatalogue, FieldType, TimelineBlock
from sisock.core.times import resolve_span
from sisock.core.window.spans import reduce_spans
from sisock.core.wire.catalogue import encode_catalogue, page_catalogue
from sisock.core.wire.info import CAPABILITIES, NodeInfo, encode_entry, encode_info, uri
from sisock.core.wire.replies import EXTENDED_ALLOWANCE_BYTES, answer, answer_spans
from sisock.core.wire.requests import parse_request
from sisock.core.wire.values import as_times, as_values
from sisock.gateway.node_client import NO_SUCH_PROCEDURE
from sisock.wamp.data_node_server import Patience

if TYPE_CHECKING:
    from sisock.wamp.data_node_server import DataNodeServer

_TYPE_OF_KIND: Mapping[str, FieldType] = {"b": "bool", "O": "string"}
LOOK_S = 0.002
TimesAndValues = tuple[Iterable[float], Iterable[Any]]


class ManualClock(Clock):  # type: ignore[misc]  # Twisted's types are not followed
    """A clock that stands still until it is advanced; Twisted's IReactorTime, and callable for the wall time.

    It is both clocks that a program has: ``seconds`` never steps, so delays are measured by it; the wall time is the
    same until :meth:`step` sets it. A gateway that is to tell them apart is given ``wall=clock``.
    """

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        super().__init__()
        self.rightNow = now
        self._ahead_s = 0.0

    def __call__(self) -> float:
        """Return the wall time, UNIX seconds."""
        return float(self.seconds()) + self._ahead_s

    def step(self, seconds: float) -> None:
        """Set the wall time ahead by so many seconds, or back if they are below zero; no time passes."""
        self._ahead_s += seconds


@dataclass
class Behaviour:
    """How a fake misbehaves; may be changed at any time.

    Parameters
    ----------
    hang
        Never answer.
    delay_s
        Answer so much later.
    error
        Answer every call with an error of this text.
    original_library
        Behave as a node that knows nothing of extensions.
    """

    hang: bool = False
    delay_s: float = 0.0
    error: str = ""
    original_library: bool = False


class FakeNode:
    """A data node in memory.

    Parameters
    ----------
    series
        Times and values of each field; each has a timeline of its own. The type follows from the values.
    units
        Of some fields.
    interval_s
        Mean spacing that the catalogue states for all fields; None for aperiodic.
    misbehaviour
        See :class:`Behaviour`.
    """

    def __init__(
        self,
        name: str,
        series: Mapping[str, TimesAndValues],
        *,
        description: str = "a node for tests",
        units: Mapping[str, str] | None = None,
        interval_s: float | None = 1.0,
        **misbehaviour: Any,
    ) -> None:
        self.name = name
        self.description = description
        self.behaviour = Behaviour(**misbehaviour)
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self._blocks = {field: _block(field, *samples) for field, samples in series.items()}
        self._units = units or {}
        self._interval_s = interval_s

    def entry(self) -> dict[str, str]:
        """Return what the hub says of the node."""
        return encode_entry(self.name, self.description)

    def catalogue(self) -> FieldCatalogue:
        """Return all fields."""
        fields = [
            Field(name, name, _TYPE_OF_KIND.get(block.values[name].dtype.kind, "number"), self._units.get(name))
            for name, block in self._blocks.items()
        ]
        return FieldCatalogue.of(fields, dict.fromkeys(self._blocks, self._interval_s))

    def answer(self, name: str, now: float, *arguments: Any, **keywords: Any) -> Any:
        """Return the reply of one of its procedures, or raise as a router would make the caller see it."""
        self.calls.append((name, arguments, keywords))
        methods: dict[str, Callable[..., Any]] = {"get_fields": self._get_fields, "get_data": self._get_data}
        if not self.behaviour.original_library:
            methods["info"] = self._info
        if self.behaviour.error:
            raise ApplicationError("wamp.error.runtime_error", self.behaviour.error)
        if name not in methods:
            raise ApplicationError(NO_SUCH_PROCEDURE, f"no callee registered for procedure <{name}>")
        try:
            return methods[name](now, *arguments, **keywords)
        except SisockError as error:
            raise ApplicationError(error.uri, str(error)) from None

    def _info(self, _: float) -> dict[str, Any]:
        info = NodeInfo(__version__, CAPABILITIES, EXTENDED_ALLOWANCE_BYTES)
        return encode_info(info)

    def _get_fields(
        self, now: float, start: float, end: float, limit: int | None = None, after: str | None = None
    ) -> list[dict[str, Any]]:
        resolve_span(start, end, now)
        return encode_catalogue(page_catalogue(self.catalogue(), limit, after))

    def _get_data(
        self, now: float, field: Any, start: float, end: float, min_stride: Any = None, **extensions: Any
    ) -> Any:
        if self.behaviour.original_library and extensions:
            raise ApplicationError("wamp.error.runtime_error", f"unexpected keyword arguments {list(extensions)}")
        request = parse_request(field, start, end, min_stride, now, **extensions)
        known = {name: self._blocks[name] for name in request.fields if name in self._blocks}
        if request.spans is not None:
            columns = {name: Column.of_block(block, name) for name, block in known.items()}
            return answer_spans(reduce_spans(columns, request), request)
        return answer(DataBlock(known), request)


class FakeServer:
    """A data node server on no network: its own methods are called, and all that the base class does around them.

    Parameters
    ----------
    server
        An instance of a subclass of :class:`sisock.base.DataNodeServer`. What it would do in a thread it does at once.
    misbehaviour
        See :class:`Behaviour`. With ``original_library``, its methods are called as that library did: as they are.
    """

    def __init__(self, server: DataNodeServer, **misbehaviour: Any) -> None:
        self.server = server
        self.name = str(server.name)
        self.description = str(server.description)
        self.behaviour = Behaviour(**misbehaviour)
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self._procedures = server._procedures()  # noqa: SLF001 - what the base class does is what is wanted
        server._in_thread = maybeDeferred  # type: ignore[method-assign]  # noqa: SLF001 - no reactor runs here
        server._patience = _patience_of_looks  # type: ignore[method-assign]  # noqa: SLF001 - whatever the machine does

    def entry(self) -> dict[str, str]:
        """Return what the hub says of the node."""
        return encode_entry(self.name, self.description)

    def answer(self, name: str, _: float, *arguments: Any, **keywords: Any) -> Deferred[Any]:
        """Return the reply of one of its procedures, or fail as a router would make the caller see it."""
        self.calls.append((name, arguments, keywords))
        if self.behaviour.error:
            raise ApplicationError("wamp.error.runtime_error", self.behaviour.error)
        methods = self._original() if self.behaviour.original_library else self._procedures
        if name not in methods:
            raise ApplicationError(NO_SUCH_PROCEDURE, f"no callee registered for procedure <{name}>")
        return maybeDeferred(methods[name], *arguments, **keywords)

    def _original(self) -> Mapping[str, Callable[..., Any]]:
        return {"get_fields": self._plainly("get_fields"), "get_data": self._plainly("get_data")}

    def _plainly(self, name: str) -> Callable[..., Any]:
        def called(*arguments: Any, **keywords: Any) -> Any:
            result = getattr(self.server, name)(*arguments, **keywords)
            return ensureDeferred(result) if asyncio.iscoroutine(result) else result

        return called


def _patience_of_looks() -> Patience:
    """Return a patience that lasts for the same number of looks on every machine."""
    looks = count()
    return Patience(lambda: next(looks) * LOOK_S)


class FakeHub:
    """The nodes that are online, and who wants to hear of changes."""

    def __init__(self, nodes: Iterable[FakeNode | FakeServer] = ()) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.behaviour = Behaviour()
        self.on_added: list[Callable[[Any], Any]] = []
        self.on_subtracted: list[Callable[[Any], Any]] = []

    def add(self, node: FakeNode | FakeServer) -> None:
        """Let a node come online."""
        self.nodes[node.name] = node
        for listener in self.on_added:
            listener(node.entry())

    def subtract(self, name: str) -> None:
        """Let a node leave."""
        node = self.nodes.pop(name)
        for listener in self.on_subtracted:
            listener(node.entry())

    def listed(self) -> list[dict[str, str]]:
        """Return the reply of ``consumer.get_data_node``."""
        return [node.entry() for node in self.nodes.values()]


class FakeRouter:
    """Answers calls of the hub's and the nodes' procedures; a session that is joined, to a consumer.

    Parameters
    ----------
    hub
        Whose nodes are reached.
    clock
        Tells the time to nodes, and lets slow ones answer.
    """

    def __init__(self, hub: FakeHub, clock: Any) -> None:
        self._hub = hub
        self._clock = clock

    def call(self, procedure: str, *arguments: Any, **keywords: Any) -> Deferred[Any]:
        """Call a procedure by its full URI."""
        if procedure == uri("consumer.get_data_node"):
            return self._answer(self._hub.behaviour, self._hub.listed)
        prefix, _, rest = procedure.partition(uri("consumer."))
        node_name, _, name = rest.partition(".")
        node = None if prefix else self._hub.nodes.get(node_name)
        if node is None:
            return fail(ApplicationError(NO_SUCH_PROCEDURE, f"no callee registered for procedure <{procedure}>"))
        now = self._clock() if isinstance(self._clock, ManualClock) else self._clock.seconds()
        return self._answer(node.behaviour, lambda: node.answer(name, now, *arguments, **keywords))

    def _answer(self, behaviour: Behaviour, make: Callable[[], Any]) -> Deferred[Any]:
        if behaviour.hang:
            return Deferred()
        reply = maybeDeferred(make).addCallback(_through_the_wire)
        if not behaviour.delay_s:
            return reply
        late: Deferred[Any] = Deferred(lambda _: timer.cancel())
        timer: Any = self._clock.callLater(behaviour.delay_s, reply.chainDeferred, late)
        return late


def result_of(deferred: Deferred[Any]) -> Any:
    """Return the result of a Deferred that has fired, or raise its failure; ValueError when it has not fired."""
    outcomes: list[Any] = []
    errors: list[Any] = []

    def keep(result: Any) -> Any:
        outcomes.append(result)
        return result

    deferred.addCallbacks(keep, errors.append)
    if errors:
        errors[0].raiseException()
    if not outcomes:
        raise ValueError("the Deferred has not fired yet: advance the clock, or check what it waits for")
    return outcomes[0]


def _block(name: str, given_times: Iterable[float], given_values: Iterable[Any]) -> TimelineBlock:
    times = as_times(given_times if isinstance(given_times, np.ndarray) else list(given_times))
    values = as_values(given_values if isinstance(given_values, np.ndarray) else list(given_values), None)
    whole = TimelineBlock(times, {name: values}, generation="fake")
    return whole.restated(finalized_until=float(times[-1]) if times.size else -np.inf)


def _through_the_wire(reply: Any) -> Any:
    return msgpack.unpackb(msgpack.packb(reply))
