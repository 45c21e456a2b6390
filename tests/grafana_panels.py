"""An adapter in this process with nodes in memory, asked as Grafana's panels and Infinity ask it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from twisted.internet.defer import maybeDeferred

from grafana_json.adapter import Adapter
from grafana_json.http.app import create_app
from sisock.gateway.gateway import Gateway
from sisock.settings import Settings
from sisock.testing import FakeHub, FakeNode, FakeRouter, ManualClock, result_of


class Panels:
    """What panels of a Grafana get that shows some nodes at a time, UNIX seconds."""

    def __init__(self, *nodes: FakeNode, now: float) -> None:
        self._clock = ManualClock(now)
        hub = FakeHub(nodes)
        gateway = Gateway(None, self._clock, 2.0)
        hub.on_added.append(gateway.directory.node_added)
        hub.on_subtracted.append(gateway.directory.node_subtracted)
        result_of(gateway.connected(FakeRouter(hub, self._clock)))
        self._client = create_app(Settings(), Adapter(gateway, maybeDeferred), self._wait).test_client()

    def draw(self, targets: list[str], start: float, end: float, points: int, **payload: Any) -> list[dict[str, Any]]:
        """Return the reply to a panel of so many pixels; the options are set for each of its queries."""
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in payload.items()}
        asked = [{"refId": chr(65 + n), "target": one, "payload": texts} for n, one in enumerate(targets)]
        body = {"range": {"from": _iso(start), "to": _iso(end)}, "maxDataPoints": points, "targets": asked}
        reply = self._client.post("/query", json=body)
        assert reply.status_code == 200, reply.get_data()
        return json.loads(reply.get_data())

    def rows(
        self, targets: list[str], start: float, end: float, points: int, options: str = ""
    ) -> list[dict[str, Any]]:
        """Return the reply to a query of Infinity, with further arguments of the address."""
        metrics = "&".join(f"metric={one}" for one in targets)
        span = f"from={start * 1e3:.0f}&to={end * 1e3:.0f}"
        reply = self._client.get(f"/rows?{metrics}&{span}&max_points={points}{options}")
        assert reply.status_code == 200, reply.get_data()
        return json.loads(reply.get_data())

    def _wait(self, function: Any, *arguments: Any) -> Any:
        asking = function(*arguments)
        while not asking.called:
            self._clock.advance(0.25)
        return result_of(asking)


def _iso(t: float) -> str:
    seconds, milliseconds = divmod(round(t * 1e3), 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{milliseconds:03d}Z"
