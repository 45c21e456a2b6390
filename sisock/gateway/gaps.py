"""Breaking the line where data are missing."""

from __future__ import annotations

from typing import Any

import numpy as np

from sisock.core.model import Times, Values

SPACINGS = 3.0
BUCKETS = 2.0


def break_gaps(times: Times, values: Values, bucket_s: float, max_points: int) -> tuple[Times, Values]:
    """Insert a missing value into each gap: NaN among numbers, None among states.

    A gap is where consecutive samples are further apart than three times the median spacing measured, and than two
    buckets. The break is one bucket after the last sample, so a state that was last seen there isn't drawn on into
    the gap, and the break stands still between refreshes. Where breaks would exceed ``max_points``, the widest
    gaps are broken.

    Parameters
    ----------
    times, values
        Shape (n,), ascending UNIX seconds.
    bucket_s
        Width of the buckets that the samples were reduced on, seconds.

    Returns
    -------
    times, values
        Shape (n + breaks,) with n + breaks <= max(n, max_points).
    """
    spacings = times[1:] - times[:-1]
    if not spacings.size or spacings.max() <= BUCKETS * bucket_s:
        return times, values
    threshold = max(SPACINGS * float(np.median(spacings)), BUCKETS * bucket_s)
    gaps = np.flatnonzero(spacings > threshold)
    room = max(max_points - times.size, 0)
    if gaps.size > room:
        widest = np.argsort(spacings[gaps], kind="stable")[gaps.size - room :]
        gaps = np.sort(gaps[widest])
    if not gaps.size:
        return times, values
    values = values.astype(np.float64 if values.dtype.kind in "fiu" else object)
    missing: Any = np.nan if values.dtype.kind == "f" else None
    return np.insert(times, gaps + 1, times[gaps] + bucket_s), np.insert(values, gaps + 1, missing)
