"""The reply of ``get_data`` to a call with ``spans``: short enough to be sent for a few samples of many fields.

``{"statements": [[finalized_until, available_from, generation], ...], "series": [entry, ...]}`` with an entry for each
field in the order asked: None for one that is not known, else ``[number of its statement, dtype, [samples of each
span], times, values]``. Times and values are those of the spans one after the other and, at most, one sample more: the
newest of the window. Arrays are bytes, little-endian; texts are a list.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from sisock.core.errors import BadReply, BadRequest
from sisock.core.model import DataRequest, Span, Statement, Times, Values
from sisock.core.reduction import NO_SAMPLES, Reduction, check_spans
from sisock.core.times import to_unix
from sisock.core.values import as_values

TIME_DTYPE = "<f8"
LISTED = "list"
DTYPES = {"<f8", "<i8", "|b1"}
ENTRY_LENGTH = 5
STATEMENT_LENGTH = 3


def parse_spans(spans: Any, start: float, end: float, now: float) -> tuple[Span, ...]:
    """Read the argument ``spans`` of a call; raise BadRequest for what are no spans inside [start, end)."""
    whole = isinstance(spans, list | tuple) and all(isinstance(one, list | tuple) and len(one) == 2 for one in spans)  # noqa: PLR2004 - a pair
    if not whole:
        raise BadRequest("'spans' must be a list of pairs [start, end]")
    return check_spans([(to_unix(low, now), to_unix(high, now)) for low, high in spans], start, end)


def encode_reductions(reductions: Sequence[Reduction | None], request: DataRequest) -> dict[str, Any]:
    """Return the reply for the reductions of the fields of a request, in its order."""
    statements: dict[Statement, int] = {}
    series = [
        None if one is None else _encode(one, statements.setdefault(one.statement, len(statements)))
        for one in reductions
    ]
    return {"statements": [_encode_statement(one, request.end) for one in statements], "series": series}


def _encode(reduction: Reduction, statement: int) -> list[Any]:
    pieces = [*reduction.pieces, reduction.newest]
    times = np.concatenate([times for times, _ in pieces])
    filled = [values for _, values in pieces if values.size] or [np.empty(0)]
    values = filled[0] if len(filled) == 1 else np.concatenate(filled)
    counts = [int(times.size) for times, _ in reduction.pieces]
    if values.dtype.kind not in "fib":
        return [statement, LISTED, counts, times.astype(TIME_DTYPE).tobytes(), values.tolist()]
    little_endian = values.astype(values.dtype.newbyteorder("<"), copy=False)
    return [statement, little_endian.dtype.str, counts, times.astype(TIME_DTYPE).tobytes(), little_endian.tobytes()]


def _encode_statement(statement: Statement, end: float) -> list[Any]:
    final, oldest = float(statement.finalized_until), float(statement.available_from)
    return [None if final >= end else max(final, 0.0), oldest if math.isfinite(oldest) else None, statement.generation]


def decode_reductions(reply: Any, request: DataRequest) -> dict[str, Reduction]:
    """Read a reply; return the reduction of each field that the node knows.

    ``finalized_until`` is +inf where the node calls all of the window final.

    Raises
    ------
    BadReply
        When the reply does not fit the request.
    """
    try:
        statements = [_decode_statement(one) for one in reply["statements"]]
        entries = zip(request.fields, reply["series"], strict=True)
        return {name: _decode(entry, statements, request) for name, entry in entries if entry is not None}
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise BadReply(f"the answer to 'get_data' with spans cannot be read ({error})") from None


def _decode_statement(entry: Any) -> Statement:
    final, oldest, generation = entry
    return Statement(
        math.inf if final is None else float(final),
        -math.inf if oldest is None else float(oldest),
        None if generation is None else str(generation),
    )


def _decode(entry: Any, statements: Sequence[Statement], request: DataRequest) -> Reduction:
    number, dtype, counts, time_bytes, given = entry
    times: Times = np.frombuffer(time_bytes, dtype=TIME_DTYPE)
    values = _decode_values(dtype, given)
    edges = [0, *np.cumsum(np.asarray(counts, dtype=np.int64)).tolist()]
    spare = times.size - edges[-1]
    if len(values) != times.size or len(counts) != len(request.spans or ()) or min(counts, default=0) < 0:
        raise ValueError("its arrays are not as long as it says")
    if spare not in (0, 1):
        raise ValueError("it has more than one newest sample")
    pieces = tuple((times[low:high], values[low:high]) for low, high in pairwise(edges))
    newest = (times[-1:], values[-1:]) if spare else NO_SAMPLES
    return Reduction(pieces, newest, statements[number])


def _decode_values(dtype: Any, given: Any) -> Values:
    if dtype == LISTED:
        return as_values(given, None)
    if dtype not in DTYPES:
        raise ValueError(f"the dtype {dtype!r:.20} is unknown")
    return np.frombuffer(given, dtype=dtype)
