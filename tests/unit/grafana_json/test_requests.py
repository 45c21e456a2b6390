import pytest

from grafana_json.requests import Target, parse_json, parse_max_points, parse_query, parse_search
from sisock.core.errors import BadRequest

RANGE = {"from": "2026-11-21T23:39:47.030Z", "to": "2026-11-22T05:39:47.030Z", "raw": {"from": "now-6h", "to": "now"}}


def parse(**changes):
    return parse_query({"range": RANGE, "targets": [], **changes})


def test_the_range_is_read_to_the_millisecond():
    """Start and end are UNIX seconds with their milliseconds."""
    query = parse()
    assert (query.start, query.end) == (1795304387.03, 1795325987.03)


def test_a_window_before_1970_is_clamped():
    """No sisock time names 1970 or before: such a window starts just after."""
    query = parse(range={"from": "1900-01-01T00:00:00Z", "to": "1970-01-01T00:00:00.000Z"})
    assert (query.start, query.end) == (1e-3, 1e-3)


@pytest.mark.parametrize(
    ("given", "points"),
    [(630, 630), ("630", 630), (630.7, 630), (-1, -1), (None, None), ("wide", None), (True, None), ([], None)],
)
def test_max_data_points(given, points):
    """Numbers are read, from text too; nonsense counts as not there."""
    assert parse_max_points(given) == points


@pytest.mark.parametrize("given", [float("nan"), float("inf"), "nan", "1e999", "9" * 400])
def test_endless_max_data_points(given):
    """A number that isn't finite counts as not there."""
    assert parse_max_points(given) is None


@pytest.mark.parametrize(
    ("given", "text"),
    [("a::b", "a::b"), ("", ""), (None, ""), (5, "5"), (2.5, "2.5"), (True, ""), ([], ""), ({}, "")],
)
def test_targets_may_be_odd(given, text):
    """A target may be empty, null or a number; only texts and numbers name something."""
    assert parse(targets=[{"target": given, "refId": "A"}]).targets == (Target(text, "A", "frame"),)


def test_the_client_is_known_by_its_type():
    """The legacy plugin says 'type'; a target without it is from the JSON plugin, which takes frames."""
    targets = [{"target": "a", "type": "timeserie"}, {"target": "a", "type": "table"}, {"target": "a"}]
    assert [target.kind for target in parse(targets=targets).targets] == ["timeserie", "table", "frame"]


def test_hidden_targets_are_passed_over():
    """A target that says it is hidden isn't asked for."""
    assert parse(targets=[{"target": "a", "refId": "A", "hide": True}]).targets == ()


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (None, "must be an object"),
        ([], "must be an object"),
        ({}, "'range' must be"),
        ({"range": {}}, "'range.from' must be"),
        ({"range": {"from": "yesterday", "to": "now"}}, "'range.from'"),
        ({"range": {**RANGE, "to": None}}, "'range.to' must be"),
        ({"range": {**RANGE, "to": True}}, "'range.to' must be"),
        ({"range": {"from": RANGE["to"], "to": RANGE["from"]}, "targets": []}, "exchange"),
        ({"range": RANGE}, "'targets' must be a list"),
        ({"range": RANGE, "targets": {}}, "'targets' must be a list"),
        ({"range": RANGE, "targets": ["a::b"]}, "each of 'targets'"),
        ({"range": RANGE, "targets": [{}] * 10_000}, "10000 targets are too many"),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(request_, said):
    """A request that can't be understood is refused with the name of the part that is wrong."""
    with pytest.raises(BadRequest, match=said):
        parse_query(request_)


def test_unknown_keys_are_ignored():
    """Whatever else a client sends changes nothing."""
    assert parse(scopedVars={"undefined": {}}, liveStreaming=False, filters=[], x=[[]]) == parse()


@pytest.mark.parametrize("body", [b"{", b"NaN", b"[" * 100_000, b"\xff", b'"\\ud800"', b"1e999"])
def test_no_json(body):
    """A body that isn't JSON is refused in words."""
    with pytest.raises(BadRequest, match="not JSON"):
        parse_json(body)


@pytest.mark.parametrize(
    ("request_", "text"),
    [({}, ""), ({"target": "Temp"}, "Temp"), ({"target": None}, ""), (None, ""), ([], ""), (5, "")],
)
def test_search_text(request_, text):
    """The text to search for is what was typed, or nothing."""
    assert parse_search(request_) == text
