"""Breaking the line where data are missing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sisock.core.model import Times, Values

SPACINGS = 3.0
BUCKETS = 2.0
NEIGHBOURS = 16
FEW_INTERVALS = 5.0  # random arrivals that far apart are one in 150
EVEN = 2 / 3
USUAL = 9, 10  # so many of the neighbours are no longer than the usual one: the rest may be other gaps


def break_gaps(
    times: Times,
    values: Values,
    bucket_s: float,
    max_points: int,
    interval_s: float = 0.0,
) -> tuple[Times, Values]:
    """Insert a missing value into each gap: NaN among numbers, None among states.

    A gap is where consecutive samples are further apart than two buckets, than the interval that the node states,
    and than three times the spacing that is usual around the place (see :func:`usual_spacings`). So a change of rate
    is none, nor are samples that come at random: few that have no rhythm are judged by the interval, of which a gap
    then takes five. What is a gap at one zoom is one at every finer zoom. The break
    is one bucket after the last sample, so it stands still between refreshes. Where breaks would exceed
    ``max_points``, the widest gaps are broken.

    Parameters
    ----------
    times, values
        Shape (n,), ascending UNIX seconds.
    bucket_s
        Width of the buckets that the samples were reduced on, seconds.
    interval_s
        Mean spacing as the node states it, seconds; 0 where it is not known.

    Returns
    -------
    times, values
        Shape (n + breaks,) with n + breaks <= max(n, max_points).
    """
    spacings = times[1:] - times[:-1]
    least_s = max(BUCKETS * bucket_s, interval_s)
    if spacings.size <= NEIGHBOURS and not _are_even(spacings):
        least_s = max(least_s, FEW_INTERVALS * interval_s)
    if not spacings.size or spacings.max() <= least_s:
        return times, values
    wide = (spacings > least_s).nonzero()[0]
    gaps = wide[spacings[wide] > SPACINGS * usual_spacings(spacings, wide, interval_s)]
    room = max(max_points - times.size, 0)
    if gaps.size > room:
        widest = np.argsort(spacings[gaps], kind="stable")[gaps.size - room :]
        gaps = np.sort(gaps[widest])
    if not gaps.size:
        return times, values
    values = values.astype(np.float64 if values.dtype.kind in "fiu" else object)
    missing: Any = np.nan if values.dtype.kind == "f" else None
    return np.insert(times, gaps + 1, times[gaps] + bucket_s), np.insert(values, gaps + 1, missing)


def usual_spacings(spacings: Times, places: NDArray[np.intp], interval_s: float = 0.0) -> Times:
    """Return the spacing that is usual around some places: the larger of what is usual on either side.

    On a side it is that of the up to 16 nearest spacings, the place itself apart, of which a tenth at most are longer:
    one or two other gaps nearby don't hide one. A side without spacings doesn't count; without any on either side
    it is the interval.

    Parameters
    ----------
    spacings
        Shape (n,), seconds.
    places
        Shape (m,), indices of spacings; n is the place after the last.

    Returns
    -------
    numpy.ndarray
        Shape (m,), seconds.
    """
    offsets = np.arange(1, NEIGHBOURS + 1)
    sides = (_usual_of(spacings, places[:, np.newaxis] + way * offsets) for way in (-1, 1))
    usual = np.maximum(*sides)
    return np.where(usual == -math.inf, interval_s, usual)


def _are_even(spacings: Times) -> bool:
    """Tell whether spacings have a rhythm, gaps apart: the shortest is two thirds of the middle one at least."""
    ordered = np.sort(spacings)
    return bool(ordered.size and ordered[0] >= EVEN * ordered[ordered.size // 2])


def _usual_of(spacings: Times, neighbours: NDArray[np.intp]) -> Times:
    """Return what is usual of each row of neighbours, some of which there are not; -inf without any."""
    known = (neighbours >= 0) & (neighbours < spacings.size)
    if not known.any():
        return np.full(len(neighbours), -math.inf)
    found = np.where(known, spacings[np.clip(neighbours, 0, spacings.size - 1)], math.inf)
    found.sort(axis=1)
    counts = np.count_nonzero(known, axis=1)
    rank = np.maximum(counts - 1, 0) * USUAL[0] // USUAL[1]
    return np.where(counts > 0, found[np.arange(len(found)), rank], -math.inf)
