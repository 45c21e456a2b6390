import gzip
from types import SimpleNamespace

import pytest
from twisted.internet import defer, error
from twisted.internet.address import IPv4Address
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web import resource

from grafana_json.http import server
from grafana_json.http.app import LARGEST_BODY_BYTES
from grafana_json.http.compression import compress
from grafana_json.http.metrics import Telemetry
from grafana_json.http.server import AdapterSite, QueryResource, Root, listen_http
from sisock.core.errors import BadRequest, ConfigurationError
from sisock.settings import Settings

from integration.ports import free_port


class Echo(resource.Resource):
    """Answers with the path it was given."""

    isLeaf = True

    def render(self, request):
        return b"/".join([b"", *request.postpath])


@pytest.fixture
def exchange():
    """Return a function that sends bytes to the site and returns what it answers."""

    def send(data):
        transport = StringTransport()
        return send_to(Root(Echo()), data, transport), transport

    return send


def send_to(root, data, transport=None):
    """Send bytes to a site and return what it answers."""
    site = AdapterSite(root)
    site.timeOut = None  # or a timer of the reactor would be left behind
    channel = site.buildProtocol(None)
    transport = transport or StringTransport()
    channel.makeConnection(transport)
    channel.dataReceived(data)
    return transport.value()


@pytest.mark.parametrize("path", [b"/", b"/query", b"/query/", b"/a/b/c"])
def test_the_application_gets_the_whole_path(exchange, path):
    """Whatever the path, it reaches the web application as it was sent."""
    answer, _ = exchange(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"\r\n\r\n" + path)


@pytest.mark.parametrize("path", [b"/query", b"/query/"])
def test_queries_are_answered_beside_the_application(path):
    """POST /query, with and without a slash at its end, is answered in the reactor; its errors are readable JSON."""
    asked = []

    def query(body):
        asked.append(body)
        return defer.succeed(b"[]") if body == b"{}" else defer.fail(BadRequest("ask for something"))

    root = Root(Echo(), QueryResource(SimpleNamespace(query=query)))
    for body, status in ((b"{}", b"200"), (b"x", b"400")):
        answer = send_to(
            root, b"POST " + path + b" HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert b"application/json" in answer
    assert asked == [b"{}", b"x"]
    assert b"ask for something" in answer


def test_a_failure_of_the_adapter_is_logged_and_readable(monkeypatch):
    """What nobody foresaw is logged, and answered in JSON; the connection goes on."""
    logged = []
    monkeypatch.setattr(server.log, "failure", lambda *given: logged.append(given))
    root = Root(Echo(), QueryResource(SimpleNamespace(query=lambda _: defer.fail(KeyError("oops")))))
    answer = send_to(root, b"POST /query HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    assert b"the adapter failed" in answer
    assert logged


def test_a_client_that_has_gone_gets_nothing():
    """An answer that comes after its client has gone is dropped without an error."""
    answering = defer.Deferred()
    site = AdapterSite(Root(Echo(), QueryResource(SimpleNamespace(query=lambda _: answering))))
    site.timeOut = None
    channel = site.buildProtocol(None)
    transport = StringTransport()
    channel.makeConnection(transport)
    channel.dataReceived(b"POST /query HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    channel.connectionLost(Failure(error.ConnectionDone()))
    answering.callback(b"[]")
    assert transport.value() == b""


LONG = b"[" + b"1," * 10_000 + b"1]"


def ask_for(body, peer, accepted):
    """Send a query from an address; return head and body of the answer, and what was done in a thread."""
    in_thread = []

    def thread(function, *given):
        in_thread.append(function)
        return defer.maybeDeferred(function, *given)

    root = Root(Echo(), QueryResource(SimpleNamespace(query=lambda _: defer.succeed(body)), thread))
    transport = StringTransport(peerAddress=IPv4Address("TCP", peer, 5))
    head = b"POST /query HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n" + accepted + b"\r\n"
    answer = send_to(root, head, transport).partition(b"\r\n\r\n")
    return answer[0], answer[2], in_thread


def test_a_long_answer_is_compressed():
    """A client on another machine that asks for it gets a long answer compressed, in a thread."""
    head, body, in_thread = ask_for(LONG, "192.0.2.7", b"Accept-Encoding: br\r\nAccept-Encoding: gzip\r\n")
    assert b"Content-Encoding: gzip" in head
    assert b"Vary: Accept-Encoding" in head
    assert b"Content-Length: %d" % len(body) in head
    assert gzip.decompress(body) == LONG
    assert in_thread == [compress]


@pytest.mark.parametrize(
    ("body", "peer", "accepted"),
    [
        (b"[]", "192.0.2.7", b"Accept-Encoding: gzip\r\n"),
        (LONG, "127.0.0.1", b"Accept-Encoding: gzip\r\n"),
        (LONG, "192.0.2.7", b"Accept-Encoding: gzip;q=0\r\n"),
        (LONG, "192.0.2.7", b"Accept-Encoding: \xff\r\n"),
        (LONG, "192.0.2.7", b""),
    ],
)
def test_other_answers_are_sent_as_they_are(body, peer, accepted):
    """Short answers, those to this machine, and those to clients that don't ask for it are not compressed."""
    head, sent, in_thread = ask_for(body, peer, accepted)
    assert b"Content-Encoding" not in head
    assert b"Vary: Accept-Encoding" in head
    assert sent == body
    assert not in_thread


def test_a_form_is_not_looked_for():
    """A body that calls itself a form reaches the application as it is."""
    head = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 3\r\n\r\n"
    assert send_to(Root(Echo()), head + b"abc").endswith(b"/x")


def test_a_body_announced_too_large_is_refused(exchange):
    """A body that is announced larger than the limit is refused before any of it is taken."""
    head = f"POST /query HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGEST_BODY_BYTES + 1}\r\n\r\n"
    answer, transport = exchange(head.encode())
    assert answer.startswith(b"HTTP/1.1 413")
    assert answer.count(b"HTTP/1.1") == 1
    assert b'{"message":' in answer
    assert transport.disconnecting


def test_a_body_that_becomes_too_large_is_refused(exchange):
    """A body in chunks is refused as soon as it is over the limit."""
    chunk = b"%x\r\n" % (LARGEST_BODY_BYTES // 2 + 1) + b"x" * (LARGEST_BODY_BYTES // 2 + 1) + b"\r\n"
    head = b"POST /query HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer, transport = exchange(head + chunk + chunk + b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413")
    assert answer.count(b"HTTP/1.1") == 1
    assert transport.disconnecting


def test_a_taken_port_is_one_line():
    """A port that can't be listened on is told in one line that names the setting."""
    reason = OSError(98, "Address already in use")

    def refuse(port, site, interface):
        raise error.CannotListenError(interface, port, reason)

    with pytest.raises(ConfigurationError, match=r"port \d+ cannot be used: .*in use") as caught:
        listen_http(Settings(port=free_port()), None, SimpleNamespace(listenTCP=refuse))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "reached"),
    [
        (b"/", b"/"),
        (b"/a/sisock", b"/a/sisock"),
        (b"/lab/sisock", b"/"),
        (b"/lab/sisock/", b"/"),
        (b"/lab/sisock/rows", b"/rows"),
        (b"/rows", b"/rows"),
        (b"/lab", b"/lab"),
        (b"/lab/sisockery", b"/lab/sisockery"),
    ],
)
def test_the_base_path_is_as_if_it_were_not_there(path, reached):
    """Under the base path, and without it, the application sees the same path."""
    root = Root(Echo(), base_path="/lab/sisock/")
    assert send_to(root, b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n").endswith(b"\r\n\r\n" + reached)


@pytest.mark.parametrize("path", [b"/query", b"/sisock/query", b"/sisock/query/"])
def test_queries_under_the_base_path(path):
    """Queries under the base path are answered beside the application too, and counted."""
    telemetry = Telemetry()
    root = Root(Echo(), QueryResource(SimpleNamespace(query=lambda _: defer.succeed(b"[]"))), "/sisock")
    site = AdapterSite(root, telemetry)
    site.timeOut = None
    channel = site.buildProtocol(None)
    channel.makeConnection(transport := StringTransport())
    channel.dataReceived(b"POST " + path + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    assert transport.value().endswith(b"[]")
    assert telemetry.taken()[0] == {("/query", 200): 1}
