"""What a user is told while a site starts."""

from __future__ import annotations

import http.server
import threading
from pathlib import Path

import pytest

from sisock.commands.site import parse_site
from sisock.commands.startup import Startup
from sisock.settings import Settings

from integration.ports import free_port


class Adapter(http.server.BaseHTTPRequestHandler):
    """Answers like the adapter of a site with a node, and one that has no fields yet."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        nodes = b'[{"__value": "host"}, {"__value": "feed"}]'
        body = b'["host::cpu.percent"]' if self.path == "/search" else nodes
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *given):
        """Say nothing."""


@pytest.fixture
def port():
    """The port of an adapter that is up."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Adapter) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def startup(port, lines, *nodes):
    document = {"nodes": {name: {"kind": "host"} for name in nodes or ("host",)}}
    site = parse_site(document, Path("/site"), Settings(port=port))
    return Startup(site, lines.append)


def test_where_to_look_is_told_once_every_node_is_listed(port, monkeypatch):
    """The adapter of this machine is asked directly, also where a proxy stands between the machine and the world."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    lines = []
    assert startup(port, lines).tick(1.0) is False
    assert any("everything is up after 1 s" in line for line in lines)


def test_what_is_missing_is_told_now_and_then():
    """While something is awaited, a line every few seconds says what."""
    lines = []
    waiting = startup(free_port(), lines)
    assert waiting.tick(1.0)
    assert len(lines) == 1
    assert waiting.tick(6.0)
    assert "waiting for the Grafana adapter (6 s)" in lines[-1]


def test_a_node_without_fields_is_not_waited_for_for_ever(port):
    """A node that is listed may have nothing to draw yet; after some seconds that is said, and the site is up."""
    lines = []
    waiting = startup(port, lines, "host", "feed")
    assert waiting.tick(1.0)
    assert waiting.tick(5.5)
    assert "waiting for feed (6 s)" in lines[-1]
    assert waiting.tick(6.5) is False
    assert any("everything is up after 6 s" in line for line in lines)
    assert "  empty   feed: there is nothing to draw yet" in lines


def test_a_node_that_is_not_listed_is_waited_for(port):
    """What is not there at all is named for as long as it takes."""
    waiting = startup(port, [], "host", "other")
    assert waiting.tick(1.0)
    assert waiting.tick(100.0)
