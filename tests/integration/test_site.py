"""A whole site, from the panel to the data and back, and what becomes of it when parts of it die."""

from __future__ import annotations

import math
import signal
import time
from pathlib import Path

import psutil
import pytest

from integration.sites import drawn, poll, running_site

DATA = Path(__file__).parent.parent / "data"
DEADLINE_S = 2.0
LARGE = """
import numpy
import sisock

class Large(sisock.base.DataNodeServer):
    name = "large"
    description = "300,000 samples, not downsampled, as a server written for the original API returns them"

    def get_fields(self, start, end):
        return {"v": {"description": None, "timeline": "t", "type": "number", "units": "V"}}, {
            "t": {"interval": 1.0, "field": ["v"]}
        }

    def get_data(self, field, start, end, min_stride=None):
        times = 1.5e9 + numpy.arange(300_000.0)
        values = numpy.sin(times / 5000.0)
        values[123_456], values[222_222] = 99.0, -77.0
        return {"data": {"v": values.tolist()}, "timeline": {"t": {"t": times.tolist(), "finalized_until": None}}}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A site with a live node, an archive and a server that returns too much; each test leaves it whole."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "large.py").write_text(LARGE)
    nodes = {
        "host": {"kind": "host"},
        "weather": {"kind": "weather", "folder": str(DATA / "apex")},
        "large": {"file": "large.py"},
    }
    with running_site(folder, {"nodes": nodes}) as running:
        yield running


@pytest.fixture(autouse=True)
def whole(site):
    """Wait until every node is listed again before the next test."""
    yield
    poll(lambda: site.nodes() == {"host", "weather", "large"}, 30, "the site is whole again")


def test_search_lists_fields_of_every_node(site):
    """The list of metrics has the fields of live and archived nodes side by side."""
    targets = site.post("/search", {"target": ""})
    assert {"host::cpu.percent", "large::v"} <= set(targets)
    assert any(target.startswith("weather::") for target in targets)


def test_live_field_gets_newer_samples(site):
    """A panel over a live field has newer samples a moment later."""
    before = poll(lambda: drawn(site.live("host::cpu.percent")[0]), 10, "there are samples")
    newer = poll(
        lambda: (points := drawn(site.live("host::cpu.percent")[0])) and points[-1][1] > before[-1][1] and points,
        5,
        "there are newer samples",
    )
    assert newer[-1][1] / 1000 == pytest.approx(time.time(), abs=5)


def test_extremes_of_a_server_that_returns_too_much_are_drawn(site):
    """300,000 samples for a panel of 1000 pixels: drawn, with both spikes at their times, and the node stays."""
    (series,) = site.query("large::v", start=1.5e9, end=1.5e9 + 300_000)
    points = {round(time_ms / 1000): value for value, time_ms in drawn(series) if value is not None}
    assert len(points) <= 1000
    assert points[1_500_123_456] == 99.0
    assert points[1_500_222_222] == -77.0
    assert points[1_500_299_999] == pytest.approx(math.sin(1_500_299_999 / 5000.0))
    assert "large" in site.nodes()
    assert "connection" not in site.output.partition("everything is up")[2]


def test_killed_node_leaves_the_list_and_comes_back(site):
    """A node killed with -9 is gone from the list within 5 s, others are still drawn, and it comes back by itself."""
    site.send(signal.SIGKILL, "node", "large.py")
    poll(lambda: "large" not in site.nodes(), 5, "the killed node is gone from the list")
    missing, live = site.live("large::v", "host::cpu.percent")
    assert drawn(live)
    assert "large" in missing["meta"]["notices"][0]["text"]
    poll(lambda: "large" in site.nodes(), 10, "the node is back")


def test_stopped_node_costs_a_panel_the_deadline_at_most(site):
    """A node that hangs (SIGSTOP) costs one panel the deadline, the next ones nothing, and is off the list in 20 s."""
    poll(lambda: drawn(site.live("host::cpu.percent")[0]), 10, "there are samples")
    pid = site.send(signal.SIGSTOP, "node", "large.py")
    try:
        began = time.monotonic()
        missing, live, *archived = site.live("large::v", "host::cpu.percent", "weather::*")
        assert time.monotonic() - began < DEADLINE_S + 0.5
        assert drawn(live)
        assert [notice["severity"] for notice in missing["meta"]["notices"]] == ["error"]
        assert archived
        said = [notice["text"] for series in archived for notice in series.get("meta", {"notices": []})["notices"]]
        assert all("has no sample in this window" in text for text in said)
        for _ in range(10):
            began = time.monotonic()
            assert drawn(site.live("large::v", "host::cpu.percent")[1])
            assert time.monotonic() - began < 0.3
        poll(lambda: "large" not in site.nodes(), 20 - DEADLINE_S, "the stopped node is gone from the list")
    finally:
        psutil.Process(pid).send_signal(signal.SIGCONT)


def test_panel_is_drawn_again_after_the_router_was_killed(site):
    """Router killed with -9: it is started again, every program comes back to it, and a panel is drawn within 10 s."""
    poll(lambda: drawn(site.live("host::cpu.percent")[0]), 10, "there are samples")
    before = {name: site.pid(*words) for name, words in PROGRAMS.items()}
    site.send(signal.SIGKILL, "router")
    poll(lambda: site.pid("router") not in (None, before["router"]), 5, "the router is started again")
    poll(lambda: drawn(site.live("host::cpu.percent")[0]), 10, "a panel is drawn again")
    poll(lambda: site.nodes() == {"host", "weather", "large"}, 10, "every node is listed again")
    after = {name: site.pid(*words) for name, words in PROGRAMS.items()}
    assert {name for name in before if before[name] != after[name]} == {"router"}


def test_list_is_complete_after_the_hub_was_killed(site):
    """Hub killed with -9: within 5 s of its restart every node is in its list, without having been restarted."""
    nodes = {name: words for name, words in PROGRAMS.items() if words[0] == "node"}
    before = {name: site.pid(*words) for name, words in nodes.items()}
    ready = site.output.count("hub: ready")
    hub = site.send(signal.SIGKILL, "hub")
    poll(lambda: site.pid("hub") not in (None, hub), 5, "the hub is started again")
    added = [f"data_node_added: {name}" for name in nodes]
    poll(lambda: site.output.count("hub: ready") > ready, 10, "the hub is ready")
    poll(lambda: all(line in site.output.rpartition("hub: ready")[2] for line in added), 5, "every node is listed")
    assert {name: site.pid(*words) for name, words in nodes.items()} == before


PROGRAMS = {
    "router": ("router",),
    "hub": ("hub",),
    "host": ("node", "host"),
    "weather": ("node", "weather"),
    "large": ("node", "large.py"),
    "grafana": ("grafana",),
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_leaves_nothing_behind(tmp_path, number):
    """Ctrl-C and SIGTERM end everything with exit status 0, within 10 s, with no process left and no trace printed."""
    with running_site(tmp_path, {"nodes": {"host": {"kind": "host"}}}) as running:
        family = psutil.Process(running.process.pid).children(recursive=True)
        began = time.monotonic()
        assert running.stop(number) == 0
        assert time.monotonic() - began < 10
        assert not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
        assert "Traceback" not in running.output
        assert "Warning" not in running.output


def test_killed_supervisor_leaves_nothing_behind(tmp_path):
    """Even when the supervisor itself is killed with -9, none of its programs stays."""
    with running_site(tmp_path, {"nodes": {"host": {"kind": "host"}}}) as running:
        family = psutil.Process(running.process.pid).children(recursive=True)
        running.stop(signal.SIGKILL)
        poll(lambda: not [one for one in family if one.is_running()], 15, "all programs have ended")
