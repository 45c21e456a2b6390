"""The adapter's process: the web application and the WAMP session on one reactor."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from time import monotonic
from typing import Any, Protocol

import click
from twisted.internet import threads
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from twisted.web import resource, server, wsgi

from grafana_json.adapter import Adapter
from grafana_json.http.app import JSON, LARGEST_BODY_BYTES, create_app
from grafana_json.http.compression import compress, pays
from grafana_json.http.metrics import Telemetry
from grafana_json.replies import error_reply
from grafana_json.resolve import InThread
from sisock.core.errors import ConfigurationError, SisockError
from sisock.gateway import Gateway
from sisock.gateway.session import connect_gateway
from sisock.log import start_logging
from sisock.settings import Settings
from sisock.system import check_port

FEWEST_THREADS = 2
# Twisted's own limit takes a turn of the reactor for each eighth of that.
SENT_AT_ONCE_BYTES = 2**20
# Each waits for data nodes most of its time.
MOST_THREADS = 32
NOT_DONE_YET: int = server.NOT_DONE_YET
# As many slashes before or behind it as clients were ever let write: they are answered, never redirected.
_QUERY_PATH = re.compile(rb"/*query/?|query/*")
log = Logger()


class Threads(Protocol):
    """The reactor's thread, and the workers beside it."""

    @property
    def reactor(self) -> Any:
        """Return what runs calls in its own thread."""

    @property
    def pool(self) -> Any:
        """Return what runs calls in workers."""

    def in_thread(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """Call a function in a worker; to be called in the reactor's thread."""

    def wait(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in the reactor's thread, and return the result of its Deferred; to be called in a worker."""


@dataclass(frozen=True)
class PooledThreads:
    """Those of a process."""

    reactor: Any
    pool: ThreadPool

    def in_thread(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """Call a function in a worker; to be called in the reactor's thread."""
        return threads.deferToThreadPool(self.reactor, self.pool, function, *arguments)

    def wait(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in the reactor's thread, and return the result of its Deferred; to be called in a worker."""
        return threads.blockingCallFromThread(self.reactor, function, *arguments)


def run_adapter(settings: Settings) -> None:
    """Run the adapter until SIGINT or SIGTERM.

    Raises
    ------
    ConfigurationError
        When its port cannot be listened on.
    """
    from twisted.internet import reactor

    start_logging(settings.loglevel)
    pool = ThreadPool(FEWEST_THREADS, MOST_THREADS, name="grafana_json")
    root = Root(base_path=settings.base_path)
    telemetry = Telemetry()
    # The port comes first: where it is taken, nothing else is begun. No request is read before the reactor runs.
    port = listen_http(settings, AdapterSite(root, telemetry), reactor)
    serve(root, settings, connect_gateway(settings, reactor), PooledThreads(reactor, pool), telemetry)
    reactor.callWhenRunning(pool.start)
    # The reactor goes on until the requests under way are answered, or their threads would wait for it for ever.
    reactor.addSystemEventTrigger("before", "shutdown", port.stopListening)
    reactor.addSystemEventTrigger("before", "shutdown", threads.deferToThread, pool.stop)
    host = f"[{settings.listen}]" if ":" in settings.listen else settings.listen
    click.echo(f"sisock grafana: listening on http://{host}:{port.getHost().port}")
    reactor.run()


def serve(root: Root, settings: Settings, gateway: Gateway, workers: Threads, telemetry: Telemetry) -> None:
    """Let a root answer with what a gateway knows."""
    adapter = Adapter(gateway, workers.in_thread)
    app = create_app(settings, adapter, workers.wait, telemetry)
    root.application = wsgi.WSGIResource(workers.reactor, workers.pool, app)
    root.query = QueryResource(adapter, workers.in_thread)


def listen_http(settings: Settings, site: Any, reactor: Any) -> Any:
    """Listen on the adapter's port; ConfigurationError when it is taken."""
    check_port(settings.listen, settings.port, "PORT")
    try:
        return reactor.listenTCP(settings.port, site, interface=settings.listen)
    except CannotListenError as error:
        # Taken since the check.
        raise ConfigurationError(f"port {settings.port} cannot be used: {error.socketError}") from None


class Root(resource.Resource):
    """Hands queries, of which there are many a second, to their own resource, and all else to the web application.

    Parameters
    ----------
    base_path
        Answered under as well, as if it were not there.
    """

    def __init__(self, application: Any = None, query: Any = None, base_path: str = "") -> None:
        super().__init__()
        self.application = application
        self.query = query
        self._base = [part.encode() for part in base_path.split("/") if part]

    def getChild(self, path: bytes, request: Any) -> Any:  # noqa: N802 - Twisted's name
        """Give the application the path behind the base path."""
        whole = [path, *request.postpath]
        base = self._base if whole[: len(self._base)] == self._base else []
        request.prepath[-1:] = base
        # Without any path at all the application would redirect to the same with a slash.
        request.postpath[:] = whole[len(base) :] or [b""]
        request.own_path = b"/".join(request.postpath)
        is_query = _QUERY_PATH.fullmatch(request.own_path) and request.method.upper() == b"POST"
        return self.query if is_query else self.application


class QueryResource(resource.Resource):
    """Answers ``POST /query`` in the reactor's thread, many side by side.

    Parameters
    ----------
    in_thread
        Calls a function in a worker thread, which long replies are compressed in.
    """

    isLeaf = True  # noqa: N815 - Twisted's name

    def __init__(self, adapter: Adapter, in_thread: InThread = maybeDeferred) -> None:
        super().__init__()
        self._adapter = adapter
        self._in_thread = in_thread

    def render(self, request: Any) -> int:
        """Answer when the data nodes have answered; a client that has gone meanwhile gets nothing."""
        gone: list[Any] = []
        # Fires when the client leaves; to write to it then would be an error.
        request.notifyFinish().addErrback(gone.append)
        answering = self._adapter.query(request.content.read())
        answering.addCallback(lambda body: self._compressed(request, body))
        answering.addCallbacks(lambda body: (200, body), _failed)
        answering.addCallback(lambda answer: None if gone else _send(request, *answer))
        return NOT_DONE_YET

    def _compressed(self, request: Any, body: bytes) -> Any:
        """Return the body as it is sent, or a Deferred of it."""
        accepted = b",".join(request.requestHeaders.getRawHeaders(b"accept-encoding", ()))
        if not accepted or not pays(
            len(body), getattr(request.getClientAddress(), "host", None), accepted.decode("latin-1")
        ):
            return body
        request.setHeader(b"Content-Encoding", b"gzip")
        return self._in_thread(compress, body)


def _failed(failure: Failure) -> tuple[int, bytes]:
    if failure.check(SisockError):
        return failure.value.http_status, error_reply(failure.value.http_status, str(failure.value))
    # Nobody foresaw it: the log gets the traceback, the client a sentence.
    log.failure("a query failed", failure)
    return 500, error_reply(500, f"the adapter failed: {failure.getErrorMessage()}")


def _send(request: Any, status: int, body: bytes) -> None:
    request.setResponseCode(status)
    request.setHeader(b"Content-Type", JSON.encode())
    request.setHeader(b"Vary", b"Accept-Encoding")
    request.setHeader(b"Content-Length", b"%d" % len(body))
    request.channel.transport.SEND_LIMIT = SENT_AT_ONCE_BYTES
    request.write(body)
    request.finish()


class Request(server.Request):
    """A request whose body is refused as soon as it is known to be too large, before it fills the disk."""

    content: Any
    # Behind the base path.
    own_path = b""
    begun: float | None = None
    _received_bytes = 0
    _refused = False
    _content_types: Sequence[bytes] = ()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:  # noqa: N802 - Twisted's name
        """Keep the content type from Twisted, which would look for a form in the body: none of ours is one."""
        self._content_types = self.requestHeaders.getRawHeaders(b"content-type", ())
        self.requestHeaders.removeHeader(b"content-type")
        super().requestReceived(command, path, version)

    def gotLength(self, length: int | None) -> None:  # noqa: N802 - Twisted's name
        """Refuse what is announced too large."""
        self._check(length or 0)
        super().gotLength(0 if self._refused else length)

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Refuse what becomes too large without having been announced."""
        self._received_bytes += len(data)
        self._check(self._received_bytes)
        if not self._refused:
            super().handleContentChunk(data)
        elif not isinstance(self.content, BytesIO):
            # The file on disk, if it had come to that.
            self.content.close()
            self.content = BytesIO()

    def process(self) -> None:
        """Answer, unless that was done by refusing."""
        self.begun = monotonic()
        if not self._refused:
            self.requestHeaders.setRawHeaders(b"content-type", list(self._content_types))
            super().process()

    def _check(self, size_bytes: int) -> None:
        if size_bytes <= LARGEST_BODY_BYTES or self._refused:
            return
        self._refused = True
        body = error_reply(413, f"the body is larger than {LARGEST_BODY_BYTES} bytes: ask for less at once")
        head = f"HTTP/1.1 413 Content Too Large\r\nContent-Type: {JSON}\r\nContent-Length: {len(body)}\r\n"
        # Written past Twisted, which would wait for the rest of the body before it lets anything be answered.
        transport = self.channel.transport
        transport.write(f"{head}Connection: close\r\n\r\n".encode() + body)
        transport.loseConnection()


class AdapterSite(server.Site):
    """Serves the root; writes requests to the log for debugging only."""

    noisy = False
    displayTracebacks = False  # noqa: N815 - Twisted's name

    def __init__(self, root: resource.Resource, telemetry: Telemetry | None = None) -> None:
        super().__init__(root, requestFactory=Request)
        self._telemetry = telemetry or Telemetry()

    def log(self, request: Any) -> None:
        """Note one request."""
        duration_s = monotonic() - request.begun if request.begun is not None else 0.0
        self._telemetry.count(request.own_path.decode("ascii", "replace"), request.code, duration_s)
        log.debug("{method} {uri} {code}", method=request.method, uri=request.uri, code=request.code)
