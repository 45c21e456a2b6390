"""Series on the cells of a grid, made of what reducers left of buckets; pure.

A node's samples stand where they were measured, behind them its newest one. The buckets that they are of get one value
each, parts of a quantity that several nodes serve are spliced by bucket, and buckets become cells.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sisock.core.model import Times, Values
from sisock.core.reduce.reducers import PARTS, Samples, combine_buckets, find_reducer
from sisock.core.reduce.selectors import Indices, stops_of
from sisock.core.times import bucket_of
from sisock.gateway.drawing.cells import SLACK, Cells
from sisock.gateway.drawing.series import Series

SEAM_LATE_S = 10.0  # some nodes tell of the last moments later than others
LATE_SHARE = 0.05  # of a window, which may be left out for that


def by_bucket(series: Series, part_s: float) -> Series:
    """Return a series with one value for each bucket that has any, at the bucket's start.

    Parameters
    ----------
    series
        As a reducer left it on buckets of ``part_s`` seconds: one value of each that has any, and behind the last one
        the newest sample, which is no value of a bucket. What holds at the window's start may stand before the first.
    """
    if not series.times.size:
        return series
    # The newest sample is in a bucket that has a value already, or in one of its own: the first of each is kept.
    numbers = bucket_of(series.times, part_s)
    kept = np.append(True, numbers[1:] != numbers[:-1])
    if series.held and not kept[1:2].all():  # the bucket has a value of its own
        kept[:2] = False, True
    return replace(series, times=numbers[kept] * part_s, values=series.values[kept])


def lay(
    series: Mapping[str, Series], reducer: str, cells: Cells, *, nulls: bool = True, until: float = np.inf
) -> Series:
    """Return a series with a value in each cell, null where a cell is empty; without any sample it stays empty.

    Parameters
    ----------
    series
        By the reducers that were asked for, each with a value a bucket; the one that is drawn is among them.
    nulls
        Whether the cells without values are there.
    until
        A state holds in the cells that begin before this time, UNIX seconds.
    """
    series = _weighable(series, reducer)
    first = replace(series[reducer], problem=_problems(series), bucket_s=cells.longest_s)
    numbers, values = _cell_values(series, reducer, cells)
    if not numbers.size:
        return first
    whole = _filled(numbers, values, cells.times.size)
    if first.type != "number":
        whole = _held(whole, cells, until)
    shown = slice(None) if nulls else _known(whole)
    return replace(first, times=cells.times[shown], values=whole[shown])


def _weighable(series: Mapping[str, Series], reducer: str) -> Mapping[str, Series]:
    """Let the means of buckets count alike where nobody can tell how many samples each is of, and say so."""
    counts = series.get("count")
    # What needs a capability comes with its counts, or not at all: only a mean may be there without.
    if find_reducer(reducer).capability or counts is None or counts.times.size or not counts.problem:
        return series
    drawn = series[reducer]
    alike = replace(drawn, values=np.ones(drawn.times.size), problem=None)
    notice = f"the mean is of buckets that count alike, because {counts.problem}"
    return {reducer: replace(drawn, notices=(*drawn.notices, notice) if drawn.times.size else ()), "count": alike}


def _problems(series: Mapping[str, Series]) -> str | None:
    """Return all that is missing of several series of one field, in words."""
    return "; ".join(dict.fromkeys(one.problem for one in series.values() if one.problem)) or None


def _cell_values(series: Mapping[str, Series], reducer: str, cells: Cells) -> tuple[Indices, Values]:
    """Return the numbers of the cells that have a value, ascending, and those values."""
    drawn = series[reducer]
    numbers = cells.of(drawn.times)
    if cells.whole or not numbers.size:
        return numbers, drawn.values
    return _of_parts(series, reducer, cells)


def _of_parts(series: Mapping[str, Series], reducer: str, cells: Cells) -> tuple[Indices, Values]:
    """Return the numbers of the cells that have a value, and what the reducer makes of the buckets of each."""
    times, parts = _side_by_side(series)
    numbers = cells.of(times)
    starts = np.flatnonzero(np.diff(numbers, prepend=-1))
    values = parts[reducer]
    # What chooses the first or the last needs no weights: it is that of the first or last bucket.
    selection = find_reducer(reducer).numbers
    if selection.aggregate is None:
        return numbers[starts], values[stops_of(starts, values.size) - 1 if selection.keeps_last else starts]
    return numbers[starts], combine_buckets(reducer, parts, starts)


def _side_by_side(series: Mapping[str, Series]) -> tuple[Times, dict[str, Values]]:
    """Return the starts of all buckets that any series has, and the values of each there, NaN where it has none."""
    first, *others = series.values()
    if not others:
        return first.times, {name: one.values for name, one in series.items()}
    times = np.unique(np.concatenate([one.times for one in series.values()]))
    parts = {}
    for name, one in series.items():
        parts[name] = np.full(times.size, np.nan)
        parts[name][times.searchsorted(one.times)] = one.values
    return times, parts


def _filled(numbers: Indices, values: Values, count: int) -> Values:
    """Return an array with values at some places and null at the others."""
    if numbers.size == count:
        return values
    is_number = values.dtype.kind in "fiu"
    missing: Any = np.nan if is_number else None
    whole: Values = np.full(count, missing, dtype=np.float64 if is_number else object)
    whole[numbers] = values
    return whole


def _known(values: Values) -> Indices:
    """Return the places of values that are not null."""
    known = ~np.isnan(values) if values.dtype.kind in "fiu" else np.array([value is not None for value in values])
    return np.flatnonzero(known)


def _held(values: Values, cells: Cells, until: float) -> Values:
    """Return states that hold until the next one is known, as far as there was time for one."""
    if values.dtype != object:
        return values
    # The place of the last state at or before each cell, without a loop.
    places = np.arange(values.size)
    last = np.maximum.accumulate(np.where([value is not None for value in values], places, -1))
    held: Values = values[np.maximum(last, 0)]
    held[(cells.times >= until) & (last < places)] = None
    return held


def seam(first: Series, second: Series, final: float, part_s: float, reducer: str, until: float = np.inf) -> Samples:
    """Return what two series have by bucket: the first where it is final, then the second where it has anything.

    Of the bucket in which the first ceases to be final, the second may have less. Extremes are those of both then, and
    what is made of all samples is the first's where only that has the bucket's beginning, and most of its samples.

    Parameters
    ----------
    final
        No sample of the first one before this time will change any more, UNIX seconds; +inf for none that it has.
    until
        The end of the window, UNIX seconds.
    """
    ends, others = _ends(first.times, part_s), _ends(second.times, part_s)
    final = float(ends[-1]) if final == np.inf else final
    ours, theirs = ends <= final, others > final
    # Of the bucket in which the second begins it has a part only. The first's is nearer to the truth where it covers
    # more of the bucket than is left of it.
    selection = find_reducer(reducer).numbers
    extreme = None if selection.aggregate is None else selection.aggregate.extreme
    if extreme is None and not selection.keeps_last:
        begins = (first.times == second.times[0]) & (first.times > first.times[0]) & (first.times < final)
        ours |= begins & (final - first.times > np.minimum(ends, until) - final)
        theirs &= ~np.isin(second.times, first.times[ours])
    # A bucket that is not final belongs to the second where it has anything there.
    ours |= ~np.isin(first.times, second.times[theirs])
    times = np.concatenate([first.times[ours], second.times[theirs]])
    others_values = second.values[theirs].copy()
    if extreme is not None:
        both = np.flatnonzero(~ours & (first.times < final))
        places = second.times[theirs].searchsorted(first.times[both])
        others_values[places] = extreme(others_values[places], first.values[both])
    values = np.concatenate([first.values[ours], others_values])
    order = np.argsort(times, kind="stable")
    return times[order], values[order]


def _ends(times: Times, part_s: float) -> Times:
    """Return the ends of the buckets that begin at some times."""
    # Starts of buckets are multiples already, so rounding finds their numbers without the rule of bucket_of.
    ends: Times = (np.rint(times / part_s) + 1) * part_s
    return ends


def with_ragged_ends(series: Sequence[Series], cells: Cells, now: float = np.inf) -> frozenset[float]:
    """Return the times of cells at the ends of a window that are not to be drawn, for what is summed would dip there.

    A cell that the window cuts may be too short for a sample of each series, and of the last moments some nodes tell
    later than others. Such a cell is drawn when all series have a value in it that have one in it, in a later one, or
    in the cell beside; and when it is long enough for a sample of those that have none, which then is a gap of theirs.

    Parameters
    ----------
    now
        The present, UNIX seconds, where the window ends later.
    """
    numbers = [one for one in series if one.type == "number" and _known(one.values).size]
    times, count = cells.times, cells.times.size
    if not numbers or count <= 1:
        return frozenset()
    end = min(cells.end, now)
    stop = int(times.searchsorted(end))
    share_s = LATE_SHARE * (cells.end - cells.start)
    late_s = min(SEAM_LATE_S, share_s)
    due_s = np.array([[SLACK * one.interval_s if one.interval_s else share_s] for one in numbers])
    late = int(times.searchsorted(end - late_s, side="right"))
    late = max(min(late, stop - bool(end < cells.edges[stop])), 1)
    left_out = []
    # At the start: a cut cell where some series has nothing, which it would have had in a whole one.
    if cells.is_cut[0]:
        has = np.array([_has(one, times[:2]) for one in numbers])
        left_out += [0] if (has[:, 1] & ~has[:, 0] & (times[1] - times[0] <= due_s[:, 0])).any() else []
    # At the end: cells that some series may still get a sample in.
    has = np.array([_has(one, times[late - 1 : stop]) for one in numbers])
    awaited = has.any(axis=1, keepdims=True) & ~has & (end - times[late - 1 : stop] <= due_s + late_s)
    whole = np.flatnonzero(~awaited[:, 1:].any(axis=0))
    left_out += range(late + int(whole[-1]) + 1 if whole.size else late, stop)
    left_out_times = frozenset(times[left_out].tolist())
    # No series loses all that it has: better a dip than an empty line.
    return (
        left_out_times
        if all(_known(without_times(one, left_out_times).values).size for one in numbers)
        else frozenset()
    )


def without_times(series: Series, times: Collection[float]) -> Series:
    """Return a series without the values at some times."""
    kept = ~np.isin(series.times, list(times))
    return series if kept.all() else replace(series, times=series.times[kept], values=series.values[kept])


def _has(series: Series, times: Times) -> NDArray[np.bool_]:
    """Tell at which times, ascending, a series has a value."""
    places = np.minimum(series.times.searchsorted(times), series.times.size - 1)
    there: NDArray[np.bool_] = (series.times[places] == times) & ~np.isnan(series.values[places])
    return there


def parts_of(reducer: str, cells: Cells) -> Sequence[str]:
    """Return the reducers that must be asked for so that one can be drawn on cells."""
    return (reducer,) if cells.whole else PARTS.get(reducer, (reducer,))
