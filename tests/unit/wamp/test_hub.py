"""The hub's session, without a router: what the router's own rules may let through."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from autobahn.wamp import message
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.types import ComponentConfig

from sisock.wamp.hub import Hub


@pytest.fixture
def hub(monkeypatch):
    """A hub that is not connected; what it publishes and logs is kept."""
    hub = Hub(ComponentConfig("realm", {}))
    hub.published = []
    hub.lines = []
    monkeypatch.setattr(hub, "publish", lambda topic, entry: hub.published.append((topic, entry["name"])))
    keep = lambda text, **values: hub.lines.append(text.format(**values))  # noqa: E731 - a fake in one line
    hub.log = SimpleNamespace(info=keep, warn=keep, error=keep)
    return hub


def caller(session=7, authid="north", authrole="node"):
    return SimpleNamespace(caller=session, caller_authid=authid, caller_authrole=authrole)


def test_forwarded_call_is_refused_before_it_is_dispatched(hub):
    """An invocation with forward_for is answered with an error, whoever the details say called."""
    sent = []
    hub._transport = SimpleNamespace(send=sent.append)
    hub._session_id = 1
    forwarded = [{"session": 5, "authid": "a", "authrole": "node"}]
    hub.onMessage(message.Invocation(11, 22, args=["north"], caller=5, forward_for=forwarded))
    assert isinstance(sent[0], message.Error)
    assert sent[0].request == 11
    assert sent[0].args == ["forwarded calls are refused"]


def test_name_that_another_session_holds_is_refused_with_false(hub):
    """The original API says False for a duplicate name; the same session may repeat itself."""
    assert hub._add("north", None, 0, details=caller(7))
    assert hub._add("north", None, 0, details=caller(7))
    assert hub._add("north", None, 7, details=caller(8)) is False
    assert hub.published == [("org.simonsobservatory.consumer.data_node_added", "north")]


def test_a_refusal_is_logged_once(hub):
    """Who is refused tries again twice a second: the log says it once for each name."""
    hub._add("north", "", 1, details=caller(3, "server", "legacy"))
    hub._add("south", "", 1, details=caller(3, "server", "legacy"))
    for name in ["north", "south"] * 5:
        assert not hub._add(name, "", 1, details=caller(4, "server", "legacy"))
    assert sum("refused to add 'north'" in line for line in hub.lines) == 1
    assert sum("refused to add 'south'" in line for line in hub.lines) == 1


def test_caller_that_is_not_disclosed_is_told_once_and_taken_from_the_argument(hub):
    """A router that hides callers is named once, loudly; then the argument has to do."""
    for _ in range(3):
        assert hub._add("north", None, 42, details=caller(None, None, None))
    assert [line for line in hub.lines if "DOES NOT DISCLOSE" in line] == hub.lines[:1]
    hub._session_left(42)
    assert hub._list() == []


@pytest.mark.parametrize("session_id", [None, "x", [], {}])
def test_session_number_that_is_none_is_refused_in_words(hub, session_id):
    """Without disclosure, an argument that is no session number is an error for the caller."""
    with pytest.raises(ApplicationError, match="session_id"):
        hub._add("north", None, session_id, details=caller(None, None, None))


def test_who_logs_in_as_one_node_cannot_add_another(hub):
    """A name that is not the login's is refused, and leaves nothing in the list."""
    with pytest.raises(ApplicationError, match="cannot add the data node 'south'"):
        hub._add("south", None, 7, details=caller(7, "north"))
    assert (hub._list(), hub.published) == ([], [])
    assert hub._add("south", None, 8, details=caller(8, "south"))


def test_legacy_role_may_add_any_name(hub):
    """Servers under the shared user of the original add whatever they are called."""
    assert hub._add("any", "", 1, details=caller(3, "server", "legacy"))


def test_session_that_leaves_takes_all_its_nodes_along(hub):
    """Whatever the reason, nodes of a session that left are off the list, and consumers are told."""
    hub._add("north", "", 1, details=caller(3, "server", "legacy"))
    hub._add("south", "", 1, details=caller(3, "server", "legacy"))
    hub._session_left(3)
    assert hub._list() == []
    assert [topic.rpartition("_")[2] for topic, _ in hub.published] == ["added", "added", "subtracted", "subtracted"]
