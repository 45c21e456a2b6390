from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sisock.core.wire.spans import decode_reductions
from sisock.gateway import cached_reader
from sisock.gateway.drawing.planner import SeriesWanted
from sisock.gateway.gateway import Gateway
from sisock.testing import FakeHub, FakeNode, FakeRouter, ManualClock, result_of

NOW = 1_700_000_000.0
TIMES = NOW - np.arange(3600.0)[::-1]


def make_node(name, **misbehaviour):
    series = {"x": (TIMES, np.sin(TIMES)), "on": (TIMES, TIMES % 600 < 300), "word": (TIMES[::60], ["a"] * 60)}
    return FakeNode(name, series, units={"x": "K"}, **misbehaviour)


@pytest.fixture
def clock():
    return ManualClock(NOW)


@pytest.fixture
def hub():
    return FakeHub([make_node("a"), make_node("b"), make_node("c")])


@pytest.fixture
def gateway(hub, clock):
    return connected(hub, clock)


def connected(hub, clock):
    gateway = Gateway(None, clock, 2.0)
    hub.on_added.append(gateway.directory.node_added)
    hub.on_subtracted.append(gateway.directory.node_subtracted)
    result_of(gateway.connected(FakeRouter(hub, clock)))
    return gateway


def ask(gateway, *targets, start=NOW - 3600, end=NOW, points=1000):
    return gateway.query([SeriesWanted(*target.split("::")) for target in targets], start, end, points)


def test_one_result_for_each_series_wanted(gateway):
    """Results come in the order of the question, one each, also for what was asked twice."""
    answer = result_of(ask(gateway, "b::x", "a::on", "b::x"))
    assert [series.wanted.target for series in answer.series] == ["b::x", "a::on", "b::x"]
    assert all(series.problem is None and series.times.size for series in answer.series)


def test_what_the_catalogue_says_comes_along(gateway):
    """Type, units and interval of a field are in its result."""
    number, state, text = result_of(ask(gateway, "a::x", "a::on", "a::word")).series
    assert (number.type, number.units, number.interval_s) == ("number", "K", 1.0)
    assert (state.type, text.type) == ("bool", "string")


def test_all_samples_when_there_is_room(gateway):
    """A short span comes with every sample inside it, end excluded, and says no bucket."""
    series = result_of(ask(gateway, "a::x", start=NOW - 60, end=NOW)).series[0]
    np.testing.assert_array_equal(series.times, np.arange(NOW - 60, NOW))
    np.testing.assert_array_equal(series.values, np.sin(series.times))
    assert series.bucket_s is None


def test_a_decimated_series_says_its_bucket(gateway):
    """Where samples were left out, the width of the buckets is told."""
    assert result_of(ask(gateway, "a::x", points=100)).series[0].bucket_s > 2


def test_few_points_are_the_newest(gateway):
    """For fewer than eight points the last values are kept, the newest sample among them."""
    series = result_of(ask(gateway, "a::x", end=NOW + 1, points=3)).series[0]
    assert len(series.times) == 3
    assert series.times[-1] == TIMES[-1]


def test_a_gap_is_marked(clock):
    """Missing data break the line, but not that of a field without a regular spacing."""
    times = np.concatenate([TIMES[:1000], TIMES[2500:]])
    samples = (times, np.ones(times.size))
    nodes = [FakeNode("p", {"x": samples}), FakeNode("q", {"x": samples}, interval_s=None)]
    periodic, aperiodic = result_of(ask(connected(FakeHub(nodes), clock), "p::x", "q::x")).series
    assert np.isnan(periodic.values).sum() == 1
    assert not np.isnan(aperiodic.values).any()


def test_one_hung_node_of_three(gateway, hub, clock):
    """The answer comes at the deadline with the series of two nodes and the reason for the third."""
    hub.nodes["b"].behaviour.hang = True
    asking = ask(gateway, "a::x", "b::x", "c::x")
    clock.advance(1.99)
    with pytest.raises(ValueError, match="not fired"):
        result_of(asking)
    clock.advance(0.01)
    first, hung, third = result_of(asking).series
    assert first.times.size
    assert third.times.size
    assert hung.problem == "node 'b' did not answer within 2 s"


def test_a_hung_node_is_skipped(gateway, hub, clock):
    """After a miss a node is not waited for any more; the reason and since when are told at once."""
    hub.nodes["b"].behaviour.hang = True
    ask(gateway, "b::x")
    clock.advance(2)
    good, skipped = result_of(ask(gateway, "a::x", "b::x")).series
    assert good.times.size
    assert "did not answer within 2 s, the first time at 2023-11-14T22:13:22.000Z" in skipped.problem


def test_a_node_that_recovers_is_drawn_again(gateway, hub, clock):
    """A node that was skipped is asked on the side; once it has answered, it is drawn again."""
    hub.nodes["b"].behaviour.hang = True
    ask(gateway, "b::x")
    clock.advance(2)
    hub.nodes["b"].behaviour.hang = False
    clock.advance(2)
    assert result_of(ask(gateway, "b::x")).series[0].problem is not None
    assert result_of(ask(gateway, "b::x")).series[0].problem is None


def test_no_panel_waits_for_a_node_that_goes_on_hanging(gateway, hub, clock):
    """Only the first panel waits for the deadline; however long the node hangs, all others are answered at once."""
    hub.nodes["b"].behaviour.hang = True
    ask(gateway, "b::x")
    clock.advance(2)
    for _ in range(20):
        good, skipped = result_of(ask(gateway, "a::x", "b::x")).series
        assert good.times.size
        assert skipped.problem
        clock.advance(1)


def test_an_error_is_no_miss(gateway, hub):
    """A node that answers with errors is asked each time, and says why itself."""
    hub.nodes["b"].behaviour.error = "out of film"
    for _ in range(5):
        assert "out of film" in result_of(ask(gateway, "b::x")).series[0].problem
    hub.nodes["b"].behaviour.error = ""
    assert result_of(ask(gateway, "b::x")).series[0].problem is None


@pytest.mark.parametrize("reply", [None, False, 7, "x", [], {}, {"data": [], "timeline": {}}, {"data": {"x": 5}}])
def test_nonsense_of_one_node_is_its_own_problem(gateway, hub, reply):
    """A reply that can't be read gives a reason in the place of its own series only."""
    hub.nodes["b"]._get_data = lambda *_, **__: reply
    good, bad = result_of(ask(gateway, "a::x", "b::x")).series
    assert good.problem is None
    assert good.times.size
    assert bad.problem


def test_a_bug_met_in_one_reply_touches_nothing_else(gateway, hub, monkeypatch):
    """Even an exception that nobody expected stays with the node whose reply raised it."""
    decode = decode_reductions

    def fails_for_b(reply, request):
        if "poison" in reply:
            raise ZeroDivisionError("oh")
        return decode(reply, request)

    monkeypatch.setattr(cached_reader, "decode_reductions", fails_for_b)
    hub.nodes["b"]._get_data = lambda *_, **__: {"poison": 1}
    good, bad = result_of(ask(gateway, "a::x", "b::x")).series
    assert good.times.size
    assert "ZeroDivisionError" in bad.problem


def spoil(hub, change):
    """Let node b send its reply with the entry of its first field changed."""
    node = hub.nodes["b"]
    true = node._get_data

    def spoiled(*arguments, **keywords):
        reply = true(*arguments, **keywords)
        change(reply["series"][0])
        return reply

    node._get_data = spoiled


def test_values_that_do_not_fit_their_times_are_refused(gateway, hub):
    """An answer with fewer values than times is not drawn, and the reason says so."""

    def drop_a_value(entry):
        entry[4] = entry[4][8:]

    spoil(hub, drop_a_value)
    series = result_of(ask(gateway, "b::x")).series[0]
    assert "not as long as it says" in series.problem
    assert not series.times.size


def test_a_field_that_became_text_is_its_own_problem(gateway, hub):
    """Values that are not of the type that the catalogue states are told, and not handed on to be drawn as such."""
    hub.nodes["b"]._blocks["x"] = replace(
        hub.nodes["b"]._blocks["word"], values={"x": hub.nodes["b"]._blocks["word"].values["word"]}
    )
    good, bad = result_of(ask(gateway, "a::x", "b::x")).series
    assert good.times.size
    assert "node 'b': field 'x' is left out: its values must be numbers" in bad.problem
    assert not bad.times.size


def test_numbers_of_a_field_of_truth_values_are_taken_as_such(gateway, hub):
    """Values that can be had in the type that the catalogue states are drawn in it."""

    def as_numbers(entry):
        entry[1], entry[4] = "<f8", np.frombuffer(entry[4], dtype=bool).astype("<f8").tobytes()

    spoil(hub, as_numbers)
    assert result_of(ask(gateway, "b::on")).series[0].values.dtype == bool


def test_samples_after_the_newest_are_refused(gateway, hub):
    """A reply whose newest sample is older than others in it is not drawn, and the reason says so."""

    def put_back(entry):
        entry[3] = entry[3][:-8] + TIMES[-100:][:1].tobytes()

    spoil(hub, put_back)
    series = result_of(ask(gateway, "b::x")).series[0]
    assert "after the one that it calls the newest" in series.problem


def test_a_node_that_forgets_does_not_make_the_line_run_back(gateway, hub, clock):
    """A newest sample older than what is kept as final is left out."""
    before = result_of(ask(gateway, "b::x", end=NOW - 10)).series[0]
    clock.advance(5)

    def put_back(entry):
        entry[3] = entry[3][:-8] + TIMES[-100:][:1].tobytes()

    spoil(hub, put_back)
    after = result_of(ask(gateway, "b::x", end=NOW - 10)).series[0]
    assert (np.diff(after.times) >= 0).all()
    assert set(before.times[:-1]) <= set(after.times) <= set(before.times)


def test_a_node_that_sends_too_much_is_reduced_here(gateway, hub):
    """Never more points than asked for, even when a node doesn't reduce, and nothing from outside the span."""

    def send_all(entry):
        entry[2:] = [[TIMES.size], TIMES.tobytes(), np.sin(TIMES).tobytes()]

    spoil(hub, send_all)
    series = result_of(ask(gateway, "b::x", start=NOW - 1800, points=100)).series[0]
    assert 50 < len(series.times) <= 100
    assert series.times[0] >= NOW - 1800


def test_a_node_that_left_is_not_online(gateway, hub):
    """A node that was subtracted is not asked; the reason says so, and names the likely one."""
    hub.subtract("b")
    assert result_of(ask(gateway, "b::x")).series[0].problem.startswith("data node 'b' is not online")


def test_a_node_that_leaves_while_asked(gateway, hub, clock):
    """A node that leaves before it answers gives a reason at the deadline, and breaks nothing."""
    hub.nodes["b"].behaviour.hang = True
    asking = ask(gateway, "a::x", "b::x")
    hub.subtract("b")
    clock.advance(2)
    good, gone = result_of(asking).series
    assert good.times.size
    assert "'b'" in gone.problem


def test_an_unknown_field(gateway):
    """A field that its node doesn't serve gets the reason and the likely name."""
    assert "did you mean 'word'" in result_of(ask(gateway, "a::wort")).series[0].problem


def test_without_a_router_all_is_answered_at_once(hub, clock):
    """While no session is connected, every series is answered at once with that reason and since when."""
    gateway = Gateway(None, clock)
    series = result_of(ask(gateway, "a::x", "b::x")).series
    assert [one.problem for one in series] == ["the router is not connected since 2023-11-14T22:13:20.000Z"] * 2
    gateway = connected(hub, clock)
    clock.advance(60)
    gateway.disconnected()
    assert "since 2023-11-14T22:14:20.000Z" in result_of(ask(gateway, "a::x")).series[0].problem
    gateway.connected(FakeRouter(hub, clock))
    assert result_of(ask(gateway, "a::x")).series[0].problem is None


@pytest.mark.parametrize("end", [NOW - 3600, NOW - 3601])
def test_an_empty_span_asks_nobody(gateway, hub, end):
    """A span without length has no samples and costs no call."""
    asked = len(hub.nodes["a"].calls)
    assert result_of(ask(gateway, "a::x", end=end)).series[0].times.size == 0
    assert len(hub.nodes["a"].calls) == asked


def test_a_node_that_cannot_say_what_it_can(gateway, hub):
    """A node that appears but fails to say what it can is told of, and not taken for one with the original library."""
    hub.add(make_node("d", error="still warming up"))
    series = result_of(ask(gateway, "d::x")).series[0]
    assert "still warming up" in series.problem
    assert not series.notices


def test_arrays_travel_packed(gateway, hub):
    """Nodes that can are asked for packed arrays."""
    result_of(ask(gateway, "a::x"))
    assert hub.nodes["a"].calls[-1][2]["packed"] is True


@settings(max_examples=60, deadline=None)
@given(points=st.integers(-3, 400), length=st.floats(1e-3, 5000), back=st.floats(0, 5000), old=st.booleans())
def test_never_more_points_than_asked(points, length, back, old):
    """Whatever the span and the library of the node, no series has more points than were asked for."""
    clock = ManualClock(NOW)
    gateway = connected(FakeHub([make_node("a", original_library=old)]), clock)
    end = NOW - back
    answer = result_of(ask(gateway, "a::x", "a::on", "a::word", start=end - length, end=end, points=points))
    for series in answer.series:
        assert series.problem is None
        assert len(series.times) == len(series.values) <= max(points, 1)
        assert np.all((series.times >= end - length) & (series.times < end))
