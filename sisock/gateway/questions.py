"""The calls of nodes that are under way, so that nobody asks for what another's call will bring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from twisted.internet.defer import Deferred

from sisock.core.model import Span
from sisock.gateway.store import SeriesKey


@dataclass(eq=False)
class Question:
    """A call that is under way, for all who want some of its answer."""

    keys: frozenset[SeriesKey]
    window: Span
    spans: tuple[Span, ...]
    waiting: list[Deferred[None]] = field(default_factory=list)

    def covers(self, key: SeriesKey, missing: Sequence[Span], end: float) -> bool:
        """Tell whether its answer will hold what a series lacks, up to what may be shared."""
        if key not in self.keys or abs(end - self.window[1]) > key.patience_s:
            return False
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


class Questions:
    """The calls that are under way, by node."""

    def __init__(self) -> None:
        self._of_node: dict[str, list[Question]] = {}

    def covering(self, key: SeriesKey, missing: Sequence[Span], end: float) -> Question | None:
        """Return a call whose answer will hold what a series lacks, or None."""
        return next((one for one in self._of_node.get(key.node, ()) if one.covers(key, missing, end)), None)

    def begin(self, node: str, question: Question) -> None:
        """Note a call."""
        self._of_node.setdefault(node, []).append(question)

    def end(self, node: str, question: Question) -> None:
        """Forget a call that was answered, or failed."""
        self._of_node[node].remove(question)
        if not self._of_node[node]:
            del self._of_node[node]
        question.done()
