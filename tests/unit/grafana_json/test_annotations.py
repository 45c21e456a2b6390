import numpy as np
import pytest

from grafana_json.annotations import (
    MOST_ANNOTATIONS,
    Annotation,
    AnnotationQuery,
    legacy_entries,
    limit,
    mark,
    mark_nodes,
    parse_annotation,
    table_entry,
)
from sisock.gateway.directory import NodeChange
from sisock.gateway.drawing.planner import SeriesWanted
from sisock.gateway.drawing.series import Series

WANTED = SeriesWanted("site", "x")
UNTIL = 100.0


def series(kind, values):
    array = np.array(values, dtype=float if kind == "number" else object)
    return Series(WANTED, np.arange(len(values)) * 1.0, array, type=kind)


def marks(text, kind, values):
    found = mark(parse_annotation(text), series(kind, values), UNTIL)
    return [(one.time, one.end, one.title) for one in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("site::x", AnnotationQuery("states", "site::x")),
        ("changes site::x", AnnotationQuery("changes", "site::x")),
        ("changes", AnnotationQuery("states", "changes")),
        ("site::x > 30", AnnotationQuery("crossing", "site::x", (), ">", 30.0)),
        ("site::x<=-1.5e3", AnnotationQuery("crossing", "site::x", (), "<=", -1500.0)),
        ("site::a b >= .5", AnnotationQuery("crossing", "site::a b", (), ">=", 0.5)),
        ("nodes", AnnotationQuery("nodes", "")),
        ("nodes we.*", AnnotationQuery("nodes", "we.*")),
        ("#deploy #b site::x < 1", AnnotationQuery("crossing", "site::x", ("deploy", "b"), "<", 1.0)),
        ("", AnnotationQuery("states", "")),
        ("site::x > high", AnnotationQuery("states", "site::x > high")),
    ],
)
def test_queries(text, expected):
    """A query is a target, changes of one, a threshold, or nodes; words with # before it are tags."""
    assert parse_annotation(text) == expected


def test_changes_by_the_payload():
    """The payload's 'changes' is as if the query began with that word."""
    assert parse_annotation("site::x", changes=True).kind == "changes"


@pytest.mark.parametrize("text", ["x" * 100_000, "> " * 50_000, "#" * 100_000, "1" * 100_000 + ">", "#a" * 50_000])
def test_long_queries_are_read_quickly(text):
    """No query takes long to read."""
    assert parse_annotation(text).kind == "states"


def test_a_bool_is_a_region_while_true():
    """A region begins when a bool becomes true and ends at the next sample that is not, or with the window."""
    assert marks("site::x", "bool", [False, True, True, False, True, None, True]) == [
        (1.0, 3.0, "site::x"),
        (4.0, 5.0, "site::x"),
        (6.0, UNTIL, "site::x"),
    ]


def test_a_text_is_a_region_while_it_lasts():
    """Each text is a region with its value as title; it holds until the next sample."""
    assert marks("changes site::x", "string", ["a", "a", "b", None, "b"]) == [
        (0.0, 2.0, "a"),
        (2.0, 3.0, "b"),
        (4.0, UNTIL, "b"),
    ]


def test_a_threshold_is_a_region_while_it_is_crossed():
    """A region holds from the first sample beyond the threshold to the first that isn't, with the farthest value."""
    values = [1, 6, 9, 2, np.nan, 7, np.nan, 8]
    found = mark(parse_annotation("site::x > 5"), series("number", values), UNTIL)
    assert [(one.time, one.end) for one in found] == [(1.0, 3.0), (5.0, 5.0), (7.0, 7.0)]
    assert found[0].text == "site::x > 5: up to 9"
    assert "down to 1" in mark(parse_annotation("site::x < 5"), series("number", values), UNTIL)[0].text
    assert not mark(parse_annotation("site::x >= 9.5"), series("number", values), UNTIL)


def test_changes_of_a_number():
    """Each change of a number is a mark without an end."""
    found = mark(parse_annotation("changes site::x"), series("number", [1, 1, 2, np.nan, 2, 5]), UNTIL)
    assert [(one.time, one.end, one.text) for one in found] == [
        (2.0, None, "site::x changed from 1 to 2"),
        (5.0, None, "site::x changed from 2 to 5"),
    ]


@pytest.mark.parametrize("kind", ["number", "bool", "string"])
@pytest.mark.parametrize("text", ["changes site::x", "site::x > 1", "site::x"])
def test_no_samples(kind, text):
    """Without samples there is nothing to mark."""
    found = mark(parse_annotation(text), series(kind, []), UNTIL)
    assert found == [] or isinstance(found, str)


def test_what_cannot_be_marked_says_what_to_write():
    """A number without a condition, and a text with one, say what to write."""
    assert "site::x > 5" in mark(parse_annotation("site::x"), series("number", [1]), UNTIL)
    assert "write changes site::x" in mark(parse_annotation("site::x > 5"), series("string", ["a"]), UNTIL)


HISTORY = [
    NodeChange(10, "host", came=False),
    NodeChange(20, "new", came=True),
    NodeChange(30, "host", came=True),
    NodeChange(40, "new", came=False),
]


def test_nodes_that_come_and_go():
    """An absence is a region, a first coming and a leaving for good are marks; patterns choose nodes."""
    found = mark_nodes(parse_annotation("#ops nodes"), HISTORY, 0, 100)
    assert [(one.time, one.end, one.title) for one in found] == [
        (20, None, "new came"),
        (10, 30, "host was away"),
        (40, None, "new left"),
    ]
    assert found[0].tags == ("ops", "node", "new")
    assert [one.title for one in mark_nodes(parse_annotation("nodes h.*"), HISTORY, 0, 100)] == ["host was away"]
    assert [one.title for one in mark_nodes(parse_annotation("nodes"), HISTORY, 25, 35)] == ["host was away"]


def test_at_most_a_thousand():
    """Of many annotations the first are kept by time, and the last of them says how many are not."""
    many = [Annotation(float(number), None, "x", "x") for number in range(MOST_ANNOTATIONS + 5)][::-1]
    kept = limit(many)
    assert len(kept) == MOST_ANNOTATIONS
    assert kept[0].time == 0
    assert kept[-1].text == "x; 5 more are not shown: choose a shorter range"


def test_replies():
    """The legacy plugin gets objects with the annotation in them, the JSON plugin a table."""
    both = [Annotation(1.0005, 2.0, "t", "x", ("a", "b")), Annotation(3.0, None, "t", "x")]
    legacy = legacy_entries(both, {"name": "n"})
    assert legacy[0] == {
        "annotation": {"name": "n"},
        "time": 1000.5,
        "timeEnd": 2000.0,
        "isRegion": True,
        "title": "t",
        "text": "x",
        "tags": ["a", "b"],
    }
    assert "timeEnd" not in legacy[1]
    table = table_entry("Anno", both)
    assert [column["text"] for column in table["columns"]] == ["time", "timeEnd", "title", "text", "tags"]
    assert table["rows"] == [[1000.5, 2000.0, "t", "x", "a,b"], [3000.0, None, "t", "x", ""]]
