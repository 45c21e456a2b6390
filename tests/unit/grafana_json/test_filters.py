from types import SimpleNamespace

import pytest

from grafana_json.filters import NONE, list_keys, list_values, parse_filters
from sisock.core.model import Field, FieldCatalogue
from sisock.gateway.directory import Snapshot
from sisock.gateway.drawing.planner import SeriesWanted

CATALOGUES = {
    "host": FieldCatalogue.of([Field("cpu", "t", "number", "%"), Field("up", "t", "bool")], {"t": 1.0}),
    "site10": FieldCatalogue.of([Field("temp", "t", "number", "K")], {"t": 1.0}),
    "site9": FieldCatalogue.of([Field("temp", "t", "number", "K"), Field("sky", "t", "string")], {"t": 1.0}),
}
SNAPSHOT = Snapshot.of({name: SimpleNamespace(name=name, catalogue=one) for name, one in CATALOGUES.items()})


def passing(*filters):
    parsed = parse_filters(list(filters))
    return [name for name, wanted in SNAPSHOT.targets.items() if parsed.passes(wanted, SNAPSHOT)]


@pytest.mark.parametrize(
    ("entry", "names"),
    [
        (("node", "=", "host"), ["host::cpu", "host::up"]),
        (("node", "!=", "host"), ["site10::temp", "site9::temp", "site9::sky"]),
        (("units", "=", "K"), ["site10::temp", "site9::temp"]),
        (("units", "=", ""), ["host::up", "site9::sky"]),
        (("type", "=~", "bool|string"), ["host::up", "site9::sky"]),
        (("field", "!~", "temp|.*u.*"), ["site9::sky"]),
        (("node", "=~", "site"), []),
        (("field", "<", "temp"), ["host::cpu", "site9::sky"]),
        (("field", ">", "temp"), ["host::up"]),
    ],
)
def test_operators(entry, names):
    """Each operator narrows by node, units, type and field; patterns match as a whole."""
    assert passing(dict(zip(("key", "operator", "value"), entry, strict=True))) == names


def test_one_of_several():
    """One of several values, and none of them."""
    several = {"key": "field", "operator": "=|", "value": "cpu", "values": ["cpu", "sky"]}
    assert passing(several) == ["host::cpu", "site9::sky"]
    assert passing(several | {"operator": "!=|"}) == ["host::up", "site10::temp", "site9::temp"]


def test_numbers_are_compared_as_such():
    """Where both are numbers they are compared as numbers."""
    filters = parse_filters([{"key": "field", "operator": "<", "value": "10"}])
    assert filters.passes(SeriesWanted("a", "9"), SNAPSHOT)
    assert not filters.passes(SeriesWanted("a", "11"), SNAPSHOT)


def test_all_filters_hold():
    """Several filters must all pass; a spliced series passes when a part of it does."""
    both = [{"key": "units", "operator": "=", "value": "K"}, {"key": "node", "operator": "=", "value": "site9"}]
    assert passing(*both) == ["site9::temp"]
    assert parse_filters(both).passes(SeriesWanted("site10+site9", "temp"), SNAPSHOT)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"key": "site", "operator": "=", "value": "alpha"}, "'site' is passed over"),
        ({"key": "node", "operator": "~~", "value": "x"}, "its operator is unknown"),
        ({"key": "node", "value": "x"}, "its operator is unknown"),
        ({"key": "node", "operator": "=~", "value": "((("}, "no pattern"),
        ({"key": "node", "operator": "=~", "value": "x" * 20_000}, "no pattern"),
    ],
)
def test_what_cannot_be_applied_is_told(entry, said):
    """A filter on what no series has, or that cannot be understood, is passed over with a word."""
    filters = parse_filters([entry])
    assert filters.tests == ()
    assert said in filters.remarks[0]
    assert len(filters.remarks[0]) < 200


@pytest.mark.parametrize("given", [None, {}, "x", [], [None, 5, [], {}, {"key": 5}, {"key": ""}]])
def test_no_filters(given):
    """What is no filter filters nothing."""
    assert parse_filters(given) == NONE


def test_keys_and_values():
    """Keys and their values are listed, and the other filters narrow the values."""
    assert [entry["text"] for entry in list_keys()] == ["node", "units", "type", "field"]
    assert list_values({"key": "units"}, SNAPSHOT) == [{"text": "%"}, {"text": "K"}]
    others = [{"key": "units", "operator": "=", "value": "K"}, {"key": "node", "operator": "=", "value": "site9"}]
    assert list_values({"key": "node", "filters": others}, SNAPSHOT) == [{"text": "site10"}, {"text": "site9"}]


@pytest.mark.parametrize("request_", [None, [], {}, {"key": None}, {"key": ["node"]}, {"key": "host"}])
def test_no_values(request_):
    """A key that is not ours has no values."""
    assert list_values(request_, SNAPSHOT) == []
