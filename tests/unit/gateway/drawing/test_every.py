"""Cells of a chosen length: durations, and days, weeks, months and years of time zones."""

import math
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sisock.core.errors import BadRequest
from sisock.gateway.drawing.every import MOST_PARTS, Every, find_zone, parse_every

from twins import cell_edges, local_days

ZONES = (
    *("UTC", "Europe/Berlin", "America/Santiago", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe"),
    *("America/Havana", "Pacific/Apia", "America/St_Johns", "Asia/Gaza", "Africa/Cairo", "Pacific/Chatham"),
)


NOW = 1_700_000_000.0


def unix(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def local(cells, zone):
    return [datetime.fromtimestamp(edge, ZoneInfo(zone)).isoformat() for edge in cells.edges.tolist()]


@pytest.mark.parametrize(
    ("text", "length", "unit"),
    [("10m", 600, "s"), (" 1h ", 3600, "s"), ("500ms", 0.5, "s"), ("1d", 1, "d"), ("2w", 2, "w"), ("1M", 1, "M")],
)
def test_a_length(text, length, unit):
    """A length is a duration; whole days, weeks, months and years are those of a calendar."""
    assert parse_every(text) == Every(text.strip(), length, unit)
    assert parse_every("1.5d") == Every("1.5d", 129600.0)


@pytest.mark.parametrize("text", ["", "0s", "0d", "hourly", "1", "-1h", "1h every"])
def test_no_length(text):
    """What is no length above zero is refused in words."""
    with pytest.raises(BadRequest, match="write"):
        parse_every(text)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/Havana"])
@pytest.mark.parametrize("text", ["9999d", "9999w", "9999M", "9999y", "2000y", "100y", "1y"])
@pytest.mark.parametrize("start", [1e-3, unix("2024-05-06"), unix("9880-01-01")])
def test_a_length_beyond_the_calendar(zone, text, start):
    """Cells longer than the years that a calendar has hold the window, and are made of what lies in it only."""
    cells = replace(parse_every(text), zone=zone).cells(start, start + 3600.0, 100)
    assert cells.edges[0] <= start < start + 3600.0 <= cells.edges[-1]
    assert 1 <= cells.times.size <= 2
    assert cells.parts <= 3600.0 / cells.part_s + 2


@pytest.mark.parametrize("text", ["1ns", "0.5us", "1us"])
def test_lengths_below_a_microsecond(text):
    """No length is so short that its cells could not be told apart today."""
    if text == "1us":
        assert parse_every(text).cells(NOW, NOW + 1e-3, 50_000).times.size <= 50_000
    else:
        with pytest.raises(BadRequest, match="microsecond"):
            parse_every(text)


@pytest.mark.parametrize("name", ["Mars/Olympus", "../etc/passwd", "Europe", "/etc/localtime", "x" * 10_000, "\0"])
def test_no_zone(name):
    """A time zone that is not known is refused in words, whatever its name looks like."""
    with pytest.raises(BadRequest, match="no time zone"):
        find_zone(name)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(ZONES),
    st.floats(unix("2008-01-01"), unix("2026-01-01")),
    st.floats(1.0, 20 * 86400.0),
)
def test_days_are_whole_local_days(zone, start, length):
    """Days begin when the local date changes, also where clocks are set at midnight, or a day is left out."""
    cells = Every("1d", 1, "d", zone).cells(start, start + length, 1000)
    assert cells.edges.tolist() == local_days(start, start + length, ZoneInfo(zone), 900)
    assert not (cells.edges % cells.part_s).any()
    assert cells.edges[0] <= start < cells.edges[1]
    assert cells.edges[-2] < start + length <= cells.edges[-1]


def test_days_of_other_lengths():
    """Days have 23, 24 or 25 hours; one that begins at 01:00 is drawn from there."""
    cells = Every("1d", 1, "d", "America/Santiago").cells(unix("2024-09-06T12:00"), unix("2024-09-10T12:00"), 100)
    assert local(cells, "America/Santiago")[2] == "2024-09-08T01:00:00-03:00"
    assert (np.diff(cells.edges) / 3600).tolist() == [24, 24, 23, 24, 24]
    back = Every("1d", 1, "d", "America/Santiago").cells(unix("2024-04-06T12:00"), unix("2024-04-08T02:00"), 100)
    assert (np.diff(back.edges) / 3600).tolist() == [25, 24]
    # Clocks jumped from 23:30 to 00:30 here.
    toronto = Every("1d", 1, "d", "America/Toronto").cells(unix("1919-03-30T12:00"), unix("1919-04-01T12:00"), 100)
    assert local(toronto, "America/Toronto")[1] == "1919-03-31T00:30:00-04:00"


def test_weeks_months_and_years():
    """Weeks begin on Mondays; months and years on their first days."""
    window = unix("2023-11-15T12:00"), unix("2024-03-15")
    berlin = {unit: Every(f"1{unit}", 1, unit, "Europe/Berlin").cells(*window, 1000) for unit in "wMy"}
    assert all(datetime.fromtimestamp(edge, ZoneInfo("Europe/Berlin")).weekday() == 0 for edge in berlin["w"].edges)
    assert [text[:10] for text in local(berlin["M"], "Europe/Berlin")] == [
        *("2023-11-01", "2023-12-01", "2024-01-01", "2024-02-01", "2024-03-01", "2024-04-01")
    ]
    assert [text[:10] for text in local(berlin["y"], "Europe/Berlin")] == ["2023-01-01", "2024-01-01", "2025-01-01"]


def test_hours_are_those_of_the_local_clock():
    """A duration that divides a day is counted from local midnight, where the zone is off by another amount."""
    window = unix("2024-09-06T05:10"), unix("2024-09-06T12:00")
    hours = Every("1h", 3600, "s", "Asia/Kolkata").cells(*window, 100)
    assert all(text.endswith(":00:00+05:30") for text in local(hours, "Asia/Kolkata"))
    assert hours.part_s == 1800
    aligned = Every("1h", 3600, "s", "Europe/Berlin").cells(*window, 100)
    assert aligned.whole
    assert aligned.edges.tolist() == cell_edges(*window, 3600)


@settings(max_examples=200, deadline=None)
@given(
    st.floats(1e9, 1.8e9), st.floats(1.0, 1e8), st.sampled_from([0.5, 7.0, 60.0, 3600.0, 90000.0]), st.integers(1, 500)
)
def test_what_does_not_fit_is_drawn_by_whole_multiples(start, length, seconds, points):
    """Where there are more cells than points, the smallest multiple that fits is drawn, and that is said."""
    end = start + length
    cells = Every("it", seconds).cells(start, end, points)
    assert cells.times.size <= points
    if points > 1:
        multiple = round(cells.part_s / seconds)
        assert bool(cells.remarks) == (multiple > 1)
        assert cells.edges.tolist() == cell_edges(start, end, multiple * seconds)
        assert multiple == 1 or multiple > 1000 or len(cell_edges(start, end, (multiple - 1) * seconds)) - 1 > points


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(ZONES),
    st.sampled_from(["1d", "3d", "1w", "1M", "1y", "1h", "30m", "6h"]),
    st.floats(unix("1971-01-01"), unix("2030-01-01")),
    st.floats(1.0, 1e9),
    st.integers(1, 400),
)
def test_cells_are_bounded_and_made_of_whole_parts(zone, text, start, length, points):
    """Whatever is asked for, cells ascend, cover the window, are no more than the points, and have bounded parts."""
    end = start + length
    every = parse_every(text)
    cells = Every(text, every.length, every.unit, zone).cells(start, end, points)
    assert cells.times.size <= points
    assert (np.diff(cells.edges) > 0).all()
    assert cells.edges[0] <= start
    assert cells.edges[-1] >= end
    assert (np.rint(cells.edges / cells.part_s) * cells.part_s == cells.edges).all()
    assert cells.parts <= MOST_PARTS + 2
    assert cells.parts == math.ceil(end / cells.part_s) - math.floor(start / cells.part_s)
    rounded = any("rounded" in remark for remark in cells.remarks)
    assert not rounded or length > MOST_PARTS * 900
