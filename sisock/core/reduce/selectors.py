"""Selectors: rules by which one sample of each bucket is chosen; on arrays, for all buckets at once.

The function of a selector gets values and the index of each bucket's first one (ascending, the first is 0), and
returns indices. NaN and infinities are passed over: finite values win, then infinities; of NaN alone the first is
chosen. Because a summary of blocks holds values chosen by the same rule, a choice among blocks, and then inside the
chosen block, is the choice among all samples.

Arrays are asked by their methods where NumPy has a function too: on short ones the function takes twice as long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sisock.core.model import Values

Indices = NDArray[np.intp]
Choose = Callable[[Values, Indices], Indices]
"""Returns the index of a sample of each bucket, or of those that have such a sample, from values and starts."""

LONG_BUCKET = 2048
"""Buckets of so many samples are looked through in runs: first for the run, then inside it, with no other array."""

_NAN_RANK = 2


@dataclass(frozen=True)
class Selector:
    """A rule by which at most one sample of each bucket is chosen.

    Parameters
    ----------
    choose
        Chooses among the samples, and among the entries of blocks in a summary.
    array
        The array of a summary that tells in which block the sample is.
    place
        In place of an array: returns the index from those of each bucket's first sample and of the one after its last.
    is_extreme
        Whether it is the lowest or the highest that is chosen.
    is_last
        Whether it is the last that is chosen.
    """

    choose: Choose
    array: str = ""
    place: Callable[[Indices, Indices], Indices] | None = None
    is_extreme: bool = False
    is_last: bool = False


def ragged(starts: Indices, stops: Indices) -> tuple[Indices, Indices]:
    """Return all indices of several ranges one after the other, and where in them each range starts."""
    lengths = stops - starts
    ends = lengths.cumsum()
    own = ends - lengths
    return np.arange(ends[-1] if len(ends) else 0) + (starts - own).repeat(lengths), own


def stops_of(starts: Indices, count: int) -> Indices:
    """Return the index after the last sample of each bucket."""
    # Not np.append, which takes several times as long on short arrays.
    stops = np.empty_like(starts)
    stops[:-1] = starts[1:]
    stops[-1:] = count
    return stops


def spread(per_bucket: NDArray[Any], starts: Indices, count: int) -> NDArray[Any]:
    """Repeat each bucket's entry for each of its samples."""
    return per_bucket.repeat(stops_of(starts, count) - starts)


def lowest_values(values: Values, starts: Indices) -> Values:
    """Return the value of each bucket that is chosen as its lowest."""
    return _extremes(values, starts, np.fmin, -np.inf)


def highest_values(values: Values, starts: Indices) -> Values:
    """Return the value of each bucket that is chosen as its highest."""
    return _extremes(values, starts, np.fmax, np.inf)


def first(values: Values, starts: Indices) -> Indices:
    """Choose the first number of each bucket."""
    return _mended(values, starts, starts.copy(), _earliest_ranked)


def last(values: Values, starts: Indices) -> Indices:
    """Choose the last number of each bucket."""
    return _mended(values, starts, last_of_all(values, starts), _latest_ranked)


def lowest(values: Values, starts: Indices) -> Indices:
    """Choose the earliest of the lowest numbers of each bucket."""
    return _earliest_extreme(values, starts, lowest_values)


def highest(values: Values, starts: Indices) -> Indices:
    """Choose the earliest of the highest numbers of each bucket."""
    return _earliest_extreme(values, starts, highest_values)


def first_of_all(values: Values, starts: Indices) -> Indices:  # noqa: ARG001 - each selector is given the values
    """Choose the first sample of each bucket, whatever it is."""
    return starts


def last_of_all(values: Values, starts: Indices) -> Indices:
    """Choose the last sample of each bucket, whatever it is."""
    return stops_of(starts, len(values)) - 1


def first_change(values: Values, starts: Indices) -> Indices:
    """Choose the first state that differs from the first one, of the buckets that have one."""
    return first_true(values != spread(values[starts], starts, len(values)), starts)


def first_true(flags: NDArray[np.bool_], starts: Indices) -> Indices:
    """Return the index of the first flag set of each bucket that has one; buckets may be empty."""
    hits = flags.nonzero()[0]
    # Hits ascend, so the first one of a bucket is where the owner changes.
    owners = starts.searchsorted(hits, side="right")
    foremost = np.empty(len(hits), dtype=np.bool_)
    foremost[:1] = True
    np.not_equal(owners[1:], owners[:-1], out=foremost[1:])
    return hits[foremost]


def is_state(dtype: np.dtype[Any]) -> bool:
    """Tell whether values of a type are states: bools and texts."""
    return dtype.kind in "bOUST"


NUMBER_SELECTORS: Mapping[str, Selector] = {
    # Where the first and the last are looked for, "low" only tells how good a block is: finite, infinite or NaN.
    "first": Selector(first, "low"),
    "lowest": Selector(lowest, "low", is_extreme=True),
    "highest": Selector(highest, "high", is_extreme=True),
    "last": Selector(last, "low", is_last=True),
}
STATE_SELECTORS: Mapping[str, Selector] = {
    "first": Selector(first_of_all, place=lambda starts, _: starts),
    "change": Selector(first_change, "change"),
    "last": Selector(last_of_all, place=lambda _, stops: stops - 1, is_last=True),
}


def _extremes(values: Values, starts: Indices, extreme: np.ufunc, worst: float) -> Values:
    """Return the extreme of each bucket, where ``worst`` hides any finite value: there once more without it."""
    # fmin and fmax pass over NaN, but infinities win over all finite values.
    extremes: Values = extreme.reduceat(values, starts)
    if values.dtype.kind == "f" and (extremes == worst).any():
        better = extreme.reduceat(np.where(values == worst, np.nan, values), starts)
        extremes = np.where((extremes == worst) & np.isfinite(better), better, extremes)
    return extremes


def _earliest_extreme(values: Values, starts: Indices, extremes: Callable[[Values, Indices], Values]) -> Indices:
    """Return the earliest index of the extreme of each bucket; of long buckets, by way of their runs."""
    if len(values) <= LONG_BUCKET * len(starts):
        return _earliest(values, extremes(values, starts), starts)
    stops = stops_of(starts, len(values))
    # So that looking for the run and inside it take as long.
    length = isqrt(16 * len(values) // len(starts))
    numbers, own = ragged(np.zeros_like(starts), -((starts - stops) // length))
    runs = spread(starts, own, len(numbers)) + numbers * length
    of_runs = extremes(values, runs)
    # The best run first, then the sample in it: no array is as long as the values but theirs.
    best = _earliest(of_runs, extremes(of_runs, own), own)
    inside, own = ragged(runs[best], stops_of(runs, len(values))[best])
    return inside[_earliest(values[inside], of_runs[best], own)]


def _earliest(values: Values, wanted: Values, starts: Indices) -> Indices:
    """Return the first index of each bucket that has the wanted value, which is in it; NaN is wanted of NaN alone."""
    # NaN equals nothing: a bucket of NaN alone keeps its first sample.
    hits = (values == spread(wanted, starts, len(values))).nonzero()[0]
    known = (wanted == wanted).nonzero()[0]  # noqa: PLR0124 - not NaN
    indices = starts.copy()
    indices[known] = hits[hits.searchsorted(starts[known])]
    return indices


def _mended(values: Values, starts: Indices, chosen: Indices, choose: Choose) -> Indices:
    """Choose again, by rank, where what was chosen by its place is not finite."""
    weak = (~np.isfinite(values[chosen])).nonzero()[0]
    if weak.size:
        inside, own = ragged(starts[weak], stops_of(starts, len(values))[weak])
        chosen[weak] = inside[choose(_ranks(values[inside]), own)]
    return chosen


def _ranks(values: Values) -> NDArray[np.int8]:
    return np.where(np.isfinite(values), 0, np.where(np.isnan(values), _NAN_RANK, 1)).astype(np.int8)


def _earliest_ranked(ranks: Values, starts: Indices) -> Indices:
    return _earliest(ranks, np.minimum.reduceat(ranks, starts), starts)


def _latest_ranked(ranks: Values, starts: Indices) -> Indices:
    """Return the last index of the best rank; of NaN alone, the first."""
    best = np.minimum.reduceat(ranks, starts)
    hits = (ranks == spread(best, starts, len(ranks))).nonzero()[0]
    latest = hits[hits.searchsorted(stops_of(starts, len(ranks))) - 1]
    return np.where(best == _NAN_RANK, starts, latest)
