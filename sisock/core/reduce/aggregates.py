"""Aggregates: one value of all numbers of each bucket; on arrays, for all buckets at once, of samples or of blocks.

A block is some consecutive samples of which a few figures are known; a sample by itself is one, too. An aggregate
depends on the blocks of its bucket alone.
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
# So many huge values may be added without overflow.
_SCALE = 2.0**-64
# Numbers of no larger powers of two can be squared, and the squares added; of no smaller ones as well.
_SQUARED = 450

Counts = NDArray[np.integer]
"""The number of finite values; 32 bits where it is kept, 64 where it is added up."""
Parts = Mapping[str, Values]
"""Aggregates of smaller buckets, by the names of their reducers; shape (n,) each."""


class Weighed(NamedTuple):
    """Means of blocks, float64, and how many values each of them counts for.

    Parameters
    ----------
    means
        Zero for the blocks without finite values.
    counts
        How many finite values each block has; None: one.
    missing
        Without counts, the indices of the blocks that have none, ascending.
    """

    means: Values
    counts: Counts | None
    missing: Indices

    def counted(self, starts: Indices) -> Counts:
        """Return how many finite values each bucket has."""
        if self.counts is not None:
            # Counts are kept in 32 bits, which the sum of many may exceed.
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
    """The scatter of the finite values of blocks about their means; zero where there are none.

    Parameters
    ----------
    deviation
        The standard deviation of each.
    rest
        What the mean of each lacks by rounding: beside a large mean it is as much as the means of its parts differ.
    """

    deviation: Values
    rest: Values


class Blocks(Protocol):
    """Consecutive blocks, which buckets are made of."""

    @property
    def low(self) -> Values:
        """The values that are chosen as the lowest of each; a sample itself."""
        ...

    @property
    def high(self) -> Values:
        """The values that are chosen as the highest of each; a sample itself."""
        ...

    @property
    def weighed(self) -> Weighed:
        """The means of their finite values, and what they count for; never to be written to."""
        ...

    @property
    def scatter(self) -> Scatter | None:
        """The scatter of the finite values of each about their mean; None: each is its mean."""
        ...


@dataclass(frozen=True)
class Aggregate:
    """One value of all numbers of each bucket.

    Parameters
    ----------
    of
        Returns the value of each bucket, from blocks and the index of each bucket's first one.
    combine
        Returns the same for larger buckets, from those that they are made of and the index of the first one of each.
    parts
        What ``combine`` needs to know of the smaller buckets: names of reducers.
    adds_newest
        Whether the newest sample may stand behind it: a count, a sum or a deviation is no such value.
    keeps_dtype
        Whether it is of the type of the numbers; else it is float64.
    adds_up
        Whether it grows with the number of samples.
    needs_scatter
        Whether it is a standard deviation, for which blocks must know their scatter.
    extreme
        Returns which of two values it is of both; None where it is none of them.
    """

    of: Callable[[Blocks, Indices], Values]
    combine: Callable[[Parts, Indices], Values]
    parts: tuple[str, ...]
    adds_newest: bool = False
    keeps_dtype: bool = False
    adds_up: bool = False
    needs_scatter: bool = False
    extreme: np.ufunc | None = None

    def none_of(self, values: Values) -> Values:
        """Return no aggregates, of the type of those of such values."""
        return np.empty(0, dtype=values.dtype if self.keeps_dtype else np.float64)


@dataclass(frozen=True)
class SampleBlocks:
    """Blocks of one sample each."""

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
        # Zeros add nothing, so that one pass sums up all buckets.
        means[missing] = 0.0
        return Weighed(means, None, missing)

    @property
    def scatter(self) -> None:
        """Each sample is its mean."""
        return


@dataclass(frozen=True)
class AggregatedBlocks:
    """Blocks of several samples, by their aggregates.

    Parameters
    ----------
    mean, count, scatter
        Of the finite values of each: their mean, zero where there are none; how many there are; and how they lie about
        the mean, which only deviations need.
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


def join_blocks(blocks: Blocks, starts: Indices) -> AggregatedBlocks:
    """Return one block for each bucket, joined of its blocks, without its scatter."""
    mean, count = _means_of(blocks, starts)
    return AggregatedBlocks(lowest_values(blocks.low, starts), highest_values(blocks.high, starts), mean, count)


def join_every(blocks: Blocks, count: int, length: int) -> AggregatedBlocks:
    """Return one block for every ``length`` of ``count`` blocks, with its scatter."""
    joined = join_blocks(blocks, np.arange(0, count, length))
    return replace(joined, scatter=_scatter(blocks, _Even(length), joined))


def concatenate_blocks(several: Sequence[AggregatedBlocks]) -> AggregatedBlocks:
    """Return the blocks of several arrays one after the other; with their scatter where all have it."""
    low, high, mean, count = zip(*((one.low, one.high, one.mean, one.count) for one in several), strict=True)
    known = [one.scatter for one in several if one.scatter is not None]
    # Blocks out of files of earlier versions have none.
    scatter = Scatter(*map(np.concatenate, zip(*known, strict=True))) if len(known) == len(several) else None
    return AggregatedBlocks(
        np.concatenate(low), np.concatenate(high), np.concatenate(mean), np.concatenate(count), scatter
    )


def mean_of(blocks: Blocks, starts: Indices) -> Values:
    """Return the mean of the finite values of each bucket; else of its infinities, which may be NaN; else NaN."""
    mean, count = _means_of(blocks, starts)
    return _unsigned_zero(_or_not_finite(mean, count, blocks, starts))


def sum_of(blocks: Blocks, starts: Indices) -> Values:
    """Return the sum of the finite values of each bucket, infinite past the range of floats; else as a mean."""
    weighed = blocks.weighed
    sums = weighed.summed(starts)
    over = ~np.isfinite(sums)
    if over.any():
        # Huge values may cancel one another: scaled down, they do so within the range of floats.
        with np.errstate(over="ignore"):
            sums[over] = weighed.summed(starts, _SCALE)[over] / _SCALE
    return _unsigned_zero(_or_not_finite(sums, weighed.counted(starts), blocks, starts))


def count_of(blocks: Blocks, starts: Indices) -> Values:
    """Return how many finite values each bucket has, as floats."""
    return blocks.weighed.counted(starts).astype(np.float64)


def stddev_of(blocks: Blocks, starts: Indices) -> Values:
    """Return the standard deviation of the finite values of each bucket, as of a whole population; NaN without any."""
    joined = join_blocks(blocks, starts)
    lengths = stops_of(starts, len(blocks.weighed.means)) - starts
    deviation = _scatter(blocks, _Uneven(starts, lengths), joined).deviation
    deviation[joined.count == 0] = np.nan
    return _unsigned_zero(deviation)


def min_of(blocks: Blocks, starts: Indices) -> Values:
    """Return the lowest value of each bucket."""
    return _unsigned_zero(lowest_values(blocks.low, starts))


def max_of(blocks: Blocks, starts: Indices) -> Values:
    """Return the highest value of each bucket."""
    return _unsigned_zero(highest_values(blocks.high, starts))


def _unsigned_zero(aggregates: Values) -> Values:
    """Return 0.0 for -0.0: they are equal, and which of them an extreme is would depend on the way to it."""
    unsigned: Values = aggregates + aggregates.dtype.type(0)
    return unsigned


def _means_of(blocks: Blocks, starts: Indices) -> tuple[Values, Counts]:
    """Return the mean of the finite values of each bucket, zero where there are none, and how many there are."""
    weighed = blocks.weighed
    count = weighed.counted(starts)
    divisor = np.maximum(count, 1)
    mean = weighed.summed(starts) / divisor
    over = ~np.isfinite(mean)
    if over.any():
        # The values are finite, and so must be their mean.
        with np.errstate(over="ignore"):
            mean[over] = np.clip((weighed.summed(starts, _SCALE) / divisor)[over] / _SCALE, -_HUGE, _HUGE)
    return mean, count


def _or_not_finite(aggregates: Values, count: Counts, blocks: Blocks, starts: Indices) -> Values:
    """Return the aggregates of finite values, and where there are none, what infinities and NaN add up to."""
    if count.all():
        return aggregates
    # The extremes of buckets with finite values are added as well, but their sum is not used.
    with np.errstate(over="ignore", invalid="ignore"):
        otherwise = lowest_values(blocks.low, starts) + highest_values(blocks.high, starts)
    return np.where(count == 0, otherwise, aggregates)


class _Layout(Protocol):
    """The grouping of values that follow one another into buckets."""

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


def _scatter(blocks: Blocks, layout: _Layout, joined: AggregatedBlocks) -> Scatter:
    """Return how the finite values of each bucket lie about its mean.

    The deviation is never larger than half of what lies between the lowest and the highest: equal values have none.
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        # Halved before they are subtracted: the difference of two floats may be beyond all floats.
        most = np.multiply(joined.high, 0.5, dtype=np.float64) - np.multiply(joined.low, 0.5, dtype=np.float64)
        deviation, rest = _spread(blocks, layout, joined)
        exponents = np.frexp(most)[1]
        # Squares of very large or small numbers leave the range of floats: such buckets are computed
        # once more, in units of a power of two of their own, which rounds nothing.
        beside = np.abs(exponents) > _SQUARED
        if beside.any():
            scaled = (np.ldexp(one, exponents) for one in _spread(blocks, layout, joined, exponents))
            deviation, rest = (np.where(beside, *pair) for pair in zip(scaled, (deviation, rest), strict=True))
        return Scatter(np.fmin(deviation, most), rest)


def _spread(
    blocks: Blocks, layout: _Layout, joined: AggregatedBlocks, exponents: NDArray[np.int32] | None = None
) -> tuple[Values, Values]:
    """Return deviations and rests, in powers of two if given, and as they come out where values are beside those."""
    means, counts, missing = blocks.weighed
    middle, own = joined.mean, blocks.scatter
    if exponents is not None:
        each = layout.each(-exponents)
        means, middle = np.ldexp(means, each), np.ldexp(middle, -exponents)
        own = None if own is None else Scatter(*(np.ldexp(one, each) for one in own))
    # Deviations are from the bucket's own mean: sums of plain squares cancel beside a large mean.
    off = layout.less(means, middle)
    off[missing] = 0.0
    if own is not None:
        # The rest is what rounding took from a mean: beside a large mean it is all that two blocks differ by.
        off += own.rest
    weighted = off if counts is None else off * counts
    squares = layout.product(off, weighted)
    if own is not None:
        squares += layout.product(own.deviation, own.deviation if counts is None else own.deviation * counts)
    count = np.maximum(joined.count, 1)
    # The mean of what is left corrects both results for the rounding of the mean itself.
    rest = layout.total(weighted) / count
    return np.sqrt(np.maximum(squares / count - rest * rest, 0.0)), rest
