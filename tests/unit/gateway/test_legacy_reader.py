import numpy as np
import pytest

from sisock.core.model import DataBlock, TimelineBlock
from sisock.core.reduce.reducers import reduce_block
from sisock.gateway.drawing.planner import Drawing, SeriesWanted, choose_resolution
from sisock.gateway.gateway import Gateway
from sisock.gateway.legacy_reader import VALUES_IN_A_REPLY
from sisock.testing import FakeHub, FakeNode, FakeRouter, ManualClock, result_of

NOW = 1_700_000_000.0


def make_gateway(clock, rate_hz=1.0, length_s=20_000.0, **misbehaviour):
    times = NOW - np.arange(1, int(length_s * rate_hz))[::-1] / rate_hz
    node = FakeNode("old", {"x": (times, np.sin(times))}, original_library=True, **misbehaviour)
    gateway = Gateway(None, clock, 2.0)
    result_of(gateway.connected(FakeRouter(FakeHub([node]), clock)))
    node.calls.clear()
    return gateway, node, times


def ask(gateway, start, end=NOW, points=1000):
    return gateway.query([SeriesWanted("old", "x")], start, end, points)


def spans(node):
    return [arguments[1:3] for name, arguments, _ in node.calls if name == "get_data"]


def test_reduced_like_any_other():
    """Several replies of a node with the original library are reduced, and begun, as a newer node would do it."""
    clock = ManualClock(NOW)
    gateway, _, times = make_gateway(clock)
    series = result_of(ask(gateway, NOW - 20_000)).series[0]
    resolution = choose_resolution(NOW - 20_000, NOW, 1000)
    block = DataBlock({"x": TimelineBlock(times, {"x": np.sin(times)})})
    expected = reduce_block(block, "minmax", resolution.stride_s).timelines["x"]
    inside = times[times >= NOW - 20_000]
    np.testing.assert_array_equal(series.times, [inside[0], *expected.times])
    np.testing.assert_array_equal(series.values, [np.sin(inside[0]), *expected.values["x"]])
    assert series.problem is None
    assert "uses the original library" in series.notices[0]


def test_asked_as_the_original_api_has_it():
    """No keyword that the original library doesn't know is sent."""
    gateway, node, _ = make_gateway(ManualClock(NOW))
    result_of(ask(gateway, NOW - 100))
    assert all(keywords.keys() <= {"min_stride"} for _, _, keywords in node.calls)


def test_no_reply_is_large():
    """No reply holds much more than 8,000 values, however long the span."""
    gateway, node, times = make_gateway(ManualClock(NOW), rate_hz=20.0)
    result_of(ask(gateway, NOW - 20_000))
    sizes = [np.count_nonzero((times >= low) & (times < high)) for low, high in spans(node)]
    assert max(sizes) <= VALUES_IN_A_REPLY * 1.01
    assert len(sizes) > 20


def test_a_refusal_halves_the_span():
    """A reply of False makes the span smaller, and the data still come whole."""
    gateway, node, times = make_gateway(ManualClock(NOW), length_s=1000.0)
    answer = node._get_data
    node._get_data = lambda now, field, start, end, **other: (
        end - start <= 3 and answer(now, field, start, end, **other)
    )
    series = result_of(ask(gateway, NOW - 60)).series[0]
    assert series.times.tolist() == times[times >= NOW - 60].tolist()
    assert series.problem is None


def test_a_node_that_refuses_everything():
    """A node that refuses even the shortest span is given up with a reason."""
    gateway, node, _ = make_gateway(ManualClock(NOW), length_s=100.0)
    node._get_data = lambda *_, **__: False
    assert "refuses even the shortest span" in result_of(ask(gateway, NOW - 60)).series[0].problem


def test_when_time_runs_out_the_missing_part_is_named():
    """A slow node is read until the deadline is near; the newest part is drawn and the rest is named."""
    clock = ManualClock(NOW)
    gateway, node, _ = make_gateway(clock)
    node.behaviour.delay_s = 0.5
    asking = ask(gateway, NOW - 20_000)
    clock.pump([0.5] * 4)
    series = result_of(asking).series[0]
    assert series.times.size
    assert series.times[-1] > NOW - 10
    assert "is missing, because" in series.problem
    assert len(spans(node)) == 4


def test_what_times_out_keeps_what_came():
    """A node that hangs halfway leaves what it had sent before, and a reason."""
    clock = ManualClock(NOW)
    gateway, node, _ = make_gateway(clock)
    node.behaviour.delay_s = 0.5
    asking = ask(gateway, NOW - 20_000)
    node.behaviour.hang = True
    clock.pump([0.5] * 4)
    series = result_of(asking).series[0]
    assert series.times.size
    assert "did not answer" in series.problem


def test_a_hung_node_is_a_plain_failure():
    """A node that sends nothing at all is told as any other that missed its deadline."""
    clock = ManualClock(NOW)
    gateway, node, _ = make_gateway(clock)
    node.behaviour.hang = True
    asking = ask(gateway, NOW - 20_000)
    clock.advance(2.0)
    assert result_of(asking).series[0].problem == "node 'old' did not answer within 2 s"


def test_what_would_take_too_long_is_thinned_and_told():
    """Where all samples are too many to read in time, older ones come thinned, and a notice says from when."""
    gateway, node, times = make_gateway(ManualClock(NOW), rate_hz=30.0)
    series = result_of(ask(gateway, NOW - 20_000)).series[0]
    assert series.times[0] < times[0] + 60
    assert "only one sample in" in series.notices[0]
    assert len(spans(node)) < 40


@pytest.mark.parametrize("reducer", ["count", "sum"])
def test_totals_of_what_came_thinned_are_said_to_be_too_low(reducer):
    """Where samples came thinned, a notice says that what is counted or summed of them is none of the whole."""
    gateway, _, _ = make_gateway(ManualClock(NOW), rate_hz=30.0)
    asking = gateway.query([SeriesWanted("old", "x")], NOW - 20_000, NOW, 1000, Drawing(reducer))
    assert "counted or summed there is far too low" in " ".join(result_of(asking).series[0].notices)


def test_what_lies_outside_a_span_is_cut():
    """Samples that a node sends beyond the end of what was asked are neither drawn twice nor outside the window."""
    gateway, node, times = make_gateway(ManualClock(NOW), length_s=100.0)
    answer = node._get_data
    node._get_data = lambda now, field, start, end, **other: answer(now, field, start, end + 5.0, **other)
    drawn = result_of(ask(gateway, NOW - 60, end=NOW - 20)).series[0].times
    assert drawn.tolist() == times[(times >= NOW - 60) & (times < NOW - 20)].tolist()


def refusing(node, refuses):
    """Let a node answer False where a rule of span and stride says so, and thin by its own hand."""
    answer = node._get_data

    def get_data(now, field, start, end, min_stride=None):
        return not refuses(end - start, min_stride) and answer(now, field, start, end, min_stride)

    node._get_data = get_data


def test_a_node_that_gives_little_at_once_is_read_in_what_it_gives():
    """After a refusal spans grow no further than to what the node gave, so few calls are refused."""
    gateway, node, times = make_gateway(ManualClock(NOW), length_s=4000.0)
    refusing(node, lambda length_s, _: length_s > 100.0)
    drawn = result_of(ask(gateway, NOW - 1000, points=5000)).series[0].times
    assert drawn.tolist() == times[times >= NOW - 1000].tolist()
    assert len(spans(node)) < 1000 / 50 + 8


def test_a_node_that_wants_a_stride_is_asked_with_one():
    """A node that refuses every span without a stride is asked with one, and a notice says what that cannot show."""
    gateway, node, _ = make_gateway(ManualClock(NOW), length_s=4000.0)
    refusing(node, lambda _, stride: stride is None)
    series = result_of(ask(gateway, NOW - 4000)).series[0]
    assert series.problem is None
    assert series.times[0] < NOW - 3980
    assert "only one sample in" in series.notices[0]


def test_a_node_that_gives_too_little_for_the_time_is_asked_with_a_stride():
    """Where a node gives so little without a stride that the rest takes too many calls, that comes with one."""
    gateway, node, _ = make_gateway(ManualClock(NOW))
    refusing(node, lambda length_s, stride: length_s > 20.0 and stride is None)
    series = result_of(ask(gateway, NOW - 19_000)).series[0]
    assert series.problem is None
    assert series.times[0] < NOW - 18_900
    assert len(spans(node)) < 60
