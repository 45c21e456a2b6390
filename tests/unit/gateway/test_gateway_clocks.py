"""A step of the wall clock touches no delay, age or deadline; it moves what people are told, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from sisock.gateway.directory import FRESH_S
from sisock.gateway.drawing.planner import Drawing, SeriesWanted
from sisock.gateway.gateway import Gateway
from sisock.gateway.node_client import PAUSE_S, Breaker
from sisock.testing import FakeHub, FakeNode, FakeRouter, ManualClock, result_of

NOW = 1_700_000_000.0
PLAIN = Drawing(breaks=False)
STEPS = [-3600.0, -20.0, 3600.0, 3.7e8]


class Site:
    """Two nodes with a sample a second, and a gateway that has both clocks."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        times = NOW - np.arange(7200.0)[::-1]
        self.hub = FakeHub([FakeNode(name, {"x": (times, np.sin(times))}) for name in ("a", "b")])
        self.gateway = Gateway(None, self.clock, 2.0, wall=self.clock)
        self.hub.on_added.append(self.gateway.directory.node_added)
        self.hub.on_subtracted.append(self.gateway.directory.node_subtracted)
        result_of(self.gateway.connected(FakeRouter(self.hub, self.clock)))

    def ask(self, name="a", start=NOW - 600, end=NOW):
        return self.gateway.query([SeriesWanted(name, "x")], start, end, 100, PLAIN)

    def calls(self, name, node="a"):
        return sum(called == name for called, _, _ in self.hub.nodes[node].calls)


@pytest.fixture
def site():
    return Site()


@pytest.mark.parametrize("step_s", STEPS)
def test_a_deadline_is_as_long_as_ever(site, step_s):
    """A panel waits two seconds for a node that hangs, though the clock is set while it waits."""
    site.hub.nodes["a"].behaviour.hang = True
    asked = site.ask()
    site.clock.step(step_s)
    site.clock.advance(1.9)
    assert not asked.called
    site.clock.advance(0.1)
    assert "did not answer within 2 s" in result_of(asked).series[0].problem


@pytest.mark.parametrize("step_s", STEPS)
def test_who_waits_for_the_call_of_another_waits_no_longer(site, step_s):
    """A second viewer of the same window has its answer at its own deadline."""
    site.hub.nodes["a"].behaviour.hang = True
    site.ask()
    second = site.ask()
    site.clock.step(step_s)
    site.clock.advance(2.0)
    assert result_of(second).series[0].problem


@pytest.mark.parametrize("step_s", STEPS)
def test_a_node_of_the_original_is_read_for_as_long_as_ever(site, step_s):
    """What is read in small spans is read until the deadline, neither cut short nor longer."""
    times = NOW - np.arange(600.0)[::-1]
    old = FakeNode("old", {"x": (times, times)}, original_library=True)
    site.hub.add(old)
    old.behaviour.delay_s = 0.05
    asked = site.ask("old")
    site.clock.step(step_s)
    for _ in range(38):
        site.clock.advance(0.05)
    series = result_of(asked).series[0]
    assert (series.problem, series.times[0]) == (None, NOW - 599)


@pytest.mark.parametrize("step_s", STEPS)
def test_a_node_that_recovers_is_drawn_again(site, step_s):
    """The pause of a node that is skipped ends after two seconds, whatever the clock says meanwhile."""
    site.hub.nodes["a"].behaviour.hang = True
    asked = site.ask()
    site.clock.advance(2.0)
    assert result_of(asked).series[0].problem
    site.hub.nodes["a"].behaviour.hang = False
    site.clock.step(step_s)
    assert result_of(site.ask(end=NOW - 1)).series[0].problem  # it is skipped yet
    site.clock.advance(PAUSE_S)
    assert result_of(site.ask(end=NOW - 1)).series[0].problem  # and asked on the side
    assert result_of(site.ask(end=NOW - 1)).series[0].problem is None


@pytest.mark.parametrize("step_s", STEPS)
def test_a_node_is_skipped_since_the_wall_time(step_s):
    """Since when a node misses its deadline is told by the wall clock, and paused by the other."""
    clock = ManualClock(NOW)
    breaker = Breaker(clock.seconds, wall=clock)
    clock.step(step_s)
    breaker.missed("did not answer")
    assert breaker.since == NOW + step_s
    clock.advance(PAUSE_S - 0.1)
    assert not breaker.allows()
    clock.advance(0.1)
    assert breaker.allows()


@pytest.mark.parametrize("step_s", STEPS)
def test_catalogues_are_as_old_as_they_are(site, step_s):
    """Nodes and hub are asked again after five seconds, not at once after a step, nor only after the step."""
    asked, site.hub.asked = site.calls("get_fields"), 0
    listed, site.hub.listed = site.hub.listed, lambda: (setattr(site.hub, "asked", site.hub.asked + 1), listed())[1]
    site.clock.step(step_s)
    result_of(site.gateway.freshen())
    assert (site.calls("get_fields"), site.hub.asked) == (asked, 0)
    site.clock.advance(FRESH_S + 0.1)
    result_of(site.gateway.freshen())
    assert (site.calls("get_fields"), site.hub.asked) == (asked + 1, 1)


@pytest.mark.parametrize("step_s", STEPS)
def test_a_search_waits_no_longer(site, step_s):
    """A search waits for a node that hangs until the deadline."""
    site.clock.advance(FRESH_S + 1)
    site.hub.nodes["a"].behaviour.hang = True
    searched = site.gateway.freshen()
    site.clock.step(step_s)
    site.clock.advance(2.0)
    assert result_of(searched).nodes


@pytest.mark.parametrize("step_s", STEPS)
def test_the_end_of_a_window_is_shared_for_a_second(site, step_s):
    """What is not final serves others for a second after it was asked for, and no longer, over a step."""
    result_of(site.ask())
    site.clock.step(step_s)
    site.clock.advance(0.9)
    result_of(site.ask())
    assert site.calls("get_data") == 1
    site.clock.advance(0.2)
    result_of(site.ask())
    assert site.calls("get_data") == 2


@pytest.mark.parametrize("step_s", STEPS)
def test_nothing_old_is_drawn_once_data_were_replaced(site, step_s):
    """After a step what was replaced meanwhile is drawn at once where it was not asked for within a second."""
    result_of(site.ask())
    node = site.hub.nodes["a"]
    node._blocks["x"] = replace(
        node._blocks["x"], values={"x": node._blocks["x"].values["x"] + 100.0}, generation="another"
    )
    site.clock.step(step_s)
    site.clock.advance(1.1)
    assert (result_of(site.ask()).series[0].values > 50).all()


def test_a_clock_that_goes_back_itself_draws_nothing_old():
    """With one clock for both, as other people's programs may have, data replaced meanwhile are drawn as well."""
    site = Site()
    gateway = Gateway(None, site.clock, 2.0)
    result_of(gateway.connected(FakeRouter(site.hub, site.clock)))
    wanted = [SeriesWanted("a", "x")]
    result_of(gateway.query(wanted, NOW - 600, NOW, 100, PLAIN))
    node = site.hub.nodes["a"]
    node._blocks["x"] = replace(
        node._blocks["x"], values={"x": node._blocks["x"].values["x"] + 100.0}, generation="another"
    )
    site.clock.rightNow -= 20.0
    series = result_of(gateway.query(wanted, NOW - 600, NOW, 100, PLAIN)).series[0]
    assert (series.values > 50).all()
    assert result_of(gateway.freshen()).nodes


@pytest.mark.parametrize("step_s", STEPS[:3])
def test_people_are_told_the_wall_time(site, step_s):
    """The present, since when the router is away or a node is gone, and when one came, are told by the wall clock."""
    site.clock.step(step_s)
    site.clock.advance(10.0)
    now = NOW + 10.0 + step_s
    assert site.gateway.now() == now
    site.hub.subtract("b")
    assert [(one.time, one.node, one.came) for one in site.gateway.history()] == [(now, "b", False)]
    assert site.gateway.directory.gone("b").left_at == now
    site.gateway.disconnected()
    assert site.gateway.outage() == f"the router is not connected since {np.datetime64(round(now * 1000), 'ms')}Z"


def test_a_live_field_has_stopped_by_the_wall_clock(site):
    """How old the newest sample is follows from the wall time, as its stamp does."""
    site.clock.step(600.0)
    notices = result_of(site.ask(end=NOW + 600)).series[0].notices
    assert any("its newest sample is 10 min old" in one for one in notices)


def test_a_sample_of_the_far_future_does_not_count_as_the_newest_for_ever(site):
    """When a node's clock was ahead and is set right, what it sends then is its newest."""
    client = site.gateway.directory.client("a")
    client.note_newest("x", NOW + 3.7e8)
    client.note_newest("x", NOW - 1.0)
    assert client.newest["x"] == NOW - 1.0
    client.note_newest("x", NOW + 30.0)  # another machine's clock may be ahead by a little
    client.note_newest("x", NOW)
    assert client.newest["x"] == NOW + 30.0
