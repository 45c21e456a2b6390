"""An adapter in this process with nodes in memory, asked as Grafana's panels and Infinity ask it."""

from __future__ import annotations

import json
from typing import Any

from sisock.testing import FakeNode, Site


class Panels:
    """What panels of a Grafana get that shows some nodes at a time, UNIX seconds."""

    def __init__(self, *nodes: FakeNode, now: float) -> None:
        self._site = Site(*nodes, now=now)

    def draw(self, targets: list[str], start: float, end: float, points: int, **payload: Any) -> list[dict[str, Any]]:
        """Return the reply to a panel of so many pixels; the options are set for each of its queries."""
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in payload.items()}
        return self._site.query([(one, texts) for one in targets], start, end, points)

    def rows(
        self, targets: list[str], start: float, end: float, points: int, options: str = ""
    ) -> list[dict[str, Any]]:
        """Return the reply to a query of Infinity, with further arguments of the address."""
        metrics = "&".join(f"metric={one}" for one in targets)
        span = f"from={start * 1e3:.0f}&to={end * 1e3:.0f}"
        reply = self._site.rows(f"{metrics}&{span}&max_points={points}{options}")
        assert reply.status_code == 200, reply.text
        return reply.json
