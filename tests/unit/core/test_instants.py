"""Times as people write them."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from sisock.core.errors import BadRequest
from sisock.core.instants import format_exact, parse_instant
from sisock.core.times import parse_iso8601

NOW = 1.7e9
DAY = 1_356_998_400.0  # 2013-01-01


@pytest.mark.parametrize(
    ("text", "expected", "zone_assumed"),
    [
        ("2013-01-01", DAY, True),
        (" 2013-01 ", DAY, True),
        ("2013-01-01 12:30", DAY + 45_000, True),
        ("2013-01-01 9:30", DAY + 34_200, True),
        ("2013-01-01T12:30:15.25", DAY + 45_015.25, True),
        ("2013-01-01T12:30Z", DAY + 45_000, False),
        ("2013-01-01 12:30 UTC", DAY + 45_000, False),
        ("2013-01-01T12:30+02", DAY + 37_800, False),
        ("2013-01-01 12:30 -01:30", DAY + 50_400, False),
        ("2013-01-01Z", DAY, False),
        ("2013-07-01T00:00:00Z", 1_372_636_800.0, False),
        ("now", 0.0, False),
        ("NOW", 0.0, False),
        ("now-1h", -3600.0, False),
        ("now - 1h30m", -5400.0, False),
        ("now+2h", NOW + 7200, False),
        ("-1h", -3600.0, False),
        ("-90", -90.0, False),
        ("0", 0.0, False),
        ("1356998400", DAY, False),
        ("1.5e9", 1.5e9, False),
        ("2013.0", 2013.0, False),
    ],
)
def test_times_are_read(text, expected, zone_assumed):
    """Dates, relative times and numbers become sisock time; it is said where a zone was missing, which is then UTC."""
    instant = parse_instant(text, NOW)
    assert (instant.sisock_time, instant.zone_assumed) == (expected, zone_assumed)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("yesterday", "write 2013-01-01"),
        ("", "is no time"),
        ("2013-02-30", "'2013-02-30' is no time"),
        ("2013-01-01 25:00", "is no time"),
        ("-1x", "'-1x' is no time"),
        ("now-", "is no time"),
        ("nan", "is no time"),
        ("inf", "is no time"),
        ("01.01.2013", "is no time"),
        ("2013", "looks like a date: write 2013-01-01, or 2013.0 for UNIX seconds"),
        ("20130704", "write 2013-07-04"),
        ("1356998400000", "milliseconds: UNIX seconds are expected, divide by 1000"),
    ],
)
def test_what_is_no_time_is_refused_with_examples(text, told):
    """What cannot be read, or would be read as something else than was meant, says how to write it."""
    with pytest.raises(BadRequest, match=told):
        parse_instant(text, NOW)


@given(st.floats(1e-3, 4e9) | st.floats(-4e9, -1e-3))
def test_times_are_written_without_loss(t):
    """What is written is read as the very same float64."""
    assert parse_iso8601(format_exact(t)) == t


@pytest.mark.parametrize(
    ("t", "expected"),
    [
        (1.7e9, "2023-11-14T22:13:20.000Z"),
        (1.7e9 + 0.25, "2023-11-14T22:13:20.250Z"),
        (1700000000.1234567, "2023-11-14T22:13:20.1234567Z"),
        (1e-7, "1970-01-01T00:00:00.0000001Z"),
        (-0.5, "1969-12-31T23:59:59.500Z"),
    ],
)
def test_times_have_as_many_digits_as_they_need(t, expected):
    """Milliseconds at least, and more where they are not all."""
    assert format_exact(t) == expected
