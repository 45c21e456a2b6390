"""Looking for the newest sample of each field in a source that can only be read: backwards from a window's end."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from sisock.core.model import DataBlock, Span, Statement
from sisock.core.reduce.reducers import Samples
from sisock.core.window.parts import MOST_REFUSALS, Read, SpanStatement, join_statements


class NewestSearch:
    """Reads backwards from the end of a window, twice as far each time, until all known fields have a newest sample.

    As long as ``read`` is not None, its answer goes to ``take`` or ``refuse``. What is refused is asked for with the
    stride, which shows whether there is anything, and then half as far.

    Parameters
    ----------
    stride, length_s
        Seconds: the stride, and how far is looked at first.
    longest_s
        Returns how many seconds of some fields may be read at once; None for any.

    Attributes
    ----------
    known
        The fields that exist; more may be added.
    newest
        What was found of them.
    """

    def __init__(
        self,
        fields: tuple[str, ...],
        window: Span,
        stride: float,
        length_s: float,
        longest_s: Callable[[Iterable[str]], float] | None = None,
    ) -> None:
        self._fields = fields
        self._start, self._end = window
        self._stride = stride
        self.known: set[str] = set()
        self.newest: dict[str, Samples] = {}
        self._statements: dict[str, list[SpanStatement]] = {name: [] for name in fields}
        self._searched = self._end
        # A shorter step back would not change the time that is reached.
        self._length_s = max(length_s, float(np.spacing(self._end)))
        self._longest_s = longest_s
        self._strided = False
        self._refusals = 0
        self._given_up = False

    @property
    def read(self) -> Read | None:
        """Return what to ask for next; None when nothing is left to look for, or to look in."""
        fields = tuple(name for name in self._fields if name in self.known and name not in self.newest)
        if self._searched == self._end:
            # Nothing was read of the end yet: what is stated there is wanted of all fields.
            fields = self._fields
        if not fields or self.is_exhausted or self._given_up:
            return None
        low = max(self._start, self._searched - self._length_s)
        return Read(fields, low, self._searched, self._stride if self._strided else None)

    @property
    def is_exhausted(self) -> bool:
        """Whether all of the window is searched: what is not found is not there."""
        return self._searched <= self._start

    def take_beside(self, span: Span, block: DataBlock, *, whole: bool) -> None:
        """Take what was read of a span of the window for its own sake; thinned, it does not tell the newest sample."""
        self.known.update(name for name in self._fields if block.stated_of(name) is not None)
        if whole and span[1] == self._searched:
            self._note(self._fields, span, block)

    def take(self, block: DataBlock) -> None:
        """Take what is there of the fields of ``read``, inside its span."""
        read = self.read
        assert read is not None
        self.known.update(name for name in read.fields if block.stated_of(name) is not None)
        strided, self._strided = self._strided, False
        has_samples = any(one is not None and one.times.size for one in map(block.find, read.fields))
        if strided and has_samples and self._length_s > self._stride:
            # Somewhere in it the newest is, but perhaps not among these.
            self._length_s /= 2
            return
        self._note(read.fields, read.span, block)
        self._length_s *= 2
        if self._longest_s is not None and self.read is not None:
            self._length_s = max(min(self._length_s, self._longest_s(self.read.fields)), self._length_s / 2)

    def refuse(self) -> None:
        """Note that it was too much; after too many times the search ends without a result."""
        self._refusals += 1
        self._given_up = self._refusals > MOST_REFUSALS
        if not self._strided and self._stride:
            self._strided = True
            return
        self._strided = False
        self._length_s /= 2
        if not self._searched - self._length_s < self._searched:
            self._given_up = True

    def statement(self, name: str) -> Statement | None:
        """Return what is stated of a field from its newest sample to the window's end; None when nothing is."""
        statements = self._statements[name]
        if name not in self.newest and not self.is_exhausted:
            # Of what was not searched nothing is stated, so that it does not count as final.
            statements = [*statements, ((self._start, self._searched), None)]
        return join_statements(statements) if any(statement for _, statement in statements) else None

    def _note(self, fields: tuple[str, ...], span: Span, block: DataBlock) -> None:
        for name in fields:
            if name in self.newest:
                continue
            self._statements[name].append((span, block.stated_of(name)))
            timeline = block.find(name)
            if timeline is not None and timeline.times.size:
                last = slice(timeline.times.size - 1, timeline.times.size)
                self.newest[name] = timeline.times[last], timeline.values[name][last]
        self._searched = span[0]
