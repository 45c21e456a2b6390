"""Buckets that are made of smaller ones are what their samples make."""

import itertools
import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from sisock.core.reduce.aggregates import SampleBlocks
from sisock.core.reduce.reducers import PARTS, REDUCERS, combine_buckets

import twins

many = settings(derandomize=True, deadline=None, max_examples=300)

KINDS = ["noise", "offset", "mess", "constant", "huge", "tiny", "whole"]


def values_of(random, kind, count):
    """Numbers that are awkward to add up."""
    noise = random.normal(size=count)
    if kind == "mess":
        noise[random.random(count) < 0.9] = np.nan
        noise[random.random(count) < 0.2] = random.choice([np.inf, -np.inf])
    scale = {"offset": 1e-3, "constant": 0.0, "huge": 1.7e308 / 6, "tiny": 1e-200}.get(kind, 1.0)
    offset = {"offset": 1e9, "constant": 0.1, "noise": random.choice([0.0, 3.0])}.get(kind, 0.0)
    values = np.clip(noise, -6, 6) * scale + offset
    return np.round(values) if kind == "whole" else values


def cut(random, count, most):
    """The first index of each of at most so many ranges."""
    return np.unique([0, *random.integers(0, count, random.integers(0, most))])


def parts_of(values, starts, names):
    aggregates = {name: REDUCERS[name].numbers.aggregate for name in names}
    return {name: one.of(SampleBlocks(values), starts).astype(np.float64) for name, one in aggregates.items()}


@many
@given(st.sampled_from(sorted(PARTS)), st.sampled_from(KINDS), st.integers(0, 10**6))
def test_what_is_made_of_parts_is_made_of_their_samples(reducer, kind, seed):
    """Counts and extremes are exact, the others but for rounding beside the largest value."""
    random = np.random.default_rng(seed)
    values = values_of(random, kind, int(random.integers(1, 500)))
    if reducer == "sum" and kind == "huge":
        values /= 500  # else a part may be beyond all floats where the whole is not
    starts = cut(random, len(values), 40)
    groups = cut(random, len(starts), 6)
    made = combine_buckets(reducer, parts_of(values, starts, PARTS[reducer]), groups)
    edges = [*starts[groups].tolist(), len(values)]
    buckets = [range(low, high) for low, high in itertools.pairwise(edges)]
    expected = np.array([twins.AGGREGATES[reducer](values.tolist(), bucket) for bucket in buckets], dtype=float)
    if reducer not in twins.ADDED_UP:
        assert made.tolist() == pytest.approx(expected.tolist(), abs=0, rel=0, nan_ok=True)
        return
    magnitude = np.abs(values[np.isfinite(values)]).max(initial=0.0)
    magnitude *= len(values) if reducer == "sum" else 1
    np.testing.assert_allclose(made, expected, rtol=1e-12, atol=magnitude * 4e-16)


@pytest.mark.parametrize("reducer", sorted(PARTS))
def test_parts_without_samples_change_nothing(reducer):
    """A part of which nothing is known adds nothing, and where there is no other, nothing is made."""
    values = np.arange(6.0)
    parts = parts_of(values, np.array([0, 3]), PARTS[reducer])
    gaps = {name: np.array([np.nan, one[0], np.nan, one[1], np.nan, np.nan]) for name, one in parts.items()}
    (expected,) = combine_buckets(reducer, parts, np.array([0])).tolist()
    assert str(combine_buckets(reducer, gaps, np.array([0, 4])).tolist()) == str([expected, math.nan])


@pytest.mark.parametrize(
    ("reducer", "values", "made"),
    [
        ("sum", [1.0, np.inf], 1.0),
        ("mean", [1.0, np.inf], 1.0),
        ("min", [1.0, -np.inf], 1.0),
        ("max", [np.nan, 1.0], 1.0),
        ("count", [np.nan, 1.0], 1.0),
        ("stddev", [np.inf, 1.0], 0.0),
        ("sum", [np.inf, np.nan], np.inf),
        ("mean", [np.inf, -np.inf], np.nan),
        ("stddev", [np.inf, np.inf], np.nan),
        ("count", [np.nan, np.inf], 0.0),
    ],
)
def test_finite_values_win_over_parts_that_have_none(reducer, values, made):
    """A part of infinities or NaN counts where no part has a finite value, and only there."""
    parts = parts_of(np.array(values), np.array([0, 1]), PARTS[reducer])
    assert twins.same(combine_buckets(reducer, parts, np.array([0]))[0], made)


def test_huge_sums_that_cancel_are_finite():
    """What overflows on the way is right in the end, and what is beyond all floats is infinite."""
    sums = np.array([1.5e308, 1.5e308, -1.5e308, -1e308, 1.5e308, 1.5e308])
    parts = {"sum": sums, "count": np.ones(6)}
    assert combine_buckets("sum", parts, np.array([0, 4])).tolist() == [pytest.approx(0.5e308), np.inf]


def test_no_deviation_is_found_among_equal_values():
    """Parts of one and the same value have none together."""
    parts = parts_of(np.full(1000, 0.5), np.arange(0, 1000, 7), PARTS["stddev"])
    assert combine_buckets("stddev", parts, np.array([0, 100])).tolist() == [0.0, 0.0]


def test_a_little_deviation_beside_a_large_value_is_kept():
    """One value of thousands that differs by the least that it can is not lost in rounding."""
    values = np.full(10_000, 1e9)
    values[77] = np.nextafter(1e9, np.inf)
    parts = parts_of(values, np.arange(0, 10_000, 1000), PARTS["stddev"])
    expected = twins.stddev(values.tolist(), range(10_000))
    np.testing.assert_allclose(combine_buckets("stddev", parts, np.array([0])), expected, rtol=1e-3)


def test_no_groups_are_no_values():
    """Without parts nothing is made."""
    for reducer, names in PARTS.items():
        assert combine_buckets(reducer, dict.fromkeys(names, np.empty(0)), np.empty(0, dtype=np.intp)).tolist() == []


def test_all_that_aggregates_can_be_combined():
    """Each reducer that aggregates a bucket has its parts, which are reducers themselves."""
    assert set(PARTS) == set(twins.AGGREGATES) == {name for name, one in REDUCERS.items() if not one.numbers.chooses}
    assert {part for parts in PARTS.values() for part in parts} <= set(twins.AGGREGATES)
