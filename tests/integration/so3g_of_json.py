"""As much of so3g and spt3g as the data node ``g3`` asks of them, with JSON in place of what they encode.

Files are in the real layout of frames, so that a node reads them as it reads real ones, whatever our modules are
called; ``g3_fakes.py`` stands nearer, at a seam of today's package.
"""

from __future__ import annotations

import json
import struct
import sys
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

UNITS_PER_SECOND = 1e8
HEAD, LENGTH, CHECKSUM = struct.Struct("<Biii"), struct.Struct("<Q"), struct.Struct("<I")
SESSION, STATUS, DATA = range(3)
ENTRY = b"json"


class Vector(list):
    """The values of a field in a block."""


VECTORS = {
    kind: type(name, (Vector,), {})
    for kind, name in {
        float: "G3VectorDouble",
        int: "G3VectorInt",
        bool: "G3VectorBool",
        str: "G3VectorString",
    }.items()
}


class Block(dict):
    """The fields of a block, with their times."""

    def __init__(self, times: Sequence[float], fields: Mapping[str, Sequence[Any]]) -> None:
        super().__init__({name: VECTORS[type(values[0])](values) for name, values in fields.items()})
        self.times = [round(t * UNITS_PER_SECOND) for t in times]


class Frame(dict):
    """A frame of housekeeping."""

    type = "Housekeeping"


class Reader:
    """Decodes the frames of a file one by one; ``opened`` has the files that were, for whoever asks."""

    opened: list[str] = []  # noqa: RUF012 - of all readers

    def __init__(self, path: str) -> None:
        self.opened.append(path)
        self._content = Path(path).read_bytes()
        self._at = 0

    def Process(self, _: None) -> list[Frame]:
        start = self._at + HEAD.size + 2 * LENGTH.size + len(ENTRY)
        (length,) = LENGTH.unpack_from(self._content, start - LENGTH.size)
        self._at = start + length + CHECKSUM.size
        told = json.loads(self._content[start : start + length])
        if "blocks" in told:
            told["blocks"] = [Block(*one) for one in told["blocks"]]
        if "providers" in told:
            told["providers"] = [{name: SimpleNamespace(value=one[name]) for name in one} for one in told["providers"]]
        return [Frame(told, hkagg_version=2)]

    def tell(self) -> int:
        return self._at

    def seek(self, at: int) -> None:
        self._at = at


def install() -> None:
    """Let this process find it where it looks for so3g and spt3g, also where these are installed."""
    core = SimpleNamespace(
        G3Reader=Reader,
        G3Logger=SimpleNamespace(global_logger=None),
        G3NullLogger=object,
        G3FrameType=SimpleNamespace(Housekeeping=Frame.type),
        G3Units=SimpleNamespace(seconds=UNITS_PER_SECOND),
    )
    sys.modules["so3g"] = SimpleNamespace(hk=SimpleNamespace(HKTranslator=lambda: None))  # type: ignore[assignment]
    sys.modules["spt3g.core"] = core  # type: ignore[assignment]


def session(number: int = 1) -> dict[str, Any]:
    return {"hkagg_type": SESSION, "session_id": number}


def status(*descriptions: str) -> dict[str, Any]:
    """The providers there are, numbered from 0 on."""
    providers = [{"prov_id": number, "description": one} for number, one in enumerate(descriptions)]
    return {"hkagg_type": STATUS, "providers": providers}


def data(provider: int, times: Sequence[float], fields: Mapping[str, Sequence[Any]], block: str) -> dict[str, Any]:
    """One block of a provider."""
    return {"hkagg_type": DATA, "prov_id": provider, "block_names": [block], "blocks": [[list(times), dict(fields)]]}


def encoded(frames: Iterable[Mapping[str, Any]]) -> bytes:
    """Return a file of these frames."""
    return b"".join(map(_frame, frames))


def _frame(told: Mapping[str, Any]) -> bytes:
    text = json.dumps(told).encode()
    entry = LENGTH.pack(len(ENTRY)) + ENTRY + LENGTH.pack(len(text)) + text
    return HEAD.pack(1, 1, 1, 1) + entry + CHECKSUM.pack(zlib.crc32(entry))
