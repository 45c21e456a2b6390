"""Series on a grid that they have in common, through a gateway, beside what a plain loop makes of their samples."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sisock.core.times import LADDER
from sisock.core.wire.info import CAPABILITIES, NodeInfo, encode_info
from sisock.core.wire.replies import EXTENDED_ALLOWANCE_BYTES
from sisock.gateway.drawing.cells import aligned_cells, choose_cells, equal_cells
from sisock.gateway.drawing.every import parse_every
from sisock.gateway.drawing.laying import with_ragged_ends
from sisock.gateway.drawing.planner import Drawing, SeriesWanted
from sisock.gateway.drawing.series import Series
from sisock.gateway.gateway import Gateway
from sisock.testing import FakeHub, FakeNode, FakeRouter, ManualClock, result_of

from twins import bucket_of, cell_edges, on_cells

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


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["Europe/Berlin", "America/Santiago", "Asia/Kathmandu", "Australia/Lord_Howe"]),
    st.sampled_from(["1d", "1h", "6h", "1w"]),
    st.sampled_from(REDUCERS),
    st.integers(0, 10**6),
    st.sampled_from([3, 40, 1000]),
)
def test_chosen_cells_are_made_of_exact_parts(zone, text, reducer, seed, points):
    """Cells of any length, local days over a change of clocks too, hold what the reducer makes of their samples."""
    random = np.random.default_rng(seed)
    end = 1_711_850_000.0 + 12 * 86400 * random.random()  # about the end of March and the begin of April 2024
    start = end - 86400 * random.choice([0.3, 3.0, 9.0])
    times = np.sort(start - 3600 + (end - start + 7200) * random.random(2000))
    times = times[(times < start + 0.3 * (end - start)) | (times > start + 0.5 * (end - start))]
    values = random.normal(size=times.size)
    gateway = connected(FakeNode("a", {"x": (times, values)}, interval_s=60.0), now=end)
    every = replace(parse_every(text), zone=zone)
    edges = every.cells(start, end, points).edges.tolist()
    inside = (times >= start) & (times < end)
    expected = on_cells(times[inside].tolist(), values[inside].tolist(), edges, start, end, reducer)
    for _ in range(2):
        (drawn,) = ask(gateway, "a::x", start=start, end=end, points=points, drawing=Drawing(reducer, every=every))
        same(shown(drawn), expected)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([5, 60, 300]), st.sampled_from([bool, str]))
def test_states_hold_until_the_next_sample(seed, points, kind):
    """On a grid a state is the last one of each cell or before it, null before the first that is known."""
    random = np.random.default_rng(seed)
    times = np.sort(NOW - 600 + 600 * random.random(random.integers(1, 40)))
    values = [kind(value) for value in random.integers(0, 2, times.size)]
    gateway = connected(FakeNode("a", {"on": (times, values)}, interval_s=None))
    (drawn,) = ask(gateway, "a::on", points=points, drawing=Drawing("max", align=True))
    for (time, value), end in zip(shown(drawn), [*drawn.times[1:].tolist(), NOW], strict=True):
        before = [state for at, state in zip(times, values, strict=True) if at < end]
        assert value == (before[-1] if before else None), time


@pytest.mark.parametrize("points", [3, 60])
def test_what_holds_at_the_start_holds_on_the_grid(points):
    """A state from before the window holds until the first sample in it, which is that of its own cell."""
    times, values = [NOW - 9000.0, NOW - 599.9, NOW - 300.0], ["a", "b", "c"]
    gateway = connected(FakeNode("x", {"s": (times, values), "t": (times[::2], values[::2])}))
    drawn, held = ask(gateway, "x::s", "x::t", points=points, drawing=Drawing("mean", align=True))
    assert shown(drawn)[0] == (NOW - 600, "b")
    assert shown(held)[0] == (NOW - 600, "a")
    assert held.values.tolist().index("c") == drawn.values.tolist().index("c")
    (nothing,) = ask(gateway, "x::t", points=points, drawing=Drawing("mean", align=True, before=False))
    assert shown(nothing)[0] == (NOW - 600, None)


def test_states_do_not_hold_in_the_future():
    """Nobody knows yet what a state will be: a window that ends later than now has null there."""
    gateway = connected(FakeNode("a", {"on": ([NOW - 100.0], [True])}))
    (drawn,) = ask(gateway, "a::on", end=NOW + 600, drawing=Drawing("mean", align=True))
    assert {value for time, value in shown(drawn) if NOW - 90 < time < NOW} == {True}
    assert {value for time, value in shown(drawn) if time >= NOW} == {None}


def test_states_of_what_is_made_of_buckets_stay_where_they_are():
    """Without a grid being wanted, states are drawn from true times whatever the reducer is of numbers."""
    gateway = connected(FakeNode("a", {"on": ([NOW - 100.3, NOW - 50.7], [True, False]), "x": ([NOW - 100.3], [1.0])}))
    states, numbers = ask(gateway, "a::on", "a::x")
    assert shown(states) == [(NOW - 100.3, True), (NOW - 50.7, False)]
    assert NOW - 100.3 not in numbers.times


@pytest.mark.parametrize("final_s", [300.0, 150.0, -np.inf, np.inf])
def test_a_spliced_series_on_a_grid(final_s):
    """Of each cell the first part is drawn where it is final, then the second where it has anything there."""
    times = np.arange(NOW - 600, NOW)
    archive = FakeNode("archive", {"x": (times[:450], np.full(450, 1.0))})
    live = FakeNode("live", {"x": (times[150:], np.full(450, 2.0))})
    until = NOW - 600 + final_s if np.isfinite(final_s) else final_s
    archive._blocks["x"] = replace(archive._blocks["x"], finalized_until=until)
    gateway = connected(archive, live)
    for reducer in ("mean", "last", "max"):
        (drawn,) = ask(gateway, "archive+live::x", drawing=Drawing(reducer, align=True))
        width = drawn.bucket_s
        seam = until if final_s < np.inf else (bucket_of(times[449], width) + 1) * width
        ends = [(bucket_of(time, width) + 1) * width for time in drawn.times.tolist()]
        # What the first has where it is not final yet is drawn where the second has nothing.
        firsts = [end <= seam or end <= times[150] for end in ends]
        assert [value for _, value in shown(drawn)] == [1.0 if first else 2.0 for first in firsts]
        assert drawn.times[-1] > NOW - 10


@pytest.mark.parametrize(("reducer", "expected"), [("count", 1323), ("first", 1.0), ("last", 2.0), ("mean", 1.0)])
def test_the_day_in_which_the_second_part_begins(reducer, expected):
    """Of the day that the first node has nearly all of, and the second only the last hour of, the first one counts."""
    times = np.arange(NOW - 5 * 86400, NOW - 600, 60.0)
    archive = FakeNode("archive", {"x": (times, np.ones(times.size))}, interval_s=60.0)
    archive._blocks["x"] = replace(archive._blocks["x"], finalized_until=NOW - 600)
    recent = np.arange(NOW - 3600, NOW)
    gateway = connected(archive, FakeNode("live", {"x": (recent, np.full(recent.size, 2.0))}))
    drawing = Drawing(reducer, every=parse_every("1d"))
    (drawn,) = ask(gateway, "archive+live::x", start=NOW - 4 * 86400, drawing=drawing)
    assert drawn.values[-1] == expected


@pytest.mark.parametrize(("reducer", "peak"), [("max", 99.0), ("min", -99.0)])
def test_a_peak_beside_the_seam_of_a_spliced_series(reducer, peak):
    """An extreme of the first node is drawn, though in that cell the second one goes on, and has less of it."""
    times = np.arange(NOW - 5 * 86400, NOW - 600, 60.0)
    archive = FakeNode("archive", {"x": (times, np.where(times == times[-300], peak, 1.0))}, interval_s=60.0)
    archive._blocks["x"] = replace(archive._blocks["x"], finalized_until=NOW - 600)
    recent = np.arange(NOW - 3600, NOW)
    gateway = connected(archive, FakeNode("live", {"x": (recent, np.full(recent.size, 2.0))}))
    drawing = Drawing(reducer, every=parse_every("1d"))
    (drawn,) = ask(gateway, "archive+live::x", start=NOW - 4 * 86400, drawing=drawing)
    assert drawn.values[-1] == peak


def test_a_dead_part_of_a_spliced_series():
    """What the other part has is drawn, and what is missing is said."""
    times = np.arange(NOW - 600, NOW)
    archive, live = (FakeNode(name, {"x": (times, times)}) for name in ("archive", "live"))
    gateway = connected(archive, live)
    archive.behaviour.error = "broken"
    (drawn,) = ask(gateway, "archive+live::x")
    assert drawn.times.size > 50
    assert "broken" in drawn.problem


def test_a_series_without_samples_has_no_cells():
    """A series that has nothing in the window stays empty: a row of nulls would say no more."""
    gateway = connected(FakeNode("a", {"x": ([NOW - 9000.0], [1.0])}))
    (drawn,) = ask(gateway, "a::x")
    assert drawn.times.size == 0
    assert drawn.problem is None


def test_aperiodic_series_are_no_dots():
    """A mean that is not to be put together with others has no nulls where nobody knows when a sample is due."""
    times = np.arange(NOW - 600, NOW, 30.0)
    gateway = connected(FakeNode("a", {"x": (times, times)}, interval_s=None), FakeNode("b", {"x": (times, times)}))
    aperiodic, periodic = ask(gateway, "a::x", "b::x")
    assert not np.isnan(aperiodic.values).any()
    assert np.isnan(periodic.values).any()
    aligned = ask(gateway, "a::x", "b::x", drawing=Drawing("mean", align=True))
    np.testing.assert_array_equal(aligned[0].times, aligned[1].times)
    (connect,) = ask(gateway, "b::x", drawing=Drawing("mean", breaks=False, align=True))
    assert not np.isnan(connect.values).any()


@pytest.fixture
def older(monkeypatch):
    """A gateway with a node that has no counts, sums and deviations, beside one that has."""
    times = np.concatenate([np.arange(NOW - 600, NOW - 300, 0.1), np.arange(NOW - 300, NOW)])
    nodes = [FakeNode(name, {"x": (times, times - NOW)}) for name in ("old", "new")]
    info = NodeInfo("0.0.9", CAPABILITIES - {"aggregates"}, EXTENDED_ALLOWANCE_BYTES)
    monkeypatch.setattr(nodes[0], "_info", lambda _: encode_info(info))
    return connected(*nodes)


@pytest.mark.parametrize("reducer", ["count", "sum", "stddev"])
def test_a_node_that_cannot_count(older, reducer):
    """A node that lacks a reducer says which library it runs and what to do; the others are drawn."""
    old, new = ask(older, "old::x", "new::x", drawing=Drawing(reducer))
    assert old.times.size == 0
    assert f"runs sisock 0.0.9, which cannot make the '{reducer}'" in old.problem
    assert new.times.size
    assert new.problem is None


def test_a_mean_of_few_points_without_counts(older):
    """Where nobody can tell how many samples buckets are of, they count alike, and that is said."""
    old, new = ask(older, "old::x", "new::x", points=1)
    assert abs(float(old.values[0]) + 300) < 2
    assert float(new.values[0]) < -400
    assert old.problem is None
    assert "buckets that count alike" in old.notices[0]
    assert new.notices == ()
    assert ask(older, "old::x", points=100)[0].notices == ()


@pytest.mark.parametrize("reducer", REDUCERS)
@pytest.mark.parametrize("points", [1, 5, 100])
def test_a_node_of_the_original_library_is_on_the_grid(reducer, points):
    """Nodes with the original library are reduced here, by every reducer, on the same cells."""
    times = np.arange(NOW - 600.3, NOW)
    nodes = [
        FakeNode("a", {"x": (times, np.sin(times))}, original_library=True),
        FakeNode("b", {"x": (times, np.sin(times))}),
    ]
    original, ours = ask(connected(*nodes), "a::x", "b::x", points=points, drawing=Drawing(reducer, align=True))
    np.testing.assert_array_equal(original.times, ours.times)
    np.testing.assert_allclose(original.values, ours.values)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["first", "last", "minmax", "m4"]), st.integers(1, 7), st.booleans())
def test_few_points_of_reducers_that_choose(seed, reducer, points, is_state):
    """A reducer that was asked for keeps true samples of equal parts, the newest where there is room."""
    random = np.random.default_rng(seed)
    times = np.sort(NOW - 600 + 600 * random.random(random.integers(1, 500)))
    values = random.integers(0, 2, times.size).astype(bool) if is_state else random.normal(size=times.size)
    gateway = connected(FakeNode("a", {"x": (times, values)}))
    (drawn,) = ask(gateway, "a::x", points=points, drawing=Drawing(reducer, chosen=True))
    samples = set(zip(times.tolist(), values.tolist(), strict=True))
    assert set(shown(drawn)) <= samples
    assert 1 <= drawn.times.size <= points
    assert (np.diff(drawn.times) > 0).all()
    if reducer == "first":
        assert drawn.times[0] == times[0]
    elif reducer == "last" or points > 2:
        assert drawn.times[-1] == times[-1]
    if reducer == "minmax" and points > 1 and not is_state:
        assert {values.min(), values.max()} <= set(drawn.values.tolist())
    if reducer == "m4" and points > 1 and not is_state:
        assert {values.min(), values.max()} <= set(drawn.values.tolist())


def test_what_nobody_asked_for_is_last_for_few_points():
    """Without a reducer few points are the newest of eight buckets, as a stat panel reads them."""
    times = np.arange(NOW - 600, NOW)
    gateway = connected(FakeNode("a", {"x": (times, times)}))
    (drawn,) = ask(gateway, "a::x", points=3, drawing=Drawing())
    assert drawn.times[-1] == times[-1]
    assert drawn.times[0] > NOW - 400


def test_parts_are_bounded():
    """Cells that would be made of too many parts are not drawn, and the reason is said; nobody asks for them."""
    node = FakeNode("a", {f"x{number}": ([NOW - 5.0], [1.0]) for number in range(60)})
    gateway = connected(node)
    asked = len(node.calls)
    drawing = Drawing("mean", every=replace(parse_every("1d"), zone="Asia/Kathmandu"))
    drawn = ask(gateway, *(f"a::x{number}" for number in range(60)), start=NOW - 5 * 365 * 86400, drawing=drawing)
    assert all("too many parts" in one.problem for one in drawn)
    assert len(node.calls) == asked


def test_the_shortest_stride_that_somebody_wants():
    """Cells are exactly as long as that, where there is room for so many; strides of what is chosen as well."""
    times = np.arange(NOW - 600, NOW)
    gateway = connected(FakeNode("a", {"x": (times, np.sin(times))}))
    assert ask(gateway, "a::x", points=1000, least_s=7.0)[0].bucket_s == 7.0
    assert ask(gateway, "a::x", points=100, least_s=3.0)[0].bucket_s > 6.0
    assert ask(gateway, "a::x", points=1000, drawing=Drawing(), least_s=7.0)[0].bucket_s == 14.0
    assert ask(gateway, "a::x", points=7, least_s=300.0)[0].times.size == 2


@pytest.mark.parametrize("reducer", ["minmax", "m4"])
@pytest.mark.parametrize("points", [1, 100])
def test_a_reducer_that_keeps_several_samples_is_the_mean_on_a_grid(reducer, points):
    """A cell has room for one value: what keeps several samples is drawn as the mean there."""
    gateway = connected(FakeNode("a", {"x": (np.arange(NOW - 600, NOW), np.random.default_rng(1).normal(size=600))}))
    (drawn,) = ask(gateway, "a::x", points=points, drawing=Drawing(reducer, align=True))
    (mean,) = ask(gateway, "a::x", points=points)
    np.testing.assert_array_equal(drawn.times, mean.times)
    np.testing.assert_array_equal(drawn.values, mean.values)


CELLS = aligned_cells(1000.5, 1600.5, 10.0)
FINE = aligned_cells(1000.0, 1600.0, 1.0)


@pytest.mark.parametrize(
    ("cells", "having", "left_out"),
    [
        (CELLS, [slice(None), slice(None, -1)], [1600.0]),
        (CELLS, [slice(None, -1), slice(None, -1)], [1600.0]),
        (CELLS, [slice(None), slice(None, -2)], []),
        (CELLS, [slice(None), slice(1, None)], [1000.5]),
        (CELLS, [slice(1, None), slice(1, None)], [1000.5]),
        (CELLS, [slice(None), slice(2, None)], []),
        (CELLS, [slice(0, 1), slice(1, 2)], []),
        (CELLS, [slice(None), slice(-1, None)], []),
        (FINE, [slice(None), slice(None, -3), slice(None, -2)], [1597.0, 1598.0, 1599.0]),
        (FINE, [slice(None), slice(None, -30)], []),
    ],
)
def test_what_dips_at_the_ends_is_left_out(cells, having, left_out):
    """A cell at an end is not drawn where series that go on have none in it yet; none loses its only value."""
    series = [
        Series(SeriesWanted("a", str(number)), cells.times[some], np.ones(cells.times[some].size))
        for number, some in enumerate(having)
    ]
    assert sorted(with_ragged_ends(series, cells)) == left_out
    nothing = replace(series[0], values=np.full(series[0].times.size, np.nan))
    assert sorted(with_ragged_ends([*series, nothing], cells)) == left_out


@pytest.mark.parametrize(
    ("cells", "interval_s", "left_out"),
    [(CELLS, 600.0, [1000.5, 1600.0]), (CELLS, 3.0, [1600.0]), (equal_cells(1000.5, 1600.5, 3), 3.0, [])],
)
def test_a_cell_that_is_long_enough_is_drawn(cells, interval_s, left_out):
    """A cell at an end is drawn where who has no value in it had the time for one: a gap hides no other series."""
    times = cells.times
    some = [times, times[1:-1]]
    series = [Series(SeriesWanted("a", str(one[0])), one, np.ones(one.size), interval_s=interval_s) for one in some]
    assert sorted(with_ragged_ends(series, cells)) == left_out


def test_the_present_is_an_end():
    """Where the window ends in the future, the cell of the present is the one that is not whole yet."""
    series = [Series(SeriesWanted("a", "b"), CELLS.times[:30][:count], np.ones(count)) for count in (30, 29)]
    assert with_ragged_ends(series, CELLS, float(CELLS.times[29]) + 3) == {1290.0}
    assert with_ragged_ends(series, CELLS) == set()
