"""The fakes that are shipped."""

import pytest
from autobahn.wamp.types import ComponentConfig
from twisted.internet.defer import Deferred

from sisock.core.model import DataBlock, Field, FieldCatalogue, TimelineBlock
from sisock.settings import Settings
from sisock.testing import FakeNode, FakeServer, Site
from sisock.wamp.data_node_server import DataNodeServer

NOW = 1_700_000_000.0
TIMES = [NOW - 30.0, NOW - 20.0, NOW - 10.0]


class Plain:
    """A node by the contract."""

    name = "plain"
    description = "a node for tests"

    def catalogue(self, start, end):
        return FieldCatalogue.of([Field("x", "x", "number", "K")], {"x": 10.0})

    def read(self, fields, start, end):
        block = FakeNode("", {"x": (TIMES, [1.0, 2.0, 3.0])})._blocks["x"]
        return DataBlock({"x": block.within(start, end)} if "x" in fields else {"x": TimelineBlock.empty()})


class Served(DataNodeServer):
    """A server as people write them."""

    name = "served"
    description = "a server for tests"

    def _get_fields_blocking(self, start, end):
        fields = {"x": {"description": None, "timeline": "t", "type": "number", "units": "K"}}
        return fields, {"t": {"interval": 10.0, "field": ["x"]}}

    def _get_data_blocking(self, field, start, end, min_stride=None):
        inside = [(t, v) for t, v in zip(TIMES, [1.0, 2.0, 3.0], strict=True) if start <= t < end]
        times, values = ([one[place] for one in inside] for place in (0, 1))
        return {"data": {"x": values}, "timeline": {"t": {"t": times, "finalized_until": None}}}


@pytest.mark.parametrize(
    "make",
    [
        lambda: FakeNode("fake", {"x": (TIMES, [1.0, 2.0, 3.0])}, units={"x": "K"}, interval_s=10.0),
        Plain,
        lambda: Served(ComponentConfig("realm", {})),
        lambda: FakeServer(Served(ComponentConfig("realm", {}))),
        lambda: FakeServer(Served(ComponentConfig("realm", {})), original_library=True),
    ],
)
def test_a_site_has_nodes_of_all_kinds(make):
    """Fakes, servers and nodes by the contract are drawn alike."""
    node = make()
    site = Site(node, now=NOW)
    (entry,) = site.query([f"{node.name}::x"], NOW - 60, NOW)
    assert entry["datapoints"] == [[1.0, (NOW - 30) * 1e3], [2.0, (NOW - 20) * 1e3], [3.0, (NOW - 10) * 1e3]]
    assert entry["unit"] == "kelvin"


def test_the_ways_of_asking_a_site():
    """Queries, annotations, rows, and whatever else the adapter answers, each at its address."""
    site = Site(FakeNode("roof", {"t": (TIMES, [1.0, 2.0, 3.0])}), now=NOW, settings=Settings(base_path="/lab"))
    first, second = site.query(["roof::t", ("roof::t", {"alias": "it"})], NOW - 60, NOW, 500, timezone="utc")
    assert [first["refId"], second["refId"], second["title"]] == ["A", "B", "it"]
    (table,) = site.query(["roof::t > 1.5"], NOW - 60, NOW, annotation=True)
    assert table["rows"][0][0] == (NOW - 20) * 1e3
    assert [row["value"] for row in site.rows("metric=roof::t&from=now-25s").json] == [2.0, 3.0]
    assert site.get("/lab/").text == "sisock: 1 data nodes, 1 fields\n"
    assert site.post("/search", {"target": "roof"}).json == ["roof::t"]
    assert site.post("/query", body="{").status_code == 400
    assert site.request("HEAD", "/rows?metric=roof::t").data == b""
    assert site.exchange(b"GET /health HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 200 OK")
    with pytest.raises(AssertionError, match="ends before it starts"):
        site.query(["roof::t"], NOW, NOW - 60)


def test_time_in_a_site():
    """Time stands still but when it is let pass, and when a reply waits for a node."""
    site = Site(FakeNode("roof", {"t": (TIMES, [1.0, 2.0, 3.0])}, delay_s=0.5), now=NOW)
    site.advance(1)
    assert site.clock() == NOW + 1
    site.query(["roof::t"], NOW - 60, NOW)
    site.advance(5)
    begun = site.clock()
    site.query(["roof::t"], NOW - 60, NOW)
    assert site.clock() == begun + 0.5
    site.hub.nodes["roof"].behaviour.hang = True
    begun = site.clock()
    (entry,) = site.query(["roof::t"], NOW - 90, NOW)
    assert "did not answer within 2 s" in str(entry)
    assert site.clock() == begun + 2


def test_a_site_that_never_answers(monkeypatch):
    """A reply that would never come is an error, not a test that hangs."""
    site = Site(now=NOW)
    monkeypatch.setattr(site.gateway, "freshen", Deferred)
    reply = site.get("/health")
    assert reply.status_code == 500
    assert site.clock() == NOW + 60
    monkeypatch.setattr(site._server._root.query._adapter, "query", lambda _: Deferred())
    with pytest.raises(TimeoutError, match="POST /query was not answered within 60 s"):
        site.query([], NOW - 1, NOW)
