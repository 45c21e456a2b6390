"""Where the frames of a ``.g3`` file begin and end, told from their lengths alone, without decoding them.

A frame is a byte that is 1, three int32 (version, number of entries, type), the entries, and a checksum of 4 bytes. An
entry is a name and an object, each an uint64 length followed by so many bytes; all little-endian. Lengths are checked
against the file before anything is read: a damaged one would have the decoder reserve gigabytes.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

_HEAD = struct.Struct("<Biii")
_LENGTH = struct.Struct("<Q")
_CHECKSUM_BYTES = 4
_LITTLE_ENDIAN = 1
_MOST_ENTRIES = 10_000
_LONGEST_NAME = 65_535


class NoFrame(ValueError):
    """What stands at a place of a file is not the beginning of a frame."""


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
    if len(content) < count:  # it was cut meanwhile
        raise CutFrame
    return content
