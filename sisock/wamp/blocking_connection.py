"""A connection to the router for programs that block: made at its first use, and made again when it was lost."""

from __future__ import annotations

import threading
from typing import Any

from autobahn.wamp.exception import TransportLost
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.defer import TimeoutError as DeadlinePassed

from sisock.core.errors import NodeUnavailable
from sisock.settings import Settings
from sisock.wamp.connection import connection, find_login
from sisock.wamp.credentials import CONSUMER
from sisock.wamp.reactor import LOOP
from sisock.wamp.session import ConsumerSession

CLOSE_S = 3.0


class BlockingConnection:
    """Keeps one session of a consumer with the router, for as long as it is open.

    It knows nothing of whoever uses it, so that it can be hung up when nobody does any more.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._online = threading.Event()
        self._session: Any = None
        self._reason = "no answer from it"
        self._service: Any = None
        self._at_shutdown: Any = None

    def open(self) -> None:
        """Begin to connect.

        Raises
        ------
        ConfigurationError
            Without a secret.
        SisockError
            Where there can be no event loop.
        """
        # Asked for its errors: a login that cannot be found is told at once, not at each attempt.
        find_login(self._settings, CONSUMER)
        reactor = LOOP.start()
        self._service = connection(self._settings, CONSUMER, self._make_session, reactor)

        def begin() -> None:
            self._service.startService()
            self._at_shutdown = reactor.addSystemEventTrigger("before", "shutdown", self._service.stopService)

        LOOP.call(lambda: maybeDeferred(begin))

    def wait(self, timeout_s: float) -> None:
        """Wait until there is a session; NodeUnavailable when there is none in time, SisockError where none can be."""
        LOOP.start()
        if not self._online.wait(timeout_s):
            address = f"{self._settings.host}:{self._settings.tls_port}"
            raise NodeUnavailable(
                f"the router at {address} cannot be used ({self._reason}): start it with 'sisock router' or "
                "'sisock demo', or set CROSSBAR_HOST, CROSSBAR_TLS_PORT and SISOCK_STATE, or WAMP_USER and WAMP_SECRET"
            )

    def call(self, timeout_s: float, procedure: str, *arguments: Any, **keywords: Any) -> Any:
        """Call a procedure and wait for its result.

        Raises
        ------
        ApplicationError
            What the other side answered.
        DeadlinePassed
            When there was no answer in time.
        TransportLost
            When the connection was lost meanwhile; it is made again by itself.
        """
        reactor = LOOP.start()

        def call() -> Deferred[Any]:
            if self._session is None:
                raise TransportLost(self._reason)
            return self._session.call(procedure, *arguments, **keywords).addTimeout(timeout_s, reactor)

        return LOOP.call(call)

    def close(self) -> None:
        """Hang up, and wait until that is done."""
        # The connection is that of the process which this one was forked from.
        if LOOP.inherited:
            return
        reactor = LOOP.start()

        def hang_up() -> Deferred[Any]:
            done = self._hang_up(reactor).addTimeout(CLOSE_S, reactor)
            return done.addErrback(lambda failure: failure.trap(DeadlinePassed))

        LOOP.call(hang_up)

    def drop(self) -> None:
        """Hang up without waiting, from any thread."""
        LOOP.later(self._hang_up)

    def _hang_up(self, reactor: Any) -> Deferred[Any]:
        if self._at_shutdown is not None:
            reactor.removeSystemEventTrigger(self._at_shutdown)
            self._at_shutdown = None
        return maybeDeferred(self._service.stopService)

    def _make_session(self, config: Any) -> ConsumerSession:
        return ConsumerSession(config, {}, self._joined, self._left)

    def _joined(self, session: Any) -> None:
        self._session = session
        # Last, so that whoever it wakes finds the session.
        self._online.set()

    def _left(self, reason: str) -> None:
        self._online.clear()
        self._session = None
        self._reason = reason
