"""Housekeeping files in a form that needs no so3g: a line of JSON a frame, with a checksum, read as the real ones are.

A last line without its end is a frame that is still being written; a line that is no JSON is a damaged one.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sisock.nodes.g3.frames import (
    DamagedFrame,
    DataFrame,
    Frame,
    OtherFrame,
    Place,
    RawBlock,
    SessionFrame,
    StatusFrame,
    Undecodable,
    Vector,
)

EPOCH = 1_600_000_000.0
KINDS = {float: "float", int: "int", bool: "bool", str: "string"}
DTYPES: dict[str, Any] = {"float": np.float64, "int": np.int64, "bool": np.bool_, "string": object}

Fields = Mapping[str, Sequence[Any]]


def session(number: int = 1) -> dict[str, Any]:
    return {"session": number}


def status(*descriptions: str, first: int = 0) -> dict[str, Any]:
    """The providers there are, numbered from ``first`` on."""
    return {"status": {str(number): one for number, one in enumerate(descriptions, first)}}


def data(provider: int, times: Sequence[float], fields: Fields, block: str = "temps", **more: Any) -> dict[str, Any]:
    """One block of a provider."""
    return {"provider": provider, "blocks": [[block, list(times), dict(fields)]], **more}


def write(path: Path, *frames: Mapping[str, Any], mtime_s: float | None = None) -> Path:
    """Write a file of whole frames, such that its modification time is another than before."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(frame) + "\n" for frame in frames))
    touched = int(mtime_s * 1e9) if mtime_s else max(before + 1_000_000, path.stat().st_mtime_ns)
    os.utime(path, ns=(touched, touched))
    return path


def append(path: Path, *frames: Mapping[str, Any]) -> None:
    """Let a file grow."""
    with path.open("a") as file:
        file.writelines(json.dumps(frame) + "\n" for frame in frames)


def read_frames(path: Path) -> Iterator[Frame]:
    """Yield the whole frames of a file; a frame reader as :func:`sisock.nodes.g3.reader.read_frames` is."""
    at = 0
    for line in path.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n"):
            return
        at += len(line)
        yield _frame(Place(at, zlib.crc32(line)), line)


def _frame(place: Place, line: bytes) -> Frame:
    try:
        content = json.loads(line)
    except ValueError:
        return DamagedFrame(place, f"the frame that ends at byte {place.end} is damaged")
    if "session" in content:
        return SessionFrame(place, content["session"])
    if "status" in content:
        return StatusFrame(place, {int(number): one for number, one in content["status"].items()})
    if "provider" not in content:
        return OtherFrame(place)

    def blocks() -> list[RawBlock]:
        if "broken" in content:
            raise Undecodable(content["broken"])
        return [
            RawBlock(name, np.array(times, dtype=np.float64), {key: _vector(values) for key, values in fields.items()})
            for name, times, fields in content["blocks"]
        ]

    return DataFrame(place, content["provider"], content.get("address"), blocks)


def _vector(values: list[Any]) -> Vector:
    kind = KINDS[type(values[0])] if values else "float"
    return Vector(kind, lambda: np.array(values, dtype=DTYPES[kind]))
