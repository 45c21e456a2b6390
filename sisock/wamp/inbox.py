"""Events for a node that is fed by topics: heard on its own router or another, taken one after the other."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from autobahn.twisted.wamp import ApplicationSession
from autobahn.wamp.exception import ApplicationError, TransportLost
from autobahn.wamp.types import CloseDetails, ComponentConfig, EventDetails, SubscribeOptions
from twisted.application.internet import ClientService
from twisted.internet import threads
from twisted.internet.defer import inlineCallbacks

from sisock.nodes.contract import Subscribes
from sisock.wamp.connection import plain_connection, raise_transport_limits
from sisock.wamp.session import Session

# A node that hangs must not fill the memory.
MOST_WAITING = 10_000
_REMEMBERED = 1000
log = logging.getLogger(__name__)


class Inbox:
    """Hands what its sessions hear to a node; lives as long as the node.

    Parameters
    ----------
    in_thread
        Calls a function in a worker thread and returns a Deferred of its result.
    """

    def __init__(self, node: Subscribes, in_thread: Callable[[Callable[[], None]], Any] | None = None) -> None:
        self._node = node
        self._in_thread = in_thread or threads.deferToThread
        self._waiting: deque[tuple[str, tuple[Any, ...]]] = deque()
        self._seen: deque[int] = deque(maxlen=_REMEMBERED)
        self._is_busy = False
        self._has_warned = False

    @inlineCallbacks
    def subscribe(self, session: Any) -> Any:
        """Subscribe a session that has joined to the node's topics; what the router refuses is logged."""
        for topic in self._node.topics:
            options = SubscribeOptions(match="wildcard" if "" in topic.split(".") else "exact", details_arg="details")
            try:
                yield session.subscribe(self._hear, topic, options)
            except ApplicationError as error:
                log.warning("the router refuses the topic '%s': %s", topic, error.error_message())
            except TransportLost:
                return

    def put(self, topic: str, arguments: tuple[Any, ...]) -> None:
        """Take one event; to be called in the reactor's thread."""
        if len(self._waiting) >= MOST_WAITING:
            if not self._has_warned:
                self._has_warned = True
                log.error("events come faster than the node takes them: those beyond %d are lost", MOST_WAITING)
            return
        self._waiting.append((topic, arguments))
        # One thread at a time, so that events are taken in their order.
        if not self._is_busy:
            self._work()

    def _hear(self, /, *arguments: Any, details: EventDetails, **_: Any) -> None:
        """Take an event, which comes once for each topic that it matches."""
        if details.publication not in self._seen:
            self._seen.append(details.publication)
            self.put(details.topic, arguments)

    def _work(self) -> None:
        self._is_busy = True
        self._in_thread(self._drain).addErrback(self._failed).addCallback(self._done)

    def _drain(self) -> None:
        while self._waiting:
            topic, arguments = self._waiting.popleft()
            self._node.receive(topic, *arguments)

    def _failed(self, failure: Any) -> None:
        log.error("an event is left out: %s: %s", failure.type.__name__, failure.value)

    def _done(self, _: None) -> None:
        # An event may have come after the thread's last look, while this was still set.
        self._is_busy = False
        if self._waiting:
            self._work()


class Listener(Session):
    """Subscribes to the topics of a node each time that it joins."""

    def __init__(self, config: ComponentConfig, inbox: Inbox, router: str) -> None:
        super().__init__(config)
        self._inbox = inbox
        self._router = router

    def onConnect(self) -> None:  # noqa: N802 - Autobahn's name
        """Join as nobody."""
        self.join(self.config.realm)

    @inlineCallbacks
    def onJoin(self, details: Any) -> Any:  # noqa: N802 - Autobahn's name
        """Listen."""
        self.log.info("listening to the router at {router}", router=self._router)
        yield self._inbox.subscribe(self)

    def onOpen(self, transport: Any) -> None:  # noqa: N802 - Autobahn's name
        """Let the transport take long messages."""
        raise_transport_limits(transport)
        super().onOpen(transport)

    def onLeave(self, details: CloseDetails) -> Any:  # noqa: N802 - Autobahn's name
        """Say why the router does not let it in; it is tried again."""
        if details.reason.startswith("wamp.error."):
            self.log.error("the router at {router} refuses: {why}", router=self._router, why=details.message)
        return super().onLeave(details)


def listen_to_feeds(router: str, realm: str, inbox: Inbox, reactor: Any) -> ClientService:
    """Return a service that hears what the agents on a router publish, ``ws://HOST:PORT/PATH``."""

    def make(config: ComponentConfig) -> ApplicationSession:
        return Listener(config, inbox, router)

    return plain_connection(router, realm, make, reactor)
