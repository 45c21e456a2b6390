"""What is asked of the gateway, what it answers, and how a node's samples become a series."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from sisock.core.errors import UnknownField
from sisock.core.model import DataBlock, Field, FieldCatalogue, FieldType, TimelineBlock, Times, Values
from sisock.core.reduce.reducers import reduce_block
from sisock.core.window.remarks import Remarked
from sisock.core.wire.values import as_values
from sisock.gateway.planner import FEWEST_REDUCED, Resolution

SEPARATOR = "::"
MERGE = "+"  # no node has it in its name
_KINDS: Mapping[FieldType, str] = {"number": "fi", "bool": "b", "string": "O"}  # that dtypes of a type have


@dataclass(frozen=True)
class SeriesWanted:
    """One field of one node; or one quantity of several nodes, ``archive+live``, as a single series."""

    node: str
    field: str

    @property
    def target(self) -> str:
        """Return the name that panels use, ``node::field``."""
        return f"{self.node}{SEPARATOR}{self.field}"

    @property
    def parts(self) -> tuple[SeriesWanted, ...]:
        """Return what is asked of single nodes: itself, or each part of a merged series."""
        if MERGE not in self.node:
            return (self,)
        return tuple(SeriesWanted(node, self.field) for node in self.node.split(MERGE))


def _no_times() -> Times:
    return np.empty(0)


@dataclass(frozen=True)
class Series:
    """The samples of one field that may be drawn, and what must be said about them.

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

    @property
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
