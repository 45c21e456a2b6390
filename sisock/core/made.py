"""How the values of each bucket are made into one; on arrays, for all buckets at once, out of samples or of blocks.

A bucket's pieces are samples or blocks of them. What is made depends on the pieces of the bucket alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sisock.core.choices import Indices, highest_values, lowest_values, stops_of
from sisock.core.model import Values

_NONE = np.empty(0, dtype=np.intp)
_HUGE = np.finfo(np.float64).max
_SCALE = 2.0**-64  # so many huge values may be added without overflow
_SQUARED = 2.0**-450, 2.0**450  # what lies between them can be squared, and the squares added

Counts = NDArray[np.integer]
"""How many finite values there are; 32 bits where it is kept, 64 where it is added up."""


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
    counts: Counts | None
    missing: Indices

    def counted(self, starts: Indices) -> Counts:
        """Return how many finite values each bucket has."""
        if self.counts is not None:
            return np.add.reduceat(self.counts, starts, dtype=np.int64)
        before = np.searchsorted(self.missing, starts)
        missing = stops_of(before, len(self.missing)) - before
        return stops_of(starts, len(self.means)) - starts - missing

    def summed(self, starts: Indices, scale: float = 1.0) -> Values:
        """Return the sum of the finite values of each bucket, times a scale; zero where there are none."""
        means = self.means if scale == 1.0 else self.means * scale
        with np.errstate(over="ignore", invalid="ignore"):
            return np.add.reduceat(means if self.counts is None else means * self.counts, starts)

    def averaged(self, starts: Indices, scale: float = 1.0) -> Values:
        """Return the mean of the finite values of each bucket, times a scale; zero where there are none."""
        averages: Values = self.summed(starts, scale) / np.maximum(self.counted(starts), 1)
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

    @property
    def weighed(self) -> Weighed:
        """The means of their finite values, and what they count for; never to be written to."""
        ...

    @property
    def deviation(self) -> Values | None:
        """The standard deviation of the finite values of each, zero where there are none; None: zero of all."""
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

    @cached_property
    def weighed(self) -> Weighed:
        """The samples, with zero for those that are not finite."""
        means = self.values.astype(np.float64)
        missing = np.flatnonzero(~np.isfinite(means))
        means[missing] = 0.0
        return Weighed(means, None, missing)

    @property
    def deviation(self) -> None:
        """Zero, of one value."""
        return


@dataclass(frozen=True)
class BlockPieces:
    """Pieces that are blocks of samples.

    Parameters
    ----------
    mean, count, deviation
        Of the finite values of each: their mean, how many there are, and their standard deviation; zero where there
        are none. The deviation is only wanted where deviations are made.
    """

    low: Values
    high: Values
    mean: Values
    count: Counts
    deviation: Values | None = None

    @property
    def weighed(self) -> Weighed:
        """Means and counts."""
        return Weighed(self.mean, self.count, _NONE)


def merged(pieces: Pieces, starts: Indices) -> BlockPieces:
    """Return one block for each bucket of pieces, without its deviation."""
    mean, count = _merged_means(pieces, starts)
    return BlockPieces(lowest_values(pieces.low, starts), highest_values(pieces.high, starts), mean, count)


def summed_up(pieces: Pieces, starts: Indices) -> BlockPieces:
    """Return one block for each bucket of pieces, with all that is to be known of it."""
    blocks = merged(pieces, starts)
    return replace(blocks, deviation=_deviations(pieces, starts, blocks))


def chained(blocks: Sequence[BlockPieces]) -> BlockPieces:
    """Return the blocks of several arrays one after the other; with deviations where all have them."""
    low, high, mean, count = zip(*((one.low, one.high, one.mean, one.count) for one in blocks), strict=True)
    known = [one.deviation for one in blocks if one.deviation is not None]
    deviation = np.concatenate(known) if len(known) == len(blocks) else None
    return BlockPieces(
        np.concatenate(low), np.concatenate(high), np.concatenate(mean), np.concatenate(count), deviation
    )


def made_mean(pieces: Pieces, starts: Indices) -> Values:
    """Return the mean of the finite values of each bucket; else of its infinities, which may be NaN; else NaN."""
    mean, count = _merged_means(pieces, starts)
    return _unsigned_zero(_or_not_finite(mean, count, pieces, starts))


def made_sum(pieces: Pieces, starts: Indices) -> Values:
    """Return the sum of the finite values of each bucket, infinite past the range of floats; else as a mean."""
    weighed = pieces.weighed
    sums = weighed.summed(starts)
    over = ~np.isfinite(sums)
    if over.any():
        with np.errstate(over="ignore"):
            sums[over] = weighed.summed(starts, _SCALE)[over] / _SCALE
    return _unsigned_zero(_or_not_finite(sums, weighed.counted(starts), pieces, starts))


def made_count(pieces: Pieces, starts: Indices) -> Values:
    """Return how many finite values each bucket has, as floats."""
    return pieces.weighed.counted(starts).astype(np.float64)


def made_stddev(pieces: Pieces, starts: Indices) -> Values:
    """Return the standard deviation of the finite values of each bucket, as of a whole population; NaN without any."""
    blocks = merged(pieces, starts)
    deviation = _deviations(pieces, starts, blocks)
    deviation[blocks.count == 0] = np.nan
    return deviation


def made_min(pieces: Pieces, starts: Indices) -> Values:
    """Return the lowest value of each bucket."""
    return _unsigned_zero(lowest_values(pieces.low, starts))


def made_max(pieces: Pieces, starts: Indices) -> Values:
    """Return the highest value of each bucket."""
    return _unsigned_zero(highest_values(pieces.high, starts))


Make = Callable[[Pieces, Indices], Values]
MAKES: Mapping[str, Make] = {
    "mean": made_mean,
    "min": made_min,
    "max": made_max,
    "count": made_count,
    "sum": made_sum,
    "stddev": made_stddev,
}


def _unsigned_zero(made: Values) -> Values:
    """Return 0.0 for -0.0: they are equal, and which of them an extreme is would depend on the way to it."""
    unsigned: Values = made + made.dtype.type(0)
    return unsigned


def _merged_means(pieces: Pieces, starts: Indices) -> tuple[Values, Counts]:
    """Return the mean of the finite values of each bucket, zero where there are none, and how many there are."""
    weighed = pieces.weighed
    mean = weighed.averaged(starts)
    over = ~np.isfinite(mean)
    if over.any():  # the values are finite, and so must be their mean
        with np.errstate(over="ignore"):
            mean[over] = np.clip(weighed.averaged(starts, _SCALE)[over] / _SCALE, -_HUGE, _HUGE)
    return mean, weighed.counted(starts)


def _or_not_finite(made: Values, count: Counts, pieces: Pieces, starts: Indices) -> Values:
    """Return what was made of finite values, and where there are none, what infinities and NaN add up to."""
    if count.all():
        return made
    with np.errstate(over="ignore", invalid="ignore"):  # of the finite ones too, whose sum is not used
        otherwise = lowest_values(pieces.low, starts) + highest_values(pieces.high, starts)
    return np.where(count == 0, otherwise, made)


def _deviations(pieces: Pieces, starts: Indices, blocks: BlockPieces) -> Values:
    """Return the standard deviation of the finite values of each bucket, zero where there are none.

    It is never larger than half of what lies between the lowest and the highest, so that equal values have none.
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        most = blocks.high.astype(np.float64) / 2 - blocks.low.astype(np.float64) / 2
        most[blocks.count == 0] = 0.0
        found = _spread(pieces, starts, blocks)
        least, largest = _SQUARED
        beside = ((most < least) & (most > 0)) | (most > largest)
        if beside.any():
            exponents = np.frexp(most)[1]
            found[beside] = np.ldexp(_spread(pieces, starts, blocks, exponents), exponents)[beside]
    return np.fmin(found, most)


def _spread(
    pieces: Pieces, starts: Indices, blocks: BlockPieces, exponents: NDArray[np.int32] | None = None
) -> Values:
    """Return the root of the mean square of what lies off the mean of each bucket, in powers of two if given.

    What the mean lacks by rounding is taken out again: beside a large mean it may be as much as the values differ.
    """
    means, counts, missing = pieces.weighed
    own, middle = pieces.deviation, blocks.mean
    lengths = stops_of(starts, len(means)) - starts
    if exponents is not None:
        each = np.repeat(-exponents, lengths)
        means, middle = np.ldexp(means, each), np.ldexp(middle, -exponents)
        own = None if own is None else np.ldexp(own, each)
    off = means - np.repeat(middle, lengths)
    off[missing] = 0.0
    weighted = off if counts is None else off * counts
    squares = off * weighted
    if own is not None:
        squares += own * own if counts is None else own * own * counts
    count = np.maximum(blocks.count, 1)
    total = np.add.reduceat(squares, starts) - np.add.reduceat(weighted, starts) ** 2 / count
    spread: Values = np.sqrt(np.maximum(total, 0.0) / count)
    return spread
