"""The adapter's counts of its own requests and nodes, in the text format of Prometheus."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from threading import Lock

from grafana_json.status import NodeHealth

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LATENCY_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

MetricSample = tuple[Mapping[str, str], float]
ENDPOINTS = frozenset(
    {"search", "query", "annotations", "tag-keys", "tag-values", "metrics", "metric-payload-options", "variable"}
    | {"rows", "health"}
)


@dataclass
class Latencies:
    """A histogram of how long requests took: a count for each bound, and one for what took longer."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BOUNDS_S) + 1))
    sum_s: float = 0.0


def render_metrics(
    requests: Mapping[tuple[str, int], int],
    latencies: Mapping[str, Latencies],
    nodes: Sequence[NodeHealth],
    *,
    connected: bool,
) -> str:
    """Return the page.

    Parameters
    ----------
    requests
        How many were answered, by endpoint and status.
    latencies
        By endpoint.
    connected
        Whether the router and the hub are there.
    """
    ages = [({"node": one.name}, one.newest_age_s) for one in nodes if one.newest_age_s is not None]
    counted = [
        ({"endpoint": endpoint, "status": str(status)}, count) for (endpoint, status), count in requests.items()
    ]
    lines = [
        *_family("sisock_connected", "gauge", "whether router and hub answer", [({}, float(connected))]),
        *_family("sisock_nodes_online", "gauge", "data nodes online", [({}, sum(one.online for one in nodes))]),
        *_family("sisock_node_online", "gauge", "whether the node is online", _of(nodes, "online")),
        *_family("sisock_node_skipped", "gauge", "whether the node is skipped, too slow", _of(nodes, "skipped")),
        *_family("sisock_node_fields", "gauge", "fields that the node serves", _of(nodes, "fields")),
        *_family("sisock_node_newest_sample_age_seconds", "gauge", "age of the newest sample seen of the node", ages),
        *_family("sisock_requests_total", "counter", "requests answered", counted),
        *_histogram("sisock_request_duration_seconds", "time to answer a request", latencies),
    ]
    return "\n".join(lines) + "\n"


def _of(nodes: Iterable[NodeHealth], name: str) -> list[MetricSample]:
    return [({"node": one.name}, float(getattr(one, name))) for one in nodes]


def _family(name: str, kind: str, text: str, samples: Sequence[MetricSample]) -> list[str]:
    head = [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
    return head + [f"{name}{_labels(labels)} {_number(value)}" for labels, value in samples] if samples else []


def _histogram(name: str, text: str, latencies: Mapping[str, Latencies]) -> list[str]:
    lines = [f"# HELP {name} {text}", f"# TYPE {name} histogram"]
    for endpoint, one in latencies.items():
        # Prometheus counts what is below each bound, all lower ones included.
        below = 0
        for bound, count in zip((*map(str, LATENCY_BOUNDS_S), "+Inf"), one.counts, strict=True):
            below += count
            lines.append(f"{name}_bucket{_labels({'endpoint': endpoint, 'le': bound})} {below}")
        lines.append(f"{name}_sum{_labels({'endpoint': endpoint})} {_number(one.sum_s)}")
        lines.append(f"{name}_count{_labels({'endpoint': endpoint})} {below}")
    return lines if latencies else []


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else f"{value:.6f}"


class Telemetry:
    """Counts requests by endpoint and status, and how long they took; may be used from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._latencies: dict[str, Latencies] = {}

    def count(self, path: str, status: int, duration_s: float) -> None:
        """Count one request by the path behind the base path; paths that aren't ours count as one."""
        name = path.strip("/")
        # Addresses that somebody tries out would make a time series each in Prometheus.
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
