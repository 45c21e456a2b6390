from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sisock.core.model import DataBlock, TimelineBlock
from sisock.core.reduce.reducers import reduce_block
from sisock.gateway.drawing.gaps import break_gaps
from sisock.gateway.drawing.planner import choose_resolution


def test_a_gap_breaks_the_line():
    """A null stands one bucket behind the last sample before a gap."""
    times, values = break_gaps(np.array([0.0, 1, 2, 9, 10]), np.arange(5.0), 0.5, 100)
    assert times.tolist() == [0, 1, 2, 2.5, 9, 10]
    np.testing.assert_array_equal(values, [0, 1, 2, np.nan, 3, 4])


def test_three_spacings_are_no_gap():
    """Samples that are just three times the usual spacing apart are joined."""
    times, _ = break_gaps(np.array([0.0, 1, 2, 5]), np.arange(4.0), 0.1, 100)
    assert len(times) == 4


def test_two_buckets_are_no_gap():
    """Samples that are no more than two buckets apart are joined, however dense the others are."""
    times = np.array([0.0, 0.1, 0.2, 0.3, 2.3])
    assert len(break_gaps(times, np.arange(5.0), 1.0, 100)[0]) == 5
    assert len(break_gaps(times, np.arange(5.0), 0.9, 100)[0]) == 6


@pytest.mark.parametrize(
    "values", [np.array([True, False] * 2), np.array(["a", "b", "c", "d"], dtype=object), np.array([1, 2, 3, 4])]
)
def test_every_type_has_a_null(values):
    """States are broken by None, whole numbers by NaN."""
    _, broken = break_gaps(np.array([0.0, 1.0, 2.0, 10.0]), values, 0.1, 100)
    assert broken[3] is None or np.isnan(broken[3])
    assert broken[4] == values[3]


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_break(count):
    """No sample, or one, has no gap."""
    assert len(break_gaps(np.arange(count) * 1.0, np.zeros(count), 1.0, 10)[0]) == count


def _obvious_usual(spacings):
    """Of up to 16 spacings the one that nine tenths are no longer than; None without any."""
    return sorted(spacings)[(len(spacings) - 1) * 9 // 10] if spacings else None


def _obvious_gaps(times, bucket_s, interval_s):
    spacings = [later - earlier for earlier, later in pairwise(times)]
    even = min(spacings) >= 2 / 3 * sorted(spacings)[len(spacings) // 2]
    least_intervals = 1 if even or len(spacings) > 16 else 5
    gaps = []
    for place, spacing in enumerate(spacings):
        sides = [
            _obvious_usual(spacings[max(place - 16, 0) : place]),
            _obvious_usual(spacings[place + 1 : place + 17]),
        ]
        usual = max((one for one in sides if one is not None), default=interval_s)
        if spacing > max(3 * usual, 2 * bucket_s, least_intervals * interval_s):
            gaps.append(times[place])
    return gaps


@settings(max_examples=200, deadline=None)
@given(
    spacings=st.lists(st.sampled_from([0.0, 0.5, 1.0, 4.0, 50.0]), min_size=1, max_size=50),
    bucket_s=st.sampled_from([0.1, 1.0, 3.0]),
    interval_s=st.sampled_from([0.0, 0.5, 2.0, 60.0]),
    room=st.integers(0, 20),
)
def test_like_the_obvious_rule(spacings, bucket_s, interval_s, room):
    """Breaks are where the rule in plain words puts them, ascending, and only as many as there is room for."""
    times = np.cumsum([0.0, *spacings])
    expected = _obvious_gaps(times.tolist(), bucket_s, interval_s)
    broken_times, values = break_gaps(times, np.zeros(len(times)), bucket_s, len(times) + room, interval_s)
    assert np.isnan(values).sum() == min(len(expected), room)
    assert np.all(np.diff(broken_times) >= 0)
    if room >= len(expected):
        assert broken_times[np.isnan(values)].tolist() == [gap + bucket_s for gap in expected]


def _breaks(times, interval_s, width=1000):
    """Return where a line of all of these samples, drawn on a panel of a width, is broken."""
    stride = choose_resolution(times[0], times[-1] + 1.0, width).stride_s
    block = DataBlock({"x": TimelineBlock(times, {"x": np.random.default_rng(1).random(times.size)})})
    drawn = reduce_block(block, "minmax", stride).timelines["x"]
    broken, values = break_gaps(drawn.times, drawn.values["x"], 2 * stride, width, interval_s)
    return broken[np.isnan(values)] - 2 * stride, drawn.times.size


@pytest.mark.parametrize("ratio", [2, 5, 10, 60, 1000])
@pytest.mark.parametrize("slower_first", [True, False])
def test_a_change_of_rate_is_no_gap(ratio, slower_first):
    """An instrument that goes on at another rate is a line in both halves, at every zoom."""
    spacings = np.repeat([ratio, 1.0] if slower_first else [1.0, ratio], [300, 3000])
    times = 1.7e9 + np.cumsum(spacings)
    for low, high in [(0, 3300), (100, 1500), (200, 500), (250, 350), (280, 330)]:
        breaks, _ = _breaks(times[low:high], float(np.diff(times).mean()))
        assert breaks.size == 0, (low, high)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [60, 400, 3000])
def test_samples_at_random_make_a_line(seed, count):
    """Of samples that come at random no more than one in a hundred is followed by a break, at every zoom."""
    times = 1.7e9 + np.cumsum(np.random.default_rng(seed).exponential(10.0, 20_000))
    broken = drawn = 0
    for low in range(0, times.size - count, count):
        breaks, size = _breaks(times[low : low + count], 10.0)
        broken, drawn = broken + breaks.size, drawn + size
    assert broken <= 0.01 * drawn


def test_a_gap_is_seen_at_every_finer_zoom():
    """What is broken in a wide window is broken in every narrower one that has samples on both sides."""
    rng = np.random.default_rng(3)
    for _ in range(30):
        spacings = rng.choice([0.5, 1.0, 1.0, 2.0]) + 0.2 * rng.random(4000)
        holes = rng.choice(4000, 5, replace=False)
        spacings[holes] = rng.choice([30.0, 100.0, 1000.0], 5)
        times = 1.7e9 + np.cumsum(spacings)
        for hole in holes:
            seen = [
                bool(np.isclose(_breaks(times[max(hole - reach, 0) : hole + reach], 1.2)[0], times[hole - 1]).any())
                for reach in (4000, 1500, 500, 100, 20, 4, 2)
            ]
            assert seen == sorted(seen), hole


def test_two_gaps_near_each_other_are_both_seen():
    """A lone sample amid an outage, or one outage shortly after another, hides neither."""
    spacings = np.ones(200)
    spacings[[100, 101, 110]] = 500.0
    assert _breaks(1.7e9 + np.cumsum(spacings), 1.0)[0].size == 3


@pytest.mark.parametrize("count", [3, 5, 8, 12, 17, 30])
def test_few_samples_that_come_at_random_are_a_line(count):
    """However few random arrivals a window has, no more than about one in a hundred is a break."""
    random = np.random.default_rng(count)
    breaks = 0
    for _ in range(2000):
        times = 1e9 + np.cumsum(random.exponential(10.0, count))
        breaks += break_gaps(times, times, 0.1, 1000, 10.0)[0].size - count
    assert breaks <= 0.012 * 2000 * (count - 1)


@pytest.mark.parametrize("count", [4, 6, 12, 17, 40])
def test_a_gap_among_few_samples_of_a_rhythm_is_broken(count):
    """What is a gap among many samples at a fixed spacing is one among few of them."""
    times = 1e9 + np.arange(count) * 10.0
    times[count // 2 :] += 25.0
    assert break_gaps(times, times, 0.1, 1000, 10.0)[0].size == count + 1
