import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grafana_json.options import NO_OPTIONS, Options
from grafana_json.replies import (
    Notice,
    encode,
    error_reply,
    legend,
    milliseconds,
    notice_entry,
    series_entry,
    shown_units,
)
from grafana_json.requests import Target
from sisock.gateway.drawing.planner import SeriesWanted
from sisock.gateway.drawing.series import Series

WANTED = SeriesWanted("weather", "temp")
NUMBERS = Series(WANTED, np.array([1.0, 2.0]), np.array([4.5, np.nan]), "number", "degC")
STATES = Series(WANTED, np.array([1.0, 2.0]), np.array([True, None], dtype=object), "bool")
TEXTS = Series(WANTED, np.array([1.0, 2.0]), np.array(["a", "b"], dtype=object), "string")


def reply(kind, series, *warnings, **options):
    target = Target("x", "A", kind, Options(**options))
    return json.loads(encode(series_entry(target, series, [Notice("warning", text) for text in warnings])))


@pytest.mark.parametrize("kind", ["timeserie", "frame"])
def test_numbers_are_a_series(kind):
    """Numbers are drawn as pairs of value and milliseconds, with title and Grafana's unit."""
    assert reply(kind, NUMBERS) == {
        "target": "weather::temp",
        "title": "weather::temp",
        "datapoints": [[4.5, 1000.0], [None, 2000.0]],
        "refId": "A",
        "unit": "celsius",
    }


def test_states_are_a_typed_frame():
    """Booleans and texts are frames with their type for the JSON plugin, a break being null."""
    frame = reply("frame", STATES)
    assert frame["fields"] == [
        {"name": "Time", "type": "time", "values": [1000.0, 2000.0]},
        {
            "name": "weather::temp",
            "type": "boolean",
            "values": [True, None],
            "config": {"displayName": "weather::temp"},
        },
    ]
    assert reply("frame", TEXTS)["fields"][1]["type"] == "string"


def test_states_for_the_legacy_plugin():
    """The legacy plugin draws booleans as numbers; for text it is told to use a table."""
    assert reply("timeserie", STATES)["datapoints"] == [[1.0, 1000.0], [None, 2000.0]]
    text = reply("timeserie", TEXTS)
    assert text["datapoints"] == []
    assert "Table" in text["meta"]["notices"][0]["text"]


@pytest.mark.parametrize(
    ("series", "kind", "rows"),
    [
        (NUMBERS, "number", [[1000.0, 4.5], [2000.0, None]]),
        (STATES, "boolean", [[1000.0, True], [2000.0, None]]),
        (TEXTS, "string", [[1000.0, "a"], [2000.0, "b"]]),
    ],
)
def test_a_table_has_typed_columns(series, kind, rows):
    """A table has the time and then the values, of any type."""
    table = reply("table", series)
    assert table["type"] == "table"
    assert [column["type"] for column in table["columns"]] == ["time", kind]
    assert table["rows"] == rows


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_json_lacks_is_null(bad):
    """NaN and infinities become null, never a bare token that breaks the panel."""
    series = replace(NUMBERS, values=np.array([bad, 1.0]))
    assert reply("frame", series)["datapoints"][0][0] is None


def test_whole_numbers_are_drawn():
    """Whole numbers come as they are, up to what a double holds."""
    assert reply("frame", replace(NUMBERS, values=np.array([2**53, -1])))["datapoints"][0][0] == 2**53


@pytest.mark.parametrize("kind", ["frame", "timeserie", "table"])
@pytest.mark.parametrize("series", [NUMBERS, STATES, TEXTS])
def test_no_samples(kind, series):
    """A series without samples is an empty one of its kind."""
    assert reply(kind, replace(series, times=np.empty(0), values=series.values[:0]))["refId"] == "A"


def test_sub_millisecond_times_are_kept():
    """Times keep their microseconds, and whole milliseconds stay whole."""
    assert milliseconds(np.array([1795325987.593, 1795325987.000125])).tolist() == [1795325987593.0, 1795325987000.125]


@given(st.floats(-8.64e12, 8.64e12))
def test_times_are_rounded_to_microseconds(time):
    """A time in milliseconds has at most three digits behind the point."""
    assert milliseconds(np.array([time]))[0] == np.round(time * 1e3, 3)


def test_one_notice_a_severity():
    """Texts of the same severity are joined, for only one of each is shown."""
    series = replace(NUMBERS, problem="node away", notices=("old library",))
    notices = reply("frame", series, "too many", "too many")["meta"]["notices"]
    assert notices == [
        {"severity": "warning", "text": "too many; old library"},
        {"severity": "error", "text": "node away"},
    ]


def test_the_legend():
    """A legend names node, field and units where its author wants; braces of others stay."""
    wanted = SeriesWanted("host", "{units}")
    assert legend(NO_OPTIONS, wanted, "K") == "host::{units}"
    aliased = Options(alias="{node}/{field} {0} {x.__class__}")
    assert legend(aliased, SeriesWanted("a", "b"), "K") == "a/b {0} {x.__class__}"
    assert legend(Options(alias="in {units}"), wanted, None) == "in "


def test_whose_units_are_sent():
    """The field's own, those of the payload, or none, which leaves them to the panel."""
    assert [shown_units(Options(units=units), "K") for units in ("", "celsius", "panel")] == ["K", "celsius", None]


def test_a_target_without_series():
    """A target that cannot be drawn is a triangle with the text, in the shape that its client takes."""
    frame = notice_entry(Target("x", "B", "frame"), "error", "gone")
    assert frame == {"refId": "B", "fields": [], "meta": {"notices": [{"severity": "error", "text": "gone"}]}}
    assert notice_entry(Target("x", "B", "timeserie"), "error", "gone")["datapoints"] == []
    assert notice_entry(Target("x", "B", "table"), "error", "gone")["rows"] == []


def test_texts_that_are_no_unicode():
    """A node may send any text: what JSON can't carry is replaced, and the reply still comes."""
    assert json.loads(encode([{"a\ud800": ("\udfff", 1)}])) == [{"a?": ["?", 1]}]


def test_errors_are_readable():
    """An error is an object in which Grafana finds the message."""
    assert json.loads(error_reply(400, "no")) == {"message": "no", "error": {"code": "400", "message": "no"}}
