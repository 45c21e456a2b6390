"""Walks over long spans, in parts whose length follows the density of what comes.

Whoever reads a span that one reply cannot hold asks for ``span``, says what came of it, and goes on until ``span`` is
None. A part never grows more than eightfold at once, because silence says nothing of what follows it.
"""

from __future__ import annotations

import math

from sisock.core.model import Span

FIRST_SPAN_S = 10.0
# Four steps of float64 at UNIX times of today, which are 0.24 microseconds apart.
SHORTEST_SPAN_S = 1e-6
GROWTH = 8.0


class Walk:
    """The base of walks in both directions: the length of the next part, and how it follows what came.

    Parameters
    ----------
    start, end
        UNIX seconds.
    samples
        How many samples a part should have.
    first_s, longest_s, shortest_s
        The length of the first part, of the longest, and of one that is worth to be asked for; seconds.
    """

    def __init__(
        self, start: float, end: float, samples: int, first_s: float, longest_s: float, shortest_s: float
    ) -> None:
        self._start = start
        self._end = end
        self._samples = samples
        self._length_s = min(first_s, longest_s)
        self._shortest_s = shortest_s
        self.longest_s = longest_s

    def _follow(self, covered_s: float, ratio: float) -> None:
        """Let the next part be longer than what was covered by the ratio of what is wanted to what came of it."""
        self._length_s = min(covered_s * min(ratio, GROWTH), self.longest_s)

    def _halve(self, length_s: float) -> bool:
        self._length_s = length_s / 2
        return self._length_s >= self._shortest_s


class ForwardWalk(Walk):
    """Walks over [start, end) from its start; a reply may also hold the beginning of a part only, as a page.

    Parameters
    ----------
    interval_s
        The spacing of samples where it is known, seconds.

    Attributes
    ----------
    after
        Only what is later than this is still to come of the part; None when all of it is.
    """

    def __init__(self, start: float, end: float, samples: int, interval_s: float | None = None) -> None:
        first_s = max(FIRST_SPAN_S, (interval_s or 0.0) * samples)
        super().__init__(start, end, samples, first_s, math.inf, SHORTEST_SPAN_S)
        self.after: float | None = None

    @property
    def span(self) -> Span | None:
        """Return the part to ask for now; None when the end is reached."""
        if self._start >= self._end:
            return None
        # Where a part is shorter than times can tell apart, it ends at the next time there is.
        return self._start, min(self._end, max(self._start + self._length_s, math.nextafter(self._start, math.inf)))

    def answered(self, count: int, after: float | None = None) -> None:
        """Go on behind a reply of so many samples: behind its part, or, if it did not hold all, behind ``after``."""
        span = self.span
        assert span is not None
        self._start, self.after = (span[1], None) if after is None else (after, after)
        covered_s = self._start - span[0]
        # A page of samples of one time covers nothing, and so tells nothing of the density.
        if covered_s > 0:
            self._follow(covered_s, self._samples / count if count else math.inf)

    def refused(self) -> bool:
        """Halve the part after a refusal; tell whether that leaves one to ask for."""
        span = self.span
        assert span is not None
        return self._halve(span[1] - span[0])


class BackwardWalk(Walk):
    """Walks over [start, end) from its end, in parts that a node with a limit of its own may refuse.

    Parameters
    ----------
    most_parts
        How many parts there is time for.

    Attributes
    ----------
    reached
        All from here to the end has been answered, UNIX seconds.
    refusals
        How many there were one after the other.
    """

    def __init__(
        self,
        start: float,
        end: float,
        samples: int,
        *,
        most_parts: int,
        longest_s: float = math.inf,
        shortest_s: float = SHORTEST_SPAN_S,
    ) -> None:
        super().__init__(start, end, samples, FIRST_SPAN_S, longest_s, shortest_s)
        self._wanted = samples
        self._most_parts = most_parts
        self._is_limited = False
        self.reached = end
        self.refusals = 0

    @property
    def is_long(self) -> bool:
        """Whether the rest takes more replies than there is time for, because the node gives less than it could."""
        return self._is_limited and (self.reached - self._start) > self._most_parts * self._length_s

    @property
    def span(self) -> Span | None:
        """Return the part to ask for now; None when the start is reached."""
        if self.reached <= self._start:
            return None
        return max(self._start, self.reached - self._length_s), self.reached

    def answered(self, count: int) -> float:
        """Go on behind a reply of so many samples; return how many its density lets expect in the rest."""
        span = self.span
        assert span is not None
        covered_s = span[1] - span[0]
        self.reached = span[0]
        # As much as came after a refusal is about what the node gives at once.
        fits = min(max(count, 1), self._samples)
        self._wanted = fits if self.refusals else max(self._wanted, fits)
        self.refusals = 0
        self._follow(covered_s, self._wanted / max(count, 1))
        return count / covered_s * (self.reached - self._start)

    def refused(self) -> bool:
        """Halve the part after a refusal; tell whether that leaves one to ask for."""
        self._is_limited = True
        self.refusals += 1
        return self._halve(self._length_s)

    def forget_refusals(self) -> None:
        """Go back to the part before it was refused: it will be asked for in another way."""
        self._length_s *= 2.0**self.refusals
        self.refusals = 0
