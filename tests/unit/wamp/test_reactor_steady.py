"""What is due is due when it was, however the wall clock is set."""

from itertools import pairwise
from types import SimpleNamespace

import pytest
from autobahn.wamp.types import ComponentConfig
from twisted.internet import task
from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred, maybeDeferred

from sisock.testing import result_of
from sisock.wamp import data_node_server, node_server
from sisock.wamp import reactor as reactor_module
from sisock.wamp.authenticator import Authorizer
from sisock.wamp.data_node_server import DataNodeServer
from sisock.wamp.node_server import start_polling, until_next
from sisock.wamp.reactor import keep_steady

NOW = 1_700_000_000.0
STEPS = [-3600.0, -20.0, 20.0, 3600.0, 3.7e8]


class Reactor(ReactorBase):
    """Twisted's own, without anything to listen to, on clocks that are set by hand."""

    def __init__(self, clocks) -> None:
        self.seconds = lambda: clocks.wall
        super().__init__()

    def installWaker(self):
        """Wake nobody."""

    def removeAll(self):
        """Return what is listened to."""
        return []


@pytest.fixture
def clocks(monkeypatch):
    clocks = SimpleNamespace(wall=NOW, monotonic=5.0)
    monkeypatch.setattr(reactor_module, "monotonic", lambda: clocks.monotonic)
    return clocks


@pytest.fixture
def reactor(clocks):
    return Reactor(clocks)


def pass_time(clocks, seconds):
    clocks.wall += seconds
    clocks.monotonic += seconds


@pytest.mark.parametrize("step_s", STEPS)
def test_a_delay_is_as_long_as_ever(clocks, reactor, step_s):
    """A call in two seconds comes after two seconds, though the clock is set meanwhile."""
    keep_steady(reactor)
    came = []
    reactor.callLater(2.0, came.append, "due")
    clocks.wall += step_s
    pass_time(clocks, 1.9)
    reactor.runUntilCurrent()
    assert came == []
    pass_time(clocks, 0.2)
    reactor.runUntilCurrent()
    assert came == ["due"]


@pytest.mark.parametrize("step_s", STEPS)
def test_what_was_due_already_stays_due(clocks, reactor, step_s):
    """What was scheduled before the reactor was made steady comes when it would have, also when it is put off."""
    came = []
    reactor.callLater(2.0, came.append, "due")
    other = reactor.callLater(2.0, came.append, "put off")
    keep_steady(reactor)
    clocks.wall += step_s
    other.reset(3.0)
    pass_time(clocks, 2.1)
    reactor.runUntilCurrent()
    assert came == ["due"]
    pass_time(clocks, 1.0)
    reactor.runUntilCurrent()
    assert came == ["due", "put off"]


def test_it_shows_unix_time(clocks, reactor):
    """Whoever takes a reactor's seconds for the present is right as long as nobody sets the clock."""
    keep_steady(reactor)
    pass_time(clocks, 7.0)
    assert reactor.seconds() == pytest.approx(NOW + 7.0)
    clocks.wall -= 3600.0
    assert reactor.seconds() == pytest.approx(NOW + 7.0)


def test_a_second_call_changes_nothing(clocks, reactor):
    """A session after a reconnect makes the same reactor steady again: nothing moves."""
    keep_steady(reactor)
    clocks.wall -= 3600.0
    before = reactor.seconds()
    keep_steady(reactor)
    assert reactor.seconds() == before


class Polled:
    """A node that notes when it was polled."""

    name = "polled"
    poll_interval_s = 10.0

    def __init__(self, clock) -> None:
        self.clock = clock
        self.at = []
        self.takes_s = 0.0

    def poll(self, now):
        """Note both times; a slow poll lets time pass."""
        self.at.append((self.clock.seconds() - NOW, now))
        self.clock.rightNow += self.takes_s
        self.takes_s = 0.0


class TwoClocks(task.Clock):
    """A clock for delays, beside which a wall clock runs that can be set."""

    ahead_s = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.rightNow = NOW

    def wall(self) -> float:
        """Return UNIX seconds."""
        return self.rightNow + self.ahead_s


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(node_server, "threads", SimpleNamespace(deferToThread=maybeDeferred))
    return TwoClocks()


def run(clock, seconds):
    for _ in range(round(seconds * 4)):
        clock.advance(0.25)


def test_polls_follow_the_multiples_of_the_wall_clock(clock):
    """The first poll comes at once; those after it where the interval divides UNIX time, on every machine alike."""
    clock.rightNow = NOW + 3.0
    node = Polled(clock)
    start_polling(node, clock, clock.wall)
    run(clock, 30.0)
    assert [wall for _, wall in node.at] == [NOW + 3, NOW + 10, NOW + 20, NOW + 30]


@pytest.mark.parametrize("step_s", [*STEPS, -3.5, 3.5, 14.5])
def test_polls_go_on_over_a_step(clock, step_s):
    """After a step a poll comes within an interval, all later ones at the new multiples, and none in a burst."""
    node = Polled(clock)
    start_polling(node, clock, clock.wall)
    run(clock, 22.0)
    clock.ahead_s += step_s
    run(clock, 40.0)
    passed = [seconds for seconds, _ in node.at]
    spacings = [later - earlier for earlier, later in pairwise(passed)]
    assert all(1.0 < one < 20.0 for one in spacings), passed
    assert all(wall % 10.0 == 0.0 for seconds, wall in node.at if seconds > 32.0)
    assert len([one for one in passed if one > 22.0]) >= 3


def test_a_poll_that_takes_too_long_is_followed_by_the_next_multiple(clock):
    """What was missed meanwhile is not made up for."""
    node = Polled(clock)
    node.takes_s = 34.0
    start_polling(node, clock, clock.wall)
    run(clock, 16.0)
    assert [wall - NOW for _, wall in node.at] == [0.0, 40.0, 50.0]


def test_a_poll_that_fails_is_not_the_last(clock, caplog):
    """A failure is logged, and the next poll comes."""
    node = Polled(clock)
    node.poll = lambda now: node.at.append(now) or 1 / 0
    start_polling(node, clock, clock.wall)
    run(clock, 20.0)
    assert len(node.at) == 3
    assert "a poll failed and is left out: division by zero" in caplog.text


@pytest.mark.parametrize(
    ("now", "interval_s", "expected"),
    [(100.0, 10.0, 10.0), (103.0, 10.0, 7.0), (108.5, 10.0, 1.5), (109.5, 10.0, 10.5), (99.9999, 10.0, 10.0001)],
)
def test_the_next_multiple(now, interval_s, expected):
    """A multiple that is as good as reached counts as this one: the next is an interval later."""
    assert until_next(now, interval_s) == pytest.approx(expected)


@pytest.mark.parametrize("where", ["server", "router"])
def test_whatever_runner_a_session_has_its_reactor_is_steady(clocks, monkeypatch, where):
    """A data node server makes the reactor steady that it runs on, and so does our part of Crossbar's worker."""
    reactor = Reactor(clocks)
    if where == "server":
        monkeypatch.setattr(data_node_server, "reactor", reactor)
        monkeypatch.setattr(data_node_server, "LIFELINE", SimpleNamespace(session_opened=lambda: None))
        DataNodeServer(ComponentConfig("realm", {})).onOpen(SimpleNamespace(send=lambda _: None))
    else:
        monkeypatch.setattr("twisted.internet.reactor", reactor)
        session = Authorizer(ComponentConfig("realm", {}))
        monkeypatch.setattr(session, "register", registered)
        assert result_of(Deferred.fromCoroutine(session.onJoin(None))) is None
    clocks.wall -= 3600.0
    assert reactor.seconds() == NOW


async def registered(*_):
    """Register nothing."""
