import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sisock.core.model import DataBlock, TimelineBlock
from sisock.core.reduce.reducers import reduce_block
from sisock.gateway.drawing.gaps import break_gaps
from sisock.gateway.drawing.planner import MOST_POINTS, SeriesWanted, choose_resolution, clamp_points, plan


@pytest.mark.parametrize(
    ("asked", "served"), [(None, 1000), (0, 1), (-5, 1), (1, 1), (630, 630), (10**9, MOST_POINTS)]
)
def test_points_are_clamped(asked, served):
    """Without a number of points it is 1000, and no request gets more than 50,000 or fewer than one."""
    assert clamp_points(asked) == served


def test_one_call_a_node():
    """All fields of a node are asked for in one call, each once, in the order in which they are wanted."""
    wanted = [SeriesWanted(*name.split("::")) for name in ("b::x", "a::y", "b::z", "b::x")]
    queries = plan(wanted, 100.0, 200.0, choose_resolution(100.0, 200.0, 1000))
    assert [(one.node, one.request.fields) for one in queries] == [("b", ("x", "z")), ("a", ("y",))]
    assert all(one.request.reduce == "minmax" and one.request.packed for one in queries)


def test_calls_stay_small():
    """Where panels are wide and fields are many, a node is asked in several calls, so that each reply fits."""
    wanted = [SeriesWanted("a", f"f{number}") for number in range(10)]
    queries = plan(wanted, 0.0, 1e6, choose_resolution(0.0, 1e6, 50_000))
    assert [len(one.request.fields) for one in queries] == [4, 4, 2]


def test_few_points_are_the_last():
    """For fewer than eight points the reducer is 'last'."""
    assert choose_resolution(0.0, 100.0, 7).reducer == "last"
    assert choose_resolution(0.0, 100.0, 8).reducer == "minmax"


def test_similar_panels_share_a_stride():
    """Panels of nearly the same width are drawn with the same stride."""
    assert choose_resolution(0.0, 21600.0, 1000).stride_s == choose_resolution(0.0, 21600.0, 1020).stride_s


@settings(max_examples=150, deadline=None)
@given(
    start=st.floats(1e9, 2e9),
    length=st.floats(1e-3, 1e7),
    max_points=st.integers(8, 300),
    kind=st.sampled_from(["number", "bool"]),
    holes=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 0.3)), max_size=4),
    seed=st.integers(0, 99),
)
def test_never_more_points_than_asked(start, length, max_points, kind, holes, seed):
    """Cut buckets, the newest sample and gap nulls included, there are never more points than were asked for."""
    random = np.random.default_rng(seed)
    times = np.sort(start + length * random.random(4000))
    for begin, share in holes:
        times = times[(times < start + begin * length) | (times > start + (begin + share) * length)]
    values = random.random(times.size) if kind == "number" else random.random(times.size) < 0.5
    resolution = choose_resolution(start, start + length, max_points)
    block = DataBlock({"t": TimelineBlock(times, {"f": values})})
    reduced = reduce_block(block, resolution.reducer, resolution.stride_s).timelines["f"]
    broken_times, broken = break_gaps(reduced.times, reduced.values["f"], resolution.buckets(kind).width_s, 10**9)
    assert len(broken_times) == len(broken) <= max_points
