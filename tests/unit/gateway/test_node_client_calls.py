import pytest
from autobahn.wamp.exception import ApplicationError, TransportLost
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeadlinePassed

from sisock.core.errors import BadReply, NodeUnavailable
from sisock.gateway.node_client import RouterLink, in_words
from sisock.testing import ManualClock, result_of


class SilentCaller:
    """Never answers."""

    def call(self, procedure, *arguments, **keywords):
        return Deferred()


class BrokenCaller:
    """Raises at once, as a session does whose transport is gone."""

    def call(self, procedure, *arguments, **keywords):
        raise TransportLost


def test_no_call_waits_for_ever():
    """A call without an answer fails when its time is over, and not before."""
    clock = ManualClock()
    reply = RouterLink(SilentCaller(), clock).call(2.0, "a.b")
    clock.advance(1.9)
    assert not reply.called
    clock.advance(0.1)
    with pytest.raises(DeadlinePassed):
        result_of(reply)


def test_a_lost_transport_is_a_failed_call():
    """A session that raises instead of returning a Deferred fails the call like any other error."""
    with pytest.raises(TransportLost):
        result_of(RouterLink(BrokenCaller(), ManualClock()).call(2.0, "a.b"))


def test_without_a_session_there_is_no_call():
    """While no session is there, a call is refused at once with that reason."""
    link = RouterLink(SilentCaller(), ManualClock())
    link.disconnected()
    with pytest.raises(NodeUnavailable, match="the router is not connected since 2023-11-14T22:13:20"):
        link.call(2.0, "a.b")


def test_the_first_loss_counts():
    """Since when the router is away is told from the first loss on."""
    clock = ManualClock()
    link = RouterLink(SilentCaller(), clock)
    link.disconnected()
    clock.advance(60)
    link.disconnected()
    assert "22:13:20" in link.outage


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (DeadlinePassed(), "did not answer within 2 s"),
        (TransportLost(), "connection to the router was lost"),
        (ApplicationError("wamp.close.transport_lost", "gone"), "connection to the router was lost"),
        (ApplicationError("wamp.error.no_such_procedure", "x"), "serves nothing"),
        (ApplicationError("wamp.error.canceled"), "left while it was asked"),
        (ApplicationError("org.x.failed", "disk full"), "answered with an error: disk full"),
        (ApplicationError("org.x.failed"), "answered with an error: org.x.failed"),
        (BadReply("no dictionary"), "not understood: no dictionary"),
        (KeyError("t"), "KeyError"),
    ],
)
def test_errors_are_told_in_words(error, said):
    """Whatever ends a call can be told to the viewer of a panel."""
    assert said in in_words(error, 2.0)
