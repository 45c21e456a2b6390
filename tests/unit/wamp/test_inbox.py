"""How events reach a node that is fed by topics."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from autobahn.wamp.exception import ApplicationError, TransportLost
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed

from sisock.wamp import inbox
from sisock.wamp.inbox import Inbox


class Node:
    """Keeps what it is given; fails where it is told to."""

    topics = ("observatory.a.feeds.x", "observatory..feeds.", "observatory.b.feeds.")

    def __init__(self):
        self.received = []

    def receive(self, topic, *arguments):
        if arguments == ("bad",):
            raise ValueError("cannot take it")
        self.received.append((topic, *arguments))


class Session:
    """Subscribes, or is refused."""

    def __init__(self, error=None):
        self.error = error
        self.matches = {}

    def subscribe(self, handler, topic, options):
        self.matches[topic] = options.match
        return fail(self.error) if self.error else succeed(handler)


class Thread:
    """Runs a function when it is told to."""

    def __init__(self):
        self.calls = []

    def __call__(self, function):
        self.calls.append((function, Deferred()))
        return self.calls[-1][1]

    def run(self):
        function, outcome = self.calls.pop(0)
        maybeDeferred(function).chainDeferred(outcome)


@pytest.fixture
def node():
    return Node()


def test_topics_with_an_empty_part_are_wildcards(node):
    """Wherever the empty part of a topic is, anything may stand there."""
    session = Session()
    Inbox(node).subscribe(session)
    assert session.matches == dict(zip(node.topics, ("exact", "wildcard", "wildcard"), strict=True))


def test_a_topic_that_the_router_refuses_is_said(node, caplog):
    """A router that does not let the node listen is in the log, with each topic, and no more happens."""
    Inbox(node).subscribe(Session(ApplicationError("wamp.error.not_authorized", "no")))
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3
    assert "'observatory..feeds.'" in caplog.text


def test_a_connection_lost_while_subscribing_is_no_error(node, caplog):
    """The next session subscribes again."""
    Inbox(node).subscribe(Session(TransportLost()))
    assert caplog.text == ""


def test_events_come_one_after_the_other(node):
    """While the node takes one event, others wait in their order; all are taken in one thread."""
    thread = Thread()
    ours = Inbox(node, thread)
    for number in range(3):
        ours.put("t", (number,))
    assert len(thread.calls) == 1
    thread.run()
    assert node.received == [("t", 0), ("t", 1), ("t", 2)]
    ours.put("t", (3,))
    thread.run()
    assert node.received[-1] == ("t", 3)
    assert thread.calls == []


def test_an_event_that_fails_is_left_out(node, caplog):
    """What a node raises is one line in the log, and those that follow are taken."""
    thread = Thread()
    ours = Inbox(node, thread)
    for argument in ("bad", "good"):
        ours.put("t", (argument,))
    thread.run()
    thread.run()
    assert node.received == [("t", "good")]
    assert "ValueError: cannot take it" in caplog.text


def test_an_event_that_two_topics_match_comes_once(node):
    """The router sends it for each of them, under one number."""
    thread = Thread()
    ours = Inbox(node, thread)
    for publication in (7, 7, 8):
        ours._hear("x", details=SimpleNamespace(topic="t", publication=publication))
    thread.run()
    assert node.received == [("t", "x"), ("t", "x")]


def test_arguments_by_name_are_passed_over(node):
    """A publisher may name its arguments as it likes."""
    thread = Thread()
    Inbox(node, thread)._hear("x", details=SimpleNamespace(topic="t", publication=1), self=1, topic=2, arguments=3)
    thread.run()
    assert node.received == [("t", "x")]


def test_what_waits_is_bounded(node, caplog, monkeypatch):
    """A node that cannot follow does not fill the memory; that events are lost is said once."""
    monkeypatch.setattr(inbox, "MOST_WAITING", 2)
    thread = Thread()
    ours = Inbox(node, thread)
    for number in range(5):
        ours.put("t", (number,))
    thread.run()
    assert node.received == [("t", 0), ("t", 1)]
    assert len(caplog.records) == 1
