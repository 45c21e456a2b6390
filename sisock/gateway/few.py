"""Few points of a series by the reducer that was asked for, chosen from many; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from sisock.core.downsample import add_newest, distinct, find_reducer, reduce_samples
from sisock.gateway.answer import Series
from sisock.gateway.cells import equal_edges
from sisock.gateway.plan import Resolution

# What is drawn in place of a reducer that keeps more samples than there is room for.
SMALLER: Mapping[str, str] = {"m4": "minmax", "minmax": "last"}


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
