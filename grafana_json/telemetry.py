"""What the adapter counts of itself."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from copy import deepcopy
from threading import Lock

from grafana_json.exposition import LATENCY_BOUNDS_S, Latencies

ENDPOINTS = frozenset(
    {"search", "query", "annotations", "tag-keys", "tag-values", "metrics", "metric-payload-options", "variable"}
    | {"rows", "health"}
)


class Telemetry:
    """Counts requests by endpoint and status, and how long they took; may be used from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._latencies: dict[str, Latencies] = {}

    def count(self, path: str, status: int, duration_s: float) -> None:
        """Count one request by the path behind the base path; paths that aren't ours count as one."""
        name = path.strip("/")
        endpoint = f"/{name}" if name in ENDPOINTS or not name else "other"
        with self._lock:
            self._requests[endpoint, status] += 1
            latencies = self._latencies.setdefault(endpoint, Latencies())
            latencies.counts[bisect_left(LATENCY_BOUNDS_S, duration_s)] += 1
            latencies.sum_s += duration_s

    def taken(self) -> tuple[dict[tuple[str, int], int], dict[str, Latencies]]:
        """Return copies of what was counted."""
        with self._lock:
            return dict(self._requests), deepcopy(self._latencies)
