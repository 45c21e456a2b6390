"""Reduced spans that are kept, and windows on the buckets that they are kept by."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sisock.core.times import bucket_number
from sisock.gateway.tile_cache import OBJECTS_BYTES, own_arrays, size_bytes_of
from sisock.gateway.tiles import (
    TILE_BUCKETS,
    ReducedSpan,
    TileGrid,
    join_spans,
    join_touching,
    left_open,
)

WIDTH = 10.0


def reduced_span(start, end, every=5.0, offset=2.0):
    """Return a reduced span with samples at some places of each bucket; their values are their times."""
    times = np.arange(start, end, every) + offset
    return ReducedSpan(start, end, times, times)


def same(one, other):
    return (one.start, one.end, one.times.tolist(), one.values.tolist()) == (
        *(other.start, other.end),
        *(other.times.tolist(), other.values.tolist()),
    )


@pytest.mark.parametrize(("start", "end"), [(10.0, 40.0), (10.0, 20.0), (20.0, 30.0), (30.0, 40.0), (20.0, 20.0)])
def test_a_part_has_the_samples_that_lie_in_it(start, end):
    """A part of a reduced span is what would have been kept of that span alone."""
    assert same(reduced_span(10.0, 40.0).part(start, end), reduced_span(start, end))


def test_consecutive_spans_become_one():
    """Empty ones among them, at either end, or all of them, change nothing."""
    empty = ReducedSpan(20.0, 30.0, np.empty(0), np.empty(0))
    whole = join_spans([reduced_span(10.0, 20.0), empty, reduced_span(30.0, 40.0)])
    assert (whole.start, whole.end, whole.times.tolist()) == (10.0, 40.0, [12.0, 17.0, 32.0, 37.0])
    assert whole.values.tolist() == whole.times.tolist()
    assert join_spans([empty, reduced_span(30.0, 40.0)])[:2] == (20.0, 40.0)
    assert join_spans([reduced_span(10.0, 20.0), empty]).times.tolist() == [12.0, 17.0]
    assert join_spans([empty, empty._replace(start=30.0, end=35.0)])[:2] == (20.0, 35.0)
    assert join_spans([empty]) is empty
    texts = ReducedSpan(30.0, 40.0, np.array([31.0]), np.array(["a"], object))
    assert join_spans([empty, texts]).values.tolist() == ["a"]  # what is empty has no type of its own


@pytest.mark.parametrize(
    ("former", "latter", "expected"),
    [
        ((10, 20), (20, 30), (10, 30)),
        ((20, 30), (10, 20), (10, 30)),
        ((10, 30), (20, 40), (10, 40)),
        ((20, 40), (10, 30), (10, 40)),
        ((20, 30), (10, 40), (10, 40)),
        ((10, 40), (20, 30), (10, 40)),
        ((10, 20), (10, 20), (10, 20)),
        ((10, 20), (30, 40), (30, 40)),
        ((30, 40), (10, 20), (10, 20)),
    ],
)
def test_spans_that_touch_are_joined(former, latter, expected):
    """Of two that do not touch the latter stays: a tile has no gap inside."""
    former, latter, expected = (reduced_span(float(low), float(high)) for low, high in (former, latter, expected))
    assert same(join_touching(former, latter), expected)
    assert join_touching(None, latter) is latter


def test_what_is_kept_holds_nothing_larger():
    """A reduced span of views is copied once; one that owns its arrays stays as it is."""
    whole = reduced_span(10.0, 40.0)
    part = whole.part(20.0, 30.0)
    owned = own_arrays(part)
    assert same(owned, part)
    assert (owned.times.base, owned.values.base) == (None, None)
    assert own_arrays(owned) is owned
    assert own_arrays(ReducedSpan(0.0, 1.0, owned.times, part.values)).values.base is None
    assert own_arrays(ReducedSpan(0.0, 1.0, part.times, owned.values)).times.base is None


def test_its_size_counts_arrays_and_texts():
    """Times, values and what they point to."""
    times = np.arange(5.0)
    assert size_bytes_of(ReducedSpan(0.0, 5.0, times, times > 2)) == OBJECTS_BYTES + 5 * 8 + 5
    texts = np.array(["a", "bc", "a" * 100], object)
    expected = OBJECTS_BYTES + 3 * 8 + 3 * 8 + sum(map(sys.getsizeof, texts))
    assert size_bytes_of(ReducedSpan(0.0, 3.0, times[:3], texts)) == expected


@given(st.integers(0, 3 * TILE_BUCKETS * 4), st.integers(1, 3 * TILE_BUCKETS * 4))
def test_a_window_is_its_start_its_tiles_and_its_end(first, length):
    """They follow one another without a gap; tiles hold whole buckets, and what is cut is a part of one."""
    start, end = first * WIDTH / 4, (first + length) * WIDTH / 4
    grid = TileGrid.of(start, end, WIDTH)
    spans = [span for span in (grid.head, *(span for _, span in grid.tiles), grid.foot) if span is not None]
    assert [spans[0][0], *(high for _, high in spans)] == [*(low for low, _ in spans), end]
    assert spans[0][0] == start
    for number, (low, high) in grid.tiles:
        assert low < high
        assert low % WIDTH == high % WIDTH == 0
        assert number * TILE_BUCKETS <= bucket_number(low, WIDTH)
        assert high <= (number + 1) * TILE_BUCKETS * WIDTH
    for span in (grid.head, grid.foot):
        if span is not None:
            assert 0 < span[1] - span[0] < WIDTH
            assert span[1] <= (bucket_number(span[0], WIDTH) + 1) * WIDTH
    assert (grid.head is None) == (start % WIDTH == 0)
    assert grid.foot is None or grid.foot[0] % WIDTH == 0


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([], [(10.0, 50.0)]),
        ([(10.0, 50.0)], []),
        ([(10.0, 20.0)], [(20.0, 50.0)]),
        ([(20.0, 50.0)], [(10.0, 20.0)]),
        ([(20.0, 30.0), (30.0, 40.0)], [(10.0, 20.0), (40.0, 50.0)]),
        ([(10.0, 20.0), (40.0, 50.0)], [(20.0, 40.0)]),
    ],
)
def test_what_reduced_spans_leave_open(spans, expected):
    """The parts of a span that no reduced span covers, in order, none of them empty."""
    assert left_open((10.0, 50.0), [reduced_span(*span) for span in spans]) == expected
