"""What lies at the start of a window, from a source that can only be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sisock.core.downsample import Sampled
from sisock.core.edge import MOST_FOLLOWING, Edge
from sisock.core.model import DataBlock, DataRequest, Span
from sisock.core.reduction import NO_SAMPLES, Reduction
from sisock.core.times import EARLIEST

GROWTH = 2.0
LEAST_LENGTH_S = 1.0


class EdgeReading:
    """Finds the edge of a window in a source that can only be read, by looking ever farther from its start.

    As long as :meth:`span` is not None, it is what to read; the samples in it go to :meth:`take`. Forwards it is
    looked until the window's end, backwards as long as one likes.
    """

    def __init__(self, request: DataRequest) -> None:
        self._request = request
        self._forwards_s = self._backwards_s = max(request.edge, request.min_stride or 0.0, LEAST_LENGTH_S)
        self._reached = request.start if request.edge else request.end
        self._searched = request.start if request.edge and request.before else EARLIEST
        self._following: dict[str, Sampled] = {}
        self._before: dict[str, Sampled] = {}

    def span(self, fields: Sequence[str]) -> Span | None:
        """Return what to read next for some fields; None when all is known, or nowhere to be found."""
        if self._reached < self._request.end and not self._following.keys() >= set(fields):
            return self._reached, min(self._reached + self._forwards_s, self._request.end)
        if self._searched > EARLIEST and not self._before.keys() >= set(fields):
            return max(self._searched - self._backwards_s, EARLIEST), self._searched
        return None

    def take(self, span: Span, block: DataBlock) -> None:
        """Take the samples inside a span: one that was asked for, or another that begins where these do."""
        if span[0] == self._reached:
            self._reached = span[1]
            self._forwards_s *= GROWTH
            found = {
                name: (samples[0][:MOST_FOLLOWING], samples[1][:MOST_FOLLOWING])
                for name, samples in self._inside(span, block)
            }
            self._following = found | self._following
        elif span[1] == self._searched:
            self._searched = span[0]
            self._backwards_s *= GROWTH
            found = {name: (times[-1:], values[-1:]) for name, (times, values) in self._inside(span, block)}
            self._before = found | self._before

    def beside(self, reductions: Sequence[Reduction | None]) -> list[Reduction | None]:
        """Return reductions of the request's fields, each with what was found of its edge.

        Where the search was ended early, what is before the window is not known.
        """
        if not self._request.edge:
            return list(reductions)
        nothing = NO_SAMPLES if self._request.before and self._searched <= EARLIEST else None
        edges = [
            Edge(self._before.get(name, nothing), self._following.get(name, NO_SAMPLES))
            for name in self._request.fields
        ]
        return [one and replace(one, edge=edge) for one, edge in zip(reductions, edges, strict=True)]

    def _inside(self, span: Span, block: DataBlock) -> Iterator[tuple[str, Sampled]]:
        for name in self._request.fields:
            found = block.find(name)
            inside = None if found is None else found.within(*span)
            if inside is not None and inside.times.size:
                yield name, (inside.times, inside.values[name])
