"""How many bytes a reply takes, and the part of it that fits."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np
import orjson

from sisock.core.model import DataBlock

# "-Infinity", as JSON of Python's has it, in place of "null".
LONGER_THAN_NULL = 5
# "\\u0000", by which Autobahn's JSON tells bytes from a text.
MARK_OF_BYTES = 6


def page_block(block: DataBlock, limit: int | None, after: float | None) -> tuple[DataBlock, float | None]:
    """Return the samples later than ``after``, at most ``limit`` a timeline, and where the next page starts.

    All timelines end at the same time, so that one ``after`` continues them all; samples of equal time are never
    torn apart, even where that makes a page longer. The second result is None on the last page.
    """
    if after is not None:
        block = block.map(lambda one: one.take(slice(int(np.searchsorted(one.times, after, side="right")), None)))
    if limit is None:
        return block, None
    ends = [_page_end(one.times, limit) for one in block.timelines.values() if one.times.size > limit]
    if not ends:
        return block, None
    last = min(ends)
    page = block.map(lambda one: one.take(slice(0, int(np.searchsorted(one.times, last, side="right")))))
    complete = all(page.timelines[name].times.size == one.times.size for name, one in block.timelines.items())
    return page, None if complete else last


def _page_end(times: Any, limit: int) -> float:
    """Return the time of the last sample of a page, such that samples of that time are all on it."""
    next_page = int(np.searchsorted(times, times[limit], side="left"))
    return float(times[max(next_page - 1, 0)])


def encoded_size(reply: Any) -> int:
    """Return at least the bytes that a reply takes in any serializer in use, and at most about a seventh more.

    Which is the widest depends: a small float is shorter in JSON, bytes (as base64) and long floats are longer there.
    A null costs as much as an infinity, which the quick serializer of JSON does not tell from it; an exponent may be a
    digit longer in Python's. CBOR is longer than MsgPack by a byte for some texts and whole numbers, and for nothing
    else; there are never more of them than commas and colons where JSON is not the widest anyway.
    """
    packed_bytes = 0

    def count(value: Any) -> str:
        nonlocal packed_bytes
        if not isinstance(value, bytes):
            raise TypeError(f"a {type(value).__name__} cannot travel over WAMP")
        packed_bytes += MARK_OF_BYTES + 4 * -(-len(value) // 3)
        return ""

    text = orjson.dumps(reply, default=count)
    in_json = len(text) + packed_bytes + LONGER_THAN_NULL * text.count(b"null") + text.count(b"e-")
    in_binary = len(msgpack.packb(reply)) + text.count(b",") + text.count(b":")
    return max(in_json, in_binary)
