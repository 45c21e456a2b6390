"""The adapter's web application: one view an endpoint, a few lines each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, Response, render_template, request
from werkzeug.exceptions import HTTPException

from grafana_json import protocol, replies
from grafana_json.adapter import Adapter
from sisock import __version__
from sisock.core.errors import SisockError
from sisock.gateway.directory import Snapshot
from sisock.settings import Settings

LARGEST_BODY_BYTES = 4 * 2**20
JSON = "application/json"
# The page shows names that nodes chose: whatever they contain, nothing of it may run.
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}

Wait = Callable[..., Any]


def create_app(settings: Settings, adapter: Adapter, wait: Wait) -> Flask:
    """Return the web application.

    Parameters
    ----------
    adapter
        What answers; lives in the reactor's thread.
    wait
        Calls one of its methods there, and returns the result of the Deferred.
    """
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY_BYTES
    # A redirect breaks Grafana's clients: the same view answers with and without a slash at the end.
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False

    @app.get("/")
    def root() -> Response:
        if "text/html" not in request.headers.get("Accept", ""):
            return Response(_status_text(wait(adapter.status)), mimetype="text/plain")
        page = render_template("status.html", status=wait(adapter.page), settings=settings, version=__version__)
        return Response(page, headers=PAGE_HEADERS)

    @app.route("/search", methods=["GET", "POST"])
    def search() -> Response:
        return _json(replies.encode(wait(adapter.search, protocol.parse_search(_body()))))

    @app.post("/query")
    def query() -> Response:
        return _json(wait(adapter.query, request.get_data(cache=False)))

    app.register_error_handler(SisockError, _sisock_error)
    app.register_error_handler(HTTPException, _http_error)
    return app


def _body() -> Any:
    return protocol.parse_json(request.get_data(cache=False))


def _json(reply: bytes) -> Response:
    return Response(reply, mimetype=JSON)


def _sisock_error(error: Exception) -> Response:
    assert isinstance(error, SisockError)
    return Response(replies.error_reply(error.http_status, str(error)), error.http_status, mimetype=JSON)


def _http_error(error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = error.code or 500
    headers = [(name, value) for name, value in error.get_headers() if name not in {"Content-Type", "Content-Length"}]
    return Response(replies.error_reply(status, error.description or error.name), status, headers, mimetype=JSON)


def _status_text(snapshot: Snapshot) -> str:
    if snapshot.outage:
        return f"sisock: {snapshot.outage}\n"
    return f"sisock: {len(snapshot.nodes)} data nodes, {len(snapshot.targets)} fields\n"
