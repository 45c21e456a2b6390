"""From the samples that a node sent to a series that may be drawn; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from sisock.core.errors import UnknownField
from sisock.core.model import DataBlock, Field, FieldCatalogue, FieldType, TimelineBlock
from sisock.core.reduce.reducers import add_newest, distinct, find_reducer, reduce_block, reduce_samples
from sisock.core.window.remarks import Remarked
from sisock.core.wire.values import as_values
from sisock.gateway.drawing.cells import equal_edges
from sisock.gateway.drawing.resolution import FEWEST_REDUCED, Resolution
from sisock.gateway.drawing.series import Series, SeriesWanted

_KINDS: Mapping[FieldType, str] = {"number": "fi", "bool": "b", "string": "O"}  # that dtypes of a type have
# What is drawn in place of a reducer that keeps more samples than there is room for.
SMALLER: Mapping[str, str] = {"m4": "minmax", "minmax": "last"}


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
        said = tuple(f"node '{node}': {remark}" for remark in remarks.get(name, ()))
        if field is None:
            drawn[wanted] = Series.missing(wanted, str(UnknownField(node, name, catalogue.fields)))
        elif samples is not None:
            interval_s = catalogue.timelines[field.timeline].interval_s
            series = draw_field(wanted, field, interval_s, samples, resolution)
            drawn[wanted] = replace(series, notices=said) if said else series
        elif said:
            drawn[wanted] = Series.missing(wanted, "; ".join(said), field)
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
    bucket_s = resolution.bucket_s(field.type)
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
