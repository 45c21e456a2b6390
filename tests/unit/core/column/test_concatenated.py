"""Columns joined in time answer as one column of all their samples does."""

import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from unit.core.column.test_column import column_of_before, kinds, raw, reducers, seeds, series

from sisock.core.column.column import Column
from sisock.core.column.concatenated import Concatenated
from sisock.core.errors import BadRequest
from sisock.core.model import Statement
from sisock.core.reduce.reducers import REDUCERS
from sisock.core.window.edge import look_ahead

import twins

many = settings(derandomize=True, deadline=None, max_examples=150)
STATED = Statement(5.0, 1.0, "g")


def cut_at_random(times, values, seed):
    """The samples as columns, cut where the time changes: with a summary, one of before or none."""
    random = np.random.default_rng(seed)
    places = np.flatnonzero(np.diff(times) > 0) + 1
    count = min(len(places), int(random.choice([0, 1, 2, 10, 60])))
    cuts = [0, *np.sort(random.choice(places, count, replace=False)).tolist(), len(times)]
    make = [Column.of, Column.plain, column_of_before]
    return [make[int(random.integers(3))](times[low:high], values[low:high]) for low, high in itertools.pairwise(cuts)]


def check_reduced(got, expected, reducer, values):
    """The same times and values, bit for bit; what is added up but for rounding, beside the largest of the values."""
    assert got[0].tobytes() == expected[0].tobytes()
    assert got[1].dtype == expected[1].dtype
    if reducer in twins.ADDED_UP and got[1].dtype.kind == "f":
        numbers = np.abs(values.astype(float))
        with np.errstate(over="ignore"):
            magnitude = np.max(numbers, initial=0.0, where=np.isfinite(numbers))
            magnitude = min(magnitude * (len(numbers) if reducer == "sum" else 1), 1e308)
        np.testing.assert_allclose(got[1], expected[1], rtol=1e-12, atol=magnitude * 1e-14)
    else:
        assert str(got[1].tolist()) == str(expected[1].tolist())


@many
@given(seeds, kinds, reducers)
def test_joined_columns_reduce_as_one(seed, kind, reducer):
    """However samples are spread over columns, each bucket gets what its samples give, one across columns too."""
    times, values, questions = series(seed, kind, 5000)
    joined = Concatenated.of(cut_at_random(times, values, seed), STATED)
    for start, end, stride in questions:
        expected = raw(times, values, start, end, reducer, stride)
        check_reduced(joined.reduced(start, end, reducer, stride), expected, reducer, values)


@many
@given(seeds, kinds)
def test_joined_columns_hold_the_samples_of_one(seed, kind):
    """The samples of a span, and the newest of it, are those of all the samples."""
    times, values, questions = series(seed, kind, 3000)
    joined = Concatenated.of(cut_at_random(times, values, seed), STATED)
    one = Column.of(times, values)
    for start, end, _ in questions:
        for got, expected in (
            (joined.within(start, end), one.within(start, end)),
            (joined.newest(start, end), one.newest(start, end)),
        ):
            assert got[0].tobytes() == expected[0].tobytes()
            assert (got[1].dtype, str(got[1].tolist())) == (expected[1].dtype, str(expected[1].tolist()))


@settings(many, max_examples=40)
@given(seeds, st.sampled_from(["float", "mess", "int"]), st.sampled_from(sorted(twins.ADDED_UP)))
def test_what_is_made_of_a_whole_bucket_is_the_same_for_all_spans(seed, kind, reducer):
    """What is made of a bucket that lies inside the span does not change with the span, not in its last digit."""
    times, values, questions = series(seed, kind, 1500)
    joined = Concatenated.of(cut_at_random(times, values, seed), STATED)
    for _, _, stride in questions:
        everything = dict(zip(*map(np.ndarray.tolist, joined.reduced(-1e12, 1e12, reducer, stride)), strict=True))
        for number in (3, 7):
            low, high = np.floor(times[[len(times) // number, -1]] / stride) * stride
            inside = joined.reduced(low, high, reducer, stride)
            for time, value in zip(*map(np.ndarray.tolist, inside), strict=True):
                assert repr(everything[time]) == repr(value)


@many
@given(seeds, st.sampled_from(["float", "spikes", "int", "bool"]))
def test_what_is_told_ahead_is_that_of_one_column(seed, kind):
    """What later windows need of their first bucket does not depend on how the samples are spread over columns."""
    times, values, questions = series(seed, kind, 2000)
    joined, column = Concatenated.of(cut_at_random(times, values, seed), STATED), Column.of(times, values)
    for start, end, stride in (one for one in questions if one[0] < one[1]):
        got, expected = (look_ahead(found, start, end, "minmax", stride, 0.7 * stride) for found in (joined, column))
        assert (got is None) == (expected is None)
        if got is not None:
            assert [str(array.tolist()) for array in got] == [str(array.tolist()) for array in expected]


def test_only_columns_of_the_span_are_opened():
    """A question opens the columns that lie in its span, whatever number there is."""
    opened = []

    def column(number):
        opened.append(number)
        return Column.plain(np.array([10.0 * number, 10.0 * number + 5]), np.array([1.0, 2.0]))

    starts = 10.0 * np.arange(10_000)
    series_ = Concatenated(
        starts, starts + 5.5, lambda low, high: [column(n) for n in range(low, high)], np.dtype(float), STATED
    )
    assert series_.within(20.0, 40.0)[0].tolist() == [20, 25, 30, 35]
    assert series_.reduced(6.0, 20.0, "max", 100.0)[0].tolist() == [15]
    assert series_.newest(0.0, 1e9)[0].tolist() == [99_995]
    assert opened == [2, 3, 1, 9999]


def test_between_columns_there_is_nothing():
    """A span without samples, or a reversed one, gives empty arrays of the right type, whatever is asked."""
    columns = [Column.of(np.array([1.0, 2.0]), np.array([3, 4])), Column.of(np.array([8.0]), np.array([5]))]
    joined = Concatenated.of(columns, STATED)
    for span in ((3.0, 8.0), (9.0, 20.0), (5.0, 1.0)):
        for reducer in REDUCERS:
            times, values = joined.reduced(*span, reducer, 1.0)
            assert (len(times), values.dtype.kind) == (0, "f" if reducer in (*twins.ADDED_UP, "count") else "i")
        assert [len(joined.within(*span)[0]), len(joined.newest(*span)[0])] == [0, 0]


def test_a_column_may_be_empty():
    """A column without samples inside its limits is passed over when the newest sample is looked for."""
    columns = [Column.of(np.array([1.0]), np.array([3.0])), Column.of(np.array([]), np.array([]))]
    joined = Concatenated(
        np.array([1.0, 2.0]), np.array([2.0, 5.0]), lambda low, high: columns[low:high], np.dtype(float), STATED
    )
    assert joined.newest(0.0, 9.0)[0].tolist() == [1.0]
    assert joined.reduced(0.0, 9.0, "mean", 4.0)[1].tolist() == [3.0]


@pytest.mark.parametrize(("reducer", "stride"), [("median", 1.0), ("minmax", 0.0), ("minmax", float("nan"))])
def test_wrong_questions_are_refused(reducer, stride):
    """A reducer that does not exist and an impossible stride are told, not answered."""
    joined = Concatenated.of([Column.of(np.array([1.0]), np.array([3.0]))], STATED)
    with pytest.raises(BadRequest):
        joined.reduced(0.0, 9.0, reducer, stride)
    assert joined.statement is STATED
