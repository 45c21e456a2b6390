from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sisock.gateway.gaps import break_gaps


def test_a_gap_breaks_the_line():
    """A null stands one bucket behind the last sample before a gap."""
    times, values = break_gaps(np.array([0.0, 1, 2, 9, 10]), np.arange(5.0), 0.5, 100)
    assert times.tolist() == [0, 1, 2, 2.5, 9, 10]
    np.testing.assert_array_equal(values, [0, 1, 2, np.nan, 3, 4])


def test_three_spacings_are_no_gap():
    """Samples that are just three times the median spacing apart are joined."""
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


def _obvious_gaps(times, bucket_s):
    spacings = sorted(later - earlier for earlier, later in pairwise(times))
    middle = len(spacings) // 2
    median = spacings[middle] if len(spacings) % 2 else (spacings[middle - 1] + spacings[middle]) / 2
    pairs = pairwise(times)
    return [earlier for earlier, later in pairs if later - earlier > max(3 * median, 2 * bucket_s)]


@settings(max_examples=100, deadline=None)
@given(
    spacings=st.lists(st.sampled_from([0.0, 0.5, 1.0, 4.0, 50.0]), min_size=2, max_size=30),
    bucket_s=st.sampled_from([0.1, 1.0, 3.0]),
    room=st.integers(0, 20),
)
def test_like_the_obvious_rule(spacings, bucket_s, room):
    """Breaks are where the rule in plain words puts them, ascending, and only as many as there is room for."""
    times = np.cumsum(spacings)
    expected = _obvious_gaps(times.tolist(), bucket_s)
    broken_times, values = break_gaps(times, np.zeros(len(times)), bucket_s, len(times) + room)
    assert np.isnan(values).sum() == min(len(expected), room)
    assert np.all(np.diff(broken_times) >= 0)
    if room >= len(expected):
        assert broken_times[np.isnan(values)].tolist() == [gap + bucket_s for gap in expected]
