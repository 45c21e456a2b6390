"""Times of tables are found, and are the right seconds."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sisock.core.errors import UnusableFile
from sisock.nodes.table.fields import labels_of
from sisock.nodes.table.times import (
    ISO,
    PER_SECOND,
    TimeColumns,
    find_times,
    seconds_of_numbers,
    seconds_of_texts,
    unit_by_size,
)

NOW = 1_500_000_000
NOON = "2017-07-14T02:40:00"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def found(header, rows, wanted=(), unit=None):
    """Return the names of the columns of times that are found, and how they are written."""
    labels = labels_of(header.split(","))
    times = find_times(labels, list(zip(*(row.split(",") for row in rows), strict=True)), wanted, unit)
    return [labels[place].header for place in times.places], times.unit


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        ("a,time", f"1,{NOW}", (["time"], "s")),
        ("a,Timestamp", f"1,{NOW}000", (["Timestamp"], "ms")),
        ("a,t", f"1,{NOW}000000", (["t"], "us")),
        ("a,UTC Time", f"1,{NOW}000000000", (["UTC Time"], "ns")),
        ("a,time [ms]", f"1,{NOW}000", (["time [ms]"], "ms")),
        ("a,time (s)", f"1,{NOW}.25", (["time (s)"], "s")),
        ("a,timestamp_us", f"1,{NOW}000000", (["timestamp_us"], "us")),
        ("a,ts", f"1,{NOON}Z", (["ts"], ISO)),
        ("ts,time", f"1,{NOW}", (["time"], "s")),
        ("time,timestamp", f"12.5,{NOW}", (["timestamp"], "s")),
        ("time,b", f"12:30:00,{NOON}", (["b"], ISO)),
        ("a,when", f"1,{NOON}+02:00", (["when"], ISO)),
        ("counter,a", f"{NOW},1", (["counter"], "s")),
        ("date,time,a", "2017-07-14,02:40:00,1", (["date", "time"], ISO)),
        ("time,a,day", "02:40:00Z,1,2017/07/14", (["day", "time"], ISO)),
        ("date,time,a", "2017-07-14,2:40,1", (["date", "time"], ISO)),
        ("date,time,a", "2017-07-14,2:40:00 am,1", (["date", "time"], ISO)),
        ("date,a", "2017-07-14,1", (["date"], ISO)),
    ],
)
def test_times_are_found(header, row, expected):
    """Times are in the column with the most common name that has plausible ones, or else in one that looks like it."""
    assert found(header, [row]) == expected


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("a,b", ["1,2", "2,3"]),
        ("time,b", ["0,2", "1,3"]),
        ("a,b", [f"{NOW},2", f"{NOW},3"]),
        ("a,b", [f"1,{NOW}", f"2,{NOW + 1}"]),
        ("time,b", ["02:40:00,1"]),
        ("time,b", ["soon,1", f"{NOON},2"]),
        ("time,b", ["202403040800,1", "202403040801,2"]),
        ("time,b", ["240304080000,1", "240304080001,2"]),
        ("time,b", ["2403040800,1", "2403040801,2"]),
        ("time,b", ["20240304080000,1", "20240304080001,2"]),
        ("a,b", ["3792441600.5,1", "3792441601.5,2"]),
    ],
    ids=[
        "numbers",
        "seconds since a start",
        "the same again",
        "not the first",
        "time of day",
        "half of them",
        "digits to the minute",
        "digits of two for the year",
        "both",
        "digits to the second",
        "seconds since 1904",
    ],
)  # fmt: skip
def test_times_are_not_guessed_at(header, rows):
    """Numbers that need not be times are not taken for them; the message names the option and the columns."""
    with pytest.raises(UnusableFile, match="name it by the option time; its columns are '"):
        found(header, rows)


def test_the_option_decides():
    """A column that is named is taken, with or without its units, and may count from near 1970."""
    assert found("time,t [s]", [f"{NOW},60"], ["t"]) == (["t [s]"], "s")
    assert found("time,t [s]", [f"{NOW},60"], ["t [s]"]) == (["t [s]"], "s")
    assert found("a,b,c", ["1,2017-07-14,02:40"], ["b", "c"]) == (["b", "c"], ISO)
    assert found("time,a", ["1500000,1"], unit="ms", wanted=["time"]) == (["time"], "ms")


def test_digits_of_dates_are_no_counts():
    """Not in a column that is named, either, unless the unit is given as well: they would be times of other years."""
    for digits in ("202403040800", "20240304080000", "2403040800"):
        with pytest.raises(UnusableFile, match="the option time_unit must say which"):
            found("a,b", [f"{digits},1"], ["a"])
    assert found("a,b", ["202403040800,1"], ["a"], "ms") == (["a"], "ms")
    assert found("a_ms,b", ["202403040800,1"], ["a_ms"]) == (["a_ms"], "ms")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [("when", "has no column 'when', where its times should be; its columns are 'a', 'b'"), ("a", "has no times in")],
)
def test_an_option_that_does_not_fit_is_said(wanted, message):
    """A name that is not there, or a column without times, is an error that says so."""
    with pytest.raises(UnusableFile, match=re.escape(message)):
        found("a,b", ["x,1"], [wanted])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{NOON}Z", NOW),
        (NOON, NOW),
        ("2017-07-14 02:40:00", NOW),
        ("2017-07-14 02:40:00 UTC", NOW),
        ("2017/07/14 02:40", NOW),
        (" 2017-07-14T04:40:00+02:00 ", NOW),
        ("2017-07-13T22:10:00-0430", NOW),
        ("20170714T024000Z", NOW),
        ("2017-07-14T02:40:00.123456Z", 1500000000.123456),
        ("2017-07-14 02:40:00,1", 1500000000.1),
        ("2017-07-14T02:40:00.123456789Z", 1500000000.123456789),
        ("2017-07-14 02:40:00.123456789", 1500000000.123456789),
        ("2017-07-14 2:40", NOW),
        ("2017/07/14 2:40:00.5", NOW + 0.5),
        ("2017-07-14T4:40+02:00", NOW),
        ("2017-07-14 02:40:00 AM", NOW),
        ("2017-07-14 2:40 pm", NOW + 12 * 3600),
        ("2017-07-14 14:40 PM", math.nan),
        ("2017-07-14 PM", math.nan),
        ("PM", math.nan),
        ("2017-07-14", 1499990400),
        ("2017-07-14T02:40:60Z", math.nan),
        ("2017-02-30T02:40:00Z", math.nan),
        ("1969-12-31T23:59:59Z", math.nan),
        ("0001-01-01T00:00:00+14:00", math.nan),
        ("14.07.2017 02:40", math.nan),
        ("now", math.nan),
        ("", math.nan),
    ],
)
def test_iso_8601_is_read(text, expected):
    """A text without zone is in UTC; no digit of a fraction is lost; what is no time is NaN."""
    np.testing.assert_array_equal(seconds_of_texts([text], ISO), [expected])


@pytest.mark.parametrize(
    ("time_of_day", "expected"),
    [
        ("02:40", NOW),
        ("2:40", NOW),
        (" 2:40:00.5 ", NOW + 0.5),
        ("2:40:00,5Z", NOW + 0.5),
        ("4:40+02:00", NOW),
        ("2:40 AM", NOW),
        ("02:40:00pm", NOW + 12 * 3600),
        ("12:40 AM", NOW - 2 * 3600),
        ("12:40 PM", NOW + 10 * 3600),
        ("0240", NOW),
        ("0:40 AM", math.nan),
        ("14:40 PM", math.nan),
        ("24:40", math.nan),
        ("soon", math.nan),
        ("", math.nan),
    ],
)
def test_a_time_of_day_is_put_behind_its_date(time_of_day, expected):
    """As spreadsheets write it, with one digit for the hour or with half days, it is a time as well."""
    times = TimeColumns((1, 0), ISO).seconds([[time_of_day], ["2017-07-14 "]])
    np.testing.assert_array_equal(times, [expected])


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("1500000000", "s", NOW),
        ("1500000000.5", "s", NOW + 0.5),
        ("1500000000,5", "s", NOW + 0.5),
        ("1.5e9", "s", NOW),
        ("1500000000123", "ms", 1500000000.123),
        ("1500000000123456", "µs", 1500000000.123456),
        ("1500000000123456789", "ns", 1500000000.123456789),
        ("1_500_000_000", "s", math.nan),
        ("0", "s", math.nan),
        ("-1", "s", math.nan),
        ("nan", "s", math.nan),
        ("inf", "s", math.nan),
        ("1e300", "s", math.nan),
        ("99999999999999999999999", "ns", math.nan),
        ("253402300800", "s", math.nan),
    ],
)
def test_counts_since_1970_are_read(text, unit, expected):
    """Any unit, with a fraction or an exponent; what is no time between 1970 and the year 10000 is NaN."""
    np.testing.assert_array_equal(seconds_of_texts([text, "1500000000"], unit)[:1], [expected])


@settings(max_examples=300)
@given(st.sampled_from(["s", "ms", "us", "ns"]), st.lists(st.integers(1, 2**62) | st.integers(1, 2**42), min_size=1))
def test_whole_counts_are_rounded_once(unit, counts):
    """The seconds of a whole number are the float64 next to the true value, also of nanoseconds."""
    seconds = seconds_of_numbers(np.array(counts), unit)
    for count, second in zip(counts, seconds.tolist(), strict=True):
        true = float(Fraction(count, PER_SECOND[unit]))
        assert second == true or (math.isnan(second) and true >= 253402300800)


@given(st.integers(10**15, 9 * 10**15).map(lambda count: EPOCH + timedelta(microseconds=count)))
def test_instants_come_back(instant):
    """An instant written in ISO 8601 is the instant."""
    assert seconds_of_texts([instant.isoformat()], ISO).tolist() == [instant.timestamp()]


@given(st.floats(1.6e8, 9e9), st.sampled_from(["s", "ms", "us", "ns"]))
def test_the_unit_is_known_by_the_size(seconds, unit):
    """Of times since 1975, the number tells the unit."""
    assert unit_by_size(seconds * PER_SECOND[unit]) == unit
