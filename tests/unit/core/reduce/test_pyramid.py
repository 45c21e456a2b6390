"""Pyramids grow by appending, forget whole blocks, and are the same however they grew."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from sisock.core.reduce.indexed_array import BLOCK, PlainArray
from sisock.core.reduce.pyramid import NumberPyramid, StatePyramid, pyramid_for
from sisock.core.reduce.reducers import REDUCERS
from sisock.core.reduce.selectors import NUMBER_SELECTORS, STATE_SELECTORS
from sisock.core.reduce.summaries import BlockCells, Summary

import twins

many = settings(derandomize=True, deadline=None, max_examples=60)

TEXTS = np.array(["on", "off", "fault", None], dtype=object)
KINDS = ["float", "mess", "int", "bool", "text"]


def values_of(kind, count, seed):
    """Values of a kind, with much that is awkward about it."""
    random = np.random.default_rng(seed)
    if kind == "int":
        return random.choice(np.array([-(2**62), 2**62, 2**62 + 1, 0, 5]), count)
    if kind in ("bool", "text"):
        states = np.cumsum(random.random(count) < random.choice([0.3, 0.001])) % 4
        return states == 1 if kind == "bool" else TEXTS[states]
    values = random.integers(-3, 4, count).astype(np.float64)
    share = 0.01 if kind == "float" else 0.98
    odd = random.random(count) < share
    values[odd] = random.choice([np.nan, np.inf, -np.inf, -0.0, 1.7e308], odd.sum(), p=[0.9, 0.04, 0.04, 0.01, 0.01])
    return values


class Counting(PlainArray):
    """Samples that count how many of them are read, and know no others than those kept."""

    def __init__(self, values, first=0):
        super().__init__(values, first)
        object.__setattr__(self, "read", 0)

    def take(self, indices):
        assert not len(indices) or (indices[0] >= self.first and np.all(np.diff(indices) >= 0))
        object.__setattr__(self, "read", self.read + len(indices))
        return super().take(indices)

    def rows(self, blocks):
        assert not len(blocks) or (blocks[0] * BLOCK >= self.first and np.all(np.diff(blocks) >= 0))
        object.__setattr__(self, "read", self.read + len(blocks) * BLOCK)
        return super().rows(blocks)

    def slice(self, low, high):
        assert self.first <= low <= high <= len(self)
        object.__setattr__(self, "read", self.read + high - low)
        return super().slice(low, high)


def grown(values, stops=()):
    pyramid = pyramid_for(values.dtype)
    for stop in [*stops, len(values)]:
        pyramid.update(PlainArray(values), stop)
    return pyramid


def check_equal(one, other):
    """Two summaries have the same levels, bit for bit."""
    arrays, others = one.arrays(), other.arrays()
    assert list(arrays) == list(others)
    for name, array in arrays.items():
        assert array.dtype == others[name].dtype
        assert array.tobytes() == others[name].tobytes()


def selected(summary, samples, starts, stops):
    """What each selector chooses, in the order of the buckets."""
    selectors = STATE_SELECTORS if samples.dtype.kind in "bO" else NUMBER_SELECTORS
    return {name: sorted(summary.select(samples, [one], starts, stops).tolist()) for name, one in selectors.items()}


def aggregated(summary, values, reducer, starts, stops):
    """The aggregate of each bucket."""
    return summary.aggregate(PlainArray(values), REDUCERS[reducer].numbers.aggregate, starts, stops)


def expected(values, starts, stops):
    listed = values.tolist()
    buckets = [range(start, stop) for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]
    if values.dtype.kind not in "bO":
        return {
            "first": [twins.first(listed, bucket)[0] for bucket in buckets],
            "lowest": [twins.minmax(listed, bucket)[0] for bucket in buckets],
            "highest": [twins.minmax(listed, bucket)[1] for bucket in buckets],
            "last": [twins.last(listed, bucket)[0] for bucket in buckets],
        }
    changes = [twins.first_change_last(listed, bucket)[2:] for bucket in buckets]
    return {
        "first": [bucket[0] for bucket in buckets],
        "change": [index for change in changes for index in change],
        "last": [bucket[-1] for bucket in buckets],
    }


def cut(random, low, high, count):
    """Buckets, none empty, that follow one another from ``low`` to ``high``, with ends on blocks among them."""
    blocks = random.integers(low, high + 1, count) // BLOCK * BLOCK
    ends = np.unique(np.clip([*random.integers(low, high + 1, count), *blocks, low, high], low, high))
    return ends[:-1], ends[1:]


@many
@given(st.sampled_from(KINDS), st.integers(1, 9000), st.integers(0, 10**6), st.sampled_from([1, 5, 300]))
def test_what_is_chosen_is_what_the_twin_chooses(kind, count, seed, buckets):
    """Of any buckets the samples are found that a plain loop over all of them finds, ties to the earliest."""
    values = values_of(kind, count, seed)
    starts, stops = cut(np.random.default_rng(seed), 0, count, buckets)
    summary = grown(values).view()
    assert selected(summary, PlainArray(values), starts, stops) == expected(values, starts, stops)


@pytest.mark.parametrize(
    ("start", "stop", "complete", "cells"),
    [
        (0, 64, [1], [(1, 0)]),
        (64, 130, [2], [(1, 1), (0, 128), (0, 129)]),
        (62, 129, [2], [(0, 62), (0, 63), (1, 1), (0, 128)]),
        (5, 8, [1], [(0, 5), (0, 6), (0, 7)]),
        (63, 65, [2], [(0, 63), (0, 64)]),
        (64 * 63, 64 * 129, [200, 3], [(1, 63), (2, 1), (1, 128)]),
        (64, 194, [2, 0], [(1, 1), *((0, index) for index in range(128, 194))]),
    ],
)
def test_a_range_is_cut_into_the_largest_blocks_inside_it(start, stop, complete, cells):
    """Samples at the edges, complete blocks inside, larger ones further inside; in the order of time."""
    found = BlockCells.of(np.array([start]), np.array([stop]), complete)
    assert list(zip(found.levels.tolist(), found.indices.tolist(), strict=True)) == cells
    assert found.starts.tolist() == [0]


@many
@given(st.sampled_from(KINDS), st.lists(st.integers(0, 9000), max_size=20), st.integers(0, 10**6))
def test_growing_in_batches_equals_building_at_once(kind, stops, seed):
    """However the samples came, the summary has the same bits."""
    values = values_of(kind, 9000, seed)
    check_equal(grown(values, sorted(stops)).view(), grown(values).view())


@pytest.mark.parametrize("kind", KINDS)
def test_several_levels_agree_with_the_twin(kind):
    """Blocks of blocks of blocks lead to the same samples, and hold where updating goes in several parts."""
    values = values_of(kind, BLOCK**3 + 5000, 3)
    starts, stops = cut(np.random.default_rng(4), 0, len(values), 3)
    summary = grown(values).view()
    assert len(summary.levels) == 3
    assert selected(summary, PlainArray(values), starts, stops) == expected(values, starts, stops)


@many
@given(st.sampled_from(KINDS), st.integers(0, 10**6), st.integers(1, 12))
def test_dropping_the_head_changes_no_answer_about_the_rest(kind, seed, batches):
    """Whatever blocks were forgotten, and before or after they were summarised, later buckets are as ever."""
    random = np.random.default_rng(seed)
    values = values_of(kind, 20_000, seed)
    pyramid, first = pyramid_for(values.dtype), 0
    for stop in sorted(random.integers(0, len(values), batches)):
        if random.random() < 0.7:
            pyramid.update(Counting(values[first:], first), int(stop))
        first = int(random.integers(first, stop + 1))
        pyramid.drop_before(first)
    samples = Counting(values[first:], first)
    pyramid.update(samples, len(values))
    starts, stops = cut(random, first, len(values), 6)
    assert selected(pyramid.view(), samples, starts, stops) == expected(values, starts, stops)


@pytest.mark.parametrize("kind", ["float", "text"])
def test_forgotten_blocks_are_gone(kind):
    """Blocks that end at or before the index are dropped at each level, and no other."""
    values = values_of(kind, 100 * BLOCK**2, 1)
    pyramid = grown(values)
    pyramid.drop_before(70 * BLOCK**2 + 3 * BLOCK + 1)
    levels = pyramid.view().levels
    assert [level[next(iter(level))].first for level in levels] == [70 * BLOCK + 3, 70, 1]
    assert [len(level[next(iter(level))]) for level in levels] == [100 * BLOCK, 100, 1]


def test_a_sliding_pyramid_takes_bounded_memory():
    """While the head is dropped as the end grows, the arrays are as long as what is kept, not as all there was."""
    pyramid = NumberPyramid(np.float64)
    kept = 50 * BLOCK
    for stop in range(0, 2000 * BLOCK, 10 * BLOCK):
        low = max(stop - kept, 0)
        pyramid.update(Counting(np.ones(stop - low), low), stop)
        pyramid.drop_before(low)
    assert max(one._array.size for one in pyramid._levels[0].values()) < 4 * kept / BLOCK


@pytest.mark.parametrize("kind", KINDS)
def test_each_sample_is_summarised_once(kind):
    """Growing in small batches reads each sample once, and at most one more for each batch."""
    values = values_of(kind, 9000, 2)
    samples = Counting(values)
    pyramid = pyramid_for(values.dtype)
    stops = range(0, 9001, 100)
    for stop in stops:
        pyramid.update(samples, stop)
    assert samples.read <= 9000 + len(stops)


def test_what_a_view_shows_never_changes():
    """Who holds a view has what there was, while the writer goes on and forgets."""
    values = values_of("float", 40_000, 5)
    pyramid = NumberPyramid(values.dtype)
    held = []
    for stop in range(0, 40_001, 5000):
        pyramid.update(PlainArray(values), stop)
        held.append((stop, pyramid.view()))
        pyramid.drop_before(stop - 3000)
    for stop, view in held:
        low = -(-max(stop - 8000, 0) // BLOCK**2) * BLOCK**2
        if low < stop:
            starts, stops = cut(np.random.default_rng(stop), low, stop, 3)
            assert selected(view, PlainArray(values), starts, stops) == expected(values, starts, stops)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_summary_does_not_have_yet_is_read_raw(kind):
    """A summary of fewer samples than are asked about leads to the same ones."""
    values = values_of(kind, 9000, 8)
    starts, stops = cut(np.random.default_rng(8), 0, 9000, 4)
    for summarised in (0, 63, 5000, 8999):
        summary = grown(values[:summarised]).view()
        assert selected(summary, PlainArray(values), starts, stops) == expected(values, starts, stops)


@pytest.mark.parametrize("step", [BLOCK, 3 * BLOCK, 1000])
def test_a_change_where_an_update_begins_is_seen(step):
    """The first state of a batch is compared with the last one of the batch before."""
    values = np.arange(4000) // step % 2 == 1
    pyramid = pyramid_for(values.dtype)
    for stop in range(0, 4001, step):
        pyramid.update(PlainArray(values), stop)
    starts, stops = np.array([1]), np.array([4000])
    assert pyramid.view().select(PlainArray(values), [STATE_SELECTORS["change"]], starts, stops).tolist() == [step]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [0, 63, 64, 9000])
def test_a_summary_comes_back_from_its_arrays(kind, count):
    """The arrays are plain ones, and all that there is to a summary."""
    values = values_of(kind, count, 6)
    summary = grown(values).view()
    arrays = summary.arrays()
    assert all(array.dtype.kind in "fib" for array in arrays.values())
    check_equal(type(summary).from_arrays(arrays), summary)


def test_a_summary_of_which_the_head_was_dropped_comes_back_too():
    """The arrays say which blocks they have."""
    pyramid = grown(values_of("float", 20_000, 6))
    pyramid.drop_before(9000)
    summary = pyramid.view()
    check_equal(type(summary).from_arrays(summary.arrays()), summary)


@pytest.mark.parametrize(("dtype", "kind"), [("f8", NumberPyramid), ("i8", NumberPyramid), ("f4", NumberPyramid)])
def test_numbers_have_their_pyramid(dtype, kind):
    """Floats and whole numbers of any width are numbers, and keep their type."""
    pyramid = pyramid_for(np.dtype(dtype))
    assert type(pyramid) is kind
    pyramid.update(PlainArray(np.arange(64, dtype=dtype)), 64)
    assert pyramid.view().arrays()["low"].dtype == np.dtype(dtype)


@pytest.mark.parametrize("dtype", ["?", "O", "U3", "S3"])
def test_states_have_their_pyramid(dtype):
    """Bools and texts of any kind are states."""
    pyramid = pyramid_for(np.dtype(dtype))
    assert type(pyramid) is StatePyramid
    assert isinstance(pyramid.view(), Summary)


@pytest.mark.parametrize("length", [100, 5000, BLOCK**3])
def test_a_mean_depends_on_its_bucket_alone(length):
    """A bucket's mean has the same bits, whichever buckets are asked for with it and however many samples follow."""
    values = values_of("float", BLOCK**3 + 20_000, 7)
    start = 1234
    alone = grown(values[: start + length]).view()
    bucket = (np.array([start]), np.array([start + length]))
    mean = aggregated(alone, values, "mean", *bucket)
    among_others = grown(values).view()
    starts, stops = np.array([0, start, start + length]), np.array([start, start + length, len(values)])
    assert aggregated(among_others, values, "mean", starts, stops)[1].tobytes() == mean[0].tobytes()


@pytest.mark.parametrize(("reducer", "value"), [("mean", np.finfo(np.float64).max), ("stddev", 0.0), ("sum", np.inf)])
def test_the_mean_of_a_huge_block_is_finite(reducer, value):
    """Values whose sum overflows in a block, or in a block of blocks, still have their mean and their deviation."""
    values = np.full(3 * BLOCK**2 + 10, np.finfo(np.float64).max)
    summary = grown(values).view()
    found = aggregated(summary, values, reducer, np.array([5]), np.array([len(values) - 5]))
    np.testing.assert_allclose(found, value, rtol=1e-15)


def test_the_sum_of_huge_values_that_cancel_is_finite():
    """What overflows on the way does not show in a sum that is in range."""
    values = np.repeat([1e308, -1e308, 1.0], 2 * BLOCK**2)
    summary = grown(values).view()
    found = aggregated(summary, values, "sum", np.array([0]), np.array([len(values)]))
    np.testing.assert_allclose(found, 0.0, atol=1e296)


@pytest.mark.parametrize("reducer", ["count", "sum"])
def test_ones_are_counted_and_added_exactly(reducer):
    """Small whole numbers add up to whole numbers, whatever of them is summarised."""
    values = np.ones(BLOCK**2 * 3 + 77)
    for start, stop in ((0, len(values)), (13, len(values) - 9), (100, 200)):
        summary = grown(values).view()
        assert aggregated(summary, values, reducer, np.array([start]), np.array([stop])) == [stop - start]
