"""Sisock time, ISO 8601, durations, the ladder of strides, and buckets."""

import math
from datetime import UTC, datetime
from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given, settings

from sisock.core.errors import BadRequest
from sisock.core.times import (
    EARLIEST,
    LADDER,
    bucket_edges,
    bucket_number,
    bucket_of,
    check_stride,
    format_duration,
    format_iso8601,
    ladder_stride,
    parse_duration,
    parse_iso8601,
    resolve_span,
    stride_for_points,
    to_unix,
)

import twins

NOW = 1.7e9

many = settings(derandomize=True, deadline=None, max_examples=500)


@pytest.mark.parametrize(
    ("given_time", "expected"),
    [
        (1.5e9, 1.5e9),
        (2.0e9, 2.0e9),
        (0, NOW),
        (-0.0, NOW),
        (-60, NOW - 60),
        (np.float32(-2.5), NOW - 2.5),
        (np.int64(7), 7.0),
        (1e-9, EARLIEST),
        (-NOW, EARLIEST),
        (-1e300, EARLIEST),
    ],
)
def test_sisock_time_is_absolute_above_zero_and_relative_below(given_time, expected):
    """Positive is UNIX time, the rest counts back from now, and nothing comes out at or before 1970."""
    assert to_unix(given_time, NOW) == expected


@pytest.mark.parametrize("nonsense", [math.nan, math.inf, -math.inf, "5", None, True, [1.0], 1j, 10**400])
def test_what_is_no_finite_number_is_no_time(nonsense):
    """Nonsense for a time is refused in words."""
    with pytest.raises(BadRequest, match="a finite number"):
        to_unix(nonsense, NOW)


def test_one_to_zero_is_all_time_until_now():
    """Both ends of a span are resolved against the same now."""
    assert resolve_span(1, 0, NOW) == (1.0, NOW)
    assert resolve_span(-60, -10, NOW) == (NOW - 60, NOW - 10)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0.0),
        ("2024-02-29T12:00:00.250Z", 1709208000.25),
        ("2024-02-29t12:00:00,250z", 1709208000.25),
        ("2024-02-29T12:00Z", 1709208000.0),
        ("2024-02-29T14:00:00+02:00", 1709208000.0),
        ("2024-02-29T08:30:00.5-0330", 1709208000.5),
        ("2023-11-14T22:13:20.123456789Z", 1700000000.123456789),
        ("1969-12-31T23:59:59.75Z", -0.25),
        ("2023-12-31T23:59:59.999Z", 1704067199.999),
    ],
)
def test_iso_8601_is_read_with_its_zone(text, expected):
    """Zones, fractions of any length and the year's end give the nearest float64."""
    assert parse_iso8601(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2024-02-29",
        "2024-02-29T12:00:00",
        "2023-02-29T12:00:00Z",
        "2024-02-29T25:00:00Z",
        "2024-02-29T12:00:60Z",
        "2024-02-29 12:00:00Z",
        "2024-02-29T12:00:00Z\n",
        "٢٠٢٤-02-29T12:00:00Z",
        "1709208000",
        1709208000,
        None,
        b"2024-02-29T12:00:00Z",
    ],
)
def test_what_is_no_iso_8601_with_zone_is_refused(text):
    """Days that are not, lacking zones and other notations are refused with an example of what to write."""
    with pytest.raises(BadRequest, match="write it as 2024-05-06T07:08:09"):
        parse_iso8601(text)


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1709208000.25, "2024-02-29T12:00:00.250Z"),
        (1704067199.9996, "2024-01-01T00:00:00.000Z"),
        (-0.25, "1969-12-31T23:59:59.750Z"),
    ],
)
def test_iso_8601_is_written_in_utc_to_the_millisecond(time, expected):
    """Times are written in UTC, rounded to the nearest millisecond."""
    assert format_iso8601(time) == expected


@many
@given(st.integers(-(10**12), 10**14))
def test_iso_8601_comes_back(milliseconds):
    """What was written to the millisecond reads back as the same number."""
    assert parse_iso8601(format_iso8601(milliseconds / 1000)) == milliseconds / 1000


@many
@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)))  # noqa: DTZ001 - the zone is put on below
def test_iso_8601_agrees_with_the_library(moment):
    """Every moment is read as the standard library reads it."""
    text = moment.isoformat(timespec="microseconds") + "Z"
    assert parse_iso8601(text) == pytest.approx(moment.replace(tzinfo=UTC).timestamp(), abs=1e-9, rel=1e-15)


@pytest.mark.parametrize("time", [1e15, -1e15, math.nan, math.inf, None])
def test_a_time_outside_the_calendar_cannot_be_written(time):
    """Years beyond 9999, and nonsense, are refused."""
    with pytest.raises(BadRequest):
        format_iso8601(time)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500ms", 0.5),
        ("250us", 250e-6),
        ("250µs", 250e-6),
        ("20s", 20.0),
        ("1.5m", 90.0),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("1h30m", 5400.0),
        ("1m0s", 60.0),
        ("1d", 86400.0),
        ("1w", 604800.0),
        ("1M", 2592000.0),
        ("1y", 31536000.0),
        (" 0s ", 0.0),
    ],
)
def test_durations_are_read(text, expected):
    """Durations are numbers with units, one or several, and minutes are not months."""
    assert parse_duration(text) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("text", ["", "20", "s", "-5s", "5 s", "5S", "1e3s", "5sec", ".5s", "9" * 400 + "y", 20, None])
def test_what_is_no_duration_is_refused(text):
    """A number without unit, a sign, or an unknown unit is refused with examples."""
    with pytest.raises(BadRequest, match="500ms, 20s"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (12, "12 s"),
        (1.0, "1 s"),
        (0.0125, "12.5 ms"),
        (2e-6, "2 µs"),
        (2e-8, "0.02 µs"),
        (90, "1.5 min"),
        (180, "3 min"),
        (59.999, "1 min"),
        (7200, "2 h"),
        (1209600, "14 d"),
        (31536000 * 1234, "1230 y"),
        (-30, "-30 s"),
        (math.inf, "inf s"),
    ],
)
def test_durations_are_written_for_people(seconds, expected):
    """Three digits in the largest unit that fits."""
    assert format_duration(seconds) == expected


def test_the_ladder_has_ten_even_steps_a_decade():
    """Steps ascend by about a quarter, and each decade repeats the one before."""
    ratios = np.diff(np.log10(LADDER))
    assert ((ratios > 0.09) & (ratios < 0.12)).all()
    assert {1e-6, 0.25, 1.0, 3.15, 6.3, 16.0, 1e6} <= set(LADDER)
    assert [f"{step:.6g}" for step in LADDER[60:70]] == ["1", "1.25", "1.6", "2", "2.5", "3.15", "4", "5", "6.3", "8"]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, 1e-6),
        (-1.0, 1e-6),
        (1.0, 1.0),
        (math.nextafter(1, 2), 1.25),
        (21.6, 25.0),
        (9.0, 10.0),
        (3.15e-4, 3.15e-4),
    ],
)
def test_a_stride_is_raised_to_the_next_step(seconds, expected):
    """A step of the ladder is its own next step; below the least there is only the least."""
    assert ladder_stride(seconds) == expected


@pytest.mark.parametrize("seconds", [math.nan, math.inf, 1e30, "1"])
def test_there_is_no_step_above_the_ladder(seconds):
    """What no step can reach is refused."""
    with pytest.raises(BadRequest, match="stride"):
        ladder_stride(seconds)


@pytest.mark.parametrize(
    ("length", "max_points", "samples", "strides", "expected"),
    [
        (1000, 1002, 1, 1, 1.0),
        (1000, 1001, 1, 1, 1.25),
        (21600, 1000, 2, 2, 25.0),
        (0, 1000, 2, 2, 1e-6),
        (-5, 1000, 2, 2, 1e-6),
        (100, 3, 1, 1, 100.0),
    ],
)
def test_the_stride_is_the_smallest_that_fits(length, max_points, samples, strides, expected):
    """The buckets that any phase may touch, and the newest sample, fit exactly."""
    assert stride_for_points(NOW, NOW + length, max_points, samples, strides) == expected


spans = st.tuples(st.sampled_from([0.1, 1.0, 1e6, 1.7e9, 2.0**30 - 50]) | st.floats(1, 2e9), st.floats(1e-3, 1e9))


@many
@given(spans, st.integers(5, 5000), st.sampled_from([(1, 1), (2, 2), (3, 3), (2, 3), (4, 4)]))
def test_the_stride_agrees_with_the_twin(span, max_points, shape):
    """The step fits by the plain formula, and the step before it does not."""
    samples, strides = shape
    if max_points < 2 * samples + 1:
        return
    start, end = span[0], span[0] + span[1]
    step = stride_for_points(start, end, max_points, samples, strides)
    assert twins.most_points(start, end, step, samples, strides) <= max_points
    below = LADDER.index(step) - 1
    if below >= 0:
        assert twins.most_points(start, end, LADDER[below], samples, strides) > max_points


@many
@given(spans, st.integers(3, 400), st.integers(1, 3), st.booleans(), st.floats(-1, 1))
def test_no_phase_touches_more_buckets_than_promised(span, buckets, strides, beside, shift):
    """Wherever a span of that length starts, one ulp before an edge included, its buckets fit."""
    start, end = span[0], span[0] + span[1]
    width = stride_for_points(start, end, buckets + 1, 1, strides) * strides
    edge = (int(bucket_of(start, width)) + 1) * width
    moved = math.nextafter(edge, 0) if beside else start + shift * width
    stop = moved + (end - start)
    if Fraction(stop) - Fraction(moved) > Fraction(end) - Fraction(start):
        stop = math.nextafter(stop, 0)
    newest = math.nextafter(stop, -math.inf)
    first, last = bucket_of(np.array([moved, newest]), width)
    assert last - first + 1 <= buckets


@pytest.mark.parametrize(("max_points", "samples"), [(2, 1), (4, 2), (6, 3), (0, 1), (-5, 1)])
def test_too_few_points_are_refused(max_points, samples):
    """Without room for two buckets and the newest sample no stride can help; the error names the least."""
    with pytest.raises(BadRequest, match=f"at least {2 * samples + 1}"):
        stride_for_points(0, 10, max_points, samples, samples)


widths = st.sampled_from(LADDER[:110]) | st.floats(1e-5, 1e6)


@many
@given(st.integers(-(2**40), 2**40), widths, st.sampled_from([-1, 0, 1]))
@example(3, 0.1, 0)
@example(2**40, 1e-6, -1)
def test_a_bucket_starts_at_its_edge(number, width, ulps):
    """At an edge k*width begins bucket k; one ulp before, k - 1."""
    time = number * width
    time = math.nextafter(time, ulps * math.inf) if ulps else time
    found = int(bucket_of(time, width))
    assert found * width <= time < (found + 1) * width
    assert found == twins.bucket_of(time, width)
    if ulps == 0:
        assert found == number


def test_many_edges_are_in_their_own_buckets():
    """The rule holds for arrays, where the quotient's floor alone does not."""
    random = np.random.default_rng(3)
    for width in (0.1, 0.2, 1 / 3, 3.15, 6.3, 1e-3, 0.005):
        numbers = np.sort(random.integers(1, int(2e9 / width), 20_000))
        edges = numbers * width
        np.testing.assert_array_equal(bucket_of(edges, width), numbers)
        np.testing.assert_array_equal(bucket_of(np.nextafter(edges, -np.inf), width), numbers - 1)
        np.testing.assert_array_equal(bucket_edges(numbers[0], numbers[0] + 9, width)[:1], edges[:1])


@pytest.mark.parametrize("width", [0.1, 1 / 3, 3.15, 6.3])
def test_one_time_has_the_bucket_that_many_have(width):
    """At an edge, and one ulp on either side of it, the number of one time is that among many times."""
    edges = np.random.default_rng(4).integers(1, int(2e9 / width), 500) * width
    times = np.concatenate([edges, np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf)])
    assert [bucket_number(time, width) for time in times.tolist()] == bucket_of(times, width).tolist()


def test_edges_are_multiples_of_the_width():
    """Edges include both ends, and none is an empty array."""
    assert bucket_edges(-1, 2, 0.1).tolist() == [-0.1, 0.0, 0.1, 0.2]
    assert bucket_edges(3, 2, 0.1).tolist() == []
    assert bucket_of(np.empty(0), 0.1).dtype == np.int64


@pytest.mark.parametrize(("time", "width"), [(1.7e9, 1e-9), (-1.7e9, 1e-9), (1e300, 1e-300), (math.nan, 1.0)])
def test_buckets_that_cannot_be_numbered_are_refused(time, width):
    """Where float64 has no room for a bucket's number the answer is an error in words."""
    with pytest.raises(BadRequest, match="too fine"):
        bucket_of(np.array([time]), width)


@pytest.mark.parametrize("stride", [1e-6, 1, 2.5])
def test_a_stride_above_zero_is_one(stride):
    """Any finite number above zero is taken as it is."""
    assert check_stride(stride) == stride


@pytest.mark.parametrize("stride", [0, -1.0, -1e-9])
def test_a_stride_is_above_zero(stride):
    """Zero and less are refused, with the way to have every sample."""
    with pytest.raises(BadRequest, match="above zero: leave it out"):
        check_stride(stride)
