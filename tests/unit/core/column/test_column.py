"""A column answers any span as reducing its samples does, and reads few of them."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from sisock.core.column.column import Column
from sisock.core.errors import BadRequest
from sisock.core.model import Statement
from sisock.core.reduce.indexed_array import BLOCK, GrowingArray, PlainArray
from sisock.core.reduce.pyramid import pyramid_for
from sisock.core.reduce.reducers import REDUCERS, bucket_starts, find_reducer, reduce_samples
from sisock.core.times import bucket_of

import twins

many = settings(derandomize=True, deadline=None, max_examples=150)

TEXTS = np.array(["on", "off", "fault", None], dtype=object)
KINDS = ["float", "mess", "spikes", "int", "bool", "text"]
kinds = st.sampled_from(KINDS)
reducers = st.sampled_from(sorted(REDUCERS))
seeds = st.integers(0, 10**6)


class Chunks:
    """Samples in chunks, as a live buffer keeps them: those before the first chunk are gone."""

    def __init__(self, values, size, first=0):
        self.chunks = {low // size: values[low : low + size] for low in range(first // size * size, len(values), size)}
        self.size, self.dtype, self.count = size, values.dtype, len(values)
        self.read = 0

    def __len__(self):
        return self.count

    def take(self, indices):
        assert np.all(np.diff(indices) >= 0)
        self.read += len(indices)
        found = [self.chunks[index // self.size][index % self.size] for index in indices.tolist()]
        taken = np.empty(len(found), dtype=self.dtype)
        taken[:] = found
        return taken

    def rows(self, blocks):
        return self.take((blocks[:, np.newaxis] * BLOCK + np.arange(BLOCK)).ravel()).reshape(-1, BLOCK)

    def slice(self, low, high):
        assert low <= high
        self.read += high - low
        return self.take(np.arange(low, high))


def times_of(random, count):
    """Ascending times: regular ones, bursts with duplicates, or gaps; on whole numbers or beside them."""
    origin = random.choice([0.0, -500.0, 1.7e9, 1.7e9 + 0.1])
    spacing = random.choice([1e-4, 0.005, 0.1, 1.0])
    if random.random() < 0.4:
        return origin + np.arange(count) * spacing
    steps = random.choice([0.0, 1.0, 1.0, 2.0, 3.7, 500.0], count, p=[0.3, 0.3, 0.2, 0.1, 0.095, 0.005])
    return origin + np.cumsum(steps) * spacing


def values_of(random, kind, count):
    if kind == "int":
        return random.choice(np.array([-(2**62), 2**62, 2**62 + 1, 0, 5]), count)
    if kind in ("bool", "text"):
        states = np.cumsum(random.random(count) < random.choice([0.3, 0.001])) % 4
        return states == 1 if kind == "bool" else TEXTS[states]
    if kind == "spikes":
        values = np.full(count, random.choice([np.nan, 0.0, -0.0]))
        values[random.integers(0, count, 5)] = random.choice([-1.0, 2.0, np.inf, -np.inf], 5)
        return values
    values = random.choice([-2.0, -0.0, 0.0, 3.0], count) if random.random() < 0.5 else random.normal(size=count)
    odd = random.random(count) < (0.01 if kind == "float" else 0.98)
    values[odd] = random.choice([np.nan, np.inf, -np.inf, 1.7e308], odd.sum(), p=[0.9, 0.04, 0.04, 0.02])
    return values


def series(seed, kind, most):
    """Random times and values, and random spans and strides to ask for: edges on samples and on buckets among them."""
    random = np.random.default_rng(seed)
    count = int(random.integers(1, most))
    times = times_of(random, count)
    length = max(times[-1] - times[0], 0.01)
    questions = []
    for _ in range(4):
        stride = max(length * 10.0 ** -random.uniform(-0.5, 4), 1e-4)
        if random.random() < 0.5:
            stride = 2.0 ** math.floor(math.log2(stride))
        ends = np.sort(times[0] + length * random.uniform(-0.1, 1.1, 2))
        if random.random() < 0.3:
            ends = np.floor(ends / stride) * stride
        elif random.random() < 0.3:
            ends = random.choice(times, 2)
        questions.append((*ends.tolist(), float(stride)))
    return times, values_of(random, kind, count), questions


def raw(times, values, start, end, reducer, stride):
    """The reduction of the samples themselves."""
    low, high = np.searchsorted(times, [start, end])
    times, values = times[low : max(low, high)], values[low : max(low, high)]
    selection = find_reducer(reducer).for_dtype(values.dtype)
    return reduce_samples(times, values, selection, bucket_starts(times, selection.width(stride)))


def check_same(one, other, reducer):
    """The same times and values, bit for bit; only what is added up is so in another order."""
    assert one[0].tobytes() == other[0].tobytes()
    assert one[1].dtype == other[1].dtype
    if reducer in twins.ADDED_UP and one[1].dtype.kind == "f":
        huge = np.abs(other[1]) > 1e290  # of which the ones that cancel leave little that is right
        np.testing.assert_allclose(one[1][~huge], other[1][~huge], rtol=1e-9, atol=1e-9 if not huge.any() else 1e292)
    elif one[1].dtype == object:
        assert one[1].tolist() == other[1].tolist()
    else:
        assert one[1].tobytes() == other[1].tobytes()


@many
@given(seeds, kinds, reducers)
def test_reduced_equals_reducing_the_samples(seed, kind, reducer):
    """Whatever the span, the stride, the values and the reducer, the summary gives what the samples give."""
    times, values, questions = series(seed, kind, 12_000)
    column = Column.of(times, values)
    for start, end, stride in questions:
        check_same(
            column.reduced(start, end, reducer, stride), raw(times, values, start, end, reducer, stride), reducer
        )


@many
@given(seeds, st.sampled_from(["float", "int", "bool", "text"]), st.sampled_from(["minmax", "m4", "first", "last"]))
def test_reduced_equals_the_twin(seed, kind, reducer):
    """What a column answers is what a plain loop over the definition of the reducer answers."""
    times, values, questions = series(seed, kind, 3000)
    column = Column.of(times, values)
    table = twins.OF_STATES if kind in ("bool", "text") else twins.OF_NUMBERS
    for start, end, stride in questions[:2]:
        low, high = np.searchsorted(times, [start, end])
        inside, listed = times[low:high], values[low : max(low, high)]
        kept = twins.chosen(inside.tolist(), listed.tolist(), table, reducer, stride)
        reduced = column.reduced(start, end, reducer, stride)
        assert reduced[0].tolist() == inside[kept].tolist()
        assert str(reduced[1].tolist()) == str(listed[kept].tolist())


@many
@given(seeds, st.sampled_from(["float", "mess", "spikes"]), st.sampled_from(sorted(twins.AGGREGATES)))
def test_what_is_made_equals_the_twin(seed, kind, reducer):
    """What is added up is exact but for rounding, beside the sum of the magnitudes; all else is exact."""
    times, values, questions = series(seed, kind, 3000)
    column = Column.of(times, values)
    for start, end, stride in questions[:2]:
        low, high = np.searchsorted(times, [start, end])
        inside = values[low : max(low, high)]
        expected_times, expected = twins.aggregated(times[low:high].tolist(), inside.tolist(), reducer, stride)
        reduced = column.reduced(start, end, reducer, stride)
        assert reduced[0].tolist() == expected_times
        magnitudes = np.abs(inside[np.isfinite(inside)])
        with np.errstate(over="ignore"):
            magnitude = min(magnitudes.sum() if reducer == "sum" else magnitudes.max(initial=0.0), 1e308)
        tolerance = magnitude * 1e-14 if reducer in twins.ADDED_UP else 0.0
        np.testing.assert_allclose(reduced[1], expected, rtol=1e-14, atol=tolerance)


@many
@given(seeds, kinds, reducers)
def test_a_column_without_a_summary_answers_the_same(seed, kind, reducer):
    """A node that has only samples is reduced alike, with and without an index of the times."""
    times, values, questions = series(seed, kind, 3000)
    plain = Column.plain(times, values)
    for start, end, stride in questions:
        expected = raw(times, values, start, end, reducer, stride)
        reduced = plain.reduced(start, end, reducer, stride)
        assert (reduced[0].tobytes(), str(reduced[1].tolist())) == (expected[0].tobytes(), str(expected[1].tolist()))


def column_of_before(times, values):
    """The column of files that an earlier version wrote, which knows of no deviations."""
    arrays = Column.of(times, values).arrays()
    for name in ("summary_deviation", "summary_rest"):
        arrays.pop(name, None)
    return Column.from_arrays(arrays)


@many
@given(seeds, st.sampled_from(["float", "mess", "int", "bool"]), reducers)
def test_a_column_from_files_of_before_answers_the_same(seed, kind, reducer):
    """Files without deviations are as good: what lacks is made of the samples, the rest is the same bit for bit."""
    times, values, questions = series(seed, kind, 12_000)
    column, before = Column.of(times, values), column_of_before(times, values)
    for start, end, stride in questions:
        expected, found = (one.reduced(start, end, reducer, stride) for one in (column, before))
        if reducer == "stddev":
            check_same(found, expected, reducer)
        else:
            assert [part.tobytes() for part in found] == [part.tobytes() for part in expected]


def test_arrays_that_are_not_known_are_no_harm():
    """What a later version wrote beside the rest is passed over, as this one's deviations are by earlier ones."""
    times, values = np.arange(9000.0), np.random.default_rng(3).normal(size=9000)
    column = Column.of(times, values)
    arrays = column.arrays()
    arrays["summary_skewness"] = arrays["summary_mean"] * 0.0
    for reducer in REDUCERS:
        found = Column.from_arrays(arrays).reduced(5.0, 8000.0, reducer, 700.0)
        expected = column.reduced(5.0, 8000.0, reducer, 700.0)
        assert [part.tobytes() for part in found] == [part.tobytes() for part in expected]


@pytest.mark.parametrize("make", [Column.of, Column.plain, column_of_before])
@pytest.mark.parametrize("stride", [0.5, 50.0, 2e4, 1e9])
@pytest.mark.parametrize(("offset", "noise"), [(1e9, 1e-3), (-1e9, 1e-3), (0.0, 1.0), (1e15, 3.0), (0.1, 1e-9)])
def test_a_deviation_is_right_beside_a_large_mean(make, stride, offset, noise):
    """Noise is found as if it had no offset."""
    times = np.arange(100_000) / 2.0
    values = offset + np.random.default_rng(1).normal(size=len(times)) * noise
    noise_alone = values - offset  # exact
    reduced = make(times, values).reduced(0.3, 49_000.0, "stddev", stride)[1]
    expected = raw(times, noise_alone, 0.3, 49_000.0, "stddev", stride)[1]
    np.testing.assert_allclose(reduced, expected, rtol=1e-9)


@pytest.mark.parametrize("make", [Column.of, Column.plain, column_of_before])
@pytest.mark.parametrize("value", [0.1, -7.3e250, 5e-324, 1.7976931348623157e308, 1e9 + 0.3])
def test_equal_values_do_not_deviate(make, value):
    """The deviation of a constant is zero, not what is left over by rounding, also where NaN lie between."""
    values = np.full(30_000, value)
    values[::7] = np.nan
    column = make(np.arange(30_000.0), values)
    for stride in (3.0, 1000.0, 1e6):
        assert set(column.reduced(2.0, 29_999.0, "stddev", stride)[1].tolist()) <= {0.0}


@pytest.mark.parametrize("make", [Column.of, Column.plain, column_of_before])
@pytest.mark.parametrize("size", [1.7976931348623157e308, 1e200, 1e-200])
def test_a_deviation_of_huge_and_of_tiny_values_is_found(make, size):
    """Values whose squares are beyond all floats, or vanish, have their deviation."""
    values = np.tile([size, -size, 0.0, 0.0], 5000)
    column = make(np.arange(20_000.0), values)
    for stride in (4.0, 1000.0, 1e6):
        reduced = column.reduced(0.0, 20_000.0, "stddev", stride)[1]
        np.testing.assert_allclose(reduced, size * math.sqrt(0.5), rtol=1e-13)
        np.testing.assert_allclose(column.reduced(0.0, 20_000.0, "sum", stride)[1], 0.0, atol=size * 1e-9)


@many
@given(seeds, kinds, reducers, st.integers(1, 8))
def test_a_column_that_grew_and_lost_its_head_answers_the_same(seed, kind, reducer, batches):
    """Appended in batches and cut at its head, in chunks of which the first is partly gone, it tells what is kept."""
    times, values, questions = series(seed, kind, 12_000)
    random = np.random.default_rng(seed + 1)
    pyramid, steps = pyramid_for(values.dtype), GrowingArray(np.float64)
    first = stop = 0
    for stop in [*sorted(random.integers(0, len(times), batches).tolist()), len(times)]:
        if random.random() < 0.8:
            pyramid.update(Chunks(values, 1024, first), stop)
        block = steps.stop * BLOCK
        steps.append(times[block:stop:BLOCK])
        first = min(int(random.integers(first, stop + 1)), len(times) - 1) if random.random() < 0.5 else first
        pyramid.drop_before(first)
        steps.drop_before(first // BLOCK)
    pyramid.update(Chunks(values, 1024, first), stop)
    chunks = (Chunks(times, 1024, first), Chunks(values, 1024, first))
    column = Column(*chunks, stop, first, steps.view(), pyramid.view())
    for start, end, stride in questions:
        expected = raw(times[first:], values[first:], start, end, reducer, stride)
        check_same(column.reduced(start, end, reducer, stride), expected, reducer)


@many
@given(seeds, st.sampled_from(["float", "mess"]), st.sampled_from(sorted(twins.ADDED_UP)))
def test_what_is_added_up_of_a_whole_bucket_is_the_same_in_every_span(seed, kind, reducer):
    """Sliding and widening the span moves no bit of what is made of a bucket that lies inside."""
    times, values, questions = series(seed, kind, 12_000)
    column = Column.of(times, values)
    start, end, stride = questions[0]
    known = dict(zip(*(part.tolist() for part in column.reduced(-math.inf, math.inf, reducer, stride)), strict=True))
    edges = np.floor(np.array([start, end]) / stride)
    inside = column.reduced(edges[0] * stride, edges[1] * stride, reducer, stride)
    for time, mean in zip(*(part.tolist() for part in inside), strict=True):
        assert twins.same(known[time], mean) or list(times).count(time) > 1


@pytest.mark.parametrize(("few", "many_samples"), [(70, 2000), (100, 2000), (250, 2000), (100, 2)])
def test_a_mean_does_not_depend_on_how_long_other_buckets_are(few, many_samples):
    """A bucket has the same bits beside longer and shorter ones as among its like."""
    times = np.concatenate([np.arange(100 * few) / few, 100.0 + np.arange(900 * many_samples) / many_samples])
    column = Column.of(times, np.random.default_rng(5).normal(size=len(times)))
    alone, together = (column.reduced(0.0, end, "mean", 1.0)[1] for end in (100.0, 1000.0))
    assert alone.tobytes() == together[:100].tobytes()


@pytest.mark.parametrize("reducer", ["last", "mean"])
def test_many_buckets_are_as_right_as_few(reducer):
    """Buckets are handled some thousands at once, with nothing lost between."""
    times = np.arange(300 * 5000) / 300.0
    values = np.sin(times * 7.0)
    reduced = Column.of(times, values).reduced(0.0, 5000.0, reducer, 1.0)
    check_same(reduced, raw(times, values, 0.0, 5000.0, reducer, 1.0), reducer)


@many
@given(seeds)
def test_index_of_is_the_first_sample_not_before(seed):
    """With duplicates, beside samples, before all and after all, as a plain search finds it."""
    random = np.random.default_rng(seed)
    times = times_of(random, int(random.integers(1, 3000)))
    some = random.choice(times, 20)
    beside = np.concatenate([some, np.nextafter(some, np.inf), np.nextafter(some, -np.inf), [-np.inf, np.inf]])
    for column in (Column.of(times, times), Column.plain(times, times)):
        assert column.index_of(beside).tolist() == np.searchsorted(times, beside).tolist()


@pytest.mark.parametrize("make", [Column.of, Column.plain])
@pytest.mark.parametrize("values", [np.empty(0), np.empty(0, dtype=bool), np.empty(0, dtype=object)])
def test_a_column_without_samples_answers_with_none(make, values):
    """Nothing kept is no error, whatever is asked."""
    column = make(np.empty(0), values)
    for reducer in REDUCERS:
        times, reduced = column.reduced(0.0, 10.0, reducer, 1.0)
        assert (times.size, reduced.size, reduced.dtype) == (0, 0, values.dtype)
    assert column.within(0.0, 10.0)[0].size == column.newest(0.0, 10.0)[0].size == 0
    assert column.index_of(np.array([-1.0, 1.0])).tolist() == [0, 0]


def chunked(times, values):
    return Column(Chunks(times, 64), Chunks(values, 64), len(times))


@pytest.mark.parametrize("make", [Column.of, Column.plain, chunked])
@pytest.mark.parametrize(("start", "end"), [(-9.0, 0.0), (100.0, 200.0), (5.5, 5.9), (50.0, 20.0), (20.0, 20.0)])
def test_a_span_without_samples_is_empty(make, start, end):
    """Before the first, after the last, between two, reversed and of no length."""
    column = make(np.arange(100.0), np.arange(100.0))
    assert column.reduced(start, end, "minmax", 1.0)[0].size == 0
    assert column.within(start, end)[0].size == column.newest(start, end)[0].size == 0


@pytest.mark.parametrize("make", [Column.of, Column.plain])
def test_spans_are_half_open(make):
    """A sample at the start is inside, one at the end is not."""
    column = make(np.arange(1000.0), np.arange(1000.0))
    assert column.within(10.0, 13.0)[1].tolist() == [10.0, 11.0, 12.0]
    assert column.newest(10.0, 13.0)[1].tolist() == [12.0]
    assert column.reduced(10.0, 700.0, "minmax", 1e6)[1].tolist() == [10.0, 699.0]


def test_within_copies_nothing():
    """Samples of an array are handed out as they are."""
    times, values = np.arange(1000.0), np.arange(1000.0)
    column = Column.of(times, values)
    inside = column.within(100.0, 900.0)
    assert np.shares_memory(inside[0], times)
    assert np.shares_memory(inside[1], values)


@pytest.mark.parametrize("reducer", sorted(REDUCERS))
@pytest.mark.parametrize("kind", ["float", "bool"])
def test_a_wide_span_reads_few_samples(reducer, kind):
    """What is read depends on the number of buckets and not on the samples in them."""
    random = np.random.default_rng(1)
    count, buckets = 400_000, 20
    times, values = 1.7e9 + np.arange(count) * 0.005, values_of(random, kind, count)
    whole = Column.of(times, values)
    for share in (1.0, 0.25):
        chunks = (Chunks(times, 65536), Chunks(values, 65536))
        column = Column(*chunks, count, steps=whole.steps, summary=whole.summary)
        length = share * count * 0.005
        column.reduced(times[1], times[1] + length, reducer, length / buckets)
        assert chunks[0].read < buckets * 2 * BLOCK + 20 * BLOCK
        assert chunks[1].read < buckets * 10 * BLOCK


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 64, 9000])
def test_a_column_comes_back_from_files(tmp_path, kind, count):
    """Written as plain arrays and mapped into memory, it answers the same, with the finality it is given."""
    random = np.random.default_rng(2)
    times, values = 1.7e9 + np.arange(count) * 0.1, values_of(random, kind, count)
    if kind == "text":
        values = np.array([str(value) for value in values])
    column = Column.of(times, values)
    arrays = {}
    for name, array in column.arrays().items():
        np.save(tmp_path / f"{name}.npy", array, allow_pickle=False)
        arrays[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
    mapped = Column.from_arrays(arrays, Statement(7.0, 3.0, "g1"))
    assert (mapped.finalized_until, mapped.available_from, mapped.generation) == (7.0, 3.0, "g1")
    for reducer in REDUCERS:
        for stride in (0.7, 50.0):
            one, other = (which.reduced(0.0, math.inf, reducer, stride) for which in (column, mapped))
            assert [part.tobytes() for part in one] == [part.tobytes() for part in other]


def test_a_plain_column_comes_back_plain():
    """Without a summary there is none among the arrays, nor afterwards."""
    column = Column.from_arrays(Column.plain(np.arange(5.0), np.arange(5.0)).arrays())
    assert column.summary is None
    assert column.steps is None
    assert column.within(1.0, 3.0)[1].tolist() == [1.0, 2.0]


def test_a_column_whose_head_was_dropped_is_not_written():
    """Its indices would not survive, and with them the bits of its means."""
    samples = PlainArray(np.arange(100.0), 28)
    with pytest.raises(ValueError, match="dropped"):
        Column(samples, samples, 128, first=28).arrays()


def test_nonsense_is_refused():
    """A reducer that is not there, and strides that are none or too fine."""
    column = Column.of(1.7e9 + np.arange(1000.0), np.arange(1000.0))
    for reducer, stride in (("median", 1.0), ("minmax", 0.0), ("minmax", math.nan), ("minmax", 1e-12)):
        with pytest.raises(BadRequest):
            column.reduced(0.0, 2e9, reducer, stride)


def planted(count, spikes):
    """A column at 200 Hz of noise with one-sample spikes up and down, and 1 % NaN; times, values, where they are."""
    random = np.random.default_rng(3)
    times, values = 1.7e9 + np.arange(count) / 200.0, random.normal(size=count)
    values[random.random(count) < 0.01] = np.nan
    places = np.sort(random.choice(count, spikes, replace=False))
    values[places] = random.choice([-1.0, 1.0], spikes) * random.uniform(50.0, 1000.0, spikes)
    return times, values, places


def test_no_planted_spike_is_lost_at_any_zoom():
    """Every bucket's lowest and highest are those of brute force in time and value, from seconds to the whole."""
    times, values, places = planted(600_000, 1000)
    column = Column.of(times, values)
    random = np.random.default_rng(4)
    whole = times[-1] - times[0] + 0.005
    for length in np.geomspace(10.0, whole, 25):
        start = float(times[0] + random.uniform(0.0, whole - length))
        end = start + float(length)
        stride = REDUCERS["minmax"].stride_for_points(start, end, 1000)
        reduced = column.reduced(start, end, "minmax", stride)
        low, high = np.searchsorted(times, [start, end])
        edges = np.flatnonzero(np.diff(bucket_of(times[low:high], 2 * stride))) + 1
        kept = []
        for bucket in np.split(np.arange(low, high), edges):
            kept += {int(bucket[np.nanargmin(values[bucket])]), int(bucket[np.nanargmax(values[bucket])])}
        assert reduced[0].tolist() == times[sorted(kept)].tolist()
        assert reduced[1].tolist() == values[sorted(kept)].tolist()
        assert len(reduced[0]) < 1000
        assert reduced[1].max() == np.nanmax(values[low:high])
        assert len(places) == 1000


def test_no_planted_excursion_of_a_state_is_lost():
    """At every zoom, each bucket in which a state differs for one sample shows that state."""
    times, _, places = planted(600_000, 1000)
    values = np.zeros(len(times), dtype=bool)
    values[places] = True
    column = Column.of(times, values)
    for stride in (0.05, 1.0, 60.0, 1e9):
        reduced = dict(zip(*(part.tolist() for part in column.reduced(0.0, 2e9, "minmax", stride)), strict=True))
        seen = {twins.bucket_of(time, 3 * stride) for time, state in reduced.items() if state}
        assert seen == {twins.bucket_of(time, 3 * stride) for time in times[places].tolist()}
