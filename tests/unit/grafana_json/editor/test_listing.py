import itertools
import time
from types import SimpleNamespace

import pytest

from grafana_json.editor import listing
from grafana_json.editor.builder import MOST_WITH_CHOICES, list_metrics
from grafana_json.editor.listing import near, overview, search
from grafana_json.targets import find
from sisock.core.model import Field, FieldCatalogue
from sisock.gateway.directory import Snapshot


def snapshot_of(**fields):
    catalogues = {node: FieldCatalogue.of([Field(name, "t") for name in names], {}) for node, names in fields.items()}
    return Snapshot.of({node: SimpleNamespace(name=node, catalogue=one) for node, one in catalogues.items()})


PARTS = (range(25), ("temperatures", "voltages", "pressures", "housekeeping"), range(500), "TV")
SITE = snapshot_of(
    ocs=[f"observatory.LSA{a:02d}YE.feeds.{b}.Channel_{c:02d}_{d}" for a, b, c, d in itertools.product(*PARTS)],
    weather=["temp.in", "temp.out", "wind"],
)
SMALL = snapshot_of(host=["cpu", "up"], weather=["temp.in", "sky"])


def targets(listed):
    return [entry.target for entry in listed]


@pytest.fixture
def few(monkeypatch):
    """Let lists be short, so that small sites are too large for them."""
    monkeypatch.setattr(listing, "MOST_LISTED", 6)
    return snapshot_of(a=["x", "y"], b=["p.q.one", "p.q.two", "p.r.one", "p.r.two", "s", "t.only"]).targets


def test_all_that_fit_are_listed():
    """As long as all targets fit into a list, it has all of them, in their order."""
    every = ["host::cpu", "host::up", "weather::temp.in", "weather::sky"]
    assert targets(overview(SMALL.targets)) == every
    assert search("", SMALL.targets) == every
    assert targets(near("host::cpu", SMALL.targets)) == every


def test_a_text_narrows():
    """What is typed may stand anywhere in a name, whatever its case."""
    assert search(" TEMP ", SMALL.targets) == ["weather::temp.in"]
    assert search("t::c", SMALL.targets) == ["host::cpu"]
    assert search("nothing", SMALL.targets) == []


def test_levels_stand_for_what_does_not_fit(few):
    """Nodes share a list; of what does not fit, levels are listed with the number of their fields, as deep as fits."""
    assert [entry.label for entry in overview(few)] == [
        "a::x",
        "a::y",
        "b::p.q.* (2 fields)",
        "b::p.r.* (2 fields)",
        "b::s",
        "b::t.only",
    ]


def test_a_level_is_a_target(few):
    """Each entry of a list may be drawn, and means exactly the fields that it stands for."""
    drawn = [name for entry in overview(few) for name in find(entry.target, few)]
    assert sorted(drawn) == sorted(few)
    similar = snapshot_of(n=["a.b.x", "a.b.y", "a.bc", "aXb.z"]).targets
    assert find(listing.Listed.of_level("n::a.b.", 2).target, similar) == ["n::a.b.x", "n::a.b.y"]


def test_a_level_survives_being_a_variable():
    """A level that was chosen as the value of a variable comes with escapes, and means the same."""
    level = listing.Listed.of_level("ocs::observatory.LSA07YE.feeds.voltages.", 1000).target
    escaped = "".join(f"\\{sign}" if sign in r"\^$*+?.()|[]{}/" else sign for sign in level)
    assert len(find(escaped, SITE.targets)) == 1000


def test_what_is_near_a_target(few):
    """Near a target are the levels that it is on, what is on the lowest of them, and the nodes."""
    assert [entry.label for entry in near("b::p.q.one", few)] == [
        "b::* (6 fields)",
        "b::p.* (4 fields)",
        "b::p.q.* (2 fields)",
        "b::p.q.one",
        "b::p.q.two",
        "a::* (2 fields)",
    ]


@pytest.mark.parametrize("chosen", [r"b::p\..*", "b::p.*", "b::p.r.*", r"b::p\.r\..*"])
def test_what_is_below_a_level(few, chosen):
    """Below a level are its fields, whether it was chosen from the list or typed as a glob."""
    listed = targets(near(chosen, few))
    assert chosen in listed
    assert {"b::p.r.one", "b::p.r.two"} <= set(listed) or r"b::p\.r\..*" in listed
    assert "b::s" not in listed


@pytest.mark.parametrize("chosen", ["b::nothing", "c::*", "*", "b::(p|q)", "a::x", "x" * 900])
def test_what_is_chosen_stays_in_the_list(few, chosen):
    """The target that is chosen is in the list whatever it is, for the builder forgets what is not in it."""
    listed = targets(near(chosen, few))
    assert chosen in listed
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize("chosen", ["", "  ", "x" * 5000])
def test_what_is_not_chosen_is_not_in_the_list(few, chosen):
    """Nothing, and what is too long to be a target, is not listed."""
    assert targets(near(chosen, few)) == targets(overview(few))


def test_a_level_with_too_many_names_of_its_own(monkeypatch):
    """Of a level that has more names than a list, the first are listed below it."""
    monkeypatch.setattr(listing, "MOST_LISTED", 5)
    flat = snapshot_of(a=[f"x.{number}" for number in range(9)]).targets
    assert [entry.label for entry in overview(flat)] == ["a::x.* (9 fields)"]
    assert targets(near("a::x.*", flat))[1:] == [r"a::.*", r"a::x\..*", "a::x.0", "a::x.1", "a::x.2"]


@pytest.mark.parametrize("text", ["lsa", "LSA07", "observatory.", "s"])
def test_a_text_in_too_many_names(text):
    """Where too many names contain a text, the first of them are listed, until more is typed."""
    whole = [name for name in SITE.targets if text.casefold() in name.casefold()]
    assert search(text, SITE.targets) == whole[: listing.MOST_LISTED]
    assert len(whole) > listing.MOST_LISTED


def test_a_hundred_thousand_fields():
    """With 100,000 fields on a node every list is bounded, and found within 50 ms."""
    asked = ["", "lsa", "_01", "qqq", "e.f", "LSA07YE.feeds.temp"]
    assert all(len(search(text, SITE.targets)) <= listing.MOST_LISTED for text in asked)
    begun = time.perf_counter()
    for text in asked:
        search(text, SITE.targets)
    near(r"ocs::observatory\..*", SITE.targets)
    assert (time.perf_counter() - begun) / (len(asked) + 1) < 0.05
    assert len(near("", SITE.targets)) <= listing.MOST_LISTED


def test_the_builder_lists_what_is_near():
    """The builder's entries have the level as their label and a pattern as their value."""
    first, *_ = list_metrics({"metric": "ocs::observatory.LSA07YE.*"}, SITE)
    assert first["value"] == "ocs::observatory.LSA07YE.*"
    labels = {entry["label"]: entry for entry in list_metrics({}, SITE)}
    entry = labels["ocs::observatory.LSA07YE.feeds.voltages.* (1,000 fields)"]
    assert len(find(entry["value"], SITE.targets)) == 1000
    assert "weather::wind" in labels
    assert len(labels) <= MOST_WITH_CHOICES


@pytest.mark.parametrize("request_", [None, [], "x", {"metric": None}, {"metric": ["x"]}, {"metric": 5}])
def test_odd_requests_of_the_builder(request_):
    """What names no target lists all."""
    assert [entry["value"] for entry in list_metrics(request_, SMALL)] == list(SMALL.targets)
