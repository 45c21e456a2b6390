"""The gateway's answers: series, made of the samples that nodes sent, and spliced where several serve one; pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial, reduce

import numpy as np

from sisock.core.errors import UnknownField
from sisock.core.model import DataBlock, Field, FieldCatalogue, FieldType, TimelineBlock, Times, Values
from sisock.core.reduce.reducers import Samples, add_newest, distinct, find_reducer, reduce_block, reduce_samples
from sisock.core.window.remarks import Remarked
from sisock.core.wire.values import as_values
from sisock.gateway.drawing.cells import equal_edges
from sisock.gateway.drawing.planner import FEW_REDUCER, FEWEST_REDUCED, Resolution, SeriesWanted

# The kinds of dtypes that values of a type have.
_KINDS: Mapping[FieldType, str] = {"number": "fi", "bool": "b", "string": "O"}


def _no_times() -> Times:
    return np.empty(0)


@dataclass(frozen=True)
class Series:
    """The samples of one field that may be drawn, and what a viewer should know of them.

    Parameters
    ----------
    wanted
        What was asked for.
    times, values
        Shape (n,): UNIX seconds ascending, and float64, int64, bool, or object with None for a break of the line
        (NaN for numbers).
    type, units, interval_s
        Of the field; ``interval_s`` is None when aperiodic or unknown.
    bucket_s
        Width of the buckets that were reduced; None when every sample is here.
    finalized_until
        No sample before this time will change any more; +inf when none ever will, -inf when nothing is promised.
    before
        Time of the last sample before the window, UNIX seconds; None where it is not known.
    held
        Whether that sample's value is the first one here, at the window's start.
    problem
        What is missing, why, and since when, in words; None when all came. There may be samples all the same.
    notices
        What else a viewer should know, in words.
    """

    wanted: SeriesWanted
    times: Times = field(default_factory=_no_times)
    values: Values = field(default_factory=_no_times)
    type: FieldType = "number"
    units: str | None = None
    interval_s: float | None = None
    bucket_s: float | None = None
    finalized_until: float = math.inf
    before: float | None = None
    held: bool = False
    problem: str | None = None
    notices: tuple[str, ...] = ()

    @cached_property
    def newest(self) -> float | None:
        """Time of the newest sample in the window, UNIX seconds; None when there is none."""
        return float(self.times[-1]) if self.times.size > self.held else None

    @classmethod
    def missing(cls, wanted: SeriesWanted, problem: str, described: Field | None = None) -> Series:
        """Return a series without samples and the reason for that."""
        if described is None:
            return cls(wanted, problem=problem)
        return cls(wanted, type=described.type, units=described.units, problem=problem)


DrawnSeries = Mapping[SeriesWanted, Series]
"""Series by what was wanted."""


@dataclass(frozen=True)
class Answer:
    """One series for each that was wanted, in that order, inside [start, end)."""

    series: tuple[Series, ...]
    start: float
    end: float


def draw_all(
    node: str,
    fields: Iterable[str],
    catalogue: FieldCatalogue,
    block: DataBlock,
    remarks: Remarked,
    resolution: Resolution,
) -> dict[SeriesWanted, Series]:
    """Return the series of the fields that one node was asked for.

    Parameters
    ----------
    catalogue
        What the node says it serves.
    block
        Its reduced samples, all inside the span.
    remarks
        What was wrong with its replies, in words. A field that did not come for that is missing.
    """
    drawn = {}
    for name in fields:
        wanted = SeriesWanted(node, name)
        field = catalogue.find(name)
        samples = block.find(name)
        notices = tuple(f"node '{node}': {remark}" for remark in remarks.get(name, ()))
        if field is None:
            drawn[wanted] = Series.missing(wanted, str(UnknownField(node, name, catalogue.fields)))
        elif samples is not None:
            interval_s = catalogue.timelines[field.timeline].interval_s
            series = draw_field(wanted, field, interval_s, samples, resolution)
            drawn[wanted] = replace(series, notices=notices) if notices else series
        elif notices:
            drawn[wanted] = Series.missing(wanted, "; ".join(notices), field)
        else:
            interval_s = catalogue.timelines[field.timeline].interval_s
            drawn[wanted] = Series(wanted, type=field.type, units=field.units, interval_s=interval_s)
    return drawn


def draw_field(
    wanted: SeriesWanted,
    field: Field,
    interval_s: float | None,
    block: TimelineBlock,
    resolution: Resolution,
) -> Series:
    """Return the series of one field: never more points than the resolution allows, unless few are chosen later.

    Parameters
    ----------
    field, interval_s
        As the catalogue describes it.
    block
        The reduced samples, all inside the span.
    """
    try:
        block = _typed(wanted.field, block, field.type)
        if block.times.size > resolution.max_points and not (resolution.on_grid or resolution.few):
            block = _bounded(wanted.field, block, resolution)
    except ValueError as error:
        return Series.missing(wanted, f"node '{wanted.node}': field '{wanted.field}' is left out: {error}", field)
    bucket_s = resolution.buckets(field.type).width_s
    decimated = _is_decimated(block, interval_s, resolution, bucket_s)
    return Series(
        wanted,
        block.times,
        block.values[wanted.field],
        type=field.type,
        units=field.units,
        interval_s=interval_s,
        bucket_s=bucket_s if decimated else None,
        finalized_until=block.finalized_until,
    )


def _typed(name: str, block: TimelineBlock, field_type: FieldType) -> TimelineBlock:
    """Return values of the type that the catalogue states, which may be a moment older than they; or ValueError."""
    values = block.values[name]
    if values.dtype.kind in _KINDS[field_type]:
        return block
    return replace(block, values={name: as_values(values, field_type)})


def _bounded(name: str, block: TimelineBlock, resolution: Resolution) -> TimelineBlock:
    """Reduce once more what a node sent too finely, and keep the newest of few points."""
    block = block.of_field(name)
    if resolution.max_points >= FEWEST_REDUCED:
        block = reduce_block(DataBlock({name: block}), resolution.reducer, resolution.stride_s).timelines[name]
    return block.take(slice(max(block.times.size - resolution.max_points, 0), None))


def _is_decimated(block: TimelineBlock, interval_s: float | None, resolution: Resolution, bucket_s: float) -> bool:
    """Tell whether samples may have been left out: where the spacing isn't known, the samples themselves tell."""
    if interval_s is not None:
        return interval_s < resolution.stride_s
    return bool(block.times.size > 1 and float(np.median(np.diff(block.times))) < bucket_s)


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
        reducer = FEW_REDUCER if room < find_reducer(reducer).states.samples_per_bucket else reducer
    while find_reducer(reducer).numbers.samples_per_bucket > room:
        reducer = find_reducer(reducer).smaller
    selection = find_reducer(reducer).for_type(series.type)
    each = selection.samples_per_bucket
    has_last = selection.keeps_last
    count = max((room if has_last else room - 1) // each, 1)
    edges = equal_edges(start, end, count, resolution.buckets(series.type).width_s)
    starts = distinct(np.searchsorted(series.times, edges[1:-1]))
    samples = reduce_samples(series.times, series.values, selection, starts[starts < series.times.size])
    if not has_last and samples[0].size < room:
        samples = add_newest(samples, (series.times[-1:], series.values[-1:]))
    return replace(series, times=samples[0], values=samples[1], bucket_s=float(np.diff(edges).max()))


Seam = Callable[[Series, Series, float], Samples]
"""Splices two series, of which the first one is final up to a time; +inf where it says nothing of that."""


def splice_all(wanted: Iterable[SeriesWanted], drawn: DrawnSeries, resolution: Resolution) -> list[Series]:
    """Return the series that were wanted, each of the one or several that nodes were asked for."""
    return [
        drawn[one] if one in drawn else splice(one, [drawn[part] for part in one.parts], resolution) for one in wanted
    ]


def splice(wanted: SeriesWanted, parts: Sequence[Series], resolution: Resolution) -> Series:
    """Return the first part as far as it is final, then what the next has after that, and so on.

    What a part has beyond its ``finalized_until`` is drawn only before the first sample of the next one. All
    problems and notices of the parts are kept; the parts must not have breaks yet.
    """
    whole = splice_by(wanted, parts, _seam)
    name = wanted.field
    # The bucket at the seam has samples of both.
    if whole.times.size > resolution.max_points and not resolution.few:
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
        Splices the samples of two series, which both have some.
    """
    return replace(reduce(partial(_append, seam=seam), parts), wanted=wanted)


def _append(first: Series, second: Series, seam: Seam) -> Series:
    problem = "; ".join(part.problem for part in (first, second) if part.problem) or None
    notices = tuple(dict.fromkeys((*first.notices, *second.notices)))
    before = max((part.before for part in (first, second) if part.before is not None), default=None)
    first, second = _without_older(first, before), _without_older(second, before)
    if not first.times.size or not second.times.size:
        filled = second if second.times.size or first.problem else first
        return replace(filled, before=before, problem=problem, notices=notices)
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
