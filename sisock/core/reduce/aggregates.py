"""How the values of each bucket are made into one; on arrays, for all buckets at once, out of samples or of blocks.

A bucket's pieces are samples or blocks of them. What is made depends on the pieces of the bucket alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sisock.core.model import Values
from sisock.core.reduce.selectors import Indices, highest_values, lowest_values, stops_of

_NONE = np.empty(0, dtype=np.intp)
_HUGE = np.finfo(np.float64).max
_SCALE = 2.0**-64  # so many huge values may be added without overflow
_SQUARED = 450  # numbers of no larger powers of two can be squared, and the squares added; of no smaller ones as well

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
        lengths = stops_of(starts, len(self.means)) - starts
        if not self.missing.size:
            return lengths
        before = np.searchsorted(self.missing, starts)
        return lengths - (stops_of(before, len(self.missing)) - before)

    def summed(self, starts: Indices, scale: float = 1.0) -> Values:
        """Return the sum of the finite values of each bucket, times a scale; zero where there are none."""
        means = self.means if scale == 1.0 else self.means * scale
        with np.errstate(over="ignore", invalid="ignore"):
            return np.add.reduceat(means if self.counts is None else means * self.counts, starts)


class Scatter(NamedTuple):
    """How the finite values of pieces lie about their means; zero where there are none.

    Parameters
    ----------
    deviation
        The standard deviation of each.
    rest
        What the mean of each lacks by rounding: beside a large mean it is as much as the means of its parts differ.
    """

    deviation: Values
    rest: Values


class Buckets(Protocol):
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
    def scatter(self) -> Scatter | None:
        """How the finite values of each lie about their mean; None: each is its mean."""
        ...


@dataclass(frozen=True)
class SampleBuckets:
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
        finite = np.isfinite(means)
        missing = _NONE if finite.all() else np.flatnonzero(~finite)
        means[missing] = 0.0
        return Weighed(means, None, missing)

    @property
    def scatter(self) -> None:
        """Each sample is its mean."""
        return


@dataclass(frozen=True)
class BlockBuckets:
    """Pieces that are blocks of samples.

    Parameters
    ----------
    mean, count, scatter
        Of the finite values of each: their mean, zero where there are none; how many there are; and how they lie about
        the mean, which is wanted only where deviations are made.
    """

    low: Values
    high: Values
    mean: Values
    count: Counts
    scatter: Scatter | None = None

    @property
    def weighed(self) -> Weighed:
        """Means and counts."""
        return Weighed(self.mean, self.count, _NONE)


def join_buckets(pieces: Buckets, starts: Indices) -> BlockBuckets:
    """Return one block for each bucket of pieces, without its scatter."""
    mean, count = _means_of(pieces, starts)
    return BlockBuckets(lowest_values(pieces.low, starts), highest_values(pieces.high, starts), mean, count)


def summed_blocks(pieces: Buckets, count: int, length: int) -> BlockBuckets:
    """Return a block for every ``length`` of ``count`` pieces, with all that is to be known of it."""
    blocks = join_buckets(pieces, np.arange(0, count, length))
    return replace(blocks, scatter=_scatter(pieces, _Even(length), blocks))


def join_blocks(blocks: Sequence[BlockBuckets]) -> BlockBuckets:
    """Return the blocks of several arrays one after the other; with their scatter where all have it."""
    low, high, mean, count = zip(*((one.low, one.high, one.mean, one.count) for one in blocks), strict=True)
    known = [one.scatter for one in blocks if one.scatter is not None]
    scatter = Scatter(*map(np.concatenate, zip(*known, strict=True))) if len(known) == len(blocks) else None
    return BlockBuckets(
        np.concatenate(low), np.concatenate(high), np.concatenate(mean), np.concatenate(count), scatter
    )


def mean_of(pieces: Buckets, starts: Indices) -> Values:
    """Return the mean of the finite values of each bucket; else of its infinities, which may be NaN; else NaN."""
    mean, count = _means_of(pieces, starts)
    return _unsigned_zero(_or_not_finite(mean, count, pieces, starts))


def sum_of(pieces: Buckets, starts: Indices) -> Values:
    """Return the sum of the finite values of each bucket, infinite past the range of floats; else as a mean."""
    weighed = pieces.weighed
    sums = weighed.summed(starts)
    over = ~np.isfinite(sums)
    if over.any():
        with np.errstate(over="ignore"):
            sums[over] = weighed.summed(starts, _SCALE)[over] / _SCALE
    return _unsigned_zero(_or_not_finite(sums, weighed.counted(starts), pieces, starts))


def count_of(pieces: Buckets, starts: Indices) -> Values:
    """Return how many finite values each bucket has, as floats."""
    return pieces.weighed.counted(starts).astype(np.float64)


def stddev_of(pieces: Buckets, starts: Indices) -> Values:
    """Return the standard deviation of the finite values of each bucket, as of a whole population; NaN without any."""
    blocks = join_buckets(pieces, starts)
    lengths = stops_of(starts, len(pieces.weighed.means)) - starts
    deviation = _scatter(pieces, _Uneven(starts, lengths), blocks).deviation
    deviation[blocks.count == 0] = np.nan
    return _unsigned_zero(deviation)


def min_of(pieces: Buckets, starts: Indices) -> Values:
    """Return the lowest value of each bucket."""
    return _unsigned_zero(lowest_values(pieces.low, starts))


def max_of(pieces: Buckets, starts: Indices) -> Values:
    """Return the highest value of each bucket."""
    return _unsigned_zero(highest_values(pieces.high, starts))


Aggregate = Callable[[Buckets, Indices], Values]
AGGREGATES: Mapping[str, Aggregate] = {
    "mean": mean_of,
    "min": min_of,
    "max": max_of,
    "count": count_of,
    "sum": sum_of,
    "stddev": stddev_of,
}


def _unsigned_zero(made: Values) -> Values:
    """Return 0.0 for -0.0: they are equal, and which of them an extreme is would depend on the way to it."""
    unsigned: Values = made + made.dtype.type(0)
    return unsigned


def _means_of(pieces: Buckets, starts: Indices) -> tuple[Values, Counts]:
    """Return the mean of the finite values of each bucket, zero where there are none, and how many there are."""
    weighed = pieces.weighed
    count = weighed.counted(starts)
    divisor = np.maximum(count, 1)
    mean = weighed.summed(starts) / divisor
    over = ~np.isfinite(mean)
    if over.any():  # the values are finite, and so must be their mean
        with np.errstate(over="ignore"):
            mean[over] = np.clip((weighed.summed(starts, _SCALE) / divisor)[over] / _SCALE, -_HUGE, _HUGE)
    return mean, count


def _or_not_finite(made: Values, count: Counts, pieces: Buckets, starts: Indices) -> Values:
    """Return what was made of finite values, and where there are none, what infinities and NaN add up to."""
    if count.all():
        return made
    with np.errstate(over="ignore", invalid="ignore"):  # of the finite ones too, whose sum is not used
        otherwise = lowest_values(pieces.low, starts) + highest_values(pieces.high, starts)
    return np.where(count == 0, otherwise, made)


class _Layout(Protocol):
    """Which of the values that follow one another are of one bucket."""

    def each(self, per_bucket: NDArray[Any]) -> NDArray[Any]:
        """Return the entry of each bucket for each of its values."""
        ...

    def less(self, values: Values, per_bucket: Values) -> Values:
        """Return values less the entry of their bucket."""
        ...

    def total(self, values: Values) -> Values:
        """Return the sum of each bucket."""
        ...

    def product(self, values: Values, others: Values) -> Values:
        """Return the sum of the products of each bucket."""
        ...


@dataclass(frozen=True)
class _Uneven:
    """Buckets of any length."""

    starts: Indices
    lengths: Indices

    def each(self, per_bucket: NDArray[Any]) -> NDArray[Any]:
        return np.repeat(per_bucket, self.lengths)

    def less(self, values: Values, per_bucket: Values) -> Values:
        less: Values = values - self.each(per_bucket)
        return less

    def total(self, values: Values) -> Values:
        return np.add.reduceat(values, self.starts)

    def product(self, values: Values, others: Values) -> Values:
        return np.add.reduceat(values * others, self.starts)


@dataclass(frozen=True)
class _Even:
    """Buckets of one length, which are summed up in a third of the time."""

    length: int

    def each(self, per_bucket: NDArray[Any]) -> NDArray[Any]:
        return np.repeat(per_bucket, self.length)

    def less(self, values: Values, per_bucket: Values) -> Values:
        less: Values = (values.reshape(-1, self.length) - per_bucket[:, np.newaxis]).reshape(-1)
        return less

    def total(self, values: Values) -> Values:
        total: Values = np.einsum("ij->i", values.reshape(-1, self.length))
        return total

    def product(self, values: Values, others: Values) -> Values:
        product: Values = np.vecdot(values.reshape(-1, self.length), others.reshape(-1, self.length))
        return product


def _scatter(pieces: Buckets, buckets: _Layout, blocks: BlockBuckets) -> Scatter:
    """Return how the finite values of each bucket lie about its mean.

    The deviation is never larger than half of what lies between the lowest and the highest: equal values have none.
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        most = np.multiply(blocks.high, 0.5, dtype=np.float64) - np.multiply(blocks.low, 0.5, dtype=np.float64)
        deviation, rest = _spread(pieces, buckets, blocks)
        exponents = np.frexp(most)[1]
        beside = np.abs(exponents) > _SQUARED
        if beside.any():
            scaled = (np.ldexp(one, exponents) for one in _spread(pieces, buckets, blocks, exponents))
            deviation, rest = (np.where(beside, *pair) for pair in zip(scaled, (deviation, rest), strict=True))
        return Scatter(np.fmin(deviation, most), rest)


def _spread(
    pieces: Buckets, buckets: _Layout, blocks: BlockBuckets, exponents: NDArray[np.int32] | None = None
) -> tuple[Values, Values]:
    """Return deviations and rests, in powers of two if given, and as they come out where values are beside those."""
    means, counts, missing = pieces.weighed
    middle, own = blocks.mean, pieces.scatter
    if exponents is not None:
        each = buckets.each(-exponents)
        means, middle = np.ldexp(means, each), np.ldexp(middle, -exponents)
        own = None if own is None else Scatter(*(np.ldexp(one, each) for one in own))
    off = buckets.less(means, middle)
    off[missing] = 0.0
    if own is not None:
        off += own.rest
    weighted = off if counts is None else off * counts
    squares = buckets.product(off, weighted)
    if own is not None:
        squares += buckets.product(own.deviation, own.deviation if counts is None else own.deviation * counts)
    count = np.maximum(blocks.count, 1)
    rest = buckets.total(weighted) / count
    return np.sqrt(np.maximum(squares / count - rest * rest, 0.0)), rest
