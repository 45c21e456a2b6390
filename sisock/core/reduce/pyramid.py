"""Pyramids: 64-way summaries of a long series, from which any span is reduced without reading all of its samples.

Block b of level L covers the samples ``[b * 64**L, (b + 1) * 64**L)`` by absolute index; only complete blocks are
kept, what lies beside them is read raw. Of numbers a block knows the value that is *chosen* as its lowest and as its
highest, and the mean, count and standard deviation of its finite values; of states whether any of them differs from
the one before. Where a chosen sample lies is found by choosing again among the 64 parts of the chosen block, down to
the samples. So the answer is that of the raw samples, bit for bit; only means, sums and deviations are added up
blockwise: they depend on the bucket's samples and on where they lie in the column, but not on the span asked for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sisock.core.reduce.aggregates import AggregatedBlocks, SampleBlocks, Scatter, join_every
from sisock.core.reduce.indexed_array import BLOCK, GrowingArray, IndexedArray
from sisock.core.reduce.selectors import is_state
from sisock.core.reduce.summaries import NumberSummary, StateSummary, Summary

_HUGE = np.finfo(np.float32).max
# The counts of more would not fit their type, and a thousand million samples a block are enough.
_MOST_LEVELS = 5
# Summarised at once, so that the passes over them find them in the processor's cache.
_UPDATE_SAMPLES = BLOCK * 1024


class Pyramid(ABC):
    """A summary that one writer makes grow by appending, while readers use its views."""

    SUMMARY: ClassVar[type[Summary]]

    def __init__(self, dtype: DTypeLike) -> None:
        """Begin empty, for samples of a type."""
        self._dtype = np.dtype(dtype)
        self._levels: list[dict[str, GrowingArray]] = []
        self._first = 0

    def update(self, samples: IndexedArray, stop: int) -> None:
        """Summarise the complete blocks up to the sample ``stop`` that are not yet; all since the last are kept."""
        self._grow(0, samples, stop // BLOCK)
        for level in range(1, _MOST_LEVELS):
            blocks = self._stop(level - 1) // BLOCK
            if not blocks:
                break
            self._grow(level, samples, blocks)

    def drop_before(self, index: int) -> None:
        """Forget the blocks that end at or before a sample, and never ask for the samples before it."""
        self._first = max(self._first, index)
        for level, arrays in enumerate(self._levels, start=1):
            for one in arrays.values():
                # No farther than the level has come: what lacks is skipped when it grows.
                one.drop_before(min(index // BLOCK**level, one.stop))

    def cut(self, index: int) -> None:
        """Forget the blocks that end after a sample, for the samples from there on are going to be others."""
        self._levels = [
            {name: one.until(index // BLOCK**level) for name, one in arrays.items()}
            for level, arrays in enumerate(self._levels, start=1)
        ]

    def view(self) -> Summary:
        """Return what is summarised now; it stays as it is."""
        return self.SUMMARY([{name: one.view() for name, one in level.items()} for level in self._levels])

    @abstractmethod
    def _types(self) -> Mapping[str, DTypeLike]:
        """Return the types of a level's arrays by their names."""

    @abstractmethod
    def _of_samples(self, samples: IndexedArray, low: int, high: int) -> Sequence[NDArray[Any]]:
        """Summarise the samples [low, high), whole blocks, into the arrays of the lowest level."""

    @abstractmethod
    def _of_blocks(self, parts: Mapping[str, NDArray[Any]]) -> Sequence[NDArray[Any]]:
        """Summarise blocks, 64 to each new one, into the arrays of the next level."""

    def _stop(self, level: int) -> int:
        return next(iter(self._levels[level].values())).stop if level < len(self._levels) else 0

    def _grow(self, level: int, samples: IndexedArray, stop: int) -> None:
        """Append the blocks up to ``stop`` of a level, counted from 0 here, but none of which parts were dropped."""
        # A block of which parts were dropped cannot be summarised any more.
        below = self._first if level == 0 else next(iter(self._levels[level - 1].values())).first
        begin = max(self._stop(level), -(-below // BLOCK))
        if begin >= stop:
            return
        if level == len(self._levels):
            self._levels.append({name: GrowingArray(dtype) for name, dtype in self._types().items()})
        for one in self._levels[level].values():
            one.drop_before(begin if begin > one.stop else one.first)
        for low in range(begin, stop, _UPDATE_SAMPLES // BLOCK):
            high = min(low + _UPDATE_SAMPLES // BLOCK, stop)
            self._append(level, samples, low * BLOCK, high * BLOCK)

    def _append(self, level: int, samples: IndexedArray, low: int, high: int) -> None:
        if level == 0:
            summarised = self._of_samples(samples, low, high)
        else:
            below = self._levels[level - 1]
            summarised = self._of_blocks({name: one.view().slice(low, high) for name, one in below.items()})
        for one, values in zip(self._levels[level].values(), summarised, strict=True):
            one.append(values)


class NumberPyramid(Pyramid):
    """The growing summary of numbers."""

    SUMMARY = NumberSummary

    def _types(self) -> Mapping[str, DTypeLike]:
        types = {"low": self._dtype, "high": self._dtype, "mean": np.float64, "count": np.int32}
        return {**types, "deviation": np.float64, "rest": np.float32}

    def _of_samples(self, samples: IndexedArray, low: int, high: int) -> Sequence[NDArray[Any]]:
        values = samples.slice(low, high)
        return _arrays(join_every(SampleBlocks(values), len(values), BLOCK))

    def _of_blocks(self, parts: Mapping[str, NDArray[Any]]) -> Sequence[NDArray[Any]]:
        low, high, mean, count, deviation, rest = parts.values()
        blocks = AggregatedBlocks(low, high, mean, count, Scatter(deviation, rest))
        return _arrays(join_every(blocks, len(low), BLOCK))


def _arrays(blocks: AggregatedBlocks) -> Sequence[NDArray[Any]]:
    assert blocks.scatter is not None
    deviation, rest = blocks.scatter
    # Single precision is enough, and its range where any precision matters.
    return blocks.low, blocks.high, blocks.mean, blocks.count, deviation, np.fmax(np.fmin(rest, _HUGE), -_HUGE)


class StatePyramid(Pyramid):
    """The growing summary of states."""

    SUMMARY = StateSummary

    def _types(self) -> Mapping[str, DTypeLike]:
        return {"change": np.bool_}

    def _of_samples(self, samples: IndexedArray, low: int, high: int) -> Sequence[NDArray[Any]]:
        # The change of the first sample of all is never asked for.
        before = max(low - 1, self._first)
        values = samples.slice(before, high)
        changes = np.zeros(high - low, dtype=np.bool_)
        changes[-(len(values) - 1) :] = values[1:] != values[:-1]
        return [np.any(changes.reshape(-1, BLOCK), axis=1)]

    def _of_blocks(self, parts: Mapping[str, NDArray[Any]]) -> Sequence[NDArray[Any]]:
        return [np.any(parts["change"].reshape(-1, BLOCK), axis=1)]


def pyramid_for(dtype: DTypeLike) -> Pyramid:
    """Return an empty pyramid for samples of a type: states are bools and texts."""
    return StatePyramid(dtype) if is_state(np.dtype(dtype)) else NumberPyramid(dtype)
