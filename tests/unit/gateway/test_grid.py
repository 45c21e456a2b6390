"""Series on a grid that they have in common, through a gateway, beside what a plain loop makes of their samples."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sisock.core.times import LADDER
from sisock.gateway.answer import SeriesWanted
from sisock.gateway.ask import Gateway
from sisock.gateway.cells import choose_cells
from sisock.gateway.plan import Drawing
from sisock.testing import FakeHub, FakeNode, FakeRouter, ManualClock, result_of

from twins import cell_edges, on_cells

NOW = 1_700_000_000.0
MEAN = Drawing("mean")
REDUCERS = ("first", "last", "mean", "min", "max", "count", "sum", "stddev")


def connected(*nodes, now=NOW):
    gateway = Gateway(None, ManualClock(now), 2.0)
    result_of(gateway.connected(FakeRouter(FakeHub(nodes), gateway._clock)))
    return gateway


def ask(gateway, *targets, start=NOW - 600, end=NOW, points=100, drawing=MEAN, **more):
    wanted = [SeriesWanted(*target.split("::")) for target in targets]
    return result_of(gateway.query(wanted, start, end, points, drawing, **more)).series


def shown(series):
    """Return time and value of each point, None for null."""
    values = [None if value is None or value != value else value for value in series.values.tolist()]  # noqa: PLR0124
    return list(zip(series.times.tolist(), values, strict=True))


def same(shown_points, expected):
    assert [time for time, _ in shown_points] == [time for time, _ in expected]
    for (time, value), (_, true) in zip(shown_points, expected, strict=True):
        close = value == true or (value is not None and true is not None and math.isclose(value, true, rel_tol=1e-9))
        assert close, (time, value, true)


@st.composite
def sites(draw):
    """A few nodes with irregular or regular samples, and a window."""
    seed = draw(st.integers(0, 10**6))
    random = np.random.default_rng(seed)
    length = draw(st.sampled_from([3.0, 60.0, 600.0, 7200.0]))
    end = NOW + draw(st.floats(-1.0, 1.0))
    series = []
    for _ in range(draw(st.integers(1, 4))):
        interval = length * draw(st.sampled_from([1e-3, 0.01, 0.04]))
        times = np.arange(end - 1.2 * length + interval * random.random(), end + 0.1 * length, interval)
        if draw(st.booleans()):
            times = np.sort(times + interval * (random.random(times.size) - 0.5))
        if draw(st.booleans()):
            begin, share = random.random(2)
            times = times[(times < end - begin * length) | (times > end - begin * length + share * length)]
        series.append((interval, times, random.normal(size=times.size)))
    return end - length, end, series, draw(st.integers(1, 120))


@settings(max_examples=120, deadline=None)
@given(sites(), st.sampled_from(REDUCERS))
def test_every_series_is_what_a_plain_loop_makes_of_it(site, reducer):
    """All series of a request have the same times, and in each cell what the reducer makes of their samples in it."""
    start, end, series, points = site
    nodes = [
        FakeNode(f"n{i}", {"x": (times, values)}, interval_s=gap) for i, (gap, times, values) in enumerate(series)
    ]
    gateway = connected(*nodes, now=end)
    drawing = Drawing(reducer, align=True)
    for _ in range(2):  # what is kept of the first answer is all that the second needs
        drawn = ask(gateway, *(f"{n.name}::x" for n in nodes), start=start, end=end, points=points, drawing=drawing)
        cells = choose_cells(start, end, points, [gap for gap, _, _ in series])
        for one, (_, times, values) in zip(drawn, series, strict=True):
            inside = (times >= start) & (times < end)
            expected = on_cells(
                times[inside].tolist(), values[inside].tolist(), cells.edges.tolist(), start, end, reducer
            )
            same(shown(one), expected if inside.any() else [])
            assert one.times.size <= points


@settings(max_examples=200, deadline=None)
@given(st.floats(1e9, 2e9), st.floats(1e-2, 1e8), st.integers(8, 2000), st.floats(0.0, 100.0))
def test_cells_are_steps_of_the_ladder(start, length, points, interval_s):
    """Cells are buckets of a step of the ladder, no more than there are points, no shorter than the slowest series."""
    cells = choose_cells(start, start + length, points, [interval_s, interval_s / 3])
    assert cells.part_s in LADDER
    assert cells.part_s >= interval_s
    assert cells.edges.tolist() == cell_edges(start, start + length, cells.part_s)
    assert cells.times.size <= points
    finer = choose_cells(start, start + length, points)
    assert finer.part_s <= cells.part_s
    assert cells.part_s in (finer.part_s, *[step for step in LADDER if step >= interval_s * 1.1][:1])


@settings(max_examples=100, deadline=None)
@given(st.floats(1e9, 2e9), st.floats(1e-1, 1e8), st.integers(1, 7))
def test_few_cells_are_equal_parts_of_the_window(start, length, points):
    """For fewer than eight points the window is cut into as many parts of about the same length."""
    cells = choose_cells(start, start + length, points)
    assert cells.times.size == points
    assert cells.times[0] == start
    np.testing.assert_allclose(np.diff(cells.times), length / points, atol=length / 100)
    assert cells.edges[-1] >= start + length > cells.times[-1]


def test_slow_series_that_nobody_put_on_the_grid_do_not_widen_it():
    """A field that hardly has a sample in the window does not widen the cells of others, unless asked to."""
    fast = FakeNode("fast", {"x": (NOW - np.arange(600.0)[::-1], np.arange(600.0))})
    slow = FakeNode("slow", {"x": ([NOW - 300.0], [1.0])}, interval_s=3600.0)
    gateway = connected(fast, slow)
    assert ask(gateway, "fast::x", "slow::x")[0].times.size > 50
    assert ask(gateway, "fast::x", "slow::x", drawing=Drawing("mean", align=True))[0].times.size <= 2
