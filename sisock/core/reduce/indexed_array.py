"""Samples by absolute index: arrays, memory-mapped files or chunks, and arrays that grow and lose their head.

An index is absolute: it is given to a sample once, and stays when older samples are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sisock.core.reduce.selectors import Indices

BLOCK = 64
"""The number of samples of a block, and of blocks of a larger one."""


class IndexedArray(Protocol):
    """A series of which a part is kept, read by absolute index."""

    def __len__(self) -> int:
        """Return the index after the last one kept."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of every sample."""
        ...

    def take(self, indices: Indices) -> NDArray[Any]:
        """Return the samples of ascending indices, all of them kept."""
        ...

    def rows(self, blocks: Indices) -> NDArray[Any]:
        """Return the samples of blocks of 64, ascending and all of them kept, shape (n, 64)."""
        ...

    def slice(self, low: int, high: int) -> NDArray[Any]:
        """Return the samples from ``low`` up to ``high``, a view where possible; never to be written to."""
        ...


@dataclass(frozen=True, eq=False)
class PlainArray:
    """An array, or a memory-mapped file, as samples; its first one has the index ``first``."""

    values: NDArray[Any]
    first: int = 0

    def __post_init__(self) -> None:
        """Read a memory-mapped file as the plain array that it is: the subclass makes each access slow."""
        if type(self.values) is not np.ndarray:
            object.__setattr__(self, "values", np.asarray(self.values).view(np.ndarray))

    def __len__(self) -> int:
        """Return the index after the last one kept."""
        return self.first + len(self.values)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of every sample."""
        return self.values.dtype

    def take(self, indices: Indices) -> NDArray[Any]:
        """Return the samples of some indices."""
        taken: NDArray[Any] = self.values.take(indices - self.first if self.first else indices)
        return taken

    def rows(self, blocks: Indices) -> NDArray[Any]:
        """Return the samples of some blocks, a row each."""
        # Rows of blocks that do not begin with the array must be put together from samples.
        if self.first % BLOCK:
            return self.take((blocks[:, np.newaxis] * BLOCK + np.arange(BLOCK)).ravel()).reshape(-1, BLOCK)
        whole = self.values[: len(self.values) // BLOCK * BLOCK].reshape(-1, BLOCK)
        # Rows are copied quicker than samples.
        taken: NDArray[Any] = whole.take(blocks - self.first // BLOCK, axis=0)
        return taken

    def slice(self, low: int, high: int) -> NDArray[Any]:
        """Return the samples from ``low`` up to ``high``, as a view."""
        return self.values[low - self.first : high - self.first]


class GrowingArray:
    """An array that one writer appends to and drops the head of, each in amortised constant time a sample.

    What a view shows never changes: appending writes behind it, and moving to a larger array leaves the old one alone.
    """

    def __init__(self, dtype: DTypeLike, first: int = 0) -> None:
        """Begin empty; the first entry appended gets the index ``first``."""
        self._array: NDArray[Any] = np.empty(0, dtype=dtype)
        # The index of the array's first place, which may be before the first entry kept.
        self._base = first
        self.first = first
        self.stop = first

    def append(self, values: NDArray[Any]) -> None:
        """Append entries at the end."""
        stop = self.stop + len(values)
        if stop - self._base > len(self._array):
            self._move(stop - self.first)
        # Behind the end of all views: what they show stays as it is.
        self._array[self.stop - self._base : stop - self._base] = values
        self.stop = stop

    def drop_before(self, first: int) -> None:
        """Forget the entries before an index; past the end, the next entry gets that index."""
        self.first = max(self.first, first)
        self.stop = max(self.stop, self.first)

    def until(self, stop: int) -> Self:
        """Return an array of its own with the entries before an index; itself where there are no others."""
        if stop >= self.stop:
            return self
        shorter = type(self)(self._array.dtype, self.first)
        shorter.append(self._array[self.first - self._base : max(0, stop - self._base)])
        return shorter

    def view(self) -> PlainArray:
        """Return what is kept now."""
        return PlainArray(self._array[self.first - self._base : self.stop - self._base], self.first)

    def _move(self, needed: int) -> None:
        kept = self._array[self.first - self._base : self.stop - self._base]
        # Half as much again, so that moves are rare; the old array is left to the views of it.
        self._array = np.empty(needed + needed // 2, dtype=kept.dtype)
        self._array[: len(kept)] = kept
        self._base = self.first
