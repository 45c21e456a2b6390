"""Summaries, what readers hold of a pyramid: which cells a bucket is made of, what is chosen of them or aggregated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sisock.core.model import Values
from sisock.core.reduce.aggregates import Aggregate, AggregatedBlocks, SampleBlocks, Scatter, Weighed, join_blocks
from sisock.core.reduce.indexed_array import BLOCK, IndexedArray, PlainArray
from sisock.core.reduce.selectors import Choose, Indices, Selector, first_true, ragged

_NONE = np.empty(0, dtype=np.intp)

Level = Mapping[str, PlainArray]
"""The arrays of one level by name, one entry a block."""


@dataclass(frozen=True)
class BlockCells:
    """The cells of buckets, in time order: raw samples at their edges (level 0), then ever larger blocks inside.

    Parameters
    ----------
    levels, indices
        Shape (n,): which block each cell is.
    starts
        Shape (buckets,): the first cell of each bucket.
    """

    levels: NDArray[np.int8]
    indices: Indices
    starts: Indices

    @classmethod
    def of(cls, starts: Indices, stops: Indices, complete: Sequence[int]) -> BlockCells:
        """Cut the ranges [start, stop) of samples into cells, given how many blocks of each level are complete."""
        levels, lows, highs = _cuts(starts, stops, complete)
        indices, own = ragged(lows.ravel(), highs.ravel())
        lengths = (highs - lows).ravel()
        repeated = np.tile(levels, len(starts)).repeat(lengths)
        return cls(repeated, indices, own[:: len(levels)])


def _cuts(starts: Indices, stops: Indices, complete: Sequence[int]) -> tuple[NDArray[np.int8], Indices, Indices]:
    """Return the levels of the cuts of each range, and their ends in blocks of that level, shape (ranges, cuts)."""
    left: list[tuple[Indices, Indices]] = []
    right: list[tuple[Indices, Indices]] = []
    # From both ends inwards: what lies beside the complete blocks of a level is left to the level below.
    for blocks in complete:
        low, high = -(-starts // BLOCK), np.minimum(stops // BLOCK, blocks)
        inside = low < high
        if not inside.any():
            break
        left.append((starts, np.where(inside, low * BLOCK, stops)))
        right.append((np.where(inside, high * BLOCK, stops), stops))
        starts, stops = np.where(inside, low, 0), np.where(inside, high, 0)
    cuts = [*left, (starts, stops), *right[::-1]]
    levels = [*range(len(left)), len(left), *range(len(right) - 1, -1, -1)]
    lows, highs = (np.stack([cut[side] for cut in cuts], axis=1) for side in (0, 1))
    return np.array(levels, dtype=np.int8), lows, highs


class Summary(ABC):
    """A view of a pyramid, for readers: it never changes."""

    def __init__(self, levels: Iterable[Level]) -> None:
        """Take the levels, the lowest first."""
        self.levels = tuple(levels)

    def cells(self, starts: Indices, stops: Indices) -> BlockCells:
        """Return what ranges of samples are made of."""
        return BlockCells.of(starts, stops, [len(next(iter(level.values()))) for level in self.levels])

    def has_scatter(self) -> bool:
        """Tell whether it knows the scatter of blocks: files of earlier versions do not."""
        return all({"deviation", "rest"} <= level.keys() for level in self.levels)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all there is as plain arrays: for each name the levels one after the other, and their bounds.

        ``bounds`` has a row for each level: the index of its first block, and the index after its last.
        """
        bounds = [(next(iter(level.values())).first, len(next(iter(level.values())))) for level in self.levels]
        arrays: dict[str, NDArray[Any]] = {"bounds": np.array(bounds, dtype=np.int64).reshape(-1, 2)}
        for name in self.levels[0] if self.levels else ():
            arrays[name] = np.concatenate([level[name].values for level in self.levels])
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the summary of which these are the arrays; memory-mapped files stay on disk."""
        bounds = np.asarray(arrays["bounds"]).reshape(-1, 2)
        ends = np.cumsum(bounds[:, 1] - bounds[:, 0])
        names = [name for name in arrays if name != "bounds"]
        return cls(
            {name: PlainArray(arrays[name][end - (stop - first) : end], int(first)) for name in names}
            for end, (first, stop) in zip(ends.tolist(), bounds.tolist(), strict=True)
        )

    @abstractmethod
    def select(self, samples: IndexedArray, selectors: Sequence[Selector], starts: Indices, stops: Indices) -> Indices:
        """Return the indices, in no order, of the samples that are chosen of buckets [start, stop), none empty."""

    def _descend(
        self, samples: IndexedArray, name: str, choose: Choose, cells: BlockCells, chosen: Indices
    ) -> Indices:
        """Return the samples that stand for chosen cells, by choosing among the parts of each block."""
        levels, indices = cells.levels[chosen], cells.indices[chosen]
        # From the top: what descends from one level is found again at the next.
        for level in range(len(self.levels), 0, -1):
            at = (levels == level).nonzero()[0]
            if at.size:
                below = self.levels[level - 2][name].rows if level > 1 else partial(self.read_rows, samples)
                known = below(indices[at]).ravel()
                parts = choose(known, np.arange(0, known.size, BLOCK))
                indices[at] = indices[at] * BLOCK + parts % BLOCK
                levels[at] = level - 1
        return indices

    @abstractmethod
    def read_raw(self, samples: IndexedArray, indices: Indices) -> NDArray[Any]:
        """Return what there is to know of samples."""

    @abstractmethod
    def read_rows(self, samples: IndexedArray, blocks: Indices) -> NDArray[Any]:
        """Return what there is to know of the samples of blocks, shape (n, 64)."""


class GatheredBlocks:
    """The blocks that cells are, in their order; what is known of them is gathered when it is asked for."""

    def __init__(self, summary: Summary, samples: IndexedArray, cells: BlockCells) -> None:
        """Read the raw samples among the cells."""
        self._summary = summary
        self._indices = cells.indices
        self._at = [(cells.levels == level).nonzero()[0] for level in range(len(summary.levels) + 1)]
        self._raw = summary.read_raw(samples, cells.indices[self._at[0]])
        self._gathered: dict[str, NDArray[Any]] = {}

    def array(self, name: str) -> NDArray[Any]:
        """Return what the levels know under a name, where a raw sample is its own block."""
        if name not in self._gathered:
            self._gathered[name] = self._gather(name, self._raw)
        return self._gathered[name]

    @property
    def low(self) -> Values:
        """The values that are chosen as the lowest of each."""
        return self.array("low")

    @property
    def high(self) -> Values:
        """The values that are chosen as the highest of each."""
        return self.array("high")

    @cached_property
    def weighed(self) -> Weighed:
        """The mean of the finite values of each, and how many there are."""
        raw = SampleBlocks(self._raw).weighed
        counts = np.ones(len(self._raw), dtype=np.int32)
        counts[raw.missing] = 0
        return Weighed(self._gather("mean", raw.means), self._gather("count", counts), _NONE)

    @property
    def scatter(self) -> Scatter:
        """The scatter of the finite values of each about their mean."""
        none = np.zeros(len(self._raw))
        return Scatter(self._gather("deviation", none), self._gather("rest", none))

    def _gather(self, name: str, raw: NDArray[Any]) -> NDArray[Any]:
        """Return what the levels know under a name, with what is given for the raw samples among the cells."""
        gathered = np.empty(len(self._indices), dtype=raw.dtype)
        gathered[self._at[0]] = raw
        for level, at in zip(self._summary.levels, self._at[1:], strict=True):
            if at.size:
                gathered[at] = level[name].take(self._indices[at])
        return gathered


class NumberSummary(Summary):
    """The summary of numbers."""

    def select(self, samples: IndexedArray, selectors: Sequence[Selector], starts: Indices, stops: Indices) -> Indices:
        """Return the indices, in no order, of the samples that are chosen of buckets [start, stop), none empty."""
        cells = self.cells(starts, stops)
        blocks = GatheredBlocks(self, samples, cells)
        return np.concatenate([self._select(samples, one, cells, blocks) for one in selectors])

    def _select(self, samples: IndexedArray, selector: Selector, cells: BlockCells, blocks: GatheredBlocks) -> Indices:
        chosen = selector.choose(blocks.array(selector.array), cells.starts)
        return self._descend(samples, selector.array, selector.choose, cells, chosen)

    def aggregate(self, samples: IndexedArray, aggregate: Aggregate, starts: Indices, stops: Indices) -> Values:
        """Return the aggregate of each bucket [start, stop), none empty."""
        cells = self.cells(starts, stops)
        return aggregate.of(GatheredBlocks(self, samples, cells), cells.starts)

    def join(self, samples: IndexedArray, starts: Indices, stops: Indices) -> AggregatedBlocks:
        """Return one block for each bucket [start, stop), none empty."""
        cells = self.cells(starts, stops)
        return join_blocks(GatheredBlocks(self, samples, cells), cells.starts)

    def read_raw(self, samples: IndexedArray, indices: Indices) -> NDArray[Any]:
        """Return the samples."""
        return samples.take(indices)

    def read_rows(self, samples: IndexedArray, blocks: Indices) -> NDArray[Any]:
        """Return the samples."""
        return samples.rows(blocks)


class StateSummary(Summary):
    """The summary of states."""

    def select(self, samples: IndexedArray, selectors: Sequence[Selector], starts: Indices, stops: Indices) -> Indices:
        """Return the indices, in no order, of the samples that are chosen of buckets [start, stop), none empty."""
        return np.concatenate(
            [
                self._changes(samples, one.array, starts, stops) if one.place is None else one.place(starts, stops)
                for one in selectors
            ]
        )

    def _changes(self, samples: IndexedArray, array: str, starts: Indices, stops: Indices) -> Indices:
        """Return the first sample that differs from a bucket's first: the first that differs from the one before."""
        # The first sample of a bucket differs from one before the bucket, if at all.
        cells = self.cells(starts + 1, stops)
        if not len(cells.indices):
            return cells.indices
        blocks = GatheredBlocks(self, samples, cells)
        chosen = first_true(blocks.array(array), cells.starts)
        return self._descend(samples, array, first_true, cells, chosen)

    def read_raw(self, samples: IndexedArray, indices: Indices) -> NDArray[Any]:
        """Tell of samples whether each differs from the one before."""
        return np.asarray(samples.take(indices) != samples.take(indices - 1), dtype=np.bool_)

    def read_rows(self, samples: IndexedArray, blocks: Indices) -> NDArray[Any]:
        """Tell of the samples of blocks whether each differs from the one before."""
        states = samples.rows(blocks)
        changes = np.empty(states.shape, dtype=np.bool_)
        changes[:, 0] = states[:, 0] != samples.take(blocks * BLOCK - 1)
        changes[:, 1:] = states[:, 1:] != states[:, :-1]
        return changes
