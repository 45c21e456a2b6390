"""What is done with a series before it is drawn: breaks where data are missing, and a word when it is stale; pure."""

from __future__ import annotations

import math
from dataclasses import replace

from sisock.core.times import format_duration, format_iso8601
from sisock.gateway.answer import Series
from sisock.gateway.gaps import break_gaps
from sisock.gateway.plan import FEWEST_REDUCED, Resolution

STALE_INTERVALS = 5.0
STALE_S = 60.0
NOW_S = 60.0  # a window that ends less than this before our clock's now ends now


def break_line(series: Series, resolution: Resolution) -> Series:
    """Return a series with a missing value in each gap; aperiodic ones and those of few points get none."""
    if series.interval_s is None or resolution.max_points < FEWEST_REDUCED:
        return series
    bucket_s = resolution.bucket_s(series.type)
    times, values = break_gaps(series.times, series.values, bucket_s, resolution.max_points)
    return series if times is series.times else replace(series, times=times, values=values)


def grows(series: Series) -> bool:
    """Tell whether samples may still come: a node that declares all of its past and future final has stopped."""
    return series.finalized_until != math.inf


def staleness(series: Series, newest: float, end: float, now: float) -> str | None:
    """Return in words that a live field has stopped; None when it has not, or when nobody can tell.

    Parameters
    ----------
    series
        As drawn, without breaks.
    newest
        Time of the newest sample ever seen of the field, UNIX seconds; -inf when none was.
    end, now
        End of the window, and the present, UNIX seconds. A window that ends before now says nothing.
    """
    if series.interval_s is None or series.problem or end < now - NOW_S:
        return None
    if series.times.size and grows(series):
        newest = max(newest, float(series.times[-1]))
    age_s = now - newest
    if not max(STALE_INTERVALS * series.interval_s, STALE_S) < age_s < math.inf:
        return None
    moment = format_iso8601(newest)
    return f"'{series.wanted.target}' has stopped: its newest sample is {format_duration(age_s)} old, of {moment}"
