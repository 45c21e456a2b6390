import csv
import io
import json
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grafana_json.rows import FORMATS, MOST_ROWS, encode_rows, parse_rows, points_of_each
from sisock.core.errors import BadRequest
from sisock.gateway.drawing.planner import SeriesWanted
from sisock.gateway.drawing.series import Series

from twins import rows

NOW = 1_700_000_000.0


def parse(**arguments):
    given = {"metric": "a::b"} | {name.rstrip("_"): value for name, value in arguments.items()}
    return parse_rows({name: value if isinstance(value, list) else [value] for name, value in given.items()}, NOW)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("1699999000000", 1699999000.0),
        ("1699999000000.5", 1699999000.0005),
        ("2023-11-14T22:00:00Z", 1699999200.0),
        ("2023-11-14T23:00:00 01:00", 1699999200.0),
        ("-60", NOW - 60),
        ("now-6h", NOW - 21600),
        ("0", NOW),
        ("now", NOW),
        ("", NOW - 3600),
        ("${__timeFrom}", NOW - 3600),
        ("$__from", NOW - 3600),
        ("1", 0.001),
    ],
)
def test_times(given, expected):
    """A time is milliseconds, ISO 8601, seconds before now or an age; what Grafana left unfilled is the default."""
    assert parse(from_=given).query.start == pytest.approx(expected, abs=1e-6)


def test_everything_that_can_be_asked():
    """Metrics may be repeated; points, reducer and format may be chosen."""
    request = parse(metric=["a::b", "c::d,e::f"], max_points="7.0", reduce="minmax", format="csv", to="now")
    assert [target.text for target in request.query.targets] == ["a::b", "c::d,e::f"]
    assert request.query.max_points == 7
    assert request.query.targets[0].options.reducer == "minmax"
    assert request.format == "csv"
    assert parse().query.targets[0].options.reducer == "last"
    assert parse(max_points="$__interval_ms", reduce="$x").query.max_points is None


@pytest.mark.parametrize(("given", "expected"), [({}, False), ({"before": "true"}, True), ({"reduce": "max"}, False)])
def test_rows_are_samples_unless_more_is_asked_for(given, expected):
    """What holds at the start of the window is a row only where one asks for that."""
    assert parse(**given).query.targets[0].options.before is expected


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"metric": []}, "say what you want"),
        ({"metric": ["", " "]}, "say what you want"),
        ({"metric": ["a::b"] * 1000}, "too many"),
        ({"from_": "yesterday"}, "is no time"),
        ({"from_": "now-5parsecs"}, "is no duration"),
        ({"from_": "nan"}, "must be a time"),
        ({"from_": "1e999"}, "must be a time"),
        ({"from_": "1e300", "to": "1e301"}, "calendar"),
        ({"from_": "now", "to": "now-1h"}, "ends before it starts"),
        ({"reduce": "median"}, "must be one of first"),
        ({"format": "xml"}, "must be one of json, csv"),
    ],
)
def test_what_cannot_be_asked(arguments, said):
    """What cannot be understood is refused in words."""
    with pytest.raises(BadRequest, match=said):
        parse(**arguments)


SERIES = [
    Series(SeriesWanted("a", "n"), np.array([1.0, 3.0]), np.array([1.5, np.nan])),
    Series(SeriesWanted("b", "s,\n"), np.array([2.0005, 2.99999]), np.array(["x", "y,z"], dtype=object), "string"),
    Series(SeriesWanted("c", "on"), np.array([2.0]), np.array([True]), "bool"),
]


def test_rows_as_json():
    """Rows are sorted by time, milliseconds to the microsecond, and NaN is null."""
    assert [tuple(row.values()) for row in json.loads(encode_rows(SERIES, "json"))] == [
        (1000, "a::n", 1.5),
        (2000, "c::on", True),
        (2000.5, "b::s,\n", "x"),
        (2999.99, "b::s,\n", "y,z"),
        (3000, "a::n", None),
    ]


def test_rows_as_csv():
    """CSV has the same rows under plain headers, with quotes where they are needed."""
    table = list(csv.reader(io.StringIO(encode_rows(SERIES, "csv").decode())))
    assert table[0] == ["time", "metric", "value"]
    assert table[1] == ["1000", "a::n", "1.5"]
    assert ["2000", "c::on", "true"] in table
    assert table[-1] == ["3000", "a::n", ""]
    assert ["2000.5", "b::s,\n", "x"] in table


def test_rows_of_one_series_have_no_equal_times():
    """Who makes a table of rows by time keeps one of equal times: each is a microsecond after the one before."""
    values = np.array([1.0, 9.0, 1.0, 2.0])
    one = Series(SeriesWanted("a", "n"), np.array([1.0, 1.0, 1.0, 1.0000015]), values)
    found = json.loads(encode_rows([one, replace(one, wanted=SeriesWanted("b", "n"))], "json"))
    assert [row["time"] for row in found if row["metric"] == "a::n"] == [1000, 1000.001, 1000.002, 1000.003]
    assert [row["time"] for row in found][:2] == [1000, 1000]
    assert b"\n1000,a::n" in encode_rows([one], "csv")


def test_no_rows_are_no_empty_body():
    """Without samples there is an empty array, or the headers."""
    assert encode_rows([], "json") == b"[]"
    assert encode_rows([], "csv") == b"time,metric,value\n"


def test_names_that_are_no_unicode():
    """A name that JSON can't carry is replaced."""
    odd = Series(SeriesWanted("a", "\ud800"), np.array([1.0]), np.array([1.0]))
    assert json.loads(encode_rows([odd], "json"))[0]["metric"] == "a::?"
    assert b"a::?" in encode_rows([odd], "csv")


def test_a_bounded_number_of_rows():
    """Many series have fewer points each, so that no reply grows without bounds."""
    assert points_of_each(1, None) is None
    assert points_of_each(100, 50_000) == MOST_ROWS // 100
    assert points_of_each(0, 10) == 10


TEXTS = st.text('ab,"\n\r é\ud800', max_size=4)
NUMBERS = st.floats(width=64) | st.integers(-(2**53), 2**53).map(float)


@st.composite
def some_series(draw):
    """A series of any type, with gaps."""
    times = np.sort(draw(st.lists(st.floats(1e9, 1e9 + 2, width=64), max_size=6)))
    kind = draw(st.sampled_from(["number", "whole", "string", "bool", "gaps"]))
    values = {
        "number": NUMBERS,
        "whole": st.integers(-(2**62), 2**62),
        "string": TEXTS | st.none(),
        "bool": st.booleans(),
        "gaps": st.booleans() | st.none(),
    }[kind]
    dtype = {"number": np.float64, "whole": np.int64, "bool": bool}.get(kind, object)
    made = np.array(draw(st.lists(values, min_size=times.size, max_size=times.size)), dtype=dtype)
    return Series(SeriesWanted("n", draw(TEXTS)), times, made)


def sendable(text):
    return text.encode("utf-8", "replace").decode() if isinstance(text, str) else text


@given(st.lists(some_series(), max_size=4), st.integers(1, 30))
def test_rows_are_those_of_a_plain_loop(series, at_once):
    """Many rows at once are the same as one after another, in both formats."""
    with mock.patch("grafana_json.rows._ROWS_AT_ONCE", at_once):
        encoded = {shape: encode_rows(series, shape) for shape in FORMATS}
    expected = [tuple(map(sendable, row)) for row in rows(series)]
    assert [tuple(row.values()) for row in json.loads(encoded["json"])] == expected
    table = list(csv.reader(io.StringIO(encoded["csv"].decode(), newline="")))[1:]
    assert [(float(time), name) for time, name, _ in table] == [row[:2] for row in expected]
    assert all(cell_means(cell, value) for (_, _, cell), (_, _, value) in zip(table, expected, strict=True))


def cell_means(cell, value):
    """Tell whether a cell of CSV says a value."""
    if isinstance(value, bool) or value is None:
        return cell == {True: "true", False: "false", None: ""}[value]
    return float(cell) == value if isinstance(value, float) else cell == str(value)
