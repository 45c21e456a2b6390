"""How a data node of the contract is served, without a router."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from autobahn.wamp.types import ComponentConfig
from twisted.internet import defer

from sisock.core.column.column import Column
from sisock.core.model import DataBlock, Field, FieldCatalogue, Statement, TimelineBlock
from sisock.log import FaultLog
from sisock.testing import ManualClock
from sisock.wamp import data_node_server, node_server
from sisock.wamp.node_server import NodeServer


class Node:
    """A node with a few samples; subclasses say that they are in memory."""

    name = "node"
    description = ""
    times = np.arange(1.0, 11.0)

    def catalogue(self, start, end):
        return FieldCatalogue.of([Field("a", "t")], {"t": 1.0})

    def read(self, fields, start, end):
        return DataBlock({"t": TimelineBlock(self.times, {"a": self.times}).within(start, end)})


class WithGeneration(Node):
    """The same, which says what its samples are."""

    def read(self, fields, start, end):
        blocks = super().read(fields, start, end).timelines
        return DataBlock({"t": replace(blocks["t"], generation="one")})


class InMemoryNode(Node):
    """The same, which never blocks."""

    in_memory = True


@pytest.fixture
def threads(monkeypatch):
    """What would run in threads; it runs at once."""
    called = []

    def run(function, *arguments):
        called.append(function.__name__)
        return defer.maybeDeferred(function, *arguments)

    monkeypatch.setattr(node_server.threads, "deferToThread", run)
    return called


class SummarizingNode(Node):
    """The same with a summary, which is never read as a whole."""

    def columns(self, fields):
        return {name: Column.of(self.times, self.times, Statement(generation="one")) for name in fields if name == "a"}

    def read(self, fields, start, end):
        raise AssertionError("it was read")


class InMemorySummarizingNode(SummarizingNode):
    """The same, which never blocks."""

    in_memory = True


def ask(node):
    return answer(node, ["a"], 3.0, 5.0)["data"]["a"]


def answer(node, *arguments, **extensions):
    outcome = []
    NodeServer(ComponentConfig("realm", {}), node)._serve_data(*arguments, **extensions).addBoth(outcome.append)
    return outcome[0]


def test_node_that_may_block_is_read_in_one_thread(threads):
    """Reading and answering together are one visit to a thread."""
    assert ask(Node()) == [3.0, 4.0]
    assert threads == ["_read_and_answer"]


def test_small_answer_of_a_node_in_memory_needs_no_thread(threads):
    """A node that never blocks is read in the reactor, and a small answer is made there."""
    assert ask(InMemoryNode()) == [3.0, 4.0]
    assert threads == []


def test_large_answer_of_a_node_in_memory_is_made_in_a_thread(threads, monkeypatch):
    """What takes long to reduce does not hold up the reactor."""
    monkeypatch.setattr(node_server, "SAMPLES_AT_ONCE", 1)
    assert ask(InMemoryNode()) == [3.0, 4.0]
    assert threads == ["answer"]


@pytest.mark.parametrize(("node", "visits"), [(SummarizingNode(), ["answer"]), (InMemorySummarizingNode(), [])])
def test_a_reducer_is_served_from_the_summary(threads, node, visits):
    """Who asks for a reducer gets what all samples would give, without their being read."""
    asked = (["a", "no such field"], 2.0, 9.5, 2.0)
    reply = answer(node, *asked, reduce="minmax")
    assert threads == visits
    assert reply == answer(WithGeneration(), *asked, reduce="minmax")
    assert reply["data"] == {"a": [2.0, 3.0, 4.0, 7.0, 8.0, 9.0], "no such field": []}


def test_pages_of_a_reducer_follow_one_another(threads):
    """A reducer that is served from the summary comes in pages where the caller wants them."""
    page = answer(InMemorySummarizingNode(), ["a"], 2.0, 9.5, 2.0, reduce="minmax", limit=4)
    rest = answer(InMemorySummarizingNode(), ["a"], 2.0, 9.5, 2.0, reduce="minmax", limit=4, after=page["after"])
    assert page["data"]["a"] + rest["data"]["a"] == [2.0, 3.0, 4.0, 7.0, 8.0, 9.0]
    assert "after" not in rest


def test_times_that_are_none_are_told(threads, monkeypatch):
    """A node that gives milliseconds has that told beside its empty answer, and once in the log."""

    class Milliseconds(Node):
        def read(self, fields, start, end):
            times = np.arange(1.7e9, 1.7e9 + 10) * 1e3
            return DataBlock({"t": TimelineBlock(times, {"a": times})})

    lines = []
    monkeypatch.setattr(data_node_server, "FAULTS", FaultLog(ManualClock()))
    window = 1.7e9 - 60, 1.7e9 + 60
    for _ in range(3):
        server = NodeServer(ComponentConfig("realm", {}), Milliseconds())
        monkeypatch.setattr(
            server, "log", SimpleNamespace(error=lambda text, **said: lines.append(text.format(**said)))
        )
        outcome = []
        server._serve_data(["a"], *window, 1.0, reduce="minmax", packed=True, spans=[window]).addBoth(outcome.append)
        (reply,) = outcome
        assert "divide by 1000" in reply["remarks"]["a"][0]
        assert reply["series"][0][2] == [0]
    assert len(lines) == 1
