"""When a data node's process ends because its router is gone."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from twisted.internet import task

from sisock.wamp import presence


class FakeReactor(task.Clock):
    """A clock with a shutdown, which keeps what was asked of it."""

    running = True

    def __init__(self):
        super().__init__()
        self.triggers = []
        self.stopped = False

    def addSystemEventTrigger(self, phase, event, function, *arguments):
        self.triggers.append((phase, function, arguments))

    def callWhenRunning(self, function):
        function()

    def stop(self):
        self.stopped = True
        for phase, function, arguments in list(self.triggers):
            if phase == "before":
                function(*arguments)


@pytest.fixture
def reactor(monkeypatch):
    """A reactor that ends nothing."""
    fake = FakeReactor()
    monkeypatch.setattr(presence, "reactor", fake)
    return fake


def ends_in_failure(reactor):
    return any(function is presence._exit_with_failure for phase, function, _ in reactor.triggers if phase == "after")


def lost(line, config):
    line.session_opened()
    line.session_closed("n", "transport lost", config)


def test_runner_that_does_not_reconnect_ends_at_once(reactor, capfd):
    """With a plain runner nothing can bring the connection back."""
    lost(presence.Lifeline(), SimpleNamespace(runner=SimpleNamespace(_client_service=None), extra={}))
    assert reactor.stopped
    assert ends_in_failure(reactor)
    assert capfd.readouterr().err == (
        "data node 'n': the connection to the router is gone (transport lost); the process ends\n"
    )


@pytest.mark.parametrize(
    "config",
    [
        SimpleNamespace(runner=SimpleNamespace(_client_service=object()), extra=None),
        SimpleNamespace(runner=None, extra={"sisock_reconnects": True}),
    ],
)
def test_what_reconnects_by_itself_goes_on(reactor, config):
    """A runner with auto_reconnect, and our own connection, bring a new session."""
    lost(presence.Lifeline(), config)
    reactor.advance(1000)
    assert not reactor.stopped


def test_unknown_runner_has_a_while_to_reconnect(reactor):
    """An instance with a configuration of its own ends after a while, unless a session came meanwhile."""
    config = SimpleNamespace(runner=None, extra=None)
    line = presence.Lifeline()
    lost(line, config)
    reactor.advance(presence.GRACE_S - 1)
    line.session_opened()
    reactor.advance(2)
    assert not reactor.stopped
    line.session_closed("n", "transport lost", config)
    reactor.advance(presence.GRACE_S + 1)
    assert reactor.stopped
    assert ends_in_failure(reactor)


def test_server_that_stops_the_reactor_itself_ends_in_failure_too(reactor):
    """The original's servers stop the reactor when they are disconnected; that is no success."""
    lost(presence.Lifeline(), SimpleNamespace(runner=None, extra=None))
    reactor.stop()
    assert ends_in_failure(reactor)


def test_connection_that_closes_because_the_program_stops_is_no_failure(reactor):
    """Ctrl-C closes the connection as well, and ends well."""
    line = presence.Lifeline()
    line.session_opened()
    reactor.stop()
    line.session_closed("n", "wamp.close.normal", SimpleNamespace(runner=None, extra=None))
    assert not ends_in_failure(reactor)
