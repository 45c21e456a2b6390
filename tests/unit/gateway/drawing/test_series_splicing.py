from dataclasses import replace

import numpy as np
import pytest

from sisock.gateway.drawing.planner import Resolution, SeriesWanted
from sisock.gateway.drawing.series import Series, splice
from sisock.gateway.gateway import Gateway
from sisock.testing import FakeHub, FakeNode, FakeRouter, ManualClock, result_of

WANTED = SeriesWanted("archive+live", "t")
RESOLUTION = Resolution("minmax", 1.0, 100)


def part(node, times, finalized_until=np.inf, **changes):
    values = np.array(times) + (1000.0 if node == "live" else 0.0)
    series = Series(SeriesWanted(node, "t"), np.array(times, dtype=float), values, finalized_until=finalized_until)
    return replace(series, **changes)


@pytest.mark.parametrize(
    ("archive", "finalized_until", "live", "drawn"),
    [
        ([1, 2, 3], np.inf, [2, 3, 4, 5], [1, 2, 3, 1004, 1005]),
        ([1, 2, 3, 4], 3, [2, 3, 4, 5], [1, 2, 1003, 1004, 1005]),
        ([1, 2, 3, 4], 3, [8, 9], [1, 2, 3, 4, 1008, 1009]),
        ([1, 2, 3], -np.inf, [3, 4], [1, 2, 3, 1004]),
        ([5, 6], 2, [1, 2, 3], [1001, 1002, 1003]),
        ([], 2, [1, 2], [1001, 1002]),
        ([1, 2], 2, [], [1, 2]),
        ([1, 2, 3], np.inf, [1, 2], [1, 2, 3]),
    ],
)
def test_the_first_where_it_is_final_then_the_next(archive, finalized_until, live, drawn):
    """The first node is drawn as far as its samples are final, the next after that, and no time twice."""
    joined = splice(WANTED, [part("archive", archive, finalized_until), part("live", live)], RESOLUTION)
    assert joined.values.tolist() == drawn
    assert joined.wanted.target == "archive+live::t"


def test_what_is_wrong_with_a_part_is_told():
    """The part that came is drawn, and the problem of the other is told."""
    missing = Series.missing(SeriesWanted("archive", "t"), "node 'archive' is not online")
    joined = splice(WANTED, [missing, part("live", [1, 2])], RESOLUTION)
    assert joined.values.tolist() == [1001, 1002]
    assert joined.problem == "node 'archive' is not online"


def test_parts_of_different_types_are_not_mixed():
    """A text behind numbers is left out, and a notice says so."""
    text = part("live", [5], values=np.array(["x"], dtype=object), type="string")
    joined = splice(WANTED, [part("archive", [1, 2]), text], RESOLUTION)
    assert joined.values.tolist() == [1, 2]
    assert "'live::t' is left out" in joined.problem


def test_no_more_points_than_asked_for():
    """The seam adds no points beyond the panel's width."""
    few = Resolution("minmax", 1.0, 10)
    joined = splice(WANTED, [part("archive", np.arange(0, 5, 0.5)), part("live", np.arange(0, 9, 0.5))], few)
    assert len(joined.times) <= 10
    assert joined.times[-1] == 8.5


def test_nodes_are_asked_side_by_side_for_a_spliced_series():
    """A spliced series comes from both nodes in one query, with a break where neither has data."""
    archive = FakeNode("archive", {"t": (np.arange(1000.0, 1200.0), np.zeros(200))})
    live = FakeNode("live", {"t": (np.arange(1500.0, 1600.0), np.ones(100))})
    clock = ManualClock(1600.0)
    gateway = Gateway(None, clock)
    result_of(gateway.connected(FakeRouter(FakeHub([archive, live]), clock)))
    (series,) = result_of(gateway.query([WANTED], 1000.0, 1600.0, 2000)).series
    assert np.isnan(series.values).sum() == 1
    assert series.times[[0, -1]].tolist() == [1000.0, 1599.0]
    assert gateway.snapshot().field(WANTED).type == "number"


def test_a_spliced_series_with_a_node_that_is_away():
    """A node that is not online leaves the other part, with the reason."""
    clock = ManualClock(1600.0)
    gateway = Gateway(None, clock)
    live = FakeNode("live", {"t": (np.arange(1500.0, 1600.0), np.ones(100))})
    result_of(gateway.connected(FakeRouter(FakeHub([live]), clock)))
    (series,) = result_of(gateway.query([WANTED], 1000.0, 1600.0, 2000)).series
    assert len(series.times) == 100
    assert "'archive' is not online" in series.problem


START = 100.0


def held(node, before, *values, finalized_until=np.inf):
    """Return a series with what held at the window's start, of a sample before it, and perhaps samples after it."""
    times = START + np.arange(len(values))
    wanted = SeriesWanted(node, "x")
    return Series(wanted, times, np.array(values), finalized_until=finalized_until, before=before, held=True)


@pytest.mark.parametrize(
    ("archive", "live", "expected"),
    [
        (held("a", 90.0, 1.0), held("b", 95.0, 2.0), [2.0]),
        (held("a", 95.0, 1.0), held("b", 90.0, 2.0), [1.0]),
        (held("a", 95.0, 1.0, 3.0, 4.0), held("b", 90.0, 2.0), [1.0, 3.0, 4.0]),
        (held("a", 90.0, 1.0), held("b", 95.0, 2.0, 5.0), [2.0, 5.0]),
        (held("a", 90.0, 1.0, finalized_until=50.0), replace(held("b", None), held=False), [1.0]),
    ],
    ids=["live is later", "archive is later", "archive goes on", "live goes on", "live knows nothing"],
)
def test_what_held_last_is_drawn_at_the_start(archive, live, expected):
    """Of what several nodes knew before the window, the latest holds at its start, and it is told of which time."""
    joined = splice(SeriesWanted("a+b", "x"), [archive, live], RESOLUTION)
    assert joined.values.tolist() == expected
    assert joined.before == max(filter(None, (archive.before, live.before)))
    assert joined.held
