"""The adapter's web application: one view an endpoint, a few lines each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

from flask import Flask, Response, render_template, request
from werkzeug.exceptions import HTTPException

from grafana_json import protocol, replies
from grafana_json.protocol import Query, Target
from grafana_json.targets import Matched, match
from sisock import __version__
from sisock.core.errors import BadRequest, SisockError
from sisock.gateway.answer import Series, SeriesWanted
from sisock.gateway.directory import Snapshot
from sisock.settings import Settings

LARGEST_BODY_BYTES = 4 * 2**20
MOST_SERIES_IN_A_REQUEST = 1000
MOST_FIELDS_SHOWN = 500
JSON = "application/json"
# The page shows names that nodes chose: whatever they contain, nothing of it may run.
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}

Wait = Callable[..., Any]
Reading = Matched | str


class Source(Protocol):
    """What the application asks; the Gateway, or a fake of it."""

    def snapshot(self) -> Snapshot:
        """Return what is known now."""

    def freshen(self) -> Any:
        """Return a Deferred with what is known after asking again."""

    def query(self, series: Sequence[SeriesWanted], start: float, end: float, max_points: int | None) -> Any:
        """Return a Deferred with an Answer."""


class Adapter:
    """Answers requests with what a gateway knows; it is called from worker threads.

    Parameters
    ----------
    gateway
        What is asked; lives in the reactor's thread.
    wait
        Calls a function in that thread and returns the result of its Deferred.
    """

    def __init__(self, gateway: Source, wait: Wait) -> None:
        self._gateway = gateway
        self._wait = wait

    def search(self, text: str) -> list[str]:
        """Return all targets that contain a text, whatever their case."""
        snapshot: Snapshot = self._wait(self._gateway.freshen)
        wanted = text.strip().casefold()
        return [name for name in snapshot.targets if wanted in name.casefold()]

    def status(self) -> Snapshot:
        """Return which nodes and fields there are, and what is wrong with them."""
        snapshot: Snapshot = self._wait(self._gateway.freshen)
        return snapshot

    def query(self, query: Query) -> list[replies.Entry]:
        """Return what is drawn for each target; what cannot be drawn is told in the place of its target only."""
        snapshot, readings = self._read(query.targets)
        wanted = self._wanted(snapshot, readings)
        answer = self._wait(self._gateway.query, wanted, query.start, query.end, query.max_points)
        found: dict[SeriesWanted, Series] = {series.wanted: series for series in answer.series}
        entries: list[replies.Entry] = []
        for target in query.targets:
            reading = readings[target.text]
            entries += _entries(target, reading, snapshot, found)
        return entries

    def _read(self, targets: Sequence[Target]) -> tuple[Snapshot, dict[str, Reading]]:
        """Match the targets; where one is unknown it may be new, so the nodes are asked again, if not just now."""
        snapshot = self._gateway.snapshot()
        readings = _match_all(targets, snapshot)
        if any(isinstance(reading, str) and text.strip() for text, reading in readings.items()):
            fresh: Snapshot = self._wait(self._gateway.freshen)
            if fresh is not snapshot:
                snapshot, readings = fresh, _match_all(targets, fresh)
        return snapshot, readings

    def _wanted(self, snapshot: Snapshot, readings: Mapping[str, Reading]) -> list[SeriesWanted]:
        names = {name: None for reading in readings.values() if isinstance(reading, Matched) for name in reading.names}
        if len(names) > MOST_SERIES_IN_A_REQUEST:
            raise BadRequest(f"the targets match {len(names)} series, over {MOST_SERIES_IN_A_REQUEST}: narrow them")
        return [snapshot.targets[name] for name in names]


def _match_all(targets: Sequence[Target], snapshot: Snapshot) -> dict[str, Reading]:
    return {text: match(text, snapshot.targets) for text in {target.text: None for target in targets}}


def _entries(
    target: Target, reading: Reading, snapshot: Snapshot, found: Mapping[SeriesWanted, Series]
) -> list[replies.Entry]:
    if isinstance(reading, str):
        severity = "error" if target.text.strip() else "info"
        return [replies.notice_entry(target, severity, _reason(reading, target, snapshot))]
    warnings = [reading.warning] if reading.warning else []
    return [replies.series_entry(target, found[snapshot.targets[name]], warnings) for name in reading.names]


def _reason(reading: str, target: Target, snapshot: Snapshot) -> str:
    """Return why a target means nothing: what is known to be wrong with its node says more than its spelling."""
    if not target.text.strip():
        return reading
    node = snapshot.nodes.get(target.text.partition("::")[0].strip())
    return snapshot.outage or (node.problem if node and node.problem else reading)


def create_app(settings: Settings, gateway: Source, wait: Wait) -> Flask:
    """Return the web application.

    Parameters
    ----------
    gateway
        What is asked.
    wait
        Calls one of its methods where it lives, and returns the result of the Deferred.
    """
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY_BYTES
    # A redirect breaks Grafana's clients: the same view answers with and without a slash at the end.
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    adapter = Adapter(gateway, wait)

    @app.get("/")
    def root() -> Response:
        snapshot = adapter.status()
        if "text/html" not in request.headers.get("Accept", ""):
            return Response(_status_text(snapshot), mimetype="text/plain")
        page = render_template("status.html", **_page(snapshot), settings=settings, version=__version__)
        return Response(page, headers=PAGE_HEADERS)

    @app.route("/search", methods=["GET", "POST"])
    def search() -> Response:
        return _json(adapter.search(protocol.parse_search(_body())))

    @app.post("/query")
    def query() -> Response:
        return _json(adapter.query(protocol.parse_query(_body())))

    app.register_error_handler(SisockError, _sisock_error)
    app.register_error_handler(HTTPException, _http_error)
    return app


def _body() -> Any:
    return protocol.parse_json(request.get_data(cache=False))


def _json(reply: Any) -> Response:
    return Response(replies.encode(reply), mimetype=JSON)


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


def _page(snapshot: Snapshot) -> dict[str, Any]:
    """Return what the status page shows; of many fields only the first."""
    shown = {
        name: list(islice(node.catalogue.fields.values(), MOST_FIELDS_SHOWN)) for name, node in snapshot.nodes.items()
    }
    return {"snapshot": snapshot, "shown": shown}
