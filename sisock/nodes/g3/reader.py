"""Frames of a ``.g3`` file: where they begin and end, and decoded by so3g, which only this module knows."""

from __future__ import annotations

import importlib
import struct
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from sisock.core.errors import ConfigurationError
from sisock.core.model import Values
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

_HEAD = struct.Struct("<Biii")
_LENGTH = struct.Struct("<Q")
_CHECKSUM_BYTES = 4
_LITTLE_ENDIAN = 1
# No aggregator writes as much: what claims to have more is no frame.
_MOST_ENTRIES = 10_000
_LONGEST_NAME = 65_535
INSTALL = "reading .g3 files needs so3g: pip install 'sisock[g3]'"
# Older ones are translated by so3g itself.
NEWEST_SCHEMA = 2
SESSION, STATUS, DATA = range(3)
FRAME_KINDS = {"G3VectorDouble": "float", "G3VectorInt": "int", "G3VectorBool": "bool", "G3VectorString": "string"}
DECODING_ERRORS = (RuntimeError, MemoryError, KeyError, ValueError, TypeError, IndexError, UnicodeDecodeError)

# Guards the first loading of so3g: two threads that import it at once would each see half of it.
_loading = threading.Lock()


class NoFrame(ValueError):
    """A place of a file at which no frame begins."""


class CutFrame(ValueError):
    """The file ends before the frame does: it is being written, or was cut off."""


def frame_end(file: BinaryIO, start: int, size: int) -> int:
    """Return where the frame that begins at ``start`` ends; both are bytes from the beginning of the file.

    Raises
    ------
    NoFrame, CutFrame
        When there is no frame, or only the first part of one.
    """
    head = _read(file, start, _HEAD.size, size)
    endianness, version, entries, kind = _HEAD.unpack(head)
    if endianness != _LITTLE_ENDIAN or version <= 0 or kind <= 0 or not 0 <= entries <= _MOST_ENTRIES:
        raise NoFrame
    at = start + _HEAD.size
    for _ in range(entries):
        name_bytes = _length(file, at, size)
        if not 0 < name_bytes <= _LONGEST_NAME:
            raise NoFrame
        at += _LENGTH.size + name_bytes
        at += _LENGTH.size + _length(file, at, size)
    if at + _CHECKSUM_BYTES > size:
        raise CutFrame
    return at + _CHECKSUM_BYTES


def checksum(file: BinaryIO, end: int) -> int:
    """Return the checksum of the frame that ends there."""
    file.seek(end - _CHECKSUM_BYTES)
    return int.from_bytes(file.read(_CHECKSUM_BYTES), "little")


def _length(file: BinaryIO, at: int, size: int) -> int:
    return int(_LENGTH.unpack(_read(file, at, _LENGTH.size, size))[0])


def _read(file: BinaryIO, at: int, count: int, size: int) -> bytes:
    if at + count > size:
        raise CutFrame
    file.seek(at)
    content = file.read(count)
    # It was cut since its size was looked at.
    if len(content) < count:
        raise CutFrame
    return content


class _Library(NamedTuple):
    core: Any
    translate: Any
    housekeeping: Any
    time_units: float


def check_installed() -> None:
    """Raise ConfigurationError, which says what to install, when so3g is missing."""
    _library()


def read_frames(path: Path) -> Iterator[Frame]:
    """Yield the whole frames of a file that are housekeeping, and in their place those that cannot be decoded.

    What stands behind the last whole frame is left for the time when it is whole: a file may be read while it is
    written. Blocks are decoded when they are asked for.

    Raises
    ------
    OSError
        When the file cannot be read.
    ConfigurationError
        When so3g is missing.
    """
    library = _library()
    with path.open("rb") as file:
        # As it is now: what is written meanwhile is for the next time.
        size = file.seek(0, 2)
        reader = library.core.G3Reader(str(path)) if size else None
        at = 0
        while at < size:
            try:
                # Found by us, so that a frame which the library cannot decode does not cost those behind it.
                end = frame_end(file, at, size)
            except CutFrame:
                return
            except NoFrame:
                yield DamagedFrame(Place(size), f"what stands at byte {at} is not a frame")
                return
            yield from _decode(library, reader, at, Place(end, checksum(file, end)))
            at = end


def _decode(library: _Library, reader: Any, start: int, place: Place) -> Iterator[Frame]:
    try:
        decoded = reader.Process(None)
        frame: Frame = _frame(library, decoded[0], place) if decoded else OtherFrame(place)
    except DECODING_ERRORS as error:
        frame = DamagedFrame(place, f"the frame at byte {start} is damaged ({_reason(error)})")
    yield frame
    # After an error it may stand anywhere; after none, a seek would throw away what it has read ahead.
    if reader.tell() != place.end:
        reader.seek(place.end)


def _frame(library: _Library, frame: Any, place: Place) -> Frame:
    """Return what a frame holds."""
    if frame.type != library.housekeeping:
        return OtherFrame(place)
    if frame.get("hkagg_version", 0) < NEWEST_SCHEMA:
        (frame,) = library.translate(frame)
    make = _MAKERS.get(int(frame["hkagg_type"]))
    return make(frame, place, library.time_units) if make else OtherFrame(place)


def _session(frame: Any, place: Place, _: float) -> Frame:
    return SessionFrame(place, int(frame["session_id"]))


def _status(frame: Any, place: Place, _: float) -> Frame:
    return StatusFrame(place, {int(one["prov_id"].value): str(one["description"].value) for one in frame["providers"]})


def _data(frame: Any, place: Place, time_units: float) -> Frame:
    def blocks() -> list[RawBlock]:
        try:
            named = zip(frame["block_names"], frame["blocks"], strict=True)
            return [_block(str(name), block, time_units) for name, block in named]
        except DECODING_ERRORS as error:
            raise Undecodable(f"the frame that ends at byte {place.end} is damaged ({_reason(error)})") from None

    address = str(frame["address"]) if "address" in frame else None
    return DataFrame(place, int(frame["prov_id"]), address, blocks)


_MAKERS = {SESSION: _session, STATUS: _status, DATA: _data}


def _block(name: str, block: Any, time_units: float) -> RawBlock:
    times = np.array(block.times, dtype=np.int64) / time_units
    return RawBlock(name, times, {str(key): _vector(block[key]) for key in block.keys()})  # noqa: SIM118 - no mapping


def _vector(vector: Any) -> Vector:
    return Vector(FRAME_KINDS[type(vector).__name__], lambda: _array(vector))


def _array(vector: Any) -> Values:
    if type(vector).__name__ == "G3VectorString":
        texts = np.empty(len(vector), dtype=object)
        texts[:] = [str(text) for text in vector]
        return texts
    return np.array(vector)


@cache
def _load() -> _Library:
    try:
        so3g = importlib.import_module("so3g")
        core = importlib.import_module("spt3g.core")
    except ImportError as error:
        missing = error.name in ("so3g", "spt3g")
        raise ConfigurationError(INSTALL if missing else f"so3g cannot be loaded: {error}") from None
    # Its own logger prints each damaged file at the user; we name it in the log.
    core.G3Logger.global_logger = core.G3NullLogger()
    return _Library(core, so3g.hk.HKTranslator(), core.G3FrameType.Housekeeping, float(core.G3Units.seconds))


def _library() -> _Library:
    with _loading:
        return _load()


def _reason(error: BaseException) -> str:
    # What follows is a place in the library's own source.
    return " ".join(str(error).split("(in ")[0].split()) or type(error).__name__
