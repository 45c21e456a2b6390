"""From the samples that a node sent to a series that may be drawn; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from sisock.core.downsample import reduce_block
from sisock.core.errors import UnknownField
from sisock.core.model import DataBlock, Field, FieldCatalogue, FieldType, TimelineBlock
from sisock.core.remarks import Told
from sisock.core.values import as_values
from sisock.gateway.answer import Series, SeriesWanted
from sisock.gateway.plan import FEWEST_REDUCED, Resolution

_KINDS: Mapping[FieldType, str] = {"number": "fi", "bool": "b", "string": "O"}  # that dtypes of a type have


def draw_all(
    node: str,
    fields: Iterable[str],
    catalogue: FieldCatalogue,
    block: DataBlock,
    remarks: Told,
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
            series = draw(wanted, field, interval_s, samples, resolution)
            drawn[wanted] = replace(series, notices=said) if said else series
        elif said:
            drawn[wanted] = Series.missing(wanted, "; ".join(said), field)
        else:
            interval_s = catalogue.timelines[field.timeline].interval_s
            drawn[wanted] = Series(wanted, type=field.type, units=field.units, interval_s=interval_s)
    return drawn


def draw(
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
