"""Delays that a step of the wall clock does not touch.

Twisted's reactor measures delays by the wall clock: when that is set back by an hour, nothing that is due happens for
an hour, and when it is set ahead, all of it happens at once.
"""

from __future__ import annotations

from time import monotonic
from typing import Any


def keep_steady(reactor: Any) -> None:
    """Let a reactor measure delays by a clock that never steps, from what its clock shows now.

    It still shows UNIX time, as it would if nobody had set the clock since. What is due already stays due in as many
    seconds. To be called in the reactor's thread, or before it runs; a second call changes nothing.
    """
    ahead_s: float = reactor.seconds() - monotonic()

    def seconds() -> float:
        return monotonic() + ahead_s

    reactor.seconds = seconds
    for call in reactor.getDelayedCalls():
        call.seconds = seconds  # when it is put off, from now on, it is by the same clock
