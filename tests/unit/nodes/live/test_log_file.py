"""The format of log files, as it is on disks already."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest

from sisock.core.buffer.rolling import Position
from sisock.nodes.live import log_file
from sisock.nodes.live.log_file import Header, LogDamaged

HEADER = Header(3, 2, "run", "g", {"a": "number", "s": "string"}, Position(5, 9.5, revision=1), {"whose": "mine"})
TEXT = (
    b'{"number": 3, "oldest": 2, "boot": "run", "generation": "g", "fields": [["a", "number"], ["s", "string"]], '
    b'"mark": {"stop": 5, "newest": 9.5, "floor": null, "dropped": false, "revision": 1}, "about": {"whose": "mine"}}'
)


def test_the_header_has_these_keys():
    """In this order, with null for a time that lacks."""
    assert HEADER.encoded() == TEXT
    assert Header.decoded(TEXT) == HEADER


@pytest.mark.parametrize("change", [{"mark": None}, {"mark": {"stopp": 1}}, {"more": 1}, {"fields": 5}])
def test_another_header_is_none(change):
    """What a header is missing, or has in addition, makes the file no log file."""
    with pytest.raises(LogDamaged, match="the header is none"):
        Header.decoded(json.dumps(json.loads(TEXT) | change).encode())


def test_each_crc_goes_on_from_the_one_before():
    """The CRC at the end of a record is that of all before it, but for the preamble, which is written again."""
    opening = log_file.encode_opening(HEADER, 0)
    crc = log_file.crc_of_opening(opening)
    values = [np.array([1.0, 2.0]), np.array(["x", "long"], dtype=object)]
    first = log_file.encode_batch(np.array([10.0, 11.0]), values, crc)
    crc = log_file.crc_after(first)
    second = log_file.encode_position(Position(6, 10.0, 3.0, True, 2), crc)
    data = opening + first + second
    whole = data[log_file.PREAMBLE.size :]
    assert log_file.crc_after(second) == zlib.crc32(whole)
    assert int.from_bytes(whole[-4:], "little") == zlib.crc32(whole[:-4])
    samples, position = log_file.decode_log_file(data).steps
    assert samples.times.tolist() == [10.0, 11.0]
    assert samples.values[1].tolist() == ["x", "long"]
    assert position == Position(6, 10.0, 3.0, True, 2)
