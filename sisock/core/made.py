"""How the values of each bucket are made into one; on arrays, for all buckets at once, out of samples or of blocks.

A bucket's pieces are samples or blocks of them. What is made depends on the pieces of the bucket alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sisock.core.choices import Indices, highest_values, lowest_values, stops_of
from sisock.core.model import Values

_NONE = np.empty(0, dtype=np.intp)
_HUGE = np.finfo(np.float64).max
_SCALE = 2.0**-64  # so many huge values may be added without overflow


class Weighed(NamedTuple):
    """Means of pieces, float64, and what each of them counts for.

    Parameters
    ----------
    means
        Zero for the pieces without finite values.
    counts
        How many finite values each piece has; None: one.
    missing
        Without counts, the indices of the pieces that have none, ascending.
    """

    means: Values
    counts: NDArray[np.int32] | None
    missing: Indices

    def counted(self, starts: Indices) -> NDArray[np.int32]:
        """Return how many finite values each bucket has."""
        if self.counts is not None:
            return np.add.reduceat(self.counts, starts, dtype=np.int32)
        before = np.searchsorted(self.missing, starts)
        missing = stops_of(before, len(self.missing)) - before
        return (stops_of(starts, len(self.means)) - starts - missing).astype(np.int32)

    def averaged(self, starts: Indices, scale: float = 1.0) -> Values:
        """Return the mean of the finite values of each bucket, times a scale; zero where there are none."""
        means = self.means if scale == 1.0 else self.means * scale
        with np.errstate(over="ignore", invalid="ignore"):
            sums = np.add.reduceat(means if self.counts is None else means * self.counts, starts)
        averages: Values = sums / np.maximum(self.counted(starts), 1)
        return averages


class Pieces(Protocol):
    """Consecutive samples, or blocks of them, of which values are made."""

    @property
    def low(self) -> Values:
        """What is chosen as the lowest of each; a sample itself."""
        ...

    @property
    def high(self) -> Values:
        """What is chosen as the highest of each; a sample itself."""
        ...

    def weighed(self) -> Weighed:
        """Return the means of their finite values, and what they count for."""
        ...


@dataclass(frozen=True)
class SamplePieces:
    """Pieces of one sample each."""

    values: Values

    @property
    def low(self) -> Values:
        """The samples."""
        return self.values

    @property
    def high(self) -> Values:
        """The samples."""
        return self.values

    def weighed(self) -> Weighed:
        """Return the samples, with zero for those that are not finite."""
        means = self.values.astype(np.float64)
        missing = np.flatnonzero(~np.isfinite(means))
        means[missing] = 0.0
        return Weighed(means, None, missing)


@dataclass(frozen=True)
class BlockPieces:
    """Pieces that are blocks of samples; ``count`` is how many finite values each has, ``mean`` their mean."""

    low: Values
    high: Values
    mean: Values
    count: NDArray[np.int32]

    def weighed(self) -> Weighed:
        """Return means and counts."""
        return Weighed(self.mean, self.count, _NONE)


def merged(pieces: Pieces, starts: Indices) -> BlockPieces:
    """Return one block for each bucket of pieces."""
    mean, count = _merged_means(pieces, starts)
    return BlockPieces(lowest_values(pieces.low, starts), highest_values(pieces.high, starts), mean, count)


def made_mean(pieces: Pieces, starts: Indices) -> Values:
    """Return the mean of the finite values of each bucket; else of its infinities, which may be NaN; else NaN."""
    mean, count = _merged_means(pieces, starts)
    if not count.all():
        with np.errstate(over="ignore", invalid="ignore"):  # of the finite ones too, whose sum is not used
            otherwise = lowest_values(pieces.low, starts) + highest_values(pieces.high, starts)
        mean = np.where(count == 0, otherwise, mean)
    return _unsigned_zero(mean)


def made_min(pieces: Pieces, starts: Indices) -> Values:
    """Return the lowest value of each bucket."""
    return _unsigned_zero(lowest_values(pieces.low, starts))


def made_max(pieces: Pieces, starts: Indices) -> Values:
    """Return the highest value of each bucket."""
    return _unsigned_zero(highest_values(pieces.high, starts))


Make = Callable[[Pieces, Indices], Values]
MAKES: Mapping[str, Make] = {"mean": made_mean, "min": made_min, "max": made_max}


def _unsigned_zero(made: Values) -> Values:
    """Return 0.0 for -0.0: they are equal, and which of them an extreme is would depend on the way to it."""
    unsigned: Values = made + made.dtype.type(0)
    return unsigned


def _merged_means(pieces: Pieces, starts: Indices) -> tuple[Values, NDArray[np.int32]]:
    """Return the mean of the finite values of each bucket, zero where there are none, and how many there are."""
    weighed = pieces.weighed()
    mean = weighed.averaged(starts)
    over = ~np.isfinite(mean)
    if over.any():  # the values are finite, and so must be their mean
        with np.errstate(over="ignore"):
            mean[over] = np.clip(weighed.averaged(starts, _SCALE)[over] / _SCALE, -_HUGE, _HUGE)
    return mean, weighed.counted(starts)
