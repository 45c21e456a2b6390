"""One quantity that several nodes serve, such as an archive and a live feed, as a single series; pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial, reduce

import numpy as np

from sisock.core.model import DataBlock, TimelineBlock
from sisock.core.reduce.reducers import Samples, reduce_block
from sisock.gateway.drawing.resolution import Resolution
from sisock.gateway.drawing.series import DrawnSeries, Series, SeriesWanted

Seam = Callable[[Series, Series, float], Samples]
"""Puts two series together, of which the first one is final up to a time; +inf where it says nothing of that."""


def splice_drawn(wanted: SeriesWanted, drawn: DrawnSeries, resolution: Resolution) -> Series:
    """Return the series that was wanted, of the one or several that nodes were asked for."""
    parts = wanted.parts
    return drawn[wanted] if len(parts) == 1 else splice(wanted, [drawn[part] for part in parts], resolution)


def splice(wanted: SeriesWanted, parts: Sequence[Series], resolution: Resolution) -> Series:
    """Return the first part as far as it is final, then what the next has after that, and so on.

    What a part has beyond its ``finalized_until`` is drawn only before the first sample of the next one. All
    problems and notices of the parts are kept; the parts must not have breaks yet.
    """
    whole = splice_by(wanted, parts, _seam)
    name = wanted.field
    if whole.times.size > resolution.max_points and not resolution.few:  # the bucket at the seam has samples of both
        block = DataBlock({name: TimelineBlock(whole.times, {name: whole.values})})
        reduced = reduce_block(block, resolution.reducer, resolution.stride_s).timelines[name]
        newest = slice(max(reduced.times.size - resolution.max_points, 0), None)
        whole = replace(whole, times=reduced.times[newest], values=reduced.values[name][newest])
    return whole


def splice_by(wanted: SeriesWanted, parts: Sequence[Series], seam: Seam) -> Series:
    """Return one series of several parts, with the problems and notices of all of them.

    Parameters
    ----------
    seam
        Puts the samples of two series together, which both have some.
    """
    return replace(reduce(partial(_append, seam=seam), parts), wanted=wanted)


def _append(first: Series, second: Series, seam: Seam) -> Series:
    problem = "; ".join(part.problem for part in (first, second) if part.problem) or None
    notices = tuple(dict.fromkeys((*first.notices, *second.notices)))
    before = max((part.before for part in (first, second) if part.before is not None), default=None)
    first, second = _without_older(first, before), _without_older(second, before)
    if not first.times.size or not second.times.size:
        told = second if second.times.size or first.problem else first
        return replace(told, before=before, problem=problem, notices=notices)
    if first.type != second.type:
        mismatch = f"'{second.wanted.target}' is left out: it is a {second.type}, not a {first.type}"
        return replace(first, problem="; ".join(filter(None, (problem, mismatch))), notices=notices)
    final = first.finalized_until if math.isfinite(first.finalized_until) else math.inf
    times, values = seam(first, second, final)
    return replace(
        first,
        times=times,
        values=values,
        units=first.units or second.units,
        interval_s=_longest(first.interval_s, second.interval_s),
        bucket_s=first.bucket_s or second.bucket_s,
        finalized_until=second.finalized_until,
        before=before,
        held=any(part.held and part.times[0] == times[0] for part in (first, second)),
        problem=problem,
        notices=notices,
    )


def _without_older(series: Series, before: float | None) -> Series:
    """Return a series without what held at the window's start, where another one knows of a later sample."""
    if not series.held or series.before == before:
        return series
    return replace(series, times=series.times[1:], values=series.values[1:], held=False)


def _seam(first: Series, second: Series, final: float) -> Samples:
    kept = int(np.searchsorted(first.times, max(final, float(second.times[0]))))
    start = int(np.searchsorted(second.times, first.times[kept - 1], side="right")) if kept else 0
    if start == second.times.size:
        return first.times, first.values
    times = np.concatenate([first.times[:kept], second.times[start:]])
    return times, np.concatenate([first.values[:kept], second.values[start:]])


def _longest(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else max(one, other)
