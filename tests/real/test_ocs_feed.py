"""Feeds of the real OCS: what its agents publish on our router, what its aggregator writes, what our node serves."""

from __future__ import annotations

import signal
import time
from importlib.util import find_spec

import pytest

from sisock.client import Consumer
from sisock.core.errors import SisockError

from integration.ports import free_port
from integration.sites import poll, running_site
from real.ocs_site import AGENT, CHANNELS, FEED, running_ocs, samples_of, samples_on_disk

pytestmark = pytest.mark.skipif(find_spec("ocs") is None, reason="'make test-real' installs OCS")
NAMES = [f"channel_{number:02}" for number in range(CHANNELS)]
NODES = {"ocs_feed": {"kind": "ocs_feed", "feeds": "observatory.*.feeds.*"}}


def served(site):
    """Return the samples that our node serves by field and value, and how many there are."""
    samples, count = {}, 0
    with Consumer(site.consumer_settings()) as consumer:
        for name in NAMES:
            series = consumer.get(f"ocs_feed::{FEED}.{name}", 1.0, 4e9)
            samples[name] = dict(zip(series.values.tolist(), series.times.tolist(), strict=True))
            count += len(series.times)
    return samples, count


def newest(site):
    """Return the time of the newest sample that our node serves; 0 while it has none."""
    try:
        with Consumer(site.consumer_settings()) as consumer:
            return float(consumer.get(f"ocs_feed::{FEED}.channel_00", 1.0, 4e9).times[-1])
    except (SisockError, IndexError):
        return 0.0


def goes_on(site, seconds):
    """Wait until our node has samples that are measured so many seconds from now."""
    until = time.time() + seconds
    poll(lambda: newest(site) > until, 60 + seconds, "samples come")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """OCS on our router, which is killed and comes back, and then an agent that is started again."""
    from ocs.ocs_client import OCSClient

    folder, port = tmp_path_factory.mktemp("site"), free_port()
    document = {"settings": {"ocs_port": port}, "nodes": NODES}
    with running_site(folder, document) as site, running_ocs(tmp_path_factory.mktemp("ocs"), port) as ocs:
        poll(lambda: list(ocs.archive.rglob("*.g3")) and newest(site), 60, "the aggregator and our node have data")
        goes_on(site, 5)
        status = OCSClient(AGENT, args=ocs.site_arguments()).acq.status()
        killed = time.time()
        ocs.processes["aggregator"].send_signal(signal.SIGSTOP)  # who is back later loses more: it is not to be first
        site.send(signal.SIGKILL, "router")
        goes_on(site, 2)
        ocs.processes["aggregator"].send_signal(signal.SIGCONT)
        back = time.time()
        poll(lambda: ocs.is_recording(back), 60, "the aggregator goes on")
        ocs.stop(AGENT)
        restarted = time.time()
        ocs.start(AGENT)
        goes_on(site, 5)
        ocs.stop(AGENT)
        ocs.stop("aggregator")
        yield {
            "published": ocs.published(),
            "disk": samples_on_disk(ocs.archive),
            "node": served(site),
            "killed": killed,
            "restarted": restarted,
            "log": site.output,
            "status": status,
        }


def assert_among(samples, others):
    """Each sample is among others, at its time; archives have steps of ten nanoseconds, float64 of 240."""
    assert samples.keys() <= others.keys()
    assert all(abs(time - others[value]) < 1e-6 for value, time in samples.items())


def test_every_sample_on_disk_is_served_and_none_twice(run):
    """All that OCS's aggregator wrote, the node serves with the same values; each sample once."""
    disk, _ = run["disk"]
    node, count = run["node"]
    assert set(disk) == set(node) == set(NAMES)
    for name in NAMES:
        assert len(disk[name]) > 100
        assert_among(disk[name], node[name])
    assert count == sum(map(len, node.values()))


def test_what_is_lost_is_what_was_published_while_the_router_was_away(run):
    """Samples that the node has not, nobody has; each was published without a connection, or before we were back."""
    node, disk, published = run["node"][0], run["disk"][0], run["published"]
    everything = samples_of([one["blocks"] for one in published])
    unsent = samples_of([one["blocks"] for one in published if not one["sent"]])
    for name in NAMES:
        assert_among(node[name], everything[name])
        lost = everything[name].keys() - node[name].keys()
        assert unsent.get(name, {}).keys() <= lost
        assert not lost & disk[name].keys()
    whole = [one for one in published if not lost & set(one["blocks"]["temps"]["data"][NAMES[-1]])]
    away = [one for one in published if one not in whole]
    back = min(one["time"] for one in whole if one["time"] > run["killed"])
    assert away
    assert all(run["killed"] - 1 < one["time"] < back for one in away)
    times = sorted(time for one in away for time in one["blocks"]["temps"]["timestamps"])
    assert len(times) == len(lost)
    print(f"lost to all: the {len(times)} samples of each field from {times[0]:.1f} to {times[-1]:.1f}")


def test_an_agent_that_is_started_again_goes_on(run):
    """After a restart of its agent, under another session of OCS, a field goes on as the same one."""
    times = run["node"][0][NAMES[0]].values()
    before = [time for time in times if time < run["restarted"]]
    after = [time for time in times if time > run["restarted"]]
    assert len(before) > 50
    assert len(after) > 30


def test_clients_of_ocs_reach_agents(run):
    """OCS's own client asks an agent over HTTP, through the plain port of our router."""
    assert run["status"].session["status"] == "running"


def test_nothing_is_wrong_with_what_the_real_ocs_publishes(run):
    """Heartbeats, registry and data of the real OCS leave no warning in our log."""
    assert "left out" not in run["log"]
    assert "Traceback" not in run["log"]
