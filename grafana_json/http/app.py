"""The adapter's web application: one view an endpoint, a few lines each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flask import Flask, Response, render_template, request
from werkzeug.exceptions import HTTPException

from grafana_json import replies, requests
from grafana_json.adapter import Adapter
from grafana_json.editor.builder import list_choices, list_metrics
from grafana_json.editor.listing import search
from grafana_json.editor.variables import list_options
from grafana_json.filters import list_keys, list_values
from grafana_json.http.compression import compress, pays
from grafana_json.http.metrics import CONTENT_TYPE, Telemetry, render_metrics
from grafana_json.rows import FORMATS, encode_rows
from sisock import __version__
from sisock.core.errors import SisockError
from sisock.gateway.directory import Snapshot
from sisock.settings import Settings

LARGEST_BODY_BYTES = 4 * 2**20
LONGEST_HEADER = 1000
JSON = "application/json"
# The page shows names that nodes chose: whatever they contain, nothing of it may run.
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}

Wait = Callable[..., Any]


def create_app(settings: Settings, adapter: Adapter, wait: Wait, telemetry: Telemetry | None = None) -> Flask:
    """Return the web application.

    Parameters
    ----------
    adapter
        What answers; lives in the reactor's thread.
    wait
        Calls one of its methods there, and returns the result of the Deferred.
    telemetry
        What was counted of the requests.
    """
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY_BYTES
    # A redirect breaks Grafana's clients: the same view answers with and without a slash at the end.
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False

    _add_pages(app, settings, adapter, wait, telemetry or Telemetry())
    _add_lists(app, adapter, wait)
    _add_data(app, adapter, wait)
    app.after_request(_compressed)
    app.register_error_handler(SisockError, _sisock_error)
    app.register_error_handler(HTTPException, _http_error)
    return app


def _add_pages(app: Flask, settings: Settings, adapter: Adapter, wait: Wait, telemetry: Telemetry) -> None:
    """Add the pages for people and monitors."""

    @app.get("/")
    def root() -> Response:
        # Grafana tests the address, and monitors do: only browsers ask for a page.
        if "text/html" not in request.headers.get("Accept", ""):
            return Response(_status_text(wait(adapter.status)), mimetype="text/plain")
        page = render_template("status.html", status=wait(adapter.page), settings=settings, version=__version__)
        return Response(page, headers=PAGE_HEADERS)

    @app.get("/health")
    def health() -> tuple[Response, int]:
        reason, snapshot = wait(adapter.health)
        known = {"nodes": len(snapshot.nodes), "fields": len(snapshot.targets)}
        if reason:
            return _json(replies.encode({"status": "unavailable", "reason": reason, **known})), 503
        return _json(replies.encode({"status": "ok", **known})), 200

    @app.get("/metrics")
    def exposition() -> Response:
        nodes = wait(adapter.node_healths)
        connected = not wait(adapter.health)[0]
        return Response(render_metrics(*telemetry.taken(), nodes, connected=connected), content_type=CONTENT_TYPE)


def _add_lists(app: Flask, adapter: Adapter, wait: Wait) -> None:
    """Add the lists of Grafana's editors."""

    @app.route("/search", methods=["GET", "POST"])
    def search_targets() -> Response:
        return _json(replies.encode(search(requests.parse_search(_body()), wait(adapter.status).targets)))

    @app.post("/metrics")
    def metrics() -> Response:
        return _json(replies.encode(list_metrics(_body(), wait(adapter.status))))

    @app.post("/metric-payload-options")
    def metric_payload_options() -> Response:
        return _json(replies.encode(list_choices(_body())))

    @app.post("/variable")
    def variable() -> Response:
        return _json(replies.encode(list_options(_body(), wait(adapter.status))))

    @app.post("/tag-keys")
    def tag_keys() -> Response:
        return _json(replies.encode(list_keys()))

    @app.post("/tag-values")
    def tag_values() -> Response:
        return _json(replies.encode(list_values(_body(), wait(adapter.status))))


def _add_data(app: Flask, adapter: Adapter, wait: Wait) -> None:
    """Add what answers with samples."""
    # A query never comes here: the server answers it. But other methods do, and are told which is allowed.
    app.add_url_rule("/query", "query", methods=["POST"])

    @app.post("/annotations")
    def annotations() -> Response:
        return _json(replies.encode(wait(adapter.annotations, _body())))

    @app.get("/rows")
    def rows() -> Response:
        table = wait(adapter.rows, request.args.to_dict(flat=False))
        reply = Response(encode_rows(table.series, table.format), mimetype=FORMATS[table.format])
        if table.notices:
            reply.headers["X-Sisock-Notices"] = _header(table.notices)
        return reply


def _body() -> Any:
    return requests.parse_json(request.get_data(cache=False))


def _header(notices: Sequence[str]) -> str:
    """Return notices as a header can carry them."""
    # Names of fields are in notices, and a line's end in one of them would begin a header of its own.
    text = "; ".join(notices)[:LONGEST_HEADER].encode("ascii", "replace").decode()
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _json(reply: bytes) -> Response:
    return Response(reply, mimetype=JSON)


def _compressed(response: Response) -> Response:
    """Return a response as gzip, where the client asks for it and it pays."""
    response.vary.add("Accept-Encoding")
    accepted = request.headers.get("Accept-Encoding", "")
    if not response.is_streamed and pays(response.content_length or 0, request.remote_addr, accepted):
        response.set_data(compress(response.get_data()))
        response.content_encoding = "gzip"
    return response


def _sisock_error(error: Exception) -> Response:
    assert isinstance(error, SisockError)
    return Response(replies.error_reply(error.http_status, str(error)), error.http_status, mimetype=JSON)


def _http_error(error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = error.code or 500
    # Such as Allow; but those of the body are of Werkzeug's own page.
    headers = [(name, value) for name, value in error.get_headers() if name not in {"Content-Type", "Content-Length"}]
    return Response(replies.error_reply(status, error.description or error.name), status, headers, mimetype=JSON)


def _status_text(snapshot: Snapshot) -> str:
    if snapshot.outage:
        return f"sisock: {snapshot.outage}\n"
    return f"sisock: {len(snapshot.nodes)} data nodes, {len(snapshot.targets)} fields\n"
