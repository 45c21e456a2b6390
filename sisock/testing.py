"""Nodes, a hub and a router in memory, a clock set by hand, and an adapter on top of them.

::

    site = Site(FakeNode("weather", {"temperature": ([1_699_999_990.0], [4.5])}), now=1_700_000_000)
    entries = site.query(["weather::temperature"], 1_699_999_900, 1_700_000_000)

Below the adapter, the fakes stand at the seam between a consumer and the router::

    clock = ManualClock(1_700_000_000)
    router = FakeRouter(FakeHub([FakeNode("weather", {"temperature": ([1_699_999_990.0], [4.5])})]), clock)
    gateway = Gateway(router, clock)

Replies are made by the code that real nodes use and pass through MsgPack, so what a fake sends is what travels.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from json import dumps
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

import msgpack
import numpy as np
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.types import ComponentConfig
from twisted.internet.defer import Deferred, ensureDeferred, fail, maybeDeferred
from twisted.internet.task import Clock

from sisock import __version__
from sisock.core.column.column import Column
from sisock.core.errors import SisockError
from sisock.core.model import DataBlock, Field, FieldCatalogue, FieldType, TimelineBlock
from sisock.core.times import format_iso8601, resolve_span
from sisock.core.window.edge_reading import Patience
from sisock.core.window.spans import reduce_spans
from sisock.core.wire.catalogue import encode_catalogue, page_catalogue
from sisock.core.wire.info import CAPABILITIES, NodeInfo, encode_entry, encode_info, uri
from sisock.core.wire.replies import EXTENDED_ALLOWANCE_BYTES, answer, answer_spans
from sisock.core.wire.requests import parse_request
from sisock.core.wire.values import as_times, as_values
from sisock.gateway.gateway import Gateway
from sisock.gateway.node_client import NO_SUCH_PROCEDURE
from sisock.nodes.contract import DataNode
from sisock.settings import Settings
from sisock.wamp.data_node_server import DataNodeServer
from sisock.wamp.node_server import NodeServer

if TYPE_CHECKING:
    from grafana_json.http.in_memory import Reply

_TYPE_OF_KIND: Mapping[str, FieldType] = {"b": "bool", "O": "string"}
# A fixed time: buckets begin at the epoch, so a panel of another day would have other ones.
NOW = 1_700_000_000.0
LOOK_S = 0.002
OK = 200
TimesAndValues = tuple[Iterable[float], Iterable[Any]]


class ManualClock(Clock):  # type: ignore[misc]  # Twisted's types are not followed
    """A clock that stands still until it is advanced; Twisted's IReactorTime, and callable for the wall time.

    It is both clocks that a program has: ``seconds`` never steps, so delays are measured by it; the wall time is the
    same until :meth:`step` sets it. A gateway that is to tell them apart is given ``wall=clock``.
    """

    def __init__(self, now: float = NOW) -> None:
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
    """The misbehaviour of a fake; may be changed at any time.

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
        # A router hands on the URI and the text of an error, and nothing of its class.
        except SisockError as error:
            raise ApplicationError(error.uri, str(error)) from None

    def _info(self, _: float) -> dict[str, Any]:
        info = NodeInfo(__version__, CAPABILITIES, EXTENDED_ALLOWANCE_BYTES)
        return encode_info(info)

    def _get_fields(
        self, now: float, start: float, end: float, limit: int | None = None, after: str | None = None
    ) -> list[dict[str, Any]]:
        # What is no span is refused, as by every node; which fields have samples in it is not looked at.
        resolve_span(start, end, now)
        return encode_catalogue(page_catalogue(self.catalogue(), limit, after))

    def _get_data(
        self, now: float, field: Any, start: float, end: float, min_stride: Any = None, **extensions: Any
    ) -> Any:
        # The original's method has no such parameters, and its callers would see what Python makes of that.
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
        # Nodes go by the wall time, which a manual clock has apart from the seconds that delays are measured by.
        now = self._clock() if isinstance(self._clock, ManualClock) else self._clock.seconds()
        return self._answer(node.behaviour, lambda: node.answer(name, now, *arguments, **keywords))

    def _answer(self, behaviour: Behaviour, make: Callable[[], Any]) -> Deferred[Any]:
        # Looked at when a call comes, so that a test may change it at any time.
        if behaviour.hang:
            return Deferred()
        reply = maybeDeferred(make).addCallback(_through_the_wire)
        if not behaviour.delay_s:
            return reply
        # A caller that gave up cancels it, and a timer that still ran would fire a Deferred that has failed.
        late: Deferred[Any] = Deferred(lambda _: timer.cancel())
        timer: Any = self._clock.callLater(behaviour.delay_s, reply.chainDeferred, late)
        return late


class Site:
    """An adapter and nodes in memory, asked as over HTTP: as Grafana, Infinity, a monitor or a browser asks.

    Requests and replies are bytes that pass through all of a running adapter but its sockets. Time passes only in
    :meth:`advance`, and while a reply waits for nodes.

    Parameters
    ----------
    nodes
        Fakes, data node servers, or nodes by the contract. What is no fake becomes the ``server`` of a
        :class:`FakeServer`; relative times mean the machine's own present to it, not the clock's.
    now
        What the clock shows at first, UNIX seconds.
    settings
        Those of the adapter; the defaults unless given.

    Attributes
    ----------
    clock
        A :class:`ManualClock`.
    hub
        The :class:`FakeHub` that nodes are added to and subtracted from.
    gateway
        What the adapter asks.
    """

    def __init__(
        self,
        *nodes: FakeNode | FakeServer | DataNodeServer | DataNode,
        now: float = NOW,
        settings: Settings | None = None,
    ) -> None:
        settings = settings or Settings()
        self.clock = ManualClock(now)
        self.hub = FakeHub(map(_reachable, nodes))
        self.gateway = Gateway(None, self.clock, settings.deadline_s, settings.cache_mib * 2**20)
        self.hub.on_added.append(self.gateway.directory.node_added)
        self.hub.on_subtracted.append(self.gateway.directory.node_subtracted)
        result_of(self.gateway.connected(FakeRouter(self.hub, self.clock)))
        # Only this class needs the adapter: whoever tests a node or a consumer does not load its web server.
        from grafana_json.http.in_memory import InMemoryServer

        self._server = InMemoryServer(settings, self.gateway, self.clock)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    def query(
        self,
        targets: Iterable[str | tuple[str, Any]],
        start: float,
        end: float,
        points: int | None = 1000,
        *,
        annotation: bool = False,
        **parts: Any,
    ) -> list[dict[str, Any]]:
        """Return the entries that a panel of the JSON plugin gets, UNIX seconds in and milliseconds out.

        Parameters
        ----------
        targets
            Each ``node::field``, or whatever else a target may be; or a pair of it and its payload.
        points
            The panel's width.
        annotation
            Whether an annotation asks, not a panel.
        parts
            Other parts of the request, such as ``filters`` or ``intervalMs``.

        Raises
        ------
        AssertionError
            Where the adapter refuses the request.
        """
        reply = self.post("/query", _query(targets, start, end, points, annotation=annotation) | parts)
        assert reply.status_code == OK, reply.text
        entries: list[dict[str, Any]] = reply.get_json()
        return entries

    def rows(self, arguments: str) -> Reply:
        """Return the reply of ``GET /rows`` to arguments such as ``metric=node::field&from=now-6h``."""
        return self.get(f"/rows?{arguments}")

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        """Return the reply to a GET."""
        return self.request("GET", path, headers=headers)

    def post(
        self, path: str, json: Any = None, *, body: bytes | str = b"", headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Return the reply to a POST of a body, or of a value as JSON."""
        body = body if json is None else dumps(json)
        return self.request("POST", path, body, {"Content-Type": "application/json", **(headers or {})})

    def request(
        self, method: str, path: str, body: bytes | str = b"", headers: Mapping[str, str] | None = None, **options: Any
    ) -> Reply:
        """Return the reply to any request; see :meth:`grafana_json.http.in_memory.InMemoryServer.request`."""
        return self._server.request(method, path, body, headers, **options)

    def exchange(self, data: bytes, **options: Any) -> bytes:
        """Send bytes, and return what comes back; see :meth:`grafana_json.http.in_memory.InMemoryServer.exchange`."""
        return self._server.exchange(data, **options)


def result_of(deferred: Deferred[Any]) -> Any:
    """Return the result of a Deferred that has fired, or raise its failure; ValueError when it has not fired."""
    outcomes: list[Any] = []
    errors: list[Any] = []

    def keep(result: Any) -> Any:
        # Whoever else waits for the Deferred gets the result too.
        outcomes.append(result)
        return result

    deferred.addCallbacks(keep, errors.append)
    if errors:
        errors[0].raiseException()
    if not outcomes:
        raise ValueError("the Deferred has not fired yet: advance the clock, or check what it waits for")
    return outcomes[0]


def _reachable(node: Any) -> FakeNode | FakeServer:
    """Return what a fake hub and a fake router take in place of a node; fakes are it themselves."""
    # By what it can do: tests write fakes of their own.
    if hasattr(node, "answer"):
        fake: FakeNode | FakeServer = node
        return fake
    return FakeServer(node if isinstance(node, DataNodeServer) else NodeServer(ComponentConfig("", {}), node))


def _query(
    targets: Iterable[str | tuple[str, Any]], start: float, end: float, points: int | None, *, annotation: bool
) -> dict[str, Any]:
    """Return the body of a query as the JSON plugin sends it."""
    given = [(one, {}) if isinstance(one, str) else one for one in targets]
    asked = [
        {"refId": "Anno" if annotation else _ref_id(number), "target": target, "payload": payload}
        for number, (target, payload) in enumerate(given)
    ]
    window = {"from": format_iso8601(start), "to": format_iso8601(end)}
    scope = {"__annotation": {"text": "annotation", "value": {}}} if annotation else {}
    return {"range": window, "maxDataPoints": points, "targets": asked, "scopedVars": scope, "filters": []}


def _ref_id(number: int) -> str:
    """Return what Grafana calls a query of a panel: A, B, and so on."""
    return ascii_uppercase[number % len(ascii_uppercase)] * (number // len(ascii_uppercase) + 1)


def _block(name: str, given_times: Iterable[float], given_values: Iterable[Any]) -> TimelineBlock:
    times = as_times(given_times if isinstance(given_times, np.ndarray) else list(given_times))
    values = as_values(given_values if isinstance(given_values, np.ndarray) else list(given_values), None)
    whole = TimelineBlock(times, {name: values}, generation="fake")
    # Another sample may come at the time of the newest, but none before it.
    return whole.restated(finalized_until=float(times[-1]) if times.size else -np.inf)


def _through_the_wire(reply: Any) -> Any:
    # What no serializer takes, such as a NumPy array, fails here, as it would end a real connection.
    return msgpack.unpackb(msgpack.packb(reply))
