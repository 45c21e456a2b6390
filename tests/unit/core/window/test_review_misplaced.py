"""What times look like that lie outside of the span."""

from __future__ import annotations

import numpy as np
import pytest

from sisock.core.window.review import is_unmistakable, misplaced

END = 1.7e9
START = END - 300.0
TIMES = np.arange(START, END)


@pytest.mark.parametrize("times", [TIMES, TIMES[:1], np.array([1.0, END - 1, 9e9]), np.array([]), np.array([START])])
def test_times_inside_are_not_spoken_of(times):
    """Nothing is said when one sample lies inside of the span, or when there is none at all."""
    assert misplaced(times, START, END) is None


@pytest.mark.parametrize(
    ("times", "look", "advice"),
    [
        (TIMES * 1e3, "milliseconds", "divide by 1000"),
        (TIMES * 1e6, "microseconds", "divide by 1e6"),
        (TIMES * 1e8, "tens of nanoseconds", "divide by 1e8"),
        (TIMES * 1e9, "nanoseconds", "divide by 1e9"),
        (TIMES / 86400 + 40_587, "days of the modified Julian date", "subtract 40587"),
        (TIMES / 86400 + 2_440_587.5, "days of the Julian date", "subtract 2440587.5"),
        (TIMES + 2_082_844_800, "seconds since 1904", "subtract 2082844800"),
        (TIMES + 2_208_988_800, "seconds since 1900", "subtract 2208988800"),
    ],
)
def test_other_units_are_named_with_what_to_do(times, look, advice):
    """Times of another unit or another beginning are named, with how to make UNIX seconds of them."""
    said = misplaced(times, START, END)
    assert said.startswith("all 300 samples lie outside of the span; the first is ")
    assert f"UNIX seconds are expected, these look like {look}" in said
    assert advice in said


def test_the_year_is_told():
    """Times that no calendar has are told by their year, and one sample is not called all."""
    assert "the first is in the year 55840:" in misplaced(TIMES * 1e3, START, END)
    assert misplaced(TIMES[:1] * 1e3, START, END).startswith("its only sample lies outside of the span")


@pytest.mark.parametrize(
    ("times", "advice"),
    [
        (TIMES - START, "count from 1970 in UTC"),
        (TIMES * 1e12, "count from 1970 in UTC"),
        (TIMES + 7200, "is this the local time?"),
        (TIMES - 7200, "give those from the start to before the end"),
        (np.array([START - 1, END]), "give those from the start to before the end"),
    ],
)
def test_times_of_no_known_unit_are_told_beside_the_span(times, advice):
    """Times that look like no other unit are told together with the span that was asked for."""
    said = misplaced(times, START, END)
    assert said.endswith(advice)
    assert "the span is 2023-11-14T22:08:20.000Z to 2023-11-14T22:13:20.000Z" in said


def test_only_times_of_no_present_year_are_unmistakable():
    """Seconds of these decades may be right and only outside of the span; others cannot be UNIX seconds."""
    assert is_unmistakable(TIMES * 1e3)
    assert is_unmistakable(TIMES - START)
    assert not is_unmistakable(TIMES)
    assert not is_unmistakable(np.array([]))
