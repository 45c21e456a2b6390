"""One run of something for all who want it at the same time: a task, or a call of a node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from twisted.internet.defer import Deferred

from sisock.core.model import Span
from sisock.gateway.tiles import SeriesKey


class SingleFlight:
    """Starts a task when it is wanted and not under way; whoever wants it meanwhile waits for the same run.

    Someone who stops waiting (a timeout, a cancel) stops nothing: the run goes on for the others. The task must
    deal with its own failures.
    """

    def __init__(self, start: Callable[[], Deferred[Any]]) -> None:
        self._start = start
        self._waiting: list[Deferred[None]] | None = None

    def wait(self) -> Deferred[None]:
        """Return a Deferred that fires when the run that is under way, or that starts now, has ended."""
        waiter: Deferred[None] = Deferred()
        if self._waiting is not None:
            self._waiting.append(waiter)
            return waiter
        # Noted first: the task may end before its start returns.
        self._waiting = [waiter]
        self._start().addBoth(self._ended)
        return waiter

    def _ended(self, _: Any) -> None:
        # Emptied first: whoever goes on may want another run at once.
        waiting, self._waiting = self._waiting or [], None
        for waiter in waiting:
            # Who gave up was fired by its timeout.
            if not waiter.called:
                waiter.callback(None)


@dataclass(eq=False)
class CallUnderWay:
    """A call that is under way, for all who want some of its answer."""

    keys: frozenset[SeriesKey]
    window: Span
    spans: tuple[Span, ...]
    waiting: list[Deferred[None]] = field(default_factory=list)

    def covers(self, key: SeriesKey, missing: Sequence[Span], end: float) -> bool:
        """Tell whether its answer will hold what a series lacks, up to what may be shared."""
        if key not in self.keys or abs(end - self.window[1]) > key.patience_s:
            return False
        # Its end may be a little before ours: the tail that it brings may serve others for a moment.
        last_end = self.spans[-1][1] if self.spans else -np.inf
        slack = key.patience_s if last_end == self.window[1] else 0.0
        return all(
            any(low <= span[0] and span[1] <= high + (slack if high == last_end else 0.0) for low, high in self.spans)
            for span in missing
        )

    def done(self) -> None:
        """Let those go on who waited."""
        for waiter in self.waiting:
            if not waiter.called:
                waiter.callback(None)


class CallsUnderWay:
    """The calls that are under way, by node."""

    def __init__(self) -> None:
        self._of_node: dict[str, list[CallUnderWay]] = {}

    def covering(self, key: SeriesKey, missing: Sequence[Span], end: float) -> CallUnderWay | None:
        """Return a call whose answer will hold what a series lacks, or None."""
        return next((one for one in self._of_node.get(key.node, ()) if one.covers(key, missing, end)), None)

    def begin(self, node: str, call: CallUnderWay) -> None:
        """Note a call."""
        self._of_node.setdefault(node, []).append(call)

    def end(self, node: str, call: CallUnderWay) -> None:
        """Forget a call that was answered, or failed."""
        self._of_node[node].remove(call)
        if not self._of_node[node]:
            del self._of_node[node]
        call.done()
