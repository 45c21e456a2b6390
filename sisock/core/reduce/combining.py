"""Aggregates of buckets that are made of smaller ones: a local day of hours, a month of days.

On arrays, for all of them at once. Each function gets the aggregates of the smaller buckets, and the index of the
first one of each larger bucket: the first index is 0, each is above the one before. A smaller bucket without samples
may be there, with NaN for all that is known of it; of such alone NaN comes out. Counts and extremes are exact, the
others but for rounding.
"""

from __future__ import annotations

import numpy as np

from sisock.core.model import Values
from sisock.core.reduce.aggregates import (
    AggregatedBlocks,
    Counts,
    Parts,
    SampleBlocks,
    Scatter,
    max_of,
    mean_of,
    min_of,
    stddev_of,
    sum_of,
)
from sisock.core.reduce.selectors import Indices

_HUGE = np.finfo(np.float64).max


def combine_counts(parts: Parts, starts: Indices) -> Values:
    """Return how many finite values each larger bucket has."""
    # A sum with NaN in it would be NaN: unknown counts are left out, and alone stay unknown.
    known = ~np.isnan(parts["count"])
    total = np.add.reduceat(np.where(known, parts["count"], 0.0), starts)
    return np.where(np.logical_or.reduceat(known, starts), total, np.nan)


def combine_minima(parts: Parts, starts: Indices) -> Values:
    """Return the lowest value of each larger bucket."""
    return min_of(SampleBlocks(parts["min"]), starts)


def combine_maxima(parts: Parts, starts: Indices) -> Values:
    """Return the highest value of each larger bucket."""
    return max_of(SampleBlocks(parts["max"]), starts)


def combine_means(parts: Parts, starts: Indices) -> Values:
    """Return the mean of each larger bucket."""
    mean = parts["mean"]
    return mean_of(AggregatedBlocks(mean, mean, *_finite(parts)), starts)


def combine_sums(parts: Parts, starts: Indices) -> Values:
    """Return the sum of each larger bucket."""
    sums, (_, count) = parts["sum"], _finite(parts)
    # Each sum stands as one value; where nothing was finite, it is what infinities added up to.
    return sum_of(AggregatedBlocks(sums, sums, np.where(count > 0, sums, 0.0), np.minimum(count, 1)), starts)


def combine_deviations(parts: Parts, starts: Indices) -> Values:
    """Return the standard deviation of each larger bucket."""
    mean, count = _finite(parts)
    deviation = np.where(count > 0, parts["stddev"], 0.0)
    # A part is as one that has half of its values this far below its mean, and half as far above it.
    reach = np.where(deviation > 0, deviation + np.spacing(np.abs(mean)), 0.0)
    with np.errstate(over="ignore"):
        low, high = (np.where(count > 0, np.clip(end, -_HUGE, _HUGE), np.nan) for end in (mean - reach, mean + reach))
    return stddev_of(AggregatedBlocks(low, high, mean, count, Scatter(deviation, np.zeros_like(mean))), starts)


def _finite(parts: Parts) -> tuple[Values, Counts]:
    """Return the means of the finite values of parts, zero where there are none, and how many there are."""
    count = np.nan_to_num(parts["count"]).astype(np.int64)
    return np.where(count > 0, parts["mean"], 0.0) if "mean" in parts else count * 0.0, count
