"""The guarantees of every data node around its samples: the span, the order, the downsampling, the reply's size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgpack
import numpy as np
import orjson

from sisock.core.column.series import ReducibleSeries
from sisock.core.errors import BadRequest, OverAllowance
from sisock.core.model import DataBlock, DataRequest, FieldCatalogue
from sisock.core.reduce import reducers
from sisock.core.window.remarks import Remarked
from sisock.core.window.spans import Reduction, reduce_window
from sisock.core.wire.catalogue import encode_catalogue, page_catalogue
from sisock.core.wire.data import encode_data
from sisock.core.wire.requests import parse_limit
from sisock.core.wire.spans import encode_reductions

MIB = 2**20
# Other people's clients drop their connection at 1 MiB; this leaves room for what wraps a reply.
PLAIN_ALLOWANCE_BYTES = 1 * MIB - 4096
# Below the 16 MiB at which a router with default settings drops a connection.
EXTENDED_ALLOWANCE_BYTES = 12 * MIB
# "-Infinity", as JSON of Python's has it, in place of "null".
LONGER_THAN_NULL = 5
# "\\u0000", by which Autobahn's JSON tells bytes from a text.
MARK_OF_BYTES = 6


def answer(
    block: DataBlock,
    request: DataRequest,
    *,
    downsampled: bool = False,
    allowance_bytes: int | None = None,
    remarks: Remarked | None = None,
) -> dict[str, Any] | Literal[False]:
    """Turn what a source handed over into the reply of ``get_data``.

    Parameters
    ----------
    block
        Samples in ascending order; those outside the span are cut off.
    downsampled
        Whether the source has already kept to ``min_stride`` itself.
    allowance_bytes
        The most encoded bytes of the reply; None for the allowance of the kind of caller.
    remarks
        What is to be told of some fields in words, to callers that use an extension.

    Returns
    -------
    dict or False
        False is the original API's word for a reply over the allowance.

    Raises
    ------
    OverAllowance
        In place of False, for callers that use an extension.
    """
    # Cut before it is reduced, so that no extreme from outside stands for what is inside.
    block = block.within(request.start, request.end)
    if request.reduce is not None and request.min_stride is not None:
        block = reducers.reduce_block(block, request.reduce, request.min_stride)
    elif not downsampled:
        block = reducers.thin_block(block, request.min_stride)
    return _answer(block, request, allowance_bytes, remarks)


def answer_columns(columns: Mapping[str, ReducibleSeries], request: DataRequest) -> dict[str, Any]:
    """Turn the columns of the known fields of a request for a reducer into the reply of ``get_data``.

    The same as :func:`answer` of all samples, in the time that the buckets take.

    Raises
    ------
    OverAllowance
        When the reply would cost its caller the connection.
    """
    reply = _answer(reduce_window(columns, request), request, None)
    # The original API has no reducers.
    assert reply is not False
    return reply


def _answer(
    block: DataBlock, request: DataRequest, allowance_bytes: int | None, remarks: Remarked | None = None
) -> dict[str, Any] | Literal[False]:
    # After the downsampling, so that all pages join to what one reply would have been.
    block, after = page_block(block, request.limit, request.after)
    reply = encode_data(block, request)
    if remarks and request.extended:
        reply["remarks"] = dict(remarks)
    if after is not None:
        reply["after"] = after
    return _within_allowance(reply, request, allowance_bytes)


def answer_spans(
    reductions: Sequence[Reduction | None], request: DataRequest, remarks: Remarked | None = None
) -> dict[str, Any]:
    """Turn the reductions of the fields of a request, in its order, into the reply of ``get_data``.

    Parameters
    ----------
    remarks
        What is to be told of some fields in words.

    Raises
    ------
    OverAllowance
        When the reply would cost its caller the connection.
    """
    reply = encode_reductions(reductions, request, remarks)
    size = encoded_size(reply)
    if size > EXTENDED_ALLOWANCE_BYTES:
        raise OverAllowance(size, EXTENDED_ALLOWANCE_BYTES)
    return reply


def answer_fields(catalogue: FieldCatalogue, limit: Any = None, after: Any = None) -> list[dict[str, Any]]:
    """Turn a catalogue into the reply of ``get_fields``, or into one page of it.

    Raises
    ------
    OverAllowance
        When the reply would cost its caller the connection.
    """
    paged = limit is not None or after is not None
    if paged:
        if not isinstance(after, str | None):
            raise BadRequest(f"'after' is {after!r:.80}, but must be the name of a field")
        catalogue = page_catalogue(catalogue, parse_limit(limit), after)
    reply = encode_catalogue(catalogue)
    size, allowance = encoded_size(reply), EXTENDED_ALLOWANCE_BYTES if paged else PLAIN_ALLOWANCE_BYTES
    if size > allowance:
        raise OverAllowance(size, allowance)
    return reply


def _within_allowance(
    reply: dict[str, Any], request: DataRequest, allowance_bytes: int | None
) -> dict[str, Any] | Literal[False]:
    allowance = allowance_bytes or (EXTENDED_ALLOWANCE_BYTES if request.extended else PLAIN_ALLOWANCE_BYTES)
    size = encoded_size(reply)
    if size <= allowance:
        return reply
    if request.extended:
        raise OverAllowance(size, allowance)
    return False


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
    # A page ends before the time that would be torn apart, unless that would leave nothing.
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

    # It has no bytes: these go to count(), which adds their length as base64.
    text = orjson.dumps(reply, default=count)
    in_json = len(text) + packed_bytes + LONGER_THAN_NULL * text.count(b"null") + text.count(b"e-")
    in_binary = len(msgpack.packb(reply)) + text.count(b",") + text.count(b":")
    return max(in_json, in_binary)
