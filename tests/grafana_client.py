"""What Grafana's clients accept of a reply, as checks: a reply that passes is drawn."""

from __future__ import annotations

from numbers import Real

SEVERITIES = {"info", "warning", "error"}
FIELD_TYPES = {"time", "number", "string", "boolean"}
INPUT_TYPES = {"select", "multi-select", "input", "textarea"}


def is_number(value):
    return isinstance(value, Real) and not isinstance(value, bool)


def check_notices(entry):
    """One notice a severity, with a text and without a link."""
    notices = entry.get("meta", {}).get("notices", [])
    assert len({notice["severity"] for notice in notices}) == len(notices)
    assert all(set(notice) == {"severity", "text"} and notice["severity"] in SEVERITIES for notice in notices)
    assert all(isinstance(notice["text"], str) and notice["text"] for notice in notices)


def check_series(entry):
    """Pairs of a number or null and milliseconds, in the order of time."""
    assert isinstance(entry["target"], str)
    assert all((value is None or is_number(value)) and is_number(time) for value, time in entry["datapoints"])
    times = [time for _, time in entry["datapoints"]]
    assert times == sorted(times)


def check_frame(entry):
    """Fields of known types, all as long as the time."""
    assert all(field["type"] in FIELD_TYPES and isinstance(field["name"], str) for field in entry["fields"])
    assert len({len(field["values"]) for field in entry["fields"]}) <= 1
    assert not entry["fields"] or entry["fields"][0]["type"] == "time"


def check_table(entry):
    """Columns of known types, and rows with a cell for each."""
    assert all(column["type"] in FIELD_TYPES and isinstance(column["text"], str) for column in entry["columns"])
    assert all(len(row) == len(entry["columns"]) for row in entry["rows"])


def check_query(request, reply):
    """Each target is answered under its reference, in one of three shapes; an annotation's in its table."""
    asked = {target["refId"] for target in request["targets"] if not target.get("hide")}
    assert {entry["refId"] for entry in reply} == asked
    for entry in reply:
        check_notices(entry)
        if entry.get("type") == "table":
            check_table(entry)
        elif "fields" in entry:
            check_frame(entry)
        else:
            check_series(entry)
        if entry["refId"] == "Anno":
            assert [column["text"] for column in entry["columns"]] == ["time", "timeEnd", "title", "text", "tags"]


def check_annotations(request, reply):
    """Each entry has a time, texts, tags, and the annotation that it belongs to."""
    for entry in reply:
        assert entry["annotation"] == request["annotation"]
        assert is_number(entry["time"])
        assert is_number(entry.get("timeEnd", 0))
        assert isinstance(entry["title"], str)
        assert isinstance(entry["text"], str)
        assert all(isinstance(tag, str) for tag in entry["tags"])


def check_texts(request, reply):
    """Plain texts."""
    assert all(isinstance(entry, str) for entry in reply)


def check_variable(request, reply):
    """Objects of '__text' and '__value'; others would be flattened into wrong options."""
    assert all(set(entry) == {"__text", "__value"} for entry in reply)


def check_tag_keys(request, reply):
    """Keys with their type."""
    assert all(set(entry) == {"type", "text"} for entry in reply)


def check_tag_values(request, reply):
    """Values."""
    assert all(set(entry) == {"text"} for entry in reply)


def check_options(request, reply):
    """Choices with a label."""
    assert all(set(entry) == {"label", "value"} for entry in reply)


def check_metrics(request, reply):
    """Targets with a label, and inputs of known types."""
    for entry in reply:
        assert set(entry) == {"label", "value", "payloads"}
        for payload in entry["payloads"]:
            assert payload["type"] in INPUT_TYPES
            assert isinstance(payload["name"], str)
            check_options(None, payload.get("options", []))


CHECKS = {
    "/query": check_query,
    "/annotations": check_annotations,
    "/search": check_texts,
    "/variable": check_variable,
    "/tag-keys": check_tag_keys,
    "/tag-values": check_tag_values,
    "/metrics": check_metrics,
    "/metric-payload-options": check_options,
}
