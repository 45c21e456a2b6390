"""The adapter's web server in memory: on no socket, in one thread, by a clock that is set by hand.

It is what :class:`sisock.testing.Site` asks. All else is what runs in a process: requests and replies are bytes, and
pass through Twisted's HTTP and Flask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from string import punctuation
from typing import Any
from urllib.parse import quote

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from werkzeug.wrappers import Response

from grafana_json.http.metrics import Telemetry
from grafana_json.http.server import AdapterSite, Root, serve
from sisock.gateway import Gateway
from sisock.settings import Settings

LOOPBACK = "127.0.0.1"
LONGEST_REPLY_S = 60.0
# The usual deadline, 2 s, is a whole number of these.
_STEP_S = 0.25


class Reply(Response):
    """A reply of the adapter: ``status_code``, ``headers``, ``mimetype``, ``data``, ``text`` and ``json``."""

    @classmethod
    def of_bytes(cls, reply: bytes) -> Reply:
        """Return the reply that was sent as these bytes."""
        head, _, body = reply.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
        # In a list, or the length that a HEAD is told would be replaced by that of its empty body.
        return cls([body], status.partition(" ")[2], headers)

    @property
    def text(self) -> str:
        """Return the body as text."""
        return self.get_data(as_text=True)


class InMemoryServer:
    """The web server of an adapter.

    Parameters
    ----------
    gateway
        What the adapter asks.
    clock
        That of the gateway; it is advanced while a reply waits for data nodes.
    """

    def __init__(self, settings: Settings, gateway: Gateway, clock: Clock) -> None:
        self._clock = clock
        self._root, telemetry = Root(base_path=settings.base_path), Telemetry()
        serve(self._root, settings, gateway, _OneThread(self._advance_until), telemetry)
        self._site = AdapterSite(self._root, telemetry)
        # Each connection would leave a timer behind, in the reactor of the process.
        self._site.timeOut = None

    def request(
        self,
        method: str,
        path: str,
        body: bytes | str = b"",
        headers: Mapping[str, str] | None = None,
        address: str = LOOPBACK,
    ) -> Reply:
        """Return the reply to a request.

        Parameters
        ----------
        path
            With its arguments; blanks and letters that an address can't have are escaped.
        address
            The client's, IPv4.

        Raises
        ------
        TimeoutError
            When no reply came for a minute by the clock.
        """
        content = body.encode() if isinstance(body, str) else body
        fields = {"Host": "localhost", "Connection": "close", "Content-Length": str(len(content)), **(headers or {})}
        lines = [f"{method} {quote(path, safe=punctuation)} HTTP/1.1", *map(": ".join, fields.items())]
        reply = self.exchange("\r\n".join([*lines, "", ""]).encode() + content, address)
        if not reply:
            raise TimeoutError(f"{method} {path} was not answered within {LONGEST_REPLY_S:g} s")
        return Reply.of_bytes(reply)

    def exchange(self, data: bytes, address: str = LOOPBACK, within_s: float = LONGEST_REPLY_S) -> bytes:
        """Send bytes over a connection of their own; return what comes back, nothing when nothing did in time."""
        transport = StringTransport(peerAddress=IPv4Address("TCP", address, 5))
        channel = self._site.buildProtocol(None)
        channel.makeConnection(transport)
        channel.dataReceived(data)
        self._advance_until(transport.value, within_s)
        # As a client does that closes: what still waits for a reply is let go.
        channel.connectionLost(Failure(ConnectionDone()))
        received: bytes = transport.value()
        return received

    def _advance_until(self, arrived: Callable[[], Any], within_s: float = LONGEST_REPLY_S) -> None:
        until = self._clock.seconds() + within_s
        while not arrived() and self._clock.seconds() < until:
            self._clock.advance(_STEP_S)


class _OneThread:
    """The threads of a process, all one: whatever one of them is to call is called at once."""

    def __init__(self, advance_until: Callable[[Callable[[], Any]], None]) -> None:
        self.reactor = self.pool = self
        self._advance_until = advance_until

    def callFromThread(self, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> None:  # noqa: N802
        function(*arguments, **keywords)

    callInThread = callFromThread  # noqa: N815 - Twisted's names

    def in_thread(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        return maybeDeferred(function, *arguments)

    def wait(self, function: Callable[..., Any], *arguments: Any) -> Any:
        outcomes: list[Any] = []
        function(*arguments).addBoth(outcomes.append)
        self._advance_until(lambda: outcomes)
        if not outcomes:
            raise TimeoutError(f"what a reply waits for did not come within {LONGEST_REPLY_S:g} s")
        if isinstance(outcomes[0], Failure):
            outcomes[0].raiseException()
        return outcomes[0]
