"""Feeds that an agent publishes on the OCS port, as panels draw them."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import time

import pytest

from integration.agents import publishing
from integration.ports import free_port
from integration.sites import clean_environment, drawn, poll, running_site

FIELD = "observatory.LSA.feeds.temperatures.Channel_01_T"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """An agent, a node with its feeds, and one that hears them as if they were another router's."""
    folder = tmp_path_factory.mktemp("site")
    port = free_port()
    nodes = {
        "ocs_feed": {"kind": "ocs_feed", "feeds": "observatory.*.feeds.temperatures"},
        "elsewhere": {"kind": "ocs_feed", "router": f"ws://127.0.0.1:{port}/ws"},
    }
    document = {"settings": {"ocs_port": port}, "nodes": nodes}
    with publishing(folder, port, "LSA"), running_site(folder, document) as running:
        poll(lambda: all(drawn(one) for one in running.live(*(f"{node}::{FIELD}" for node in nodes))), 20, "data come")
        yield running


def points(site, target, start):
    """What is drawn of a target since a time."""
    (series,) = site.query(target, start=start, end=time.time() + 10)
    return [point for point in drawn(series) if point[0] is not None]


def test_a_feed_is_drawn_with_its_units(site):
    """Each sample that was published comes once, at its time, in the units of a known class of agents."""
    target, start = f"ocs_feed::{FIELD}", time.time()
    found = poll(lambda: len(some := points(site, target, start)) > 10 and some, 20, "there are samples")
    assert {later[0] - earlier[0] for earlier, later in itertools.pairwise(found)} == {0.25}
    assert site.live(target)[0]["unit"] == "kelvin"


def test_states_of_a_feed_are_drawn(site):
    """Texts and bools come with their types."""
    targets = [f"ocs_feed::observatory.LSA.feeds.temperatures.{name}" for name in ("mode", "autoscan")]
    span = {"from": "2000-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"}
    asked = [{"refId": target[-1], "target": target, "type": "table"} for target in targets]
    mode, autoscan = site.post("/query", {"range": span, "maxDataPoints": 1000, "targets": asked})
    assert {value for _, value in mode["rows"]} == {"scan", "idle"}
    assert {value for _, value in autoscan["rows"]} == {True, False}


def test_the_names_of_the_original_are_drawn_and_not_listed(site):
    """A dashboard of the original draws what it names, under that name; lists have each field once."""
    (series,) = site.live("ocs_feed::channel_01_t")
    assert drawn(series)
    assert series["target"] == "ocs_feed::channel_01_t"
    several = site.live("ocs_feed::(channel_01_t|channel_01_r)")
    assert {one["target"] for one in several if drawn(one)} == {"ocs_feed::channel_01_t", "ocs_feed::channel_01_r"}
    listed = site.post("/search", {"target": "ocs_feed::"})
    assert f"ocs_feed::{FIELD}" in listed
    assert not [target for target in listed if "channel_01" in target]


def test_another_router_is_listened_to_without_a_login(site):
    """A node whose agents are on another router has the same samples."""
    targets = [f"{node}::{FIELD}" for node in ("ocs_feed", "elsewhere")]
    begun = max(points(site, target, time.time() - 600)[0][1] for target in targets) / 1000  # one came to hear first
    end = time.time()
    poll(lambda: all(points(site, target, end + 0.5) for target in targets), 10, "all before the end has come")
    asked = [site.query(target, start=begun, end=end) for target in targets]
    (one,), (other,) = map(list, asked)
    assert drawn(one)
    assert drawn(one) == drawn(other)


def test_nodes_that_have_the_same_are_one_series(site):
    """A spliced target draws a field of two nodes as one series, by the original's name too."""
    for name in (FIELD, "channel_01_t"):
        (series,) = site.live(f"ocs_feed+elsewhere::{name}")
        times = [time_ms for _, time_ms in drawn(series)]
        assert times == sorted(set(times)) != []
        assert "meta" not in series


def test_the_environment_of_the_original(site):
    """TARGET, NAME, DESCRIPTION, FEED and BUFFER_TIME make the node that they made."""
    variables = {
        "TARGET": "LSA",
        "NAME": "LSA22HA",
        "DESCRIPTION": "LS372 in the ACT fridge.",
        "FEED": "temperatures",
        "BUFFER_TIME": "1",
    }
    environment = clean_environment() | variables | {"CROSSBAR_TLS_PORT": str(site.settings["tls_port"])}
    process = subprocess.Popen([sys.executable, "-m", "sisock", "node", "ocs_feed"], env=environment, cwd=site.folder)
    try:
        poll(lambda: "LSA22HA" in site.nodes(), 20, "the node is listed")
        found = poll(lambda: drawn(site.live("LSA22HA::channel_01_t")[0]), 10, "data come")
        assert found[-1][1] - found[0][1] <= 1000
    finally:
        process.terminate()
        assert process.wait(10) == 0


def test_feeds_go_on_after_the_router_was_killed(site):
    """The node subscribes again by itself; what it had before is still there, and nothing comes twice."""
    start, target = time.time(), f"ocs_feed::{FIELD}"
    poll(lambda: points(site, target, start), 10, "there are samples")
    site.send(signal.SIGKILL, "router")
    down = time.time()
    found = poll(lambda: points(site, target, down + 2) and points(site, target, start), 60, "new samples come")
    times, values = ([point[place] for point in found] for place in (1, 0))
    assert times == sorted(set(times))
    assert values == sorted(set(values))
    assert min(times) < down * 1000 < max(times)
