"""A consumer for scripts and notebooks: it blocks, and gives NumPy arrays."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

import sisock.wamp  # noqa: F401 - first, so that Autobahn is loaded quietly

# isort: split
import numpy as np
from autobahn.wamp.exception import ApplicationError
from twisted.internet import reactor, threads
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeadlinePassed

from sisock.core import wire
from sisock.core.errors import BadRequest, NodeUnavailable, SisockError, UnknownField, UnknownNode
from sisock.core.model import DataRequest, Field, FieldCatalogue, Times, Values
from sisock.settings import Settings
from sisock.wamp.connection import connection, find_login
from sisock.wamp.consumer import ConsumerSession
from sisock.wamp.credentials import CONSUMER
from sisock.wamp.steady import keep_steady

CALL_TIMEOUT_S = 30.0
PAGE_SAMPLES = 250_000
PAGE_FIELDS = 5_000


@dataclass(frozen=True)
class NodeEntry:
    """A data node that is online."""

    name: str
    description: str | None


@dataclass(frozen=True)
class Series:
    """Samples of one field: ``times`` (UNIX seconds) and ``values``, both of shape (n,)."""

    field: Field
    times: Times
    values: Values


class Consumer:
    """Asks data nodes, from a program that has no event loop.

    Use it as a context manager. The first one of a process starts Twisted's reactor in a thread of its own.

    Parameters
    ----------
    settings
        Where the router is; from the environment unless given.
    timeout_s
        Seconds to wait for the router.

    Examples
    --------
    ::

        with Consumer() as consumer:
            series = consumer.get("weather::jfk_temperature", start=1.36e9, end=1.37e9)
            print(series.times, series.values, series.field.units)
    """

    def __init__(self, settings: Settings | None = None, timeout_s: float = 10.0) -> None:
        self._settings = settings or Settings.from_environment()
        self._timeout_s = timeout_s
        self._session: Any = None
        self._reason = "no answer from it"
        self._online = threading.Event()
        self._service: Any = None

    def __enter__(self) -> Self:
        """Connect; ConfigurationError without a secret, NodeUnavailable when the router can't be reached in time."""
        find_login(self._settings, CONSUMER)
        _start_reactor()
        self._service = connection(self._settings, CONSUMER, self._make_session, reactor)
        reactor.callFromThread(self._service.startService)
        if not self._online.wait(self._timeout_s):
            self.close()
            address = f"{self._settings.host}:{self._settings.tls_port}"
            raise NodeUnavailable(
                f"the router at {address} cannot be used ({self._reason}): start it with 'sisock router' or "
                "'sisock demo', or set CROSSBAR_HOST, CROSSBAR_TLS_PORT and SISOCK_STATE"
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""
        self.close()

    def close(self) -> None:
        """Disconnect."""
        if self._service is not None:
            threads.blockingCallFromThread(reactor, self._service.stopService)
            self._service = None

    def nodes(self) -> list[NodeEntry]:
        """Return the data nodes that are online."""
        entries = self._call(wire.uri("consumer.get_data_node"), who="the hub")
        return [NodeEntry(str(entry["name"]), entry.get("description")) for entry in entries]

    def fields(self, node: str, start: float = 1, end: float = 0) -> FieldCatalogue:
        """Return the fields of a node that have samples in [start, end), sisock time; of all time unless given."""
        procedure = wire.procedure(node, "get_fields")
        if "paging" not in self._capabilities(node):
            return wire.decode_catalogue(self._call(procedure, start, end, who=node))[0]
        found: list[Field] = []
        intervals_s: dict[str, float | None] = {}
        while True:
            after = found[-1].name if found else None
            reply = self._call(procedure, start, end, limit=PAGE_FIELDS, after=after, who=node)
            page, _ = wire.decode_catalogue(reply)
            found += sorted(page.fields.values(), key=lambda one: one.name)
            intervals_s.update({name: timeline.interval_s for name, timeline in page.timelines.items()})
            if len(page.fields) < PAGE_FIELDS:
                return FieldCatalogue.of(found, intervals_s)

    def get(
        self,
        target: str,
        start: float,
        end: float = 0,
        *,
        min_stride: float | None = None,
        reduce: str | None = None,
    ) -> Series:
        """Return the samples of ``node::field`` inside [start, end), sisock time.

        Parameters
        ----------
        min_stride
            Seconds between samples that are fine enough; every sample unless given.
        reduce
            How to downsample: ``"minmax"``, ``"first"`` or ``"last"``; plain thinning unless given.

        Raises
        ------
        UnknownNode, UnknownField, BadRequest, NodeUnavailable
        """
        node, separator, name = target.partition("::")
        if not separator:
            raise BadRequest(f"'{target}' must be NODE::FIELD")
        catalogue = self.fields(node)
        field = catalogue.find(name)
        if field is None:
            raise UnknownField(node, name, catalogue.fields)
        extended = bool(self._capabilities(node))
        request = DataRequest(
            (name,), start, end, min_stride, reduce, packed=extended, limit=PAGE_SAMPLES if extended else None
        )
        pages = list(self._pages(node, request, catalogue))
        times = np.concatenate([page[0] for page in pages])
        return Series(field, times, np.concatenate([page[1] for page in pages]))

    def _pages(self, node: str, request: DataRequest, catalogue: FieldCatalogue) -> Any:
        while True:
            positional, keywords = wire.request_arguments(request)
            reply = self._call(wire.procedure(node, "get_data"), *positional, who=node, **keywords)
            if reply is False:
                raise BadRequest(f"data node '{node}' has more samples than it can give: ask for a shorter span")
            block, _ = wire.decode_data(reply, request.fields, catalogue)
            found = block.find(request.fields[0])
            yield (found.times, found.values[request.fields[0]]) if found else (np.empty(0), np.empty(0))
            if reply.get("after") is None:
                return
            request = replace(request, after=reply["after"])

    def _capabilities(self, node: str) -> frozenset[str]:
        try:
            return wire.decode_info(self._call(wire.procedure(node, "info"), who=node)).capabilities
        except UnknownNode:
            if node in {entry.name for entry in self.nodes()}:
                return frozenset()  # it runs on the original library
            raise

    def _call(self, procedure: str, *arguments: Any, who: str, **keywords: Any) -> Any:
        """Call a procedure and wait; errors come in words."""

        def call() -> Deferred[Any]:
            if self._session is None:
                raise NodeUnavailable(f"the router is gone: {self._reason}")
            return self._session.call(procedure, *arguments, **keywords).addTimeout(CALL_TIMEOUT_S, reactor)

        try:
            return threads.blockingCallFromThread(reactor, call)
        except ApplicationError as error:
            raise self._translated(error, who) from None
        except DeadlinePassed:
            raise NodeUnavailable(f"{who} did not answer within {CALL_TIMEOUT_S:.0f} s") from None

    def _translated(self, error: ApplicationError, who: str) -> SisockError:
        if error.error != ApplicationError.NO_SUCH_PROCEDURE:
            return SisockError(str(error.args[0]) if error.args else error.error)
        if who == "the hub":
            return NodeUnavailable("the hub is not online: start it with 'sisock hub'")
        return UnknownNode(who)

    def _make_session(self, config: Any) -> ConsumerSession:
        return ConsumerSession(config, {}, self._joined, self._left)

    def _joined(self, session: Any) -> None:
        self._session = session
        self._online.set()

    def _left(self, reason: str) -> None:
        self._session = None
        self._reason = reason


_reactor_lock = threading.Lock()


def _start_reactor() -> None:
    """Run the reactor in a thread, once a process, and wait until it runs."""
    with _reactor_lock:
        if reactor.running:
            return
        keep_steady(reactor)  # one that runs already is not ours
        running = threading.Event()
        reactor.callWhenRunning(running.set)
        run: Callable[[], None] = lambda: reactor.run(installSignalHandlers=False)  # noqa: E731
        threading.Thread(target=run, name="sisock reactor", daemon=True).start()
        running.wait()
