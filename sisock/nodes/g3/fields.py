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

_FieldBlock = tuple[FrameBlock, str, Values]
"""A block of a frame, and of one field in it the kind and the values."""


def read_fields(frames: FrameReader, path: Path, wanted: Collection[str]) -> Contents:
    """Return the samples of some fields of a file, in order of time; what is wrong with it, its index tells."""

    def is_wanted(provider: str) -> bool:
        return any(name.startswith(f"{provider}.") for name in wanted)

    by_field: dict[str, list[_FieldBlock]] = {}
    # Of a provider nobody asks for, which may be most of the file, no block is decoded.
    for block in blocks_in(frames(path), FrameLog(), is_wanted):
        for name, vector in block.vectors.items():
            full = field_name(block.provider, name)
            if full in wanted:
                by_field.setdefault(full, []).append((block, vector.kind, vector.load()))
    return Contents(tuple(_join_blocks(by_field)))


def _join_blocks(by_field: Mapping[str, Sequence[_FieldBlock]]) -> list[FieldSamples]:
    """Join the blocks of each field; fields of the same blocks share one array of times where they can."""
    shared: dict[tuple[int, ...], Times] = {}
    columns = []
    for name, own in by_field.items():
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
