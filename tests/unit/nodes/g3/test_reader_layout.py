"""Frames are told apart by their lengths alone."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sisock.nodes.g3.reader import CutFrame, NoFrame, checksum, frame_end

HEAD_BYTES = 13

entries = st.lists(st.tuples(st.binary(min_size=1, max_size=20), st.binary(max_size=50)), max_size=5)
checksums = st.integers(0, 2**32 - 1)


def frame(found: list[tuple[bytes, bytes]], crc: int = 7) -> bytes:
    head = struct.pack("<Biii", 1, 1, len(found), ord("H"))
    body = b"".join(struct.pack("<Q", len(part)) + part for entry in found for part in entry)
    return head + body + struct.pack("<I", crc)


def end(content: bytes, start: int = 0) -> int:
    return frame_end(io.BytesIO(content), start, len(content))


@given(st.lists(entries, min_size=1, max_size=4), checksums)
def test_frames_follow_one_another(several, crc):
    """The end of a frame is the beginning of the next, and its last four bytes are its checksum."""
    frames = [frame(found, crc) for found in several]
    content, at = b"".join(frames), 0
    for one in frames:
        at_end = end(content, at)
        assert at_end == at + len(one)
        assert checksum(io.BytesIO(content), at_end) == crc
        at = at_end


@given(entries, st.data())
def test_a_frame_that_is_not_whole_is_cut(found, drawn):
    """Wherever a file ends within a frame, it is told that more is to come."""
    content = frame(found)
    with pytest.raises(CutFrame):
        end(content[: drawn.draw(st.integers(0, len(content) - 1))])


@pytest.mark.parametrize(
    "head",
    [(0, 1, 0, 72), (2, 1, 0, 72), (1, 0, 0, 72), (1, 1, -1, 72), (1, 1, 10**6, 72), (1, 1, 0, 0)],
    ids=["zeros", "other byte order", "no version", "fewer entries than none", "too many entries", "no type"],
)
def test_what_is_no_frame_is_told(head):
    """A beginning that no frame has is told at once."""
    with pytest.raises(NoFrame):
        end(struct.pack("<Biii", *head) + bytes(100))


@pytest.mark.parametrize("length", [0, 2**16, 2**63])
def test_a_name_has_a_sensible_length(length):
    """An entry without a name, or with one longer than any, is no entry."""
    with pytest.raises(NoFrame):
        end(struct.pack("<Biii", 1, 1, 1, 72) + struct.pack("<Q", length) + bytes(100))


def test_a_length_beyond_the_file_reserves_nothing():
    """An object of more bytes than the file has is not looked for."""
    content = struct.pack("<Biii", 1, 1, 1, 72) + struct.pack("<Q", 1) + b"a" + struct.pack("<Q", 2**62) + bytes(9)
    with pytest.raises(CutFrame):
        end(content)


def test_a_file_that_shrinks_meanwhile_is_cut():
    """A file that is no longer as long as it was is like one that is not yet so long."""
    with pytest.raises(CutFrame):
        frame_end(io.BytesIO(frame([])[:-6]), 0, 1000)
