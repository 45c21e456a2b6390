import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sisock.core.column.column import Column
from sisock.core.reduce.reducers import find_reducer, reduce_samples
from sisock.core.times import bucket_number
from sisock.core.window.edge import MOST_CANDIDATES, look_ahead

STRIDE = 4.0
WIDTH = 2 * STRIDE
SPECIAL = st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1.0, 2.0])


@st.composite
def columns(draw):
    """Return a column over a few buckets, with equal times, equal values, and some that are not finite."""
    times = np.sort(np.array(draw(st.lists(st.integers(0, 200), max_size=60)), dtype=float)) / 4
    numbers = st.one_of(SPECIAL, st.floats(-3, 3)) if draw(st.booleans()) else st.floats(-3, 3)
    values = np.array(draw(st.lists(numbers, min_size=times.size, max_size=times.size)), dtype=float)
    return Column.plain(times, values) if draw(st.booleans()) else Column.of(times, values)


def kept_of_first_bucket(column, start, end):
    """Return what minmax keeps of the first bucket of a window, worked out from all samples."""
    edge = min((bucket_number(start, WIDTH) + 1) * WIDTH, end)
    return column.reduced(start, edge, "minmax", STRIDE)


@given(columns(), st.integers(0, 200), st.integers(1, 200), st.floats(0.01, WIDTH), st.lists(st.floats(0, 1)))
def test_what_is_told_ahead_is_what_later_windows_keep(column, start, length, ahead, shares):
    """For every window that begins in time, the reducer keeps of what was told what it keeps of all samples."""
    start, end = start / 4, (start + length) / 4
    told = look_ahead(column, start, end, "minmax", STRIDE, ahead)
    assert told is not None
    assert np.all(np.diff(told[0]) >= 0)
    for later in [start, *(start + share * ahead for share in shares)]:
        if not later < end:
            continue
        edge = min((bucket_number(later, WIDTH) + 1) * WIDTH, end)
        low, high = np.searchsorted(told[0], [later, edge])
        starts = np.zeros(min(1, high - low), dtype=np.intp)
        selection = find_reducer("minmax").numbers
        times, values = reduce_samples(told[0][low:high], told[1][low:high], selection, starts)
        expected = kept_of_first_bucket(column, later, end)
        np.testing.assert_array_equal(times, expected[0])
        np.testing.assert_array_equal(values, expected[1])


@pytest.mark.parametrize("end", [800.0, 700.0])
def test_nothing_is_told_of_an_empty_window(end):
    """A window that ends where it begins, or before, keeps nothing."""
    column = Column.plain(np.arange(1000.0), np.arange(1000))
    told = look_ahead(column, 800.0, end, "minmax", STRIDE, 1.0)
    assert told is not None
    assert told[0].size == told[1].size == 0
    assert told[1].dtype == column.dtype


def test_little_is_told():
    """Of noise, a few samples are told, not all that windows may begin among."""
    times = np.arange(8000.0, 8800.0, 0.01)
    column = Column.plain(times, np.random.default_rng(0).standard_normal(times.size))
    told = look_ahead(column, 8000.0, 8800.0, "minmax", 400.0, 10.0)
    assert told is not None
    assert told[0].size < 30


@pytest.mark.parametrize(
    ("values", "reducer", "ahead"),
    [
        pytest.param(np.arange(1000.0), "mean", 1.0, id="a value that is made"),
        pytest.param(np.arange(1000.0), "m4", 1.0, id="the first sample of a bucket"),
        pytest.param(np.arange(1000.0) > 5, "minmax", 1.0, id="states"),
        pytest.param(np.arange(1000.0), "minmax", 20.0, id="three buckets"),
        pytest.param(np.arange(1000.0), "minmax", 7.0, id="a ramp with too many extremes"),
    ],
)
def test_what_cannot_be_told_shortly_is_not_told(values, reducer, ahead):
    """A reducer for which few samples do not tell, and too long a time, give nothing."""
    column = Column.plain(np.arange(1000.0) / 100 + 800.0, values)
    assert look_ahead(column, 800.0, 810.0, reducer, STRIDE, ahead) is None
    assert MOST_CANDIDATES < 700
