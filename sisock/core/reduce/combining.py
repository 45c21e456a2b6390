"""Buckets that are made of smaller ones: a local day of hours, a month of days; on arrays, for all of them at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from sisock.core.model import Values
from sisock.core.reduce.aggregates import (
    BlockBuckets,
    Counts,
    SampleBuckets,
    Scatter,
    max_of,
    mean_of,
    min_of,
    stddev_of,
    sum_of,
)
from sisock.core.reduce.selectors import Indices

_HUGE = np.finfo(np.float64).max

Parts = Mapping[str, Values]
"""What reducers made of each part, by their names; as long as one another."""

PARTS: Mapping[str, tuple[str, ...]] = {
    "mean": ("mean", "count"),
    "min": ("min",),
    "max": ("max",),
    "count": ("count",),
    "sum": ("sum", "count"),
    "stddev": ("stddev", "mean", "count"),
}
"""What must be known of the parts, by reducer; the reducers that are not here cannot be combined."""


def combine_buckets(reducer: str, parts: Parts, starts: Indices) -> Values:
    """Return for each group of parts what a reducer makes of all their samples.

    A part without samples may be there, with NaN for all that is known of it; of such parts alone NaN is made. Counts
    and extremes are exact, the others but for rounding.

    Parameters
    ----------
    reducer
        A key of ``PARTS``.
    parts
        Shape (n,) for each name that ``PARTS`` has for the reducer; more are passed over.
    starts
        The index of the first part of each group: the first is 0, each is above the one before.
    """
    if not len(starts):
        return np.empty(0)
    return _COMBINE[reducer](parts, starts)


def _combined_count(parts: Parts, starts: Indices) -> Values:
    known = ~np.isnan(parts["count"])
    total = np.add.reduceat(np.where(known, parts["count"], 0.0), starts)
    return np.where(np.logical_or.reduceat(known, starts), total, np.nan)


def _combined_mean(parts: Parts, starts: Indices) -> Values:
    mean = parts["mean"]
    return mean_of(BlockBuckets(mean, mean, *_finite(parts)), starts)


def _combined_sum(parts: Parts, starts: Indices) -> Values:
    sums, (_, count) = parts["sum"], _finite(parts)
    return sum_of(BlockBuckets(sums, sums, np.where(count > 0, sums, 0.0), np.minimum(count, 1)), starts)


def _combined_stddev(parts: Parts, starts: Indices) -> Values:
    mean, count = _finite(parts)
    deviation = np.where(count > 0, parts["stddev"], 0.0)
    # A part is as one that has half of its values this far below its mean, and half as far above it.
    reach = np.where(deviation > 0, deviation + np.spacing(np.abs(mean)), 0.0)
    with np.errstate(over="ignore"):
        low, high = (np.where(count > 0, np.clip(end, -_HUGE, _HUGE), np.nan) for end in (mean - reach, mean + reach))
    return stddev_of(BlockBuckets(low, high, mean, count, Scatter(deviation, np.zeros_like(mean))), starts)


def _finite(parts: Parts) -> tuple[Values, Counts]:
    """Return the means of the finite values of parts, zero where there are none, and how many there are."""
    count = np.nan_to_num(parts["count"]).astype(np.int64)
    return np.where(count > 0, parts["mean"], 0.0) if "mean" in parts else count * 0.0, count


_COMBINE: Mapping[str, Callable[[Parts, Indices], Values]] = {
    "mean": _combined_mean,
    "min": lambda parts, starts: min_of(SampleBuckets(parts["min"]), starts),
    "max": lambda parts, starts: max_of(SampleBuckets(parts["max"]), starts),
    "count": _combined_count,
    "sum": _combined_sum,
    "stddev": _combined_stddev,
}
