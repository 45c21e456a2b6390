"""What all sessions do with what the router sends."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from autobahn.wamp import auth, message
from autobahn.wamp.types import Challenge, ComponentConfig

from sisock.core.errors import SisockError
from sisock.wamp.session import Session, sign


@pytest.fixture
def session():
    """A session that has joined, over a transport that keeps what is sent."""
    session = Session(ComponentConfig("realm", {}))
    session.sent = []
    session._transport = SimpleNamespace(send=session.sent.append, isOpen=lambda: True)
    session._session_id = 1
    return session


@pytest.mark.parametrize("late", ["error", "result"])
def test_answer_to_a_call_that_was_given_up_is_passed_over(session, late):
    """A call that timed out may be answered twice; that does not cost the session."""
    calling = session.call("some.procedure")
    outcome = []
    calling.addErrback(outcome.append)
    calling.cancel()
    request = session.sent[0].request
    error = message.Error(message.Call.MESSAGE_TYPE, request, "wamp.error.canceled")
    session.onMessage(error)
    assert outcome
    session.onMessage(error if late == "error" else message.Result(request, args=[1]))
    assert session._session_id == 1


def test_answers_to_calls_under_way_arrive(session):
    """Results and errors of calls that wait for them reach who called."""
    first, second = session.call("a.b"), session.call("a.c")
    outcomes = []
    first.addBoth(outcomes.append)
    second.addBoth(outcomes.append)
    session.onMessage(message.Result(session.sent[0].request, args=[5]))
    session.onMessage(message.Error(message.Call.MESSAGE_TYPE, session.sent[1].request, "some.error", args=["why"]))
    assert outcomes[0] == 5
    assert outcomes[1].value.error == "some.error"


def test_other_login_methods_are_refused_in_words():
    """A challenge of another kind than WAMP-CRA is an error that names it."""
    with pytest.raises(SisockError, match="'ticket'"):
        sign(SimpleNamespace(method="ticket", extra={}), "s")


def test_derived_key():
    """A router that keeps a derived key says how it was derived; the answer is made with it."""
    extra = {"challenge": "text", "salt": "s4lt", "iterations": 100, "keylen": 32}
    key = auth.derive_key("secret", "s4lt", 100, 32)
    assert sign(Challenge("wampcra", extra), "secret") == auth.compute_wcs(key, "text")
