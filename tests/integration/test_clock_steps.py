"""A whole site whose wall clock is set, back and ahead, while it runs: nothing waits for it, and nothing is lost."""

from __future__ import annotations

import os
import signal
import struct
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from integration.sites import RunningSite, drawn, poll, running_site

DEADLINE_S = 2.0
SAMPLES_EVERY_S = 1.0
HOUR_S = 3600.0
# Each Python that starts loads it before all else; the file beside it says by how much its wall clock is ahead.
CLOCK = """
import mmap, pathlib, struct, time

real_time = time.time
with pathlib.Path(__file__).with_name("ahead").open("rb") as file:
    ahead = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)

def wall_time():
    return real_time() + struct.unpack("<d", ahead[:8])[0]

time.time = wall_time
time.time_ns = lambda: int(wall_time() * 1e9)
"""
LIVE = """
import time
from sisock.nodes.host.node import HostNode
from sisock.nodes.host.readings import Reading

class Live(HostNode):
    def __init__(self):
        super().__init__("live", sample=lambda now: {"measured": Reading(time.monotonic(), "s", "")})
"""
HANGS = """
import sisock

class Server(sisock.base.DataNodeServer):
    name = "yearly"
    description = "a server that hangs when it is stopped"

    def get_fields(self, start, end):
        return {"v": {"description": None, "timeline": "t", "type": "number", "units": "V"}}, {
            "t": {"interval": 3600.0, "field": ["v"]}
        }

    def get_data(self, field, start, end, min_stride=None):
        return {"data": {"v": [1.0]}, "timeline": {"t": {"t": [1.5e9], "finalized_until": None}}}
"""


class Clock:
    """The wall clock of all programs of a site."""

    def __init__(self, folder: Path) -> None:
        self._pack = struct.Struct("<d").pack
        self._path = folder / "ahead"
        self.ahead_s = 0.0
        self._path.write_bytes(self._pack(0.0))
        (folder / "sitecustomize.py").write_text(CLOCK)

    def __call__(self) -> float:
        """Return what it shows, UNIX seconds."""
        return time.time() + self.ahead_s

    def step(self, seconds: float) -> None:
        """Set it ahead by so many seconds, or back; every program sees it at once."""
        self.ahead_s += seconds
        with self._path.open("r+b") as file:
            file.write(self._pack(self.ahead_s))


class SteppedSite:
    """A site and its clock."""

    def __init__(self, site: RunningSite, clock: Clock) -> None:
        self.site = site
        self.clock = clock

    def live(self, *targets: str, length_s: float = 30.0) -> list[dict[str, Any]]:
        """Return the answer to a panel that ends now, by the site's clock."""
        now = self.clock()
        return self.site.query(*targets, start=now - length_s, end=now)

    def measured_since(self, moment: float) -> list[tuple[float, float]]:
        """Return when what is drawn was measured after a moment of the steady clock, each with its stamp."""
        points = drawn(self.live("live::measured", length_s=60.0)[0])
        return [(value, time_ms / 1000) for value, time_ms in points if value is not None and value > moment]


@pytest.fixture(scope="module")
def stepped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SteppedSite]:
    """A site of a live node, and a server that can be made to hang."""
    folder = tmp_path_factory.mktemp("site")
    clock = Clock(tmp_path_factory.mktemp("clock"))
    (folder / "live.py").write_text(LIVE)
    (folder / "yearly.py").write_text(HANGS)
    nodes = {"live": {"file": "live.py"}, "yearly": {"file": "yearly.py"}}
    path = os.pathsep.join([str(clock._path.parent), *filter(None, sys.path)])
    with running_site(folder, {"nodes": nodes}, PYTHONPATH=path) as site:
        yield SteppedSite(site, clock)


@pytest.fixture(autouse=True)
def whole(stepped: SteppedSite) -> None:
    """Before each test every node is listed and drawn."""
    poll(lambda: stepped.site.nodes() == {"live", "yearly"}, 30, "every node is listed")
    now = time.monotonic()
    poll(lambda: stepped.measured_since(now), 10, "there are samples")
    poll(lambda: not problems(stepped.live("yearly::v")[0]), 30, "no node is skipped")


def problems(series: dict[str, Any]) -> list[str]:
    """Return the errors that a reply tells of a series."""
    notices = series.get("meta", {}).get("notices", [])
    return [notice["text"] for notice in notices if notice["severity"] == "error"]


def timed(asked: Any, *arguments: Any) -> tuple[float, Any]:
    """Return how long a call takes, and its result."""
    began = time.monotonic()
    result = asked(*arguments)
    return time.monotonic() - began, result


@pytest.mark.parametrize("step_s", [-20.0, -HOUR_S, HOUR_S, -4 * HOUR_S])
def test_sampling_goes_on_over_a_step(stepped: SteppedSite, step_s: float) -> None:
    """Within two intervals a sample is drawn that was measured since, then one a second, each where its stamp says."""
    stepped.clock.step(step_s)
    began, set_at = time.monotonic(), stepped.clock()
    poll(lambda: stepped.measured_since(began), 2 * SAMPLES_EVERY_S + 0.5, "a sample is drawn that was measured since")
    print(f"step of {step_s:g} s: the first sample was drawn after {time.monotonic() - began:.2f} s")
    samples = poll(
        lambda: len(after := stepped.measured_since(began)) > 3 and after, 5 * SAMPLES_EVERY_S, "sampling goes on"
    )
    for measured, stamp in samples:
        assert stamp == pytest.approx(set_at + measured - began, abs=0.3)
    spacings = [later - earlier for (earlier, _), (later, _) in pairwise(samples)]
    assert all(0.5 < one < 1.5 for one in spacings[1:]), "one a second, none in a burst"


@pytest.mark.parametrize("step_s", [-20.0, -HOUR_S, HOUR_S])
def test_a_panel_waits_no_longer_than_the_deadline(stepped: SteppedSite, step_s: float) -> None:
    """A node hangs, the clock is set while a panel waits: it waits two seconds. Later the node is drawn again."""
    pid = stepped.site.send(signal.SIGSTOP, "node", "yearly.py")
    try:
        setting = threading.Timer(0.5, stepped.clock.step, [step_s])
        setting.start()
        waited_s, (hung, live) = timed(stepped.live, "yearly::v", "live::measured")
        setting.join()
        print(f"step of {step_s:g} s: a panel waited {waited_s:.2f} s")
        assert DEADLINE_S - 0.2 < waited_s < DEADLINE_S + 0.5
        assert "did not answer within 2 s" in problems(hung)[0]
        assert drawn(live)
        waited_s, (hung, _) = timed(stepped.live, "yearly::v", "live::measured")
        assert waited_s < 0.5
        assert problems(hung)
    finally:
        psutil.Process(pid).send_signal(signal.SIGCONT)
    began = time.monotonic()
    poll(lambda: not problems(stepped.live("yearly::v")[0]), 3 * DEADLINE_S, "the node is asked again")
    print(f"step of {step_s:g} s: the node was drawn again after {time.monotonic() - began:.2f} s")


@pytest.mark.parametrize("step_s", [-20.0, -HOUR_S, HOUR_S])
def test_the_hub_has_its_list_again_after_a_step(stepped: SteppedSite, step_s: float) -> None:
    """The clock is set, the hub is killed: within seconds of its restart every node is in its list again."""
    stepped.clock.step(step_s)
    site = stepped.site
    ready = site.output.count("hub: ready")
    site.send(signal.SIGKILL, "hub")
    poll(lambda: site.output.count("hub: ready") > ready, 10, "the hub is ready")
    began = time.monotonic()
    added = ["data_node_added: live", "data_node_added: yearly"]
    poll(lambda: all(line in site.output.rpartition("hub: ready")[2] for line in added), 5, "every node is listed")
    print(f"step of {step_s:g} s: every node was listed again after {time.monotonic() - began:.2f} s")


def test_a_node_that_went_silent_is_noticed_after_a_step(stepped: SteppedSite) -> None:
    """The router's pings go on: after a step back, a node that hangs is off the list in 20 s."""
    stepped.clock.step(-HOUR_S)
    pid = stepped.site.send(signal.SIGSTOP, "node", "yearly.py")
    try:
        began = time.monotonic()
        poll(lambda: "yearly" not in stepped.site.nodes(), 20, "the stopped node is gone from the list")
        print(f"the stopped node was off the list after {time.monotonic() - began:.1f} s")
    finally:
        psutil.Process(pid).send_signal(signal.SIGCONT)
    assert "Traceback" not in stepped.site.output
