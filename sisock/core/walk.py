"""Walking over a long span in parts that a reply can hold: their length follows the density of what comes."""

from __future__ import annotations

import math

from sisock.core.model import Span

FIRST_SPAN_S = 10.0
SHORTEST_SPAN_S = 1e-6
GROWTH = 8.0


class Walk:
    """Walks over [start, end), UNIX seconds, from its start.

    Parameters
    ----------
    samples
        How many samples a part should have.
    interval_s
        The spacing of samples where it is known.
    """

    def __init__(self, start: float, end: float, samples: int, interval_s: float | None = None) -> None:
        self._start = start
        self._end = end
        self._samples = samples
        self._length_s = max(FIRST_SPAN_S, (interval_s or 0.0) * samples)
        self.after: float | None = None
        """Only what is later than this is still to come; None when all from the start of the part is."""

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
        if covered_s > 0:
            self._length_s = covered_s * (min(self._samples / count, GROWTH) if count else GROWTH)

    def refused(self) -> bool:
        """Halve the part after a refusal; tell whether that leaves one to ask for."""
        span = self.span
        assert span is not None
        self._length_s = (span[1] - span[0]) / 2
        return self._length_s >= SHORTEST_SPAN_S
