from types import SimpleNamespace

import pytest

from grafana_json.editor.builder import MOST_WITH_CHOICES, list_choices, list_metrics
from grafana_json.editor.variables import list_options
from grafana_json.options import GAPS
from sisock.core.model import Field, FieldCatalogue
from sisock.core.reduce.reducers import REDUCERS
from sisock.gateway.directory import Snapshot


def snapshot_of(**fields):
    nodes = {name: SimpleNamespace(name=name, catalogue=FieldCatalogue.of(ones, {})) for name, ones in fields.items()}
    return Snapshot.of(nodes)


SNAPSHOT = snapshot_of(
    host=[Field("cpu", "t", "number", "%"), Field("up", "t", "bool")],
    weather=[Field("temp.in", "t", "number", "K"), Field("sky", "t", "string")],
    cryo=[Field("stage", "t", "number", "K")],
)


def values(payload):
    options = list_options({"payload": payload}, SNAPSHOT)
    assert all(option["__text"] == option["__value"] for option in options)
    return [option["__value"] for option in options]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nodes", ["cryo", "host", "weather"]),
        ("nodes c.*", ["cryo"]),
        ("fields host", ["cpu", "up"]),
        ("fields (host|cryo)", ["cpu", "stage", "up"]),
        ("fields nowhere", []),
        ("targets weather::.*", ["weather::sky", "weather::temp.in"]),
        ("units K", ["cryo::stage", "weather::temp.in"]),
        ("units \\%", []),
        ("units %", ["host::cpu"]),
        ("weather::temp\\.in", ["weather::temp.in"]),
        ("*::s*", ["cryo::stage", "weather::sky"]),
        ("host::cpu,weather::sky", ["host::cpu", "weather::sky"]),
        ("systems", []),
        ("fields", []),
        ("", []),
    ],
)
def test_queries_as_texts(text, expected):
    """A text asks for nodes, for the fields of some, for targets by pattern or by units."""
    assert values({"target": text}) == expected
    assert values(text) == expected


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"kind": "nodes"}, ["cryo", "host", "weather"]),
        ({"kind": "fields", "node": "host"}, ["cpu", "up"]),
        ({"kind": "fields", "node": ["host", "cryo"]}, ["cpu", "stage", "up"]),
        ({"kind": "targets"}, ["cryo::stage", "host::cpu", "host::up", "weather::sky", "weather::temp.in"]),
        ({"kind": "targets", "pattern": "w.*", "units": "K"}, ["weather::temp.in"]),
        ({"kind": "targets", "type": "bool"}, ["host::up"]),
        ({"kind": "targets", "node": "cryo"}, ["cryo::stage"]),
        ({"kind": "systems", "m": "x"}, []),
        ({"kind": ["nodes"]}, []),
        ({"kind": "nodes", "node": {"a": 1}}, ["cryo", "host", "weather"]),
        ({}, []),
    ],
)
def test_queries_as_objects(payload, expected):
    """An object asks for the same, with values from other variables in it."""
    assert values(payload) == expected


@pytest.mark.parametrize("request_", [None, [], {}, {"payload": None}, {"payload": []}, "nodes"])
def test_what_is_no_query(request_):
    """What is no query has no values."""
    assert list_options(request_, SNAPSHOT) == []


def test_more_than_a_panel_draws():
    """A variable lists all that there is, however many."""
    many = snapshot_of(host=[Field(f"f{number}", "t") for number in range(300)])
    assert len(list_options({"payload": {"target": "host::.*"}}, many)) == 300


def test_the_builder_offers_choices():
    """The choices of a list are sent along, or asked for where there are many targets."""
    first = list_metrics({}, SNAPSHOT)[0]
    (reduce,) = [entry for entry in first["payloads"] if entry["name"] == "reduce"]
    assert reduce["options"] == list_choices({"name": "reduce"})
    assert {choice["value"] for choice in list_choices({"name": "reduce"})} == {*REDUCERS, "band"}
    assert {choice["value"] for choice in list_choices({"name": "gaps"})} == set(GAPS)
    many = snapshot_of(host=[Field(f"f{number}", "t") for number in range(MOST_WITH_CHOICES + 1)])
    assert not any("options" in entry for entry in list_metrics({}, many)[0]["payloads"])


@pytest.mark.parametrize("request_", [None, [], {}, {"name": 5}, {"name": ["reduce"]}, {"name": "sensors"}])
def test_no_choices(request_):
    """What is no list of ours has no choices."""
    assert list_choices(request_) == []
