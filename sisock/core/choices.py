"""How one sample of each bucket is chosen, and how several are made into one value; on arrays, all buckets at once.

A choice gets values and the index of each bucket's first one (ascending, the first is 0), and returns indices. NaN and
infinities are passed over: finite values win, then infinities; of NaN alone the first is chosen. Because a summary of
blocks holds values chosen by the same rule, a choice among blocks, and then inside the chosen block, is the choice
among all samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sisock.core.model import Values

Indices = NDArray[np.intp]
Choice = Callable[[Values, Indices], Indices]
Weighed = tuple[Values, NDArray[Any] | None]

_RUN_SAMPLES = 512  # long buckets are looked through in runs: first for the run, then inside it
_NAN_RANK = 2
_HUGE = np.finfo(np.float64).max
_SCALE = 2.0**-64  # so many huge values may be added without overflow


def ragged(starts: Indices, stops: Indices) -> tuple[Indices, Indices]:
    """Return all indices of several ranges one after the other, and where in them each range starts."""
    lengths = stops - starts
    ends = np.cumsum(lengths)
    own = ends - lengths
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - own, lengths), own


def spread(per_bucket: NDArray[Any], starts: Indices, count: int) -> NDArray[Any]:
    """Repeat each bucket's entry for each of its samples."""
    return np.repeat(per_bucket, np.diff(starts, append=count))


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


def first_of_all(values: Values, starts: Indices) -> Indices:  # noqa: ARG001 - a choice is given the values
    """Choose the first sample of each bucket, whatever it is."""
    return starts


def last_of_all(values: Values, starts: Indices) -> Indices:
    """Choose the last sample of each bucket, whatever it is."""
    return np.append(starts[1:], len(values)) - 1


def first_change(values: Values, starts: Indices) -> Indices:
    """Choose the first state that differs from the first one, of the buckets that have one."""
    return first_true(values != spread(values[starts], starts, len(values)), starts)


def first_true(flags: NDArray[np.bool_], starts: Indices) -> Indices:
    """Return the index of the first flag set of each bucket that has one; buckets may be empty."""
    hits = np.flatnonzero(flags)
    return hits[np.diff(np.searchsorted(starts, hits, side="right"), prepend=0) > 0]


def is_state(dtype: np.dtype[Any]) -> bool:
    """Tell whether values of a type are states: bools and texts."""
    return dtype.kind in "bOUST"


NUMBER_CHOICES: Mapping[str, Choice] = {"first": first, "lowest": lowest, "highest": highest, "last": last}
STATE_CHOICES: Mapping[str, Choice] = {"first": first_of_all, "change": first_change, "last": last_of_all}


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
        """Return the means of the finite values, float64 and zero where there are none; and how many, None for 1."""
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
        """Return the samples with zero for those that are not finite, and which are."""
        samples = self.values.astype(np.float64, copy=False)
        finite = np.isfinite(samples)
        return (samples, None) if finite.all() else (np.where(finite, samples, 0.0), finite)


@dataclass(frozen=True)
class BlockPieces:
    """Pieces that are blocks of samples; ``count`` is how many finite values each has, ``mean`` their mean."""

    low: Values
    high: Values
    mean: Values
    count: NDArray[np.int32]

    def weighed(self) -> Weighed:
        """Return means and counts."""
        return self.mean, self.count


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
    means, sizes = pieces.weighed()
    counts = _counts(sizes, starts, len(means))
    mean = _averaged(means, sizes, counts, starts)
    over = ~np.isfinite(mean)
    if over.any():  # the values are finite, and so must be their mean
        with np.errstate(over="ignore"):
            scaled = _averaged(means * _SCALE, sizes, counts, starts)[over] / _SCALE
        mean[over] = np.clip(scaled, -_HUGE, _HUGE)
    return mean, counts


def _averaged(means: Values, sizes: NDArray[Any] | None, counts: NDArray[np.int32], starts: Indices) -> Values:
    with np.errstate(over="ignore", invalid="ignore"):
        sums: Values = np.add.reduceat(means if sizes is None else means * sizes, starts)
    return sums / np.maximum(counts, 1)


def _counts(sizes: NDArray[Any] | None, starts: Indices, count: int) -> NDArray[np.int32]:
    if sizes is None:
        return np.diff(starts, append=count).astype(np.int32)
    return np.add.reduceat(sizes, starts, dtype=np.int32)


def _extremes(values: Values, starts: Indices, extreme: np.ufunc, worst: float) -> Values:
    """Return the extreme of each bucket, where ``worst`` hides any finite value: there once more without it."""
    found: Values = extreme.reduceat(values, starts)
    if values.dtype.kind == "f" and (found == worst).any():
        better = extreme.reduceat(np.where(values == worst, np.nan, values), starts)
        found = np.where((found == worst) & np.isfinite(better), better, found)
    return found


def _earliest_extreme(values: Values, starts: Indices, extremes: Callable[[Values, Indices], Values]) -> Indices:
    """Return the earliest index of the extreme of each bucket; of long buckets, by way of their runs."""
    if len(values) < _RUN_SAMPLES * len(starts):
        return _earliest(values, extremes(values, starts), starts)
    stops = np.append(starts[1:], len(values))
    numbers, own = ragged(np.zeros_like(starts), -((starts - stops) // _RUN_SAMPLES))
    runs = spread(starts, own, len(numbers)) + numbers * _RUN_SAMPLES
    of_runs = extremes(values, runs)
    best = _earliest(of_runs, extremes(of_runs, own), own)
    inside, own = ragged(runs[best], np.append(runs[1:], len(values))[best])
    return inside[_earliest(values[inside], of_runs[best], own)]


def _earliest(values: Values, wanted: Values, starts: Indices) -> Indices:
    """Return the first index of each bucket that has the wanted value, which is in it; NaN is wanted of NaN alone."""
    hits = np.flatnonzero(values == spread(wanted, starts, len(values)))
    known = np.flatnonzero(wanted == wanted)  # noqa: PLR0124 - not NaN
    found = starts.copy()
    found[known] = hits[np.searchsorted(hits, starts[known])]
    return found


def _mended(values: Values, starts: Indices, picked: Indices, choose: Choice) -> Indices:
    """Choose again, by rank, where what was picked by its place is not finite."""
    weak = np.flatnonzero(~np.isfinite(values[picked]))
    if weak.size:
        inside, own = ragged(starts[weak], np.append(starts[1:], len(values))[weak])
        picked[weak] = inside[choose(_ranks(values[inside]), own)]
    return picked


def _ranks(values: Values) -> NDArray[np.int8]:
    return np.where(np.isfinite(values), 0, np.where(np.isnan(values), _NAN_RANK, 1)).astype(np.int8)


def _earliest_ranked(ranks: Values, starts: Indices) -> Indices:
    return _earliest(ranks, np.minimum.reduceat(ranks, starts), starts)


def _latest_ranked(ranks: Values, starts: Indices) -> Indices:
    """Return the last index of the best rank; of NaN alone, the first."""
    best = np.minimum.reduceat(ranks, starts)
    hits = np.flatnonzero(ranks == spread(best, starts, len(ranks)))
    latest = hits[np.searchsorted(hits, np.append(starts[1:], len(ranks))) - 1]
    return np.where(best == _NAN_RANK, starts, latest)
