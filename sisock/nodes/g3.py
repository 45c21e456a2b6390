"""Housekeeping archives that OCS writes: ``.g3`` files, found through an index in an SQL database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sisock.core.model import Field, Times, Values
from sisock.nodes.g3_frames import (
    FIELD_TYPES,
    Block,
    FrameLog,
    FrameReader,
    blocks,
    converted,
    field_name,
    unified_kind,
)
from sisock.nodes.index import Contents, FieldSamples


def read_fields(frames: FrameReader, path: Path, wanted: Collection[str]) -> Contents:
    """Return the samples of some fields of a file, in order of time.

    Samples of a block stay together: those at the same time are all kept, in the order of the file. What is wrong
    with the file is told by who indexes it.
    """

    def is_wanted(provider: str) -> bool:
        return any(name.startswith(f"{provider}.") for name in wanted)

    parts: dict[str, list[_Part]] = {}
    for block in blocks(frames(path), FrameLog(), is_wanted):
        for name, vector in block.vectors.items():
            full = field_name(block.provider, name)
            if full in wanted:
                parts.setdefault(full, []).append((block, vector.kind, vector.load()))
    return Contents(tuple(_joined(parts)))


_Part = tuple[Block, str, Values]


def _joined(parts: Mapping[str, Sequence[_Part]]) -> list[FieldSamples]:
    """Join the parts of each field; fields of the same blocks share one array of times."""
    shared: dict[tuple[int, ...], tuple[Times, Any]] = {}
    columns = []
    for name, own in parts.items():
        key = tuple(id(block.times) for block, _, _ in own)
        if key not in shared:
            shared[key] = _sorted(np.concatenate([block.times for block, _, _ in own]))
        times, order = shared[key]
        kind = unified_kind(kind for _, kind, _ in own)
        values = np.concatenate([converted(values, kind) for _, _, values in own])
        block = own[-1][0]
        described = Field(name, f"{block.provider}.{block.name}", FIELD_TYPES[kind])
        columns.append(FieldSamples(described, times, values if order is None else values[order]))
    return columns


def _sorted(times: Times) -> tuple[Times, Any]:
    """Return times in order, and what puts values in that order; None when they are."""
    if not (np.diff(times) < 0).any():
        return times, None
    order = np.argsort(times, kind="stable")
    return times[order], order
