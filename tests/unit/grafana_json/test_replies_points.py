from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
import numpy as np
import orjson
import pytest
from hypothesis import given

from grafana_json.replies import FEWEST, PointCache, pairs
from sisock.core.model import Times, Values

MANY_BYTES = 2**24
SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.7e308, 5e-324]


def written(points: PointCache, times: Times, values: Values, series: str = "a") -> bytes:
    """Return the JSON of points that a cache writes."""
    return orjson.dumps(points.write(series, times, values))


def plainly(times: Times, values: Values) -> bytes:
    """Return the JSON of all points, written anew."""
    return orjson.dumps(pairs(times, values), option=orjson.OPT_SERIALIZE_NUMPY)


@st.composite
def long_series(draw: Any) -> tuple[Times, Values]:
    """Return a series longer than any window, with equal times and values that compare in odd ways."""
    numbers = np.random.default_rng(draw(st.integers(0, 2**32)))
    size = draw(st.integers(FEWEST, 4 * FEWEST))
    times = 1.7e9 + np.cumsum(numbers.choice([0.0, 0.1, 0.1234567, 8.0], size))
    values = numbers.choice([*SPECIAL, *numbers.normal(size=20)], size)
    return times, values.astype(draw(st.sampled_from(["f8", "i8", "?"]))) if draw(st.booleans()) else values


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
@given(long_series(), st.lists(st.tuples(st.floats(0, 0.4), st.floats(0.6, 1), st.integers(-1, 300)), max_size=8))
def test_points_are_written_as_if_none_had_been_written_before(
    series: tuple[Times, Values], windows: list[tuple[float, float, int]]
) -> None:
    """Whatever was written of a series before, and whichever point differs now, the text is that of all points."""
    points = PointCache(MANY_BYTES)
    for first, last, changed in windows:
        part = slice(int(first * series[0].size), int(last * series[0].size))
        times, values = series[0][part], series[1][part].copy()
        if 0 <= changed < values.size:
            values[changed] = not values[changed] if values.dtype.kind == "b" else 7
        assert written(points, times, values) == plainly(times, values)


def test_what_was_written_before_is_used_again() -> None:
    """Of a window that moved on, only the points at its ends are written out in decimals."""
    points = PointCache(MANY_BYTES)
    times, values = np.arange(1000.0), np.sin(np.arange(1000.0))
    written(points, times[:900], values[:900])
    kept = points._kept.get("a")
    text = kept.text.replace(b"0.8414709848078965", b"12345.678901234567")
    points._kept.put("a", replace(kept, text=text), 0)
    assert b"12345.678901234567" in written(points, times[1:950], values[1:950])


def test_series_do_not_share_what_was_written() -> None:
    """Two series with the same times keep their own values."""
    points = PointCache(MANY_BYTES)
    times = np.arange(100.0)
    assert written(points, times, times, "a") != written(points, times, -times, "b")
    assert json.loads(written(points, times, -times, "a"))[5] == [-5.0, 5000.0]


def test_what_is_kept_is_bounded() -> None:
    """A cache that is too small for a series writes it all the same."""
    points = PointCache(1000)
    times = np.arange(1000.0)
    for _ in range(2):
        assert written(points, times, times) == plainly(times, times)
    assert points._kept.size_bytes <= 1000
