"""What a user is told while a site starts."""

from __future__ import annotations

import http.server
import threading
from pathlib import Path

import pytest

from sisock.settings import Settings
from sisock.site import parse_site
from sisock.startup import Startup

from integration.ports import free_port


class Adapter(http.server.BaseHTTPRequestHandler):
    """Answers like the adapter of a site with one node."""

    def do_GET(self):
        body = b'["host::cpu.percent"]'
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


def startup(port, lines):
    site = parse_site({"nodes": {"host": {"kind": "host"}}}, Path("/site"), Settings(port=port))
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
