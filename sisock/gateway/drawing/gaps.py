"""Breaking the line where data are missing, and a word where a series is stale; pure."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sisock.core.model import Span, Times, Values
from sisock.core.times import format_duration, format_iso8601
from sisock.gateway.drawing.planner import FEWEST_REDUCED, Resolution
from sisock.gateway.drawing.series import Series

SPACINGS = 3.0
BUCKETS = 2.0
NEIGHBOURS = 16
# Random arrivals that far apart are one in 150.
FEW_INTERVALS = 5.0
EVEN = 2 / 3
# So many of the neighbours are no longer than the usual one: the rest may be other gaps.
USUAL = 9, 10
STALE_INTERVALS = 5.0
STALE_S = 60.0
# A window that ends less than this before our clock's now ends now: clocks of browsers differ.
NOW_S = 60.0


def break_gaps(
    times: Times, values: Values, bucket_s: float, max_points: int, interval_s: float = 0.0
) -> tuple[Times, Values]:
    """Insert a missing value into each gap: NaN among numbers, None among states.

    A gap is where consecutive samples are further apart than two buckets, than the interval that the node states,
    and than three times the spacing that is usual around the place (see :func:`usual_spacings`). So a change of rate
    is none, nor are samples that come at random: few that have no rhythm are judged by the interval, of which a gap
    then takes five. What is a gap at one zoom is one at every finer zoom. The break is one bucket after the last
    sample, so it stands still between refreshes. Where breaks would exceed ``max_points``, the widest gaps are broken.

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
    # Two buckets: the last sample of one and the first of the next but one may be that far apart without any gap.
    least_s = max(BUCKETS * bucket_s, interval_s)
    if spacings.size <= NEIGHBOURS and not _are_even(spacings):
        least_s = max(least_s, FEW_INTERVALS * interval_s)
    if not spacings.size or spacings.max() <= least_s:
        return times, values
    # Only the few wide ones are compared with their neighbours: that is what keeps a line of 50,000 points cheap.
    wide = (spacings > least_s).nonzero()[0]
    gaps = wide[spacings[wide] > SPACINGS * usual_spacings(spacings, wide, interval_s)]
    room = max(max_points - times.size, 0)
    if gaps.size > room:
        widest = np.argsort(spacings[gaps], kind="stable")[gaps.size - room :]
        gaps = np.sort(gaps[widest])
    return _with_breaks(times, values, gaps, bucket_s) if gaps.size else (times, values)


def _with_breaks(times: Times, values: Values, gaps: NDArray[np.intp], after_s: float) -> tuple[Times, Values]:
    """Return samples with a missing value so long after each of those that a gap follows."""
    values = values.astype(np.float64 if values.dtype.kind in "fiu" else object)
    missing: Any = np.nan if values.dtype.kind == "f" else None
    return np.insert(times, gaps + 1, times[gaps] + after_s), np.insert(values, gaps + 1, missing)


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
    # The middle one, not the mean: a single gap among few spacings would hide their rhythm.
    ordered = np.sort(spacings)
    return bool(ordered.size and ordered[0] >= EVEN * ordered[ordered.size // 2])


def _usual_of(spacings: Times, neighbours: NDArray[np.intp]) -> Times:
    """Return what is usual of each row of neighbours, some of which there are not; -inf without any."""
    known = (neighbours >= 0) & (neighbours < spacings.size)
    if not known.any():
        return np.full(len(neighbours), -math.inf)
    ordered = np.where(known, spacings[np.clip(neighbours, 0, spacings.size - 1)], math.inf)
    ordered.sort(axis=1)
    counts = np.count_nonzero(known, axis=1)
    rank = np.maximum(counts - 1, 0) * USUAL[0] // USUAL[1]
    return np.where(counts > 0, ordered[np.arange(len(ordered)), rank], -math.inf)


def break_line(series: Series, resolution: Resolution) -> Series:
    """Return a line with a missing value in each gap.

    States hold until the next sample, and so have no gaps; neither have aperiodic timelines, nor few points.
    """
    if series.type != "number" or series.interval_s is None or resolution.max_points < FEWEST_REDUCED:
        return series
    bucket_s = resolution.buckets(series.type).width_s
    times, values = break_gaps(series.times, series.values, bucket_s, resolution.max_points, series.interval_s)
    return series if times is series.times else replace(series, times=times, values=values)


def is_overdue(silence_s: float, interval_s: float, least_s: float = STALE_S) -> bool:
    """Tell whether a field with a sample each ``interval_s`` has been silent for too long to be well, seconds."""
    return silence_s > max(STALE_INTERVALS * interval_s, least_s)


def grows(series: Series) -> bool:
    """Tell whether its node says until when all is there, and that this is before the window's end."""
    return math.isfinite(series.finalized_until)


def is_live(series: Series, now: float) -> bool:
    """Tell whether a series is seen to grow: its node says so, or its newest sample is of now, UNIX seconds."""
    return series.newest is not None and (grows(series) or series.newest >= now - NOW_S)


def age_notice(
    series: Series, newest: float, window: Span, now: float, *, held_on_purpose: bool = False
) -> str | None:
    """Return in words what a viewer should know of the age of a series' samples; see the two functions that follow."""
    return staleness(series, newest, window, now) or silence(series, held_on_purpose=held_on_purpose)


def staleness(series: Series, newest: float, window: Span, now: float) -> str | None:
    """Return in words that a live field has stopped; None when it has not, or when nobody can tell.

    Said of numbers only, whose newest sample is older than the spacings around it let expect: a state that does not
    change is no news.

    Parameters
    ----------
    series
        As drawn, without breaks.
    newest
        Time of the newest sample ever seen of the field while it was live, UNIX seconds; -inf when none was.
    window, now
        Inside which it is drawn, and the present, UNIX seconds. A window that ends before now says nothing, nor does
        one of which the node calls all final. One without samples is silent since its start at most, unless it is
        known when the last sample before was.
    """
    if series.type != "number" or series.interval_s is None or series.problem:
        return None
    start, end = window
    if end < now - NOW_S or series.finalized_until == math.inf:
        return None
    known = series.before if series.newest is None else series.newest
    # A field that was never seen live may be closed for good: of an archive nobody expects more.
    if newest == -math.inf and (series.newest is None or not grows(series)):
        return None
    newest = newest if known is None else max(newest, known)
    heard = max(newest, start) if known is None else newest
    silence_s = min(end, now) - heard  # what came after the end was not asked for
    if not is_overdue(silence_s, series.interval_s):
        return None
    if silence_s <= SPACINGS * _usual_at_end(series):
        return None
    moment = format_iso8601(newest)
    return (
        f"'{series.wanted.target}' has stopped: its newest sample is {format_duration(now - newest)} old, of {moment}"
    )


def silence(series: Series, *, held_on_purpose: bool) -> str | None:
    """Return in words when the last sample was of a field that has none in the window; None when there is no news.

    That a state holds is no news, nor is what somebody asked to be held.
    """
    if series.times.size > series.held or series.before is None:
        return None
    if series.held and (held_on_purpose or series.type != "number"):
        return None
    moment = format_iso8601(series.before)
    return f"'{series.wanted.target}' has no sample in this window; the last one before it is of {moment}"


def _usual_at_end(series: Series) -> float:
    spacings = np.diff(series.times[series.held :])
    return float(usual_spacings(spacings, np.array([spacings.size]))[0])
