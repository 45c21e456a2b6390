"""A session that only listens, on a router without logins."""

from __future__ import annotations

import pytest
from autobahn.wamp.types import CloseDetails, ComponentConfig

from sisock.wamp.inbox import Inbox, Listener

ROUTER = "ws://ocs-router:8001/ws"


class Node:
    """Is fed by one topic."""

    topics = ("observatory..feeds.t",)

    def receive(self, topic, *arguments):
        """Nothing comes."""


@pytest.fixture
def listener():
    """A session that has subscribed to what it was told to."""
    session = Listener(ComponentConfig("test_realm", {}), Inbox(Node()), ROUTER)
    session.joined, session.topics = [], []
    session.join = lambda *arguments: session.joined.append(arguments)
    session.subscribe = lambda handler, topic, options: session.topics.append((topic, options.match))
    return session


def test_it_joins_as_nobody_and_listens(listener):
    """Without a name or a secret it joins the realm, and subscribes to the node's topics."""
    listener.onConnect()
    listener.onJoin(None)
    assert listener.joined == [("test_realm",)]
    assert listener.topics == [("observatory..feeds.t", "wildcard")]


def test_a_router_that_refuses_is_said(listener, monkeypatch):
    """Why it may not join is in the log."""
    said = []
    monkeypatch.setattr(listener.log, "error", lambda text, **values: said.append(text.format(**values)))
    monkeypatch.setattr(type(listener).__mro__[2], "onLeave", lambda *_: None)
    listener.onLeave(CloseDetails("wamp.error.not_authorized", "no anonymous role"))
    listener.onLeave(CloseDetails(CloseDetails.REASON_DEFAULT, "bye"))
    assert said == [f"the router at {ROUTER} refuses: no anonymous role"]
