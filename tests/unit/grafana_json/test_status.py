"""The status page's contents."""

import numpy as np
import pytest
from twisted.internet.defer import Deferred

from grafana_json.status import FEWEST_FIELDS, MOST_SHOWN_FIELDS, age_in_words, gather, value_in_words
from sisock.testing import FakeNode, result_of

NOW = 1795325987.03
YEAR_S = 365.25 * 86400


def page_of(site):
    """Return the nodes on the page of a site by their names, waiting for those that are slow."""
    gathering = Deferred.fromCoroutine(gather(site.gateway, NOW))
    while not gathering.called:
        site.advance(0.25)
    page = result_of(gathering)
    return {node.name: node for node in page.nodes}, page


def questions(node):
    """Return the spans that a node was asked for."""
    return [arguments[1:3] for name, arguments, _ in node.calls if name == "get_data"]


def test_each_field_has_its_newest_value_and_its_age(site):
    """A field of a live node has the newest value of the last hour with its units, and how old it is."""
    site.hub.add(FakeNode("live", {"x": ([NOW - 120, NOW - 12], [1.0, 2.5])}, units={"x": "V"}))
    row = page_of(site)[0]["live"].rows[0]
    assert (row.target, row.value, row.units, row.age) == ("live::x", "2.5", "V", "12 s")


def test_an_archive_has_its_newest_value_whatever_its_age(site):
    """A node without samples in the last hour is asked once more, for all time; a live one isn't."""
    archive = FakeNode("archive", {"x": ([NOW - 13 * YEAR_S], [4.0])})
    live = FakeNode("live", {"x": ([NOW - 3], [1.0]), "seldom": ([NOW - YEAR_S], [1.0])})
    site.hub.add(archive)
    site.hub.add(live)
    nodes, _ = page_of(site)
    assert nodes["archive"].rows[0].value == "4"
    assert nodes["archive"].rows[0].age.startswith("13 ")
    assert {row.target: row.age for row in nodes["live"].rows} == {"live::x": "3 s", "live::seldom": ""}
    assert len(questions(live)) == 1
    assert len(questions(archive)) == 2


def test_a_field_that_stopped_is_late(site):
    """A field whose samples used to come more often is marked; one that comes as it did, or an archive's, is not."""
    site.hub.add(FakeNode("a", {"stopped": ([NOW - 300], [1.0]), "goes": ([NOW - 2], [1.0])}, interval_s=1.0))
    site.hub.add(FakeNode("b", {"old": ([NOW - YEAR_S], [1.0])}, interval_s=1.0))
    nodes, _ = page_of(site)
    assert {row.target: row.late for name in "ab" for row in nodes[name].rows} == {
        "a::stopped": True,
        "a::goes": False,
        "b::old": False,
    }


def test_one_question_a_node_and_only_fields_that_are_shown(site):
    """A node with many fields is asked once, for those that fit on the page."""
    many = FakeNode("many", {f"f{n:04}": ([NOW - 1], [1.0]) for n in range(2000)})
    site.hub.add(many)
    node = page_of(site)[0]["many"]
    most = MOST_SHOWN_FIELDS // 3
    assert (len(node.rows), node.hidden) == (most, 2000 - most)
    ((asked, *_),) = [arguments for name, arguments, _ in many.calls if name == "get_data"]
    assert len(asked) == most


def test_many_nodes_share_the_page(site):
    """With many nodes each has room for some fields."""
    for n in range(60):
        site.hub.add(FakeNode(f"node{n}", {f"f{k}": ([NOW - 1], [1.0]) for k in range(20)}))
    assert {len(node.rows) for name, node in page_of(site)[0].items() if name.startswith("node")} == {FEWEST_FIELDS}


def test_a_hung_node_costs_no_more_than_its_deadline(site):
    """A node that does not answer is told as a problem, and is not waited for again for its values."""
    site.hub.add(FakeNode("stuck", {"x": ([NOW], [1.0])}, hang=True))
    begun = site.clock()
    nodes, page = page_of(site)
    assert "did not answer" in nodes["stuck"].problems[0]
    assert page.problem_count == 1
    assert site.clock() - begun <= 2.5
    assert nodes["weather"].rows[0].value


def test_original_nodes_are_not_read_through(site):
    """A node on the original library is asked about the last hour only, and the page says why it is slow."""
    old = FakeNode("old", {"x": ([NOW - YEAR_S], [1.0])}, original_library=True)
    site.hub.add(old)
    node = page_of(site)[0]["old"]
    assert "original library" in node.notes[0]
    assert all(start >= NOW - 3700 for start, _ in questions(old))


def test_without_a_router_the_page_says_so(site):
    """While the router is away there is nothing to ask."""
    site.gateway.disconnected()
    assert "the router is not connected" in page_of(site)[1].outage


@pytest.mark.parametrize(("age_s", "shown"), [(0.0, "now"), (0.99, "now"), (1.234, "1.23 s"), (754.0, "12.6 min")])
def test_ages_are_words(age_s, shown):
    """Ages have three digits; what is younger than a second is new."""
    assert age_in_words(age_s) == shown


@pytest.mark.parametrize(
    ("value", "units", "shown"),
    [
        (np.float64(1013.25), "hPa", ("1013.25", "hPa")),
        (np.float64(1.23456789e-9), "A", ("1.23457e-09", "A")),
        (np.float64("nan"), "K", ("nan", "K")),
        (np.float64(5 * 2**30), "B", ("5", "GiB")),
        (np.float64(0), "B/s", ("0", "B/s")),
        (np.float64("inf"), "B", ("inf", "B")),
        (np.bool_(True), "", ("true", "")),
        (False, "", ("false", "")),
        ("idle", "", ("idle", "")),
        ("x" * 500, "", ("x" * 80 + "…", "")),
    ],
)
def test_values_are_words(value, units, shown):
    """Numbers have six digits, bytes a prefix, and long texts are cut."""
    assert value_in_words(value, units) == shown
