"""What every data node guarantees around its samples: the span, the order, the downsampling, the size of a reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from sisock.core import downsample, times, wire, wire_spans
from sisock.core.errors import BadRequest, OverAllowance
from sisock.core.model import DataBlock, DataRequest, FieldCatalogue
from sisock.core.reduction import Reduction, reduce_window
from sisock.core.remarks import Told
from sisock.core.series import Series

MIB = 2**20
PLAIN_ALLOWANCE_BYTES = 1 * MIB - 4096  # other people's clients drop their connection at 1 MiB; leave room to wrap it
EXTENDED_ALLOWANCE_BYTES = 12 * MIB  # below the 16 MiB at which a router with default settings drops a connection


def parse_request(
    field: Any,
    start: Any,
    end: Any,
    min_stride: Any = None,
    now: float = 0.0,
    *,
    reduce: Any = None,
    packed: Any = False,
    limit: Any = None,
    after: Any = None,
    spans: Any = None,
    ahead: Any = None,
    edge: Any = None,
    before: Any = False,
) -> DataRequest:
    """Check the arguments of a call of ``get_data`` and resolve its sisock times at ``now``, UNIX seconds.

    Raises
    ------
    BadRequest
        Naming the argument, and what it must be.
    """
    start, end = times.resolve_span(start, end, now)
    stride = times.check_stride(min_stride) if min_stride else None
    if reduce is not None:
        downsample.find_reducer(reduce)
        if stride is None:
            raise BadRequest("'reduce' needs a min_stride: the spacing, in seconds, that is fine enough")
    if spans is not None and (reduce is None or limit is not None or after is not None):
        raise BadRequest("'spans' needs a reducer in 'reduce', and cannot be paged")
    return DataRequest(
        fields=wire.decode_fields_argument(field),
        start=start,
        end=end,
        min_stride=stride,
        reduce=reduce,
        packed=bool(packed),
        limit=parse_limit(limit),
        after=None if after is None else times.to_unix(after, now),
        spans=None if spans is None else wire_spans.parse_spans(spans, start, end, now),
        ahead=wire_spans.parse_seconds(ahead, "ahead", spans),
        edge=wire_spans.parse_seconds(edge, "edge", spans),
        before=bool(before),
    )


def parse_limit(limit: Any) -> int | None:
    """Check a page's length: None, or a positive whole number."""
    if limit is None or (isinstance(limit, int) and not isinstance(limit, bool) and limit > 0):
        return limit
    raise BadRequest(f"'limit' is {limit!r}, but must be a positive whole number")


def answer(
    block: DataBlock,
    request: DataRequest,
    *,
    downsampled: bool = False,
    allowance_bytes: int | None = None,
    remarks: Told | None = None,
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
    block = replace(
        block, timelines={name: one.within(request.start, request.end) for name, one in block.timelines.items()}
    )
    if request.reduce is not None and request.min_stride is not None:
        block = downsample.reduce_block(block, request.reduce, request.min_stride)
    elif not downsampled:
        block = downsample.thin_block(block, request.min_stride)
    return _answer(block, request, allowance_bytes, remarks)


def answer_columns(columns: Mapping[str, Series], request: DataRequest) -> dict[str, Any]:
    """Turn the columns of the known fields of a request for a reducer into the reply of ``get_data``.

    The same as :func:`answer` of all samples, in the time that the buckets take.

    Raises
    ------
    OverAllowance
        When the reply would cost its caller the connection.
    """
    reply = _answer(reduce_window(columns, request), request, None)
    assert reply is not False  # the original API has no reducers
    return reply


def _answer(
    block: DataBlock, request: DataRequest, allowance_bytes: int | None, remarks: Told | None = None
) -> dict[str, Any] | Literal[False]:
    block, after = wire.page_block(block, request.limit, request.after)
    reply = wire.encode_data(block, request)
    if remarks and request.extended:
        reply["remarks"] = dict(remarks)
    if after is not None:
        reply["after"] = after
    return _within_allowance(reply, request, allowance_bytes)


def answer_spans(
    reductions: Sequence[Reduction | None], request: DataRequest, remarks: Told | None = None
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
    reply = wire_spans.encode_reductions(reductions, request, remarks)
    size = wire.encoded_size(reply)
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
        catalogue = wire.page_catalogue(catalogue, parse_limit(limit), after)
    reply = wire.encode_catalogue(catalogue)
    size, allowance = wire.encoded_size(reply), EXTENDED_ALLOWANCE_BYTES if paged else PLAIN_ALLOWANCE_BYTES
    if size > allowance:
        raise OverAllowance(size, allowance)
    return reply


def _within_allowance(
    reply: dict[str, Any], request: DataRequest, allowance_bytes: int | None
) -> dict[str, Any] | Literal[False]:
    allowance = allowance_bytes or (EXTENDED_ALLOWANCE_BYTES if request.extended else PLAIN_ALLOWANCE_BYTES)
    size = wire.encoded_size(reply)
    if size <= allowance:
        return reply
    if request.extended:
        raise OverAllowance(size, allowance)
    return False
