"""Skipping a node that missed its deadline, so that a panel does not wait for it at every refresh."""

from __future__ import annotations

from collections.abc import Callable

MISSES = 1  # one panel waits for a node that hangs, the next ones don't
PAUSE_S = 2.0


class Breaker:
    """Counts the misses of one node; pure, with the clocks passed in.

    Closed, every question passes. After ``misses`` consecutive misses it opens: nothing passes for ``pause_s``,
    then one probe at a time, until one is answered.

    Parameters
    ----------
    clock
        Returns seconds, for the pause.
    wall
        Returns the present, UNIX seconds, for since when the node misses; the clock's unless given.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        misses: int = MISSES,
        pause_s: float = PAUSE_S,
        wall: Callable[[], float] | None = None,
    ) -> None:
        self._clock = clock
        self._wall = wall or clock
        self._misses = misses
        self._pause_s = pause_s
        self._missed = 0
        self._paused_at = 0.0
        self.since: float | None = None
        self.reason: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether questions are held back."""
        return self._missed >= self._misses

    def allows(self) -> bool:
        """Tell whether a question may be asked now; when the pause is over the asker becomes the probe."""
        if not self.is_open:
            return True
        now = self._clock()
        if 0 <= now - self._paused_at < self._pause_s:  # a clock that was set back must not lock the node out
            return False
        self._paused_at = now  # others wait for the probe as long as for the pause
        return True

    def answered(self) -> None:
        """Note that the node answered, whatever it said."""
        self._missed = 0
        self.since = self.reason = None

    def missed(self, reason: str) -> None:
        """Note that the node let a deadline pass."""
        self._missed += 1
        self._paused_at = self._clock()
        self.reason = reason
        self.since = self._wall() if self.since is None else self.since
