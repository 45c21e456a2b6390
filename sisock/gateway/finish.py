"""What is done with a series before it is drawn: few points chosen, breaks, and a word when it is stale; pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from sisock.core.model import Span
from sisock.core.reduce.reducers import add_newest, distinct, find_reducer, reduce_samples
from sisock.core.times import format_duration, format_iso8601
from sisock.gateway.gaps import SPACINGS, break_gaps, usual_spacings
from sisock.gateway.grid.cells import equal_edges
from sisock.gateway.planner import FEWEST_REDUCED, Resolution
from sisock.gateway.series import Series

# What is drawn in place of a reducer that keeps more samples than there is room for.
SMALLER: Mapping[str, str] = {"m4": "minmax", "minmax": "last"}
STALE_INTERVALS = 5.0
STALE_S = 60.0
NOW_S = 60.0  # a window that ends less than this before our clock's now ends now


def keep_few(series: Series, resolution: Resolution, start: float, end: float) -> Series:
    """Return at most ``max_points`` samples: what the reducer keeps of equal parts of [start, end).

    Reducers that keep more samples than that make way for one that keeps fewer. The newest sample is among them
    where there is room for it beside a part.

    Parameters
    ----------
    series
        As the reducer left it on fine buckets.
    """
    if not series.times.size:
        return series
    room, reducer = resolution.max_points, resolution.reducer
    if series.type != "number":
        reducer = "last" if room < find_reducer(reducer).states.samples_per_bucket else reducer
    while find_reducer(reducer).numbers.samples_per_bucket > room:
        reducer = SMALLER[reducer]
    selection = find_reducer(reducer).for_type(series.type)
    each = selection.samples_per_bucket
    has_last = "last" in selection.picks
    count = max((room if has_last else room - 1) // each, 1)
    edges = equal_edges(start, end, count, resolution.bucket_s(series.type))
    starts = distinct(np.searchsorted(series.times, edges[1:-1]))
    samples = reduce_samples(series.times, series.values, selection, starts[starts < series.times.size])
    if not has_last and samples[0].size < room:
        samples = add_newest(samples, (series.times[-1:], series.values[-1:]))
    return replace(series, times=samples[0], values=samples[1], bucket_s=float(np.diff(edges).max()))


def break_line(series: Series, resolution: Resolution) -> Series:
    """Return a line with a missing value in each gap.

    States hold until the next sample, and so have no gaps; neither have aperiodic timelines, nor few points.
    """
    if series.type != "number" or series.interval_s is None or resolution.max_points < FEWEST_REDUCED:
        return series
    bucket_s = resolution.bucket_s(series.type)
    times, values = break_gaps(series.times, series.values, bucket_s, resolution.max_points, series.interval_s)
    return series if times is series.times else replace(series, times=times, values=values)


def grows(series: Series) -> bool:
    """Tell whether its node says until when all is there, and that this is before the window's end."""
    return math.isfinite(series.finalized_until)


def is_live(series: Series, now: float) -> bool:
    """Tell whether a series is seen to grow: its node says so, or its newest sample is of now, UNIX seconds."""
    return series.newest is not None and (grows(series) or series.newest >= now - NOW_S)


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
    if newest == -math.inf and (series.newest is None or not grows(series)):
        return None
    newest = newest if known is None else max(newest, known)
    heard = max(newest, start) if known is None else newest
    silence_s = min(end, now) - heard  # what came after the end was not asked for
    if not max(STALE_INTERVALS * series.interval_s, STALE_S) < silence_s:
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
