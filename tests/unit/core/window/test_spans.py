import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sisock.core.column.column import Column
from sisock.core.errors import BadRequest
from sisock.core.model import DataBlock, DataRequest, TimelineBlock
from sisock.core.reduce.reducers import REDUCERS
from sisock.core.window.spans import MOST_SPANS, SpanReading, check_spans, reduce_spans

TIMES = np.arange(1000.0, 2000.0)
BLOCK = TimelineBlock(TIMES, {"x": np.sin(TIMES)}, finalized_until=1999.0, generation="g")
SPARSE = TimelineBlock(np.array([1100.5, 1200.5]), {"rare": np.array([1.0, np.nan])}, finalized_until=1200.5)
SOURCE = DataBlock({"x": BLOCK, "rare": SPARSE})

edges = st.lists(st.integers(900, 2100), min_size=2, max_size=8, unique=True).map(sorted)


def read_all(request):
    """Read from the source as a node that can only read; return what was read too."""
    reading = SpanReading(request)
    asked = []
    while (read := reading.read) is not None:
        asked.append(read.span)
        reading.take(SOURCE.within(*read.span))
    return reading.reductions(), asked


def assert_same(one, other):
    for left, right in zip((*one.samples, one.newest), (*other.samples, other.newest), strict=True):
        np.testing.assert_array_equal(left[0], right[0])
        np.testing.assert_array_equal(left[1], right[1])


@given(edges, st.sampled_from(sorted(REDUCERS)))
def test_a_source_that_only_reads_gives_what_columns_give(cuts, reducer):
    """Reading span by span gives the reductions that the whole columns give, and the newest sample."""
    start, end = float(cuts[0]), float(cuts[-1])
    spans = tuple((float(low), float(high)) for low, high in zip(cuts[::2], cuts[1::2], strict=False))
    request = DataRequest(("x", "rare"), start, end, 10.0, reducer, spans=spans)
    read, _ = read_all(request)
    columns = {name: Column.of_block(block, name) for name, block in SOURCE.timelines.items()}
    for one, other in zip(read, reduce_spans(columns, request), strict=True):
        assert_same(one, other)


def test_no_more_is_read_than_the_spans_take():
    """Where the last span has the newest samples, nothing but the spans is read."""
    request = DataRequest(("x",), 1000.0, 2000.0, 10.0, "minmax", spans=((1000.0, 1003.0), (1990.0, 2000.0)))
    assert read_all(request)[1] == [(1000.0, 1003.0), (1990.0, 2000.0)]


def test_the_newest_is_looked_for_backwards():
    """Without a span at the end, the newest sample is found by reading backwards, twice as far each time."""
    request = DataRequest(("rare",), 1000.0, 2000.0, 10.0, "minmax", spans=())
    (reduction,), asked = read_all(request)
    assert reduction.newest[0].tolist() == [1200.5]
    lengths = [high - low for low, high in asked]
    assert lengths[:3] == [10.0, 20.0, 40.0]
    assert sum(lengths) < 2 * (2000.0 - 1200.5)


def test_an_unknown_field_is_none():
    """A field that the source lacks has no reduction."""
    request = DataRequest(("nope", "x"), 1000.0, 2000.0, 10.0, "minmax", spans=((1990.0, 2000.0),))
    assert [one is None for one in read_all(request)[0]] == [True, False]


def test_what_is_stated_is_that_of_the_end():
    """What is stated at the end of the window counts, not what is stated of an earlier part."""
    request = DataRequest(("x",), 1000.0, 2000.0, 10.0, "minmax", spans=((1000.0, 1003.0),))
    assert read_all(request)[0][0].statement == BLOCK.statement


@pytest.mark.parametrize(
    "spans",
    [
        pytest.param([(5.0, 4.0)], id="reversed"),
        pytest.param([(4.0, 4.0)], id="empty"),
        pytest.param([(1.0, 3.0), (2.0, 4.0)], id="over one another"),
        pytest.param([(3.0, 4.0), (1.0, 2.0)], id="not ascending"),
        pytest.param([(0.5, 2.0)], id="before the start"),
        pytest.param([(8.0, 11.0)], id="after the end"),
        pytest.param([(1 + n / 100, 1 + (n + 0.5) / 100) for n in range(MOST_SPANS + 1)], id="too many"),
    ],
)
def test_spans_that_are_none_are_refused(spans):
    """Spans must ascend inside the window, without overlap, and be few."""
    with pytest.raises(BadRequest, match="spans"):
        check_spans(spans, 1.0, 10.0)
