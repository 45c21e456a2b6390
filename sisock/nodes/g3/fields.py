"""Reads chosen fields of a housekeeping file."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from sisock.core.model import Field, Times, Values
from sisock.nodes.archive.format import Contents, FieldSamples, ascending
from sisock.nodes.g3.frames import (
    TYPE_OF_KIND,
    FrameBlock,
    FrameLog,
    FrameReader,
    blocks_in,
    converted,
    field_name,
    unified_kind,
)

_Part = tuple[FrameBlock, str, Values]


def read_fields(frames: FrameReader, path: Path, wanted: Collection[str]) -> Contents:
    """Return the samples of some fields of a file, in order of time; what is wrong with it, its index tells."""

    def is_wanted(provider: str) -> bool:
        return any(name.startswith(f"{provider}.") for name in wanted)

    parts: dict[str, list[_Part]] = {}
    for block in blocks_in(frames(path), FrameLog(), is_wanted):
        for name, vector in block.vectors.items():
            full = field_name(block.provider, name)
            if full in wanted:
                parts.setdefault(full, []).append((block, vector.kind, vector.load()))
    return Contents(tuple(_join_parts(parts)))


def _join_parts(parts: Mapping[str, Sequence[_Part]]) -> list[FieldSamples]:
    """Join the parts of each field; fields of the same blocks share one array of times where they can."""
    shared: dict[tuple[int, ...], Times] = {}
    columns = []
    for name, own in parts.items():
        # The cache writes an array that several columns share only once.
        key = tuple(id(block.times) for block, _, _ in own)
        if key not in shared:
            shared[key] = np.concatenate([block.times for block, _, _ in own])
        kind = unified_kind(kind for _, kind, _ in own)
        values = np.concatenate([converted(values, kind) for _, _, values in own])
        last = own[-1][0]
        described = Field(name, f"{last.provider}.{last.name}", TYPE_OF_KIND[kind])
        # What repeats stays: the index counts it, so that one can tell whether all of the file is there.
        columns.append(FieldSamples(described, *ascending(shared[key], values)))
    return columns
