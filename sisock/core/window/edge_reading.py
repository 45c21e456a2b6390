"""The edge of a window, from a source that can only be read."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from sisock.core.model import DataBlock, DataRequest, Statement
from sisock.core.reduce.reducers import Samples
from sisock.core.times import EARLIEST
from sisock.core.window.edge import MOST_FOLLOWING, Edge
from sisock.core.window.newest import NewestSearch
from sisock.core.window.parts import MOST_REFUSALS, Read, SpanStatement, join_statements
from sisock.core.window.spans import NO_SAMPLES, Reduction

EDGE_GROWTH = 2.0
LEAST_LENGTH_S = 1.0
MOST_EDGE_SAMPLES = 100_000
UNKNOWN_S = 86400.0
# Of the two seconds that a panel waits for a node by default.
PATIENCE_S = 0.5


def longest_s(
    spacings_s: Mapping[str, float | None], fields: Iterable[str], most_samples: float = MOST_EDGE_SAMPLES
) -> float:
    """Return how many seconds of some fields may be read at once when it is not known what there is.

    Whoever generates samples for any span, or reads them from far away, must not be asked for years of them.
    """
    known = [spacing_s for spacing_s in map(spacings_s.get, fields) if spacing_s]
    return most_samples * min(known) if known else UNKNOWN_S


class EdgeReading:
    """Finds the edge of a window in a source that can only be read, by looking ever farther from its start.

    As long as :meth:`read` is not None, it is what to ask for; the answer goes to :meth:`take` or :meth:`refuse`.
    Forwards it is looked until the window's end, backwards as long as one likes.

    Parameters
    ----------
    spacings_s
        Mean spacings of the samples of the request's fields, seconds; None for unknown ones.
    """

    def __init__(self, request: DataRequest, spacings_s: Mapping[str, float | None] | None = None) -> None:
        self._request = request
        length_s = max(request.edge, request.min_stride or 0.0, LEAST_LENGTH_S)
        self._length_s = length_s
        self._reached = request.start if request.edge else request.end
        self._strided = False
        self._refusals = 0
        self._following: dict[str, Samples] = {}
        self._statements: dict[str, list[SpanStatement]] = {name: [] for name in request.fields}
        self._before: NewestSearch | None = None
        if request.edge and request.before:
            past, stride = (EARLIEST, request.start), request.min_stride or 0.0
            longest = partial(longest_s, spacings_s or {})
            self._before = NewestSearch(request.fields, past, stride, length_s, longest)

    def read(self, known: Collection[str]) -> Read | None:
        """Return what to read next for those of the fields that exist; None when all is known, or nowhere to be."""
        ahead = self._ahead(known)
        if ahead is not None or self._before is None:
            return ahead
        self._before.known.update(known)
        return self._before.read

    def take(self, read: Read, block: DataBlock) -> None:
        """Take the samples inside the span of a read: of one that was asked for, or of another that begins there."""
        if self._reached < self._request.end and read.start == self._reached:
            self._take_ahead(read, block)
        elif self._before is not None and read == self._before.read:
            self._before.take(block)

    def refuse(self, read: Read) -> None:
        """Note that what was to be read is too much; after too many times the search ends without a result."""
        if self._reached == self._request.end or read.start != self._reached:
            assert self._before is not None
            self._before.refuse()
            return
        self._refusals += 1
        if self._refusals > MOST_REFUSALS or not self._reached + self._length_s / 2 > self._reached:
            self._reached = self._request.end
        elif self._request.min_stride and not self._strided:
            # Whoever thins begins with the first sample.
            self._strided = True
        else:
            self._strided = False
            self._length_s /= 2

    def beside(self, reductions: Sequence[Reduction | None]) -> list[Reduction | None]:
        """Return reductions of the request's fields, each with what was found of its edge, and until when it is final.

        Where the search was ended early, what is before the window is not known.
        """
        if not self._request.edge:
            return list(reductions)
        return [one and self._with_edge(name, one) for name, one in zip(self._request.fields, reductions, strict=True)]

    def _ahead(self, known: Collection[str]) -> Read | None:
        lacking = tuple(name for name in self._request.fields if name in known and name not in self._following)
        if not lacking or self._reached >= self._request.end:
            return None
        stride = self._request.min_stride if self._strided else None
        return Read(lacking, self._reached, min(self._reached + self._length_s, self._request.end), stride)

    def _take_ahead(self, read: Read, block: DataBlock) -> None:
        """Take the first samples; of fields that have some already, and that are not asked for, nothing is noted."""
        if not self._following.keys() >= set(self._request.fields) - set(read.fields):
            return
        # Ever farther: a field may have no sample for long, and each look costs a call.
        self._reached, self._strided = read.end, False
        self._length_s *= EDGE_GROWTH
        # Thinned samples do not follow one another, but the first of them is the first.
        most = MOST_FOLLOWING if read.stride is None else 1
        for name in read.fields:
            if name in self._following:
                continue
            self._statements[name].append((read.span, block.stated_of(name)))
            timeline = block.find(name)
            if timeline is not None and timeline.times.size:
                self._following[name] = timeline.times[:most], timeline.values[name][:most]

    def _with_edge(self, name: str, reduction: Reduction) -> Reduction:
        following = self._following.get(name, NO_SAMPLES)
        final = _edge_final_until(self._statements[name], reduction.statement)
        before = None
        if self._before is not None:
            # That there is none is known only when all of the past was searched.
            before = self._before.newest.get(name, NO_SAMPLES if self._before.is_exhausted else None)
            stated = self._before.statement(name)
            if stated is None or stated.finalized_until < self._request.start:
                final = -math.inf
        reach = float(following[0][-1]) if following[0].size else self._request.end
        finals = reduction.final or (math.inf,) * len(reduction.samples)
        if reduction.final or final < min(reach, reduction.statement.finalized_until):
            reduction = replace(reduction, final=(*finals, final))
        return replace(reduction, edge=Edge(before, following))


def _edge_final_until(statements: Sequence[SpanStatement], statement: Statement) -> float:
    stated = join_statements(statements)
    # Read under another generation than the samples, it promises nothing about them.
    return stated.finalized_until if stated.generation == statement.generation else -math.inf


class Patience:
    """The time that a search for an edge may take: for looks of which each may take twice as long as the one before.

    Parameters
    ----------
    clock
        Returns seconds that never step.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = self._looked = self._clock()

    def lasts(self) -> bool:
        """Tell whether there is time for one more look; to be asked before each of them."""
        now = self._clock()
        took_s, self._looked = now - self._looked, now
        return now - self._began + EDGE_GROWTH * took_s < PATIENCE_S
