"""The summaries of a buffer: the time of every 64th sample, and a pyramid for each field.

They may lag behind the samples, so that taking these costs little; whoever reads them brings them up to date first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sisock.core.buffer.chunks import Chunks
from sisock.core.reduce.indexed_array import BLOCK, GrowingArray, PlainArray
from sisock.core.reduce.pyramid import pyramid_for
from sisock.core.reduce.summaries import Summary

MOST_BEHIND = 16384
"""The most samples that may be missing from the summaries before they should be brought up to date."""


class BufferSummaries:
    """Summaries that grow with a buffer, one call at a time; what they hand out stays as it is."""

    def __init__(self, dtypes: Sequence[np.dtype[Any]], first: int = 0) -> None:
        """Begin empty, for samples whose absolute indices begin at ``first``, of fields of these types."""
        self._pyramids = [pyramid_for(dtype) for dtype in dtypes]
        self._steps = GrowingArray(np.float64)
        self._stop = first

    def lags(self, stop: int) -> bool:
        """Tell whether many of the samples before the absolute index ``stop`` are missing."""
        return stop - self._stop >= MOST_BEHIND

    def update(self, chunks: Chunks, first: int, stop: int) -> None:
        """Bring all up to the samples before ``stop``, and let go of what is for those before ``first``."""
        self._update_steps(chunks, first, stop)
        for number in range(len(self._pyramids)):
            self._update_pyramid(number, chunks, first, stop)
        self._stop = stop

    def read(self, chunks: Chunks, first: int, stop: int, numbers: Sequence[int]) -> tuple[PlainArray, list[Summary]]:
        """Return the times of every 64th sample, and the summaries of some fields, for the samples [first, stop)."""
        self._update_steps(chunks, first, stop)
        for number in numbers:
            self._update_pyramid(number, chunks, first, stop)
        return self._steps.view(), [self._pyramids[number].view() for number in numbers]

    def cut(self, index: int) -> None:
        """Forget what is for the samples from an absolute index on: they are going to differ."""
        for pyramid in self._pyramids:
            pyramid.cut(index)
        # Rounded up: the time of a block's first sample stays true as long as that sample does.
        self._steps = self._steps.until(-(-index // BLOCK))
        self._stop = min(self._stop, index)

    def _update_steps(self, chunks: Chunks, first: int, stop: int) -> None:
        self._steps.drop_before(-(-first // BLOCK))
        lacking = np.arange(self._steps.stop, -(-stop // BLOCK))
        if len(lacking):
            self._steps.append(chunks.times.take(lacking * BLOCK))

    def _update_pyramid(self, number: int, chunks: Chunks, first: int, stop: int) -> None:
        pyramid = self._pyramids[number]
        pyramid.drop_before(first)
        pyramid.update(chunks.values(number), stop)
