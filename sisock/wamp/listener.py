"""A session on another router, without a login, that only listens: where OCS agents have a router of their own."""

from __future__ import annotations

from typing import Any

from autobahn.twisted.wamp import ApplicationSession
from autobahn.wamp.types import CloseDetails, ComponentConfig
from twisted.application.internet import ClientService
from twisted.internet.defer import inlineCallbacks

from sisock.wamp.connection import plain_connection, raise_transport_limits
from sisock.wamp.inbox import Inbox
from sisock.wamp.session import Session


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


def listen(router: str, realm: str, inbox: Inbox, reactor: Any) -> ClientService:
    """Return a service that hears what the agents on a router publish, ``ws://HOST:PORT/PATH``."""

    def make(config: ComponentConfig) -> ApplicationSession:
        return Listener(config, inbox, router)

    return plain_connection(router, realm, make, reactor)
