"""One run of something for all who want it at the same time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred


class Shared:
    """Starts a task when it is wanted and not under way; whoever wants it meanwhile waits for the same run.

    Someone who stops waiting (a timeout, a cancel) stops nothing: the run goes on for the others. The task must
    deal with its own failures.
    """

    def __init__(self, start: Callable[[], Deferred[Any]]) -> None:
        self._start = start
        self._waiting: list[Deferred[None]] | None = None

    def join(self) -> Deferred[None]:
        """Return a Deferred that fires when the run that is under way, or that starts now, has ended."""
        waiter: Deferred[None] = Deferred()
        if self._waiting is not None:
            self._waiting.append(waiter)
            return waiter
        self._waiting = [waiter]
        self._start().addBoth(self._ended)
        return waiter

    def _ended(self, _: Any) -> None:
        waiting, self._waiting = self._waiting or [], None
        for waiter in waiting:
            if not waiter.called:
                waiter.callback(None)
