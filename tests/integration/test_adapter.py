"""The adapter as a process, under a base path: every endpoint, asked over HTTP."""

from __future__ import annotations

import http.client
import json
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from integration.sites import drawn, poll, running_site

BASE = "/lab/sisock"
DATA = Path(__file__).parent.parent / "data"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A site with a live node and an archive, whose adapter answers under a base path too."""
    folder = tmp_path_factory.mktemp("site")
    nodes = {"host": {"kind": "host"}, "weather": {"kind": "weather", "folder": str(DATA / "apex")}}
    with running_site(folder, {"nodes": nodes, "settings": {"base_path": BASE}}) as running:
        poll(lambda: drawn(running.live("host::cpu.percent")[0]), 15, "there are samples")
        yield running


def get(site, path):
    """Return the status, the content type and the text of a page; redirects are not followed."""
    connection = http.client.HTTPConnection("127.0.0.1", site.settings["port"], timeout=10)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.getheader("Content-Type"), reply.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/", BASE, f"{BASE}/", "/health", f"{BASE}/health", f"{BASE}/metrics"])
def test_pages_answer_with_and_without_the_base_path(site, path):
    """No page is a redirect or an error, under the base path or without it."""
    assert get(site, path)[0] == 200


def test_rows_of_a_live_field(site):
    """Rows of the last minute are inside it, as JSON and as CSV."""
    now_ms = time.time() * 1e3
    status, _, text = get(site, f"{BASE}/rows?metric=host::cpu.percent&from=-60&to=0")
    rows = json.loads(text)
    assert status == 200
    assert all(now_ms - 61_000 <= row["time"] < now_ms + 10_000 for row in rows)
    assert rows
    status, kind, text = get(site, f"/rows?metric={quote('host::{cpu,memory}.percent')}&from=now-1m&format=csv")
    assert (status, kind.partition(";")[0]) == (200, "text/csv")
    assert text.startswith("time,metric,value\n")
    assert "host::memory.percent" in text
    assert get(site, "/rows?metric=nowhere::x")[0] == 400


def test_prometheus_sees_the_age_of_live_nodes_only(site):
    """The live node's newest sample is a few seconds old, and requests are counted by endpoint."""
    _, kind, text = get(site, "/metrics")
    assert kind.startswith("text/plain")
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(samples['sisock_node_newest_sample_age_seconds{node="host"}']) < 10
    assert samples['sisock_node_online{node="weather"}'] == "1"
    assert int(samples['sisock_requests_total{endpoint="/query",status="200"}']) > 0


def test_lists_for_the_editors(site):
    """Variables, filters and the builder's list know the nodes of the site."""
    assert [one["__value"] for one in site.post(f"{BASE}/variable", {"payload": {"target": "nodes"}})] == [
        "host",
        "weather",
    ]
    assert {"text": "host"} in site.post("/tag-values", {"key": "node"})
    assert "host::cpu.percent" in {one["value"] for one in site.post(f"{BASE}/metrics/", {})}


def test_a_threshold_as_an_annotation(site):
    """A condition that always holds is one region, under the base path too."""
    now = time.time()
    asked = {
        "range": {"from": (now - 60) * 1e3, "to": now * 1e3},
        "scopedVars": {"__annotation": {}},
        "targets": [{"refId": "Anno", "target": "host::cpu.percent >= 0"}],
    }
    (table,) = site.post(f"{BASE}/query", asked)
    assert len(table["rows"]) == 1
