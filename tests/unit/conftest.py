"""What holds for the tests of modules."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.internet import reactor


@pytest.fixture(autouse=True)
def own_reactor() -> Iterator[None]:
    """Whatever is left to the process's reactor would happen once another test of the process runs it."""
    if reactor.running:  # in a thread, for an integration test before: its calls come and go
        yield
        return
    before = set(reactor.getDelayedCalls())
    yield
    left = set(reactor.getDelayedCalls()) - before
    for call in left:
        call.cancel()
    assert not left
