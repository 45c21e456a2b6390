"""What holds at the start of a window, and the first sample in it, as panels get them."""

import numpy as np
import pytest

from sisock.core.model import TimelineBlock
from sisock.core.wire.info import CAPABILITIES
from sisock.gateway.drawing.planner import PLAIN, Drawing, SeriesWanted
from sisock.gateway.gateway import Gateway
from sisock.gateway.tiles import LEAST_REACH_S
from sisock.testing import FakeHub, FakeNode, FakeRouter, ManualClock, result_of

NOW = 1_700_000_000.0
HOUR = 3600.0


class Site:
    """A node with fields that change seldom and often, and a gateway."""

    def __init__(self, interval_s=None, **misbehaviour) -> None:
        self.clock = ManualClock(NOW)
        seldom = NOW - np.array([9.0, 5.0]) * HOUR
        ticks = NOW - np.arange(36_000)[::-1] / 10
        self.node = FakeNode(
            "site",
            {
                "mode": (seldom, ["idle", "busy"]),
                "on": (seldom, [False, True]),
                "setpoint": (seldom, [280.0, 285.0]),
                "fast": (ticks, np.sin(ticks)),
                "kilo": (NOW - np.arange(20_000)[::-1] / 1e3, np.arange(20_000.0)),
                "none": ([], []),
            },
            interval_s=interval_s,
            **misbehaviour,
        )
        self.hub = FakeHub([self.node])
        self.gateway = Gateway(None, self.clock, 2.0)
        self.hub.on_added.append(self.gateway.directory.node_added)
        self.hub.on_subtracted.append(self.gateway.directory.node_subtracted)
        result_of(self.gateway.connected(FakeRouter(self.hub, self.clock)))

    def draw(self, name, length_s, end=None, points=1000, drawing=PLAIN):
        end = self.clock() if end is None else end
        asked = self.gateway.query([SeriesWanted("site", name)], end - length_s, end, points, drawing)
        return result_of(asked).series[0]

    def calls(self):
        return [keywords for name, _, keywords in self.node.calls if name == "get_data"]

    def put(self, name, times, values, finalized_until=None):
        """Let a field have these samples from now on."""
        times = np.asarray(times)
        array = np.array(values, dtype=object if isinstance(values[0], str) else None)
        final = times[-1] if finalized_until is None else finalized_until
        self.node._blocks[name] = TimelineBlock(times, {name: array}, final, generation="g")


@pytest.fixture
def site():
    return Site()


@pytest.mark.parametrize("library", ["present", "before edges", "original"])
@pytest.mark.parametrize(("name", "value"), [("mode", "busy"), ("on", True)])
def test_a_state_holds_until_the_next_sample(monkeypatch, library, name, value):
    """Whatever library a node has, a state that began before the window is drawn at its start, without a notice."""
    if library == "before edges":
        monkeypatch.setattr(
            "sisock.core.wire.info.CAPABILITIES", frozenset({"reduce", "packed", "paging", "spans", "ahead"})
        )
    site = Site(original_library=library == "original")
    for _ in range(3):
        site.clock.advance(1.5)
        series = site.draw(name, HOUR)
        assert series.times.tolist() == [site.clock() - HOUR]
        assert series.values.tolist() == [value]
        assert series.before == NOW - 5 * HOUR
        assert series.held
        assert not any("no sample" in text for text in series.notices)
        assert series.problem is None


@pytest.mark.parametrize("library", ["present", "before edges", "original"])
def test_a_number_says_when_its_last_sample_was(monkeypatch, library):
    """A field that has nothing in the window is empty, with a word on the last sample before it."""
    if library == "before edges":
        monkeypatch.setattr(
            "sisock.core.wire.info.CAPABILITIES", frozenset({"reduce", "packed", "paging", "spans", "ahead"})
        )
    site = Site(original_library=library == "original")
    series = site.draw("setpoint", HOUR)
    assert series.times.size == 0
    assert "no sample in this window; the last one before it is of 2023-11-14T17:13:20.000Z" in series.notices[-1]
    assert not any("no sample" in text for text in site.draw("none", HOUR).notices)


def test_a_number_holds_where_that_is_asked_for(site):
    """With 'before' any number's last value is drawn at the start; without, that of few points and of slow fields."""
    held = site.draw("setpoint", HOUR, drawing=Drawing(before=True))
    assert (held.times.tolist(), held.values.tolist()) == ([NOW - HOUR], [285.0])
    assert not held.notices
    few = site.draw("setpoint", HOUR, points=1)
    assert few.values.tolist() == [285.0]
    assert "the last one before it" in few.notices[0]
    assert Site(4 * HOUR).draw("setpoint", HOUR).values.tolist() == [285.0]
    assert site.draw("mode", HOUR, drawing=Drawing(before=False)).times.size == 0
    assert site.draw("setpoint", HOUR, drawing=Drawing("mean", before=True)).times.size == 0


def test_the_first_sample_is_drawn_at_every_refresh(site):
    """The first sample of a window is drawn as the newest is, also of what is kept, in any call that is due anyway."""
    for number in range(30):
        series = site.draw("fast", 600.0, end=NOW - 1000.0 + 0.7 * number)
        times = site.node._blocks["fast"].times
        assert series.times[0] == times[np.searchsorted(times, NOW - 1600.0 + 0.7 * number)]
        assert series.times.size <= 1000


def test_many_first_samples_cost_no_calls_of_their_own(site):
    """Windows that begin within the same second share what they begin with, however dense it is."""
    for name in ("fast", "kilo"):
        site.draw(name, 10.0, points=100)
        before = len(site.calls())
        for shift in (0.2, 0.5, 0.9):
            assert site.draw(name, 10.0, end=NOW + shift, points=100).times.size
        assert all(call["spans"] for call in site.calls()[before:])


def test_who_looks_alone_gets_the_first_sample_only(site):
    """What lies behind the first sample comes only where somebody has looked a moment ago: it spares a call."""
    for _ in range(3):
        site.draw("fast", 2000.0, end=site.clock() - 1000.0)
        site.clock.advance(5.0)
    assert [call["edge"] for call in site.calls()] == [1.0, LEAST_REACH_S, LEAST_REACH_S]
    for pause_s, reach_s in ((0.0, LEAST_REACH_S), (1.5, 1.0)):
        site.clock.advance(pause_s)
        site.draw("fast", 2000.0, end=site.clock() - 1000.0)
        assert site.calls()[-1]["edge"] == reach_s
    site.draw("fast", 2000.0, end=site.clock() - 1500.0)
    assert site.calls()[-1]["edge"] == LEAST_REACH_S


def test_of_dense_samples_no_more_come_than_tell_so(site):
    """Where as many samples as are sent do not reach to the next window, two spacings of them are asked for."""
    for _ in range(4):
        site.draw("kilo", 10.0, points=100, end=site.clock() - 5.0)
        site.clock.advance(0.3)
    first, *others = [call["edge"] for call in site.calls()]
    assert 0.15 < first < 0.3
    assert others == [pytest.approx(0.002, rel=0.01)] * 3


def refreshing(viewers, clocks_differ_s):
    """When and with which clocks people look who refresh every five seconds."""
    generator = np.random.default_rng(5)
    phases, ahead_s = generator.uniform(0, 5, viewers), generator.uniform(-clocks_differ_s, clocks_differ_s, viewers)
    return sorted((phase + 5.0 * turn, late) for phase, late in zip(phases, ahead_s, strict=True) for turn in range(6))


LOOKS = {
    "thirty people": refreshing(30, 0.0),
    "thirty clocks": refreshing(30, 0.3),
    "two clocks by turns": [(0.1 * turn, 0.4 * (-1) ** turn) for turn in range(60)],
    "ten windows of the past": [(0.5 * turn, -40.0 * (turn % 10) - 0.5 * turn) for turn in range(100)],
}


@pytest.mark.parametrize("looks", LOOKS.values(), ids=LOOKS)
def test_the_starts_of_windows_cost_few_calls_of_their_own(monkeypatch, looks):
    """However many look at a panel, and though their clocks differ, what lies at the starts comes with the ends."""
    ticks = NOW - 3500.0 + np.arange(40_000) / 10
    calls = []
    for capabilities in (CAPABILITIES, CAPABILITIES - {"edge"}):
        monkeypatch.setattr("sisock.core.wire.info.CAPABILITIES", capabilities)
        site = Site()
        site.put("fast", ticks, np.sin(ticks), finalized_until=NOW - 1.0)
        for at, ahead_s in looks:
            site.clock.advance(NOW + at - site.clock())
            start = float(site.clock() + ahead_s - 3000.0)
            series = site.draw("fast", 3000.0, end=start + 3000.0)
            assert "edge" not in capabilities or series.times[0] == ticks[np.searchsorted(ticks, start)]
        calls.append(len(site.calls()))
    assert calls[0] <= 1.1 * calls[1] + 1


def test_the_first_sample_is_drawn_where_samples_cease_to_be_dense(site):
    """That many samples came at once is not held against those that follow."""
    ticks = np.concatenate([NOW - 3000.0 + np.arange(2000) / 500, NOW - 2996.0 + np.arange(3000)])
    site.put("fast", ticks, np.sin(ticks), finalized_until=NOW - 5.0)
    for _ in range(20):
        start = site.clock() - 3000.01
        series = site.draw("fast", 3000.0, end=start + 3000.0, points=300)
        if start > NOW - 2995.0:  # a second behind the last dense ones
            assert series.times[0] == ticks[np.searchsorted(ticks, start)]
        site.clock.advance(1.0)


def test_what_nobody_wants_to_be_held_is_not_told_of(site):
    """With 'before' false an empty window has no word on what was before it, whatever others have asked."""
    assert site.draw("setpoint", HOUR).before is not None
    series = site.draw("setpoint", HOUR, drawing=Drawing(before=False))
    assert (series.before, series.notices) == (None, ())


def test_what_cannot_change_is_asked_once(site):
    """What held before a window of the past is known for all windows until the next sample, and is not asked again."""
    for _ in range(5):
        site.clock.advance(2.0)
        assert site.draw("mode", HOUR, end=NOW - 6 * HOUR).values.tolist() == ["idle"]
    assert [bool(call.get("edge")) for call in site.calls()] == [True, False, False, False, False]


def test_what_was_before_is_that_of_the_data_there_are_now(site):
    """When the data become others, what held is theirs: of another generation nothing is drawn."""
    site.put("mode", [NOW - 5 * HOUR], ["old"], finalized_until=NOW + 100.0)
    assert site.draw("mode", HOUR).values.tolist() == ["old"]
    site.node._blocks["mode"] = TimelineBlock(
        np.array([NOW - 4 * HOUR]), {"mode": np.array(["new"], dtype=object)}, NOW, generation="another"
    )
    site.clock.advance(2.0)
    assert site.draw("mode", HOUR).values.tolist() == ["new"]


def test_a_late_sample_before_the_window_is_seen(site):
    """As long as the past is not final, a sample that comes late holds at the start of the next window."""
    site.put("mode", [NOW - 5 * HOUR], ["old"], finalized_until=NOW - 6 * HOUR)
    assert site.draw("mode", HOUR).values.tolist() == ["old"]
    site.put("mode", [NOW - 5 * HOUR, NOW - 2 * HOUR], ["old", "late"], finalized_until=NOW - 6 * HOUR)
    site.clock.advance(2.0)
    assert site.draw("mode", HOUR).values.tolist() == ["late"]


def test_what_held_is_drawn_while_the_node_is_away(site):
    """What is kept of a node that left has what held at the start, too."""
    site.put("mode", [NOW - 5 * HOUR, NOW - 600.0], ["busy", "done"], finalized_until=NOW + 100.0)
    assert site.draw("mode", HOUR).values.tolist() == ["busy", "done"]
    site.hub.subtract("site")
    series = site.draw("mode", HOUR, end=NOW)
    assert series.values.tolist() == ["busy", "done"]
    assert "is not online" in series.problem


def test_a_slow_search_is_given_up():
    """A node of another library that takes long to look back costs a panel its deadline at most; it isn't skipped."""
    site = Site(original_library=True)
    site.draw("mode", HOUR)
    site.node.behaviour.delay_s = 0.3
    asking = site.gateway.query([SeriesWanted("site", "mode")], NOW - 1.0, NOW)
    for _ in range(30):
        site.clock.advance(0.1)
    series = result_of(asking).series[0]
    assert series.problem is None or "deadline" not in series.problem
    assert not site.gateway.states()["site"].skipped


@pytest.mark.parametrize("before", [None, False])
def test_a_field_slower_than_its_panel_has_not_stopped(before):
    """A short panel that nobody saw for a while says nothing of a field with a sample a moment before its window."""
    site = Site(interval_s=20.0)
    site.put("setpoint", NOW - 12.0 - np.arange(100.0)[::-1] * 20, [1.0] * 100)
    assert site.draw("setpoint", 15.0).newest == NOW - 12.0
    site.clock.advance(500.0)
    site.put("setpoint", NOW + 488.0 - np.arange(100.0)[::-1] * 20, [1.0] * 100)
    assert not any("stopped" in said for said in site.draw("setpoint", 10.0, drawing=Drawing(before=before)).notices)
