"""How a data node of the contract is served, without a router."""

from __future__ import annotations

import numpy as np
import pytest
from autobahn.wamp.types import ComponentConfig
from twisted.internet import defer

from sisock.core.model import DataBlock, Field, FieldCatalogue, TimelineBlock
from sisock.wamp import node_server
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


def ask(node):
    outcome = []
    NodeServer(ComponentConfig("realm", {}), node)._serve_data(["a"], 3.0, 5.0).addBoth(outcome.append)
    return outcome[0]["data"]["a"]


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
