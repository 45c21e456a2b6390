import pytest

from sisock.gateway.node_client import Breaker
from sisock.testing import ManualClock


@pytest.fixture
def clock():
    return ManualClock(1000.0)


@pytest.fixture
def breaker(clock):
    return Breaker(clock, misses=2, pause_s=10.0)


def test_one_miss_is_forgiven(breaker):
    """A node is still asked after one miss, and an answer makes it forgotten."""
    breaker.missed("did not answer")
    assert breaker.allows()
    breaker.answered()
    breaker.missed("did not answer")
    assert breaker.allows()


def test_two_misses_open_it(breaker, clock):
    """After two consecutive misses nothing passes for ten seconds; reason and first miss are kept."""
    breaker.missed("did not answer")
    clock.advance(3)
    breaker.missed("did not answer again")
    clock.advance(9.9)
    assert not breaker.allows()
    assert (breaker.since, breaker.reason) == (1000.0, "did not answer again")


def test_one_probe_at_a_time(breaker, clock):
    """After the pause one question passes; the others wait for its outcome."""
    breaker.missed("x")
    breaker.missed("x")
    clock.advance(10)
    assert breaker.allows()
    assert not breaker.allows()


def test_a_successful_probe_closes_it(breaker, clock):
    """Once a probe is answered, all questions pass."""
    breaker.missed("x")
    breaker.missed("x")
    clock.advance(10)
    assert breaker.allows()
    breaker.answered()
    assert breaker.allows()
    assert not breaker.is_open
    assert breaker.since is None


def test_a_missed_probe_starts_the_pause_anew(breaker, clock):
    """A probe that is missed keeps the node out for another pause."""
    breaker.missed("x")
    breaker.missed("x")
    clock.advance(10)
    breaker.allows()
    clock.advance(2)
    breaker.missed("x")
    clock.advance(9)
    assert not breaker.allows()
    clock.advance(1)
    assert breaker.allows()


def test_a_lost_probe_is_no_lock(breaker, clock):
    """A probe of which nothing is ever heard doesn't keep the node out for ever."""
    breaker.missed("x")
    breaker.missed("x")
    clock.advance(10)
    breaker.allows()
    clock.advance(10)
    assert breaker.allows()


def test_a_clock_set_back(breaker, clock):
    """A clock that is set back doesn't lengthen the pause."""
    breaker.missed("x")
    breaker.missed("x")
    clock.rightNow -= 3600
    assert breaker.allows()
