"""Reducers and thinning keep the right samples, as their readable twins do."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given, settings

from sisock.core.errors import BadRequest
from sisock.core.model import DataBlock, TimelineBlock
from sisock.core.reduce import reducers as reducers_module
from sisock.core.reduce import thinning
from sisock.core.reduce.reducers import REDUCERS, Reducer, add_newest, reduce_block, thin_block
from sisock.core.reduce.thinning import thin

import twins

many = settings(derandomize=True, deadline=None, max_examples=300)

reducers = st.sampled_from(sorted(REDUCERS))
choosing = sorted(twins.OF_NUMBERS)
aggregating = sorted(twins.AGGREGATES)
strides = st.sampled_from([1e-6, 3.15e-5, 1e-4, 0.1, 0.2, 1.0, 1.6, 3.0, 7.7, 1e3, 1e12]) | st.floats(1e-5, 100.0)
origins = st.sampled_from([0.0, -5.0, 0.3, 1.7e9, 1.7e9 + 0.1, 1735689599.9])
numbers = st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0]) | st.integers(-3, 3).map(float)


@st.composite
def awkward_times(draw, stride):
    """Ascending times: duplicates, bucket edges and one ulp beside them, gaps shorter and longer than a stride."""
    origin = draw(origins)
    near = math.floor(origin / stride)
    edge = st.integers(near, near + 12).map(lambda number: number * stride)
    beside = st.tuples(edge, st.sampled_from([-math.inf, math.inf])).map(lambda pair: math.nextafter(*pair))
    between = st.floats(0.0, 12.0).map(lambda share: origin + share * stride)
    even = st.integers(0, 40).map(lambda count: origin + count * (stride / 3))
    several = st.lists(edge | beside | between | even, max_size=40)
    return np.array(sorted(draw(several)), dtype=np.float64)


@st.composite
def series(draw, values):
    """A stride, times that are awkward for it, and as many values."""
    stride = draw(strides)
    times = draw(awkward_times(stride))
    return stride, times, draw(st.lists(values, min_size=len(times), max_size=len(times)))


def texts(values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def block_of(times, **fields):
    values = {name: array if isinstance(array, np.ndarray) else np.array(array) for name, array in fields.items()}
    return DataBlock({"clock": TimelineBlock(np.array(times, dtype=np.float64), values)})


def check_reduced(reduced, name, times, values, kept):
    """The field's timeline has exactly the samples of these indices."""
    block = reduced.timelines[name]
    np.testing.assert_array_equal(block.times, times[kept])
    np.testing.assert_array_equal(block.values[name], values[kept])
    assert list(block.values) == [name]


@many
@given(series(numbers), st.sampled_from(choosing))
def test_numbers_are_reduced_as_by_the_twin(data, reducer):
    """Of each bucket the reducer keeps what a plain loop over its definition keeps."""
    stride, times, values = data
    values = np.array(values, dtype=np.float64)
    kept = twins.reduce(times, values, twins.OF_NUMBERS, reducer, stride)
    check_reduced(reduce_block(block_of(times, a=values), reducer, stride), "a", times, values, kept)


@many
@given(series(st.integers(-3, 3) | st.integers(2**53, 2**63 - 1)), st.sampled_from(choosing))
def test_integers_stay_integers(data, reducer):
    """Whole numbers are reduced like others, keep their type, and are told apart where floats are not."""
    stride, times, values = data
    values = np.array(values, dtype=np.int64)
    kept = twins.reduce(times, values.tolist(), twins.OF_NUMBERS, reducer, stride)
    reduced = reduce_block(block_of(times, a=values), reducer, stride)
    check_reduced(reduced, "a", times, values, kept)
    assert reduced.timelines["a"].values["a"].dtype == np.int64


def check_aggregated(reduced, times, values, reducer, stride):
    """The field has the twin's values, but for rounding, and then the newest sample unless it repeats the last."""
    expected_times, expected = twins.aggregated(times.tolist(), values.tolist(), reducer, stride)
    block = reduced.timelines["a"]
    aggregates = block.values["a"][: len(expected)]
    if reducer in twins.ADDED_UP:
        magnitudes = [abs(value) for value in values.tolist() if math.isfinite(value)]
        magnitude = min(sum(magnitudes) if reducer == "sum" else max(magnitudes, default=0.0), 1e308)
        np.testing.assert_allclose(aggregates, expected, rtol=1e-14, atol=magnitude * 1e-14)
    else:
        dtype = np.float64 if reducer == "count" else values.dtype
        np.testing.assert_array_equal(aggregates, np.array(expected, dtype=dtype))
        assert aggregates.dtype == dtype
    newest = values[-1:].astype(aggregates.dtype).tolist() if reducer in ("mean", "min", "max") else []
    if newest and not (expected_times[-1] == times[-1] and twins.same(aggregates.tolist()[-1], newest[0])):
        expected_times.append(times[-1])
        assert twins.same(block.values["a"].tolist()[-1], newest[0])
    assert block.times.tolist() == expected_times
    assert len(block.values["a"]) == len(expected_times)


@many
@given(series(numbers | st.floats(allow_nan=False)), st.sampled_from(aggregating))
def test_values_are_made_as_by_the_twin(data, reducer):
    """All that is made is of the finite values of each bucket, at the time of its middle sample."""
    stride, times, values = data
    values = np.array(values, dtype=np.float64)
    check_aggregated(reduce_block(block_of(times, a=values), reducer, stride), times, values, reducer, stride)


@many
@given(series(st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1)), st.sampled_from(aggregating))
def test_values_are_made_of_integers(data, reducer):
    """The extremes of whole numbers are exact, and whole; all else that is made of them are floats."""
    stride, times, values = data
    values = np.array(values, dtype=np.int64)
    if reducer in twins.ADDED_UP:
        values = values // 2**10  # float64 holds them
    check_aggregated(reduce_block(block_of(times, a=values), reducer, stride), times, values, reducer, stride)


@many
@given(series(st.sampled_from(["on", "off", "fault"])), reducers)
def test_texts_are_reduced_as_by_the_twin(data, reducer):
    """Texts keep the first, the first that differs and the last of each bucket."""
    stride, times, values = data
    values = texts(values)
    kept = twins.reduce(times, values, twins.OF_STATES, reducer, stride)
    check_reduced(reduce_block(block_of(times, a=values), reducer, stride), "a", times, values, kept)


@many
@given(series(st.booleans()), reducers)
def test_bools_are_reduced_as_by_the_twin(data, reducer):
    """Bools are states, not numbers."""
    stride, times, values = data
    values = np.array(values, dtype=bool)
    kept = twins.reduce(times, values, twins.OF_STATES, reducer, stride)
    check_reduced(reduce_block(block_of(times, a=values), reducer, stride), "a", times, values, kept)


@many
@given(series(numbers), reducers)
def test_fields_of_one_timeline_are_reduced_each_for_itself(data, reducer):
    """Several fields of a timeline come out as they would alone, each under its own name."""
    stride, times, values = data
    one = np.array(values, dtype=np.float64)
    fields = {"a": one, "b": one[::-1].copy(), "c": one > 0, "d": texts([str(value) for value in values])}
    together = reduce_block(block_of(times, **fields), reducer, stride)
    assert list(together.timelines) == list(fields)
    for name, array in fields.items():
        alone = reduce_block(block_of(times, **{name: array}), reducer, stride).timelines[name]
        np.testing.assert_array_equal(together.timelines[name].times, alone.times)
        np.testing.assert_array_equal(together.timelines[name].values[name], alone.values[name])


@pytest.mark.parametrize("samples_per_bucket", [0.7, 3, 700, 20000])
@pytest.mark.parametrize("reducer", sorted(REDUCERS))
@pytest.mark.parametrize("missing", [0.0, 0.01, 1.0], ids=["clean", "some NaN", "all NaN"])
def test_long_series_agree_with_the_twin(monkeypatch, reducer, samples_per_bucket, missing):
    """What holds for a few samples holds across the chunks in which many are handled."""
    monkeypatch.setattr(reducers_module, "_CHUNK_SAMPLES", 16384)
    random = np.random.default_rng(1)
    times = 1.7e9 + np.arange(50_000) * 0.1
    values = random.integers(-1000, 1000, len(times)).astype(np.float64)
    values[random.random(len(times)) < missing] = np.nan
    values[20_000:20_050] = np.inf
    stride = samples_per_bucket * 0.1 / REDUCERS[reducer].numbers.strides_per_bucket
    reduced = reduce_block(block_of(times, a=values), reducer, stride)
    if reducer in aggregating:
        check_aggregated(reduced, times, values, reducer, stride)
    else:
        kept = twins.reduce(times.tolist(), values.tolist(), twins.OF_NUMBERS, reducer, stride)
        check_reduced(reduced, "a", times, values, kept)


@pytest.mark.parametrize("period", [2, 50, 30_000])
def test_long_states_agree_with_the_twin(period):
    """States that change often or seldom are reduced alike across chunks."""
    times = 1.7e9 + np.arange(40_000) * 0.1
    values = np.arange(len(times)) % period == period - 1
    for stride in (0.07, 1.0, 700.0):
        kept = twins.reduce(times.tolist(), values.tolist(), twins.OF_STATES, "minmax", stride)
        check_reduced(reduce_block(block_of(times, a=values), "minmax", stride), "a", times, values, kept)


@pytest.mark.parametrize("reducer", ["minmax", "m4"])
@pytest.mark.parametrize("place", [0, 1, 16383, 16384, 16385, 33333, 49998, 49999])
def test_a_spike_of_one_sample_is_never_lost(monkeypatch, place, reducer):
    """One sample that stands out is drawn, wherever it lies and however coarse the stride."""
    monkeypatch.setattr(reducers_module, "_CHUNK_SAMPLES", 16384)
    times = 1.7e9 + np.arange(50_000) * 0.005
    values = np.zeros(len(times))
    values[place] = 1e6
    for stride in (0.01, 1.0, 1e9):
        reduced = reduce_block(block_of(times, a=values, b=values > 0), reducer, stride)
        for name in "ab":
            one = reduced.timelines[name]
            assert times[place] in one.times[one.values[name] > 0]


@pytest.mark.parametrize("reducer", sorted(set(REDUCERS) - {"count", "sum", "stddev"}))
def test_the_newest_sample_is_kept(reducer):
    """The last sample is in the reply whatever the reducer and the value, unless it is of another kind."""
    for newest in (5.0, math.nan, math.inf):
        reduced = reduce_block(block_of([0.0, 1.0, 2.0], a=[9.0, 1.0, newest]), reducer, 100.0)
        assert reduced.timelines["a"].times[-1] == 2.0


@pytest.mark.parametrize("values", [[1.0, 7.0, 7.0], [1.0, math.nan, math.nan], ["a", "b", "b"], [True, False, False]])
def test_a_newest_sample_that_repeats_the_last_one_kept_is_left_out(values):
    """A second sample with the same time and value adds nothing, and nobody could tell which of them is there."""
    array = texts(values) if isinstance(values[0], str) else np.array(values)
    kept = (np.array([0.0, 5.0]), array[:2])
    for newest, count in ((5.0, 2), (6.0, 3)):
        times, joined = add_newest(kept, (np.array([newest]), array[2:]))
        assert times.tolist() == [0.0, 5.0, 6.0][:count]
        assert str(joined.tolist()) == str(array[:count].tolist())


def test_without_a_newest_sample_what_was_kept_stays():
    """A span without samples has no newest one."""
    kept = (np.array([1.0]), np.array([2.0]))
    assert [part.tolist() for part in add_newest(kept, (np.empty(0), np.empty(0)))] == [[1.0], [2.0]]


def test_a_newest_sample_at_the_same_time_with_another_value_is_added():
    """Duplicate times may have different values, and the newest of these is drawn."""
    reduced = reduce_block(block_of([0.0, 1.0, 1.0, 1.0], a=[0.0, 9.0, 2.0, 3.0]), "minmax", 50.0).timelines["a"]
    assert reduced.times.tolist() == [0.0, 1.0, 1.0]
    assert reduced.values["a"].tolist() == [0.0, 9.0, 3.0]


def test_a_flat_bucket_is_one_sample():
    """Where the lowest is the highest it appears once."""
    reduced = reduce_block(block_of([0.0, 1.0, 2.0, 10.0], a=[4.0, 4.0, 4.0, 4.0]), "minmax", 2.5)
    assert reduced.timelines["a"].times.tolist() == [0.0, 10.0]


def test_infinities_stand_only_where_nothing_is_finite():
    """A finite value wins over infinities, an infinity over NaN."""
    values = [math.inf, 3.0, math.nan, -math.inf, math.nan, math.inf, math.nan, math.nan, 0.0]
    times = [0.0, 1.0, 2.0, 10.0, 11.0, 12.0, 20.0, 21.0, 30.0]
    reduced = reduce_block(block_of(times, a=values), "minmax", 5.0).timelines["a"]
    assert reduced.times.tolist() == [1.0, 10.0, 12.0, 20.0, 30.0]


@pytest.mark.parametrize(("value", "mean"), [(1.7e308, 1.7e308), (5e-324, 5e-324), (math.inf, math.inf)])
def test_the_mean_of_values_at_the_ends_of_the_range_is_one_of_them(value, mean):
    """A sum may overflow where its mean does not; infinities that agree are their own mean."""
    reduced = reduce_block(block_of(np.arange(1000.0), a=np.full(1000, value)), "mean", 2000.0).timelines["a"]
    np.testing.assert_allclose(reduced.values["a"][0], mean, rtol=1e-15)


def test_the_mean_of_opposite_infinities_is_no_number():
    """Where nothing is finite, infinities that disagree have no mean, and NaN beside them says nothing."""
    values = [math.inf, -math.inf, math.nan, math.inf, math.nan]
    reduced = reduce_block(block_of([0.0, 1.0, 10.0, 11.0, 20.0], a=values), "mean", 10.0).timelines["a"]
    np.testing.assert_array_equal(reduced.values["a"], [math.nan, math.inf, math.nan])


@pytest.mark.parametrize("reducer", aggregating)
def test_what_is_made_has_the_same_times(reducer):
    """All that is made of a bucket is at one time, inside the span, so that a band may be filled."""
    times = np.array([0.0, 1.0, 2.0, 10.0, 19.5, 30.0])
    reduced = reduce_block(block_of(times, a=[4.0, 5.0, 9.0, 2.0, 3.0, 7.0]), reducer, 10.0).timelines["a"]
    assert reduced.times.tolist() == [1.0, 19.5, 30.0]


@pytest.mark.parametrize("reducer", aggregating)
def test_the_newest_sample_does_not_stand_beside_what_is_of_another_kind(reducer):
    """The newest sample ends a series of means and extremes; a count, a sum or a deviation it is not."""
    reduced = reduce_block(block_of([0.0, 1.0, 2.0, 3.0], a=[4.0, 5.0, 9.0, 7.0]), reducer, 10.0).timelines["a"]
    assert reduced.times.tolist() == ([2.0, 3.0] if reducer in ("mean", "min", "max") else [2.0])


@pytest.mark.parametrize("reducer", ["min", "max", "mean", "sum"])
def test_an_aggregate_of_zero_has_no_sign(reducer):
    """Zeros are equal, so which one is the lowest must not show."""
    for zeros in ([0.0, -0.0], [-0.0, 0.0], [-0.0, -0.0]):
        zero = reduce_block(block_of([0.0, 1.0], a=zeros), reducer, 10.0).timelines["a"].values["a"][0]
        assert math.copysign(1.0, zero) == 1.0


def test_each_reducer_has_a_readable_twin():
    """What a reducer must do stands in a few obvious lines among the twins, under the same name."""
    assert list(REDUCERS) == list(twins.REDUCERS)
    assert all(name == one.name for name, one in REDUCERS.items())
    for name, twin in twins.REDUCERS.items():
        one = REDUCERS[name]
        assert (one.numbers.strides_per_bucket, one.states.strides_per_bucket) == (twin.strides, twin.states[0])
        assert one.numbers.chooses is (twin.aggregate is None)


@pytest.mark.parametrize("reducer", sorted(REDUCERS))
def test_a_reducer_says_whether_it_chooses(reducer):
    """States are always chosen; of numbers a mean is made, as are the extremes and all else that is of no sample."""
    assert REDUCERS[reducer].numbers.chooses is (reducer not in aggregating)
    assert REDUCERS[reducer].states.chooses


@pytest.mark.parametrize("reducer", sorted(REDUCERS))
def test_no_samples_reduce_to_no_samples(reducer):
    """An empty timeline gives each field an empty one."""
    reduced = reduce_block(block_of([], a=np.empty(0), b=np.empty(0, dtype=bool)), reducer, 1.0)
    assert [one.values[name].dtype for name, one in reduced.timelines.items()] == [np.float64, np.bool_]
    assert {name: len(one.times) for name, one in reduced.timelines.items()} == {"a": 0, "b": 0}


def test_what_a_timeline_states_is_carried_over():
    """Reducing does not move finality, age or generation."""
    stated = TimelineBlock(np.arange(9.0), {"a": np.arange(9.0)}, 7.5, 0.25, "g1")
    reduced = reduce_block(DataBlock({"clock": stated}), "last", 4.0).timelines["a"]
    assert (reduced.finalized_until, reduced.available_from, reduced.generation) == (7.5, 0.25, "g1")


@many
@given(reducers, origins, st.floats(0.01, 1e5), st.floats(0.0, 1.0), st.integers(8, 60))
def test_reduced_fields_never_exceed_the_points_asked_for(reducer, origin, length, phase, max_points):
    """With the stride chosen for them, spans of any length and phase stay within max_points for any type."""
    max_points = max(max_points, REDUCERS[reducer].fewest_points)
    start = origin + phase * length
    end = start + length
    stride = REDUCERS[reducer].stride_for_points(start, end, max_points)
    times = np.unique(np.linspace(start, end, 3000))
    times = times[times < end]
    zigzag = np.resize([1.0, -1.0, 3.0, -4.0, 0.0], len(times))
    reduced = reduce_block(block_of(times, a=zigzag, b=zigzag > 0), reducer, stride)
    assert max(len(one.times) for one in reduced.timelines.values()) <= max_points


def test_the_stride_for_points_fits_numbers_and_states():
    """A reducer's stride is the larger of those that its two kinds need."""
    assert REDUCERS["minmax"].stride_for_points(0.0, 6000.0, 9) == pytest.approx(2000.0)
    assert REDUCERS["last"].stride_for_points(0.0, 1000.0, 12) == pytest.approx(100.0)
    assert REDUCERS["m4"].stride_for_points(0.0, 8000.0, 9) == pytest.approx(3150.0)  # two buckets of 3 for states
    assert REDUCERS["m4"].stride_for_points(0.0, 8000.0, 13) == pytest.approx(1000.0)


@pytest.mark.parametrize("reducer", sorted(REDUCERS))
def test_fewer_points_than_a_reducer_needs_are_refused(reducer):
    """Two buckets of either kind and the newest sample must fit."""
    fewest = REDUCERS[reducer].fewest_points
    REDUCERS[reducer].stride_for_points(0.0, 1.0, fewest)
    with pytest.raises(BadRequest, match=f"at least {fewest}"):
        REDUCERS[reducer].stride_for_points(0.0, 1.0, fewest - 1)


def test_types_choose_their_selection():
    """Numbers have one selection; texts and bools share the other."""
    reducer = REDUCERS["minmax"]
    assert isinstance(reducer, Reducer)
    assert reducer.for_type("number") is reducer.numbers
    assert reducer.for_type("string") is reducer.for_type("bool") is reducer.states
    assert reducer.numbers.width(5.0) == 10.0


@pytest.mark.parametrize("name", ["", "median", "MINMAX", None, 3, ["minmax"]])
def test_an_unknown_reducer_is_refused_with_the_known_ones(name):
    """Whoever asks for a reducer that is not there learns which are."""
    with pytest.raises(BadRequest, match="first, last, minmax"):
        reduce_block(block_of([0.0], a=[1.0]), name, 1.0)


@pytest.mark.parametrize("stride", [0, 0.0, -1.0, math.nan, math.inf, -math.inf, "1", None, True, 10**400])
def test_a_stride_must_be_a_finite_number_above_zero(stride):
    """Nonsense for a stride is refused, by reducers and by thinning, even where nothing is to be reduced."""
    with pytest.raises(BadRequest, match="stride"):
        reduce_block(block_of([], a=[]), "last", stride)
    with pytest.raises(BadRequest, match="stride"):
        thin(np.empty(0), stride)


def test_a_stride_finer_than_float64_is_refused():
    """Buckets that float64 cannot number are refused in words."""
    with pytest.raises(BadRequest, match="too fine"):
        reduce_block(block_of([1.7e9, 1.8e9], a=[1.0, 2.0]), "last", 1e-9)


@many
@given(series(numbers))
@example((1.0, np.array([5.0]), [0.0]))
def test_thinning_agrees_with_the_twin(data):
    """Thinning keeps what a plain loop keeps."""
    stride, times, _ = data
    assert thin(times, stride).tolist() == twins.thin(times.tolist(), stride)


@many
@given(series(numbers), st.sampled_from([1e-12, 0.5, 1.0, 3.0, 40.0]))
def test_both_walks_of_thinning_agree(data, factor):
    """The walk for far steps and the walk for near steps keep the same samples."""
    stride, times, _ = data
    near = list(thinning._walk_near(times, stride * factor))
    assert near == list(thinning._walk_far(times, stride * factor)) == twins.thin(times.tolist(), stride * factor)


@pytest.mark.parametrize("stride", [0.05, 0.1, 0.3, 0.7, 1.0, 100.0, 1e6])
def test_long_series_are_thinned_as_by_the_twin(stride):
    """Thinning agrees with the loop across chunks, with steady and with irregular spacing."""
    steady = 1.7e9 + np.arange(40_000) * 0.1
    bursts = np.sort(1.7e9 + np.random.default_rng(2).integers(0, 9000, 40_000) * 0.1)
    for times in (steady, bursts):
        assert thin(times, stride).tolist() == twins.thin(times.tolist(), stride)


def test_thinning_keeps_the_same_samples_for_all_fields():
    """The fields of a timeline keep their common times."""
    block = thin_block(block_of([0.0, 1.0, 2.0, 3.0, 4.0], a=[5, 6, 7, 8, 9], b=[True, False, True, False, True]), 2.0)
    one = block.timelines["clock"]
    assert one.times.tolist() == [0.0, 2.0, 4.0]
    assert one.values["a"].tolist() == [5, 7, 9]
    assert one.values["b"].tolist() == [True, True, True]


def test_thinning_without_a_stride_changes_nothing():
    """With no stride every sample stays."""
    block = block_of([0.0, 0.0, 1.0], a=[1, 2, 3])
    assert thin_block(block, None) is block


@pytest.mark.parametrize("start", [0.0, 1.7e9, 1.7e9 + 1.3])
@pytest.mark.parametrize("step", [0.25, 0.5, 0.1])
@given(seed=st.integers(0, 10**6))
@settings(derandomize=True, deadline=None, max_examples=20)
def test_regular_samples_are_reduced_like_any_others(start, step, seed):
    """Buckets that are all equally long take a way of their own, with the same samples: ties, cut ends and NaN too."""
    generator = np.random.default_rng(seed)
    times = start + np.arange(generator.integers(40, 400)) * step
    values = generator.integers(0, 5, times.size).astype(float)
    values[generator.random(times.size) < generator.choice([0.0, 0.02])] = np.nan
    stride = float(generator.choice([1.0, 2.0]))
    kept = twins.reduce(times.tolist(), values.tolist(), twins.OF_NUMBERS, "minmax", stride)
    block = reduce_block(DataBlock({"t": TimelineBlock(times, {"v": values})}), "minmax", stride)
    assert block.timelines["v"].times.tolist() == times[kept].tolist()
