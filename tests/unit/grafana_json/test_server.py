from types import SimpleNamespace

import pytest
from twisted.internet import error
from twisted.internet.testing import StringTransport
from twisted.web import resource

from grafana_json.app import LARGEST_BODY_BYTES
from grafana_json.server import Root, Site, listen
from sisock.core.errors import ConfigurationError
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
        site = Site(Root(Echo()))
        site.timeOut = None  # or a timer of the reactor would be left behind
        channel = site.buildProtocol(None)
        transport = StringTransport()
        channel.makeConnection(transport)
        channel.dataReceived(data)
        return transport.value(), transport

    return send


@pytest.mark.parametrize("path", [b"/", b"/query", b"/query/", b"/a/b/c"])
def test_the_application_gets_the_whole_path(exchange, path):
    """Whatever the path, it reaches the web application as it was sent."""
    answer, _ = exchange(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"\r\n\r\n" + path)


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
        listen(Settings(port=free_port()), None, SimpleNamespace(listenTCP=refuse))
    assert "\n" not in str(caught.value)
