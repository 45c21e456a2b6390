"""A connection to the router that comes back: the one way in which all programs of sisock are on the network."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from typing import Any

import autobahn.wamp.websocket
from autobahn.twisted.wamp import ApplicationSession
from autobahn.twisted.websocket import WampWebSocketClientFactory
from autobahn.wamp.serializer import CBORSerializer, JsonSerializer, MsgPackSerializer
from autobahn.wamp.types import ComponentConfig
from twisted.application.internet import ClientService, backoffPolicy
from twisted.internet import defer, endpoints
from twisted.internet.error import ConnectionRefusedError  # noqa: A004 - Twisted's own
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from sisock.core.errors import ConfigurationError
from sisock.settings import Settings
from sisock.wamp.certificate import client_options
from sisock.wamp.credentials import CONSUMER, FILE_NAME, HUB, Credentials
from sisock.wamp.crossbar_config import MESSAGE_LIMIT_BYTES, local_socket

PING_INTERVAL_S = 5.0
PING_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 5.0
FIRST_RETRY_S = 0.25
# All programs are back about a second after the router; jitter keeps them from coming at the same moment.
LONGEST_RETRY_S = 1.0
JITTER_S = 0.1
THIS_MACHINE = {"127.0.0.1", "localhost", "::1"}
RECONNECTS = "sisock_reconnects"

log = Logger()
# Autobahn colours each message for a log line that is off, which takes longer than to send it.
autobahn.wamp.websocket.hlval = lambda value, **_: value

SessionFactory = Callable[[ComponentConfig], ApplicationSession]


def connection(settings: Settings, authid: str, make_session: SessionFactory, reactor: Any) -> ClientService:
    """Return a service that keeps a session with the router, a new one after each loss of the connection.

    Parameters
    ----------
    settings
        Name the router; the certificate and the secret are read anew at each attempt, so that router and programs
        may be started in any order.
    authid
        Name to log in with, unless the settings name one.
    make_session
        Called with a configuration whose ``extra`` holds ``authid`` and ``secret``.
    """
    endpoint = _RouterEndpoint(settings, authid, reactor)

    def create() -> ApplicationSession:
        return make_session(ComponentConfig(settings.realm, extra=endpoint.login))

    return _service(endpoint, _factory(create, f"wss://{settings.host}:{settings.tls_port}/ws"), reactor)


def plain_connection(router: str, realm: str, make_session: SessionFactory, reactor: Any) -> ClientService:
    """Return a service that keeps a session without a login on a router, ``ws://HOST:PORT/PATH``.

    The configuration that sessions are made with has no ``extra``.
    """
    factory = _factory(lambda: make_session(ComponentConfig(realm, {})), router)
    endpoint = endpoints.HostnameEndpoint(reactor, factory.host, factory.port, timeout=CONNECT_TIMEOUT_S)
    return _service(endpoint, factory, reactor)


def _factory(create: Callable[[], ApplicationSession], url: str) -> Any:
    factory = WampWebSocketClientFactory(
        create, url=url, serializers=[MsgPackSerializer(), CBORSerializer(), JsonSerializer()]
    )
    factory.setProtocolOptions(
        # A message over the limit ends the connection, so both sides have the same one.
        maxFramePayloadSize=MESSAGE_LIMIT_BYTES,
        maxMessagePayloadSize=MESSAGE_LIMIT_BYTES,
        autoPingInterval=PING_INTERVAL_S,
        autoPingTimeout=PING_TIMEOUT_S,
        autoPingSize=12,
        openHandshakeTimeout=CONNECT_TIMEOUT_S,
        closeHandshakeTimeout=1.0,
        tcpNoDelay=True,
        # Who breaks the protocol is not waited for, as a closing handshake would.
        failByDrop=True,
    )
    # Twisted would log each attempt, and the endpoint says once why there is no session.
    factory.noisy = False
    return factory


def _service(endpoint: Any, factory: Any, reactor: Any) -> ClientService:
    retry = backoffPolicy(FIRST_RETRY_S, LONGEST_RETRY_S, factor=1.5, jitter=lambda: random.uniform(0, JITTER_S))  # noqa: S311 - spreads load
    return ClientService(endpoint, factory, retryPolicy=retry, clock=reactor)


def find_login(settings: Settings, authid: str) -> tuple[str, str]:
    """Return the name and the secret to log in with.

    A name in the settings wins for data nodes, with the secret beside it; for consumers too, unless the state
    directory is that of a router of ours, which does not know it as a consumer. Else a program uses its own name, with
    the secret that the router of this machine keeps for it, or else with the one in the settings.

    Raises
    ------
    ConfigurationError
        When there is no secret.
    """
    credentials = Credentials(settings.state / FILE_NAME)
    if authid == CONSUMER:
        # another user's state directory does not matter where there is a secret
        with contextlib.suppress(*[ConfigurationError] if settings.wamp_secret else []):
            own = _consumer_login(settings, credentials)
            if own is not None:
                return own
    # Those two have roles of their own, and so fixed names.
    of_node = authid not in (HUB, CONSUMER)
    if of_node and settings.wamp_user and settings.wamp_secret:
        return settings.wamp_user, settings.wamp_secret
    name = (settings.wamp_user if of_node else "") or authid
    secret = settings.wamp_secret
    if settings.state.is_dir():
        with contextlib.suppress(*[ConfigurationError] if secret else []):
            secret = credentials.secret(name, create=True) or secret
    if not secret:
        raise ConfigurationError(
            f"there is no secret for '{name}': set WAMP_SECRET, or SISOCK_STATE to the router's state directory"
        )
    return name, secret


def _consumer_login(settings: Settings, credentials: Credentials) -> tuple[str, str] | None:
    """Return the login of a consumer of one's own, if the settings name one that the router may know.

    What is in the environment of a whole deployment may be the login of its data nodes: a router of ours says so.
    """
    name = settings.wamp_user
    known = credentials.consumer_secret(name) if name else None
    if known is not None:
        return name, settings.wamp_secret or known
    if name and settings.wamp_secret and not credentials.is_of_a_router():
        return name, settings.wamp_secret
    return None


@implementer(IStreamClientEndpoint)
class _RouterEndpoint:
    """Connects with the certificate and the secret as they are at the time of the attempt."""

    def __init__(self, settings: Settings, who: str, reactor: Any) -> None:
        self._settings = settings
        self._who = who
        self._reactor = reactor
        self._logged_reason = ""
        self.login: dict[str, Any] = {}

    def connect(self, factory: Any) -> defer.Deferred[Any]:
        return defer.maybeDeferred(self._connect, factory).addErrback(self._failed)

    def _failed(self, failure: Failure) -> Failure:
        """Say why the router cannot be reached; the service tries again."""
        self.tell("nothing listens there yet" if failure.check(ConnectionRefusedError) else failure.getErrorMessage())
        return failure

    def tell(self, reason: str) -> None:
        """Log once why there is no session yet."""
        if reason != self._logged_reason:
            self._logged_reason = reason
            where = f"{self._settings.host}:{self._settings.tls_port}"
            log.info("{who}: waiting for the router at {where}: {reason}", who=self._who, where=where, reason=reason)

    def _connect(self, factory: Any) -> defer.Deferred[Any]:
        name, secret = find_login(self._settings, self._who)
        self.login = {"authid": name, "secret": secret, RECONNECTS: True, "refused": self.tell}
        return self._endpoint().connect(factory)

    def _endpoint(self) -> Any:
        """Return the socket of a router on this machine, which spares both sides the TLS, or the secure port."""
        settings = self._settings
        path = local_socket(settings) if settings.host in THIS_MACHINE else None
        if path and path.is_socket():
            return endpoints.UNIXClientEndpoint(self._reactor, str(path), timeout=CONNECT_TIMEOUT_S)
        plain = endpoints.HostnameEndpoint(self._reactor, settings.host, settings.tls_port, timeout=CONNECT_TIMEOUT_S)
        return endpoints.wrapClientTLS(client_options(settings), plain)


def raise_transport_limits(transport: Any) -> None:
    """Let a websocket take messages as long as the router does; its default ends the connection at 1 MiB."""
    for name in ("maxFramePayloadSize", "maxMessagePayloadSize"):
        limit = getattr(transport, name, 0)
        # Zero is no limit at all.
        if 0 < limit < MESSAGE_LIMIT_BYTES:
            setattr(transport, name, MESSAGE_LIMIT_BYTES)
