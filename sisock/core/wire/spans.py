"""The reply of ``get_data`` to a call with ``spans``: short enough to be sent for a few samples of many fields.

``{"statements": [[finalized_until, available_from, generation], ...], "series": [entry, ...]}`` with an entry for each
field in the order asked: None for one that is not known, else ``[number of its statement, dtype, [samples of each
span], times, values]``. Times and values are those of the spans one after the other and, at most, one sample more: the
newest of the window. Arrays are bytes, little-endian; texts are a list. Where the call had ``ahead``, a last number
among those of the spans counts what is wanted ahead, which follows the spans; -1 where that is not known. Where it had
``edge``, a list ``edges`` has for each field ``[number of samples before the start, dtype, times, values]``. Where the
node has something to tell of fields in words, ``"remarks": {field: [texts]}`` is there as well; and where a statement
does not hold for all spans of a field, ``"final": {field: [times]}``, until when each is final, and what an edge tells
is; None for all of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from sisock.core.errors import BadReply
from sisock.core.model import DataRequest, Span, Statement, Times, Values
from sisock.core.window.edge import MOST_FOLLOWING, Edge, join_edges
from sisock.core.window.remarks import Remarked, read_remarks
from sisock.core.window.spans import NO_SAMPLES, Reduction
from sisock.core.wire.values import as_values

TIME_DTYPE = "<f8"
LISTED = "list"
SPAN_DTYPES = {"<f8", "<i8", "|b1"}
UNKNOWN = -1


def spans_arguments(request: DataRequest) -> tuple[list[Any], dict[str, Any]]:
    """Return positional and keyword arguments of a call of ``get_data`` with spans; extensions only where used."""
    keywords: dict[str, Any] = {
        "min_stride": request.min_stride,
        "spans": [list(span) for span in request.spans or ()],
    }
    if request.reduce is not None:
        keywords["reduce"] = request.reduce
    if request.packed:
        keywords["packed"] = True
    if request.ahead:
        keywords["ahead"] = request.ahead
    if request.edge:
        keywords["edge"] = request.edge
        if request.before:
            keywords["before"] = True
    return [list(request.fields), request.start, request.end], keywords


def encode_reductions(
    reductions: Sequence[Reduction | None], request: DataRequest, remarks: Remarked | None = None
) -> dict[str, Any]:
    """Return the reply for the reductions of the fields of a request, in its order, and what is told of them."""
    # Most fields of a node have the same statement, which is then sent once.
    statements: dict[Statement, int] = {}
    ahead = request.ahead > 0
    series = [
        None if one is None else _encode(one, statements.setdefault(one.statement, len(statements)), ahead=ahead)
        for one in reductions
    ]
    reply: dict[str, Any] = {
        "statements": [_encode_statement(one, request.end) for one in statements],
        "series": series,
    }
    finals = {
        name: [_encode_final(final) for final in one.final]
        for name, one in zip(request.fields, reductions, strict=True)
        if one is not None and one.final
    }
    if request.edge:
        reply["edges"] = [one and _encode_edge(one.edge) for one in reductions]
    # Left out where empty, as they nearly always are: a reply for many fields is to be short.
    further = {"final": finals, "remarks": dict(remarks or {})}
    return {**reply, **{key: content for key, content in further.items() if content}}


def _encode(reduction: Reduction, statement: int, *, ahead: bool) -> list[Any]:
    parts = [*reduction.samples, reduction.ahead or NO_SAMPLES] if ahead else [*reduction.samples]
    runs = [*parts, reduction.newest]
    times = np.concatenate([times for times, _ in runs])
    # Without the empty parts, which have no type of their own and would make floats of whole numbers.
    filled = [values for _, values in runs if values.size] or [np.empty(0)]
    values = filled[0] if len(filled) == 1 else np.concatenate(filled)
    counts = [int(times.size) for times, _ in parts]
    if ahead and reduction.ahead is None:
        counts[-1] = UNKNOWN
    return [statement, _dtype_of(values), counts, times.astype(TIME_DTYPE).tobytes(), _encode_values(values)]


def _encode_edge(edge: Edge | None) -> list[Any] | None:
    """Return how many samples are before the start, -1 where that is not known, the dtype, times and values."""
    if edge is None:
        return None
    times, values = edge.following if edge.before is None else join_edges(edge.before, edge.following)
    known = UNKNOWN if edge.before is None else int(edge.before[0].size)
    return [known, _dtype_of(values), times.astype(TIME_DTYPE).tobytes(), _encode_values(values)]


def _dtype_of(values: Values) -> str:
    return values.dtype.newbyteorder("<").str if values.dtype.kind in "fib" else LISTED


def _encode_values(values: Values) -> Any:
    if values.dtype.kind not in "fib":
        return values.tolist()
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def _encode_statement(statement: Statement, end: float) -> list[Any]:
    final, oldest = float(statement.finalized_until), float(statement.available_from)
    return [None if final >= end else max(final, 0.0), oldest if math.isfinite(oldest) else None, statement.generation]


def _encode_final(final: float) -> float | None:
    return None if final == math.inf else max(final, 0.0)


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
        reductions = {name: _decode(entry, statements, request) for name, entry in entries if entry is not None}
        edges = dict(zip(request.fields, reply["edges"], strict=True)) if request.edge and "edges" in reply else {}
        finals = reply.get("final") or {}
        return {
            name: replace(
                one,
                edge=_decode_edge(edges.get(name), request),
                final=_decode_finals(finals.get(name), len(one.samples) + bool(request.edge)),
            )
            for name, one in reductions.items()
        }
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise BadReply(f"the answer to 'get_data' with spans cannot be read ({error})") from None


def decode_remarks(reply: Any, request: DataRequest) -> dict[str, tuple[str, ...]]:
    """Return what a reply tells of fields in words; most tell nothing."""
    remarks = reply.get("remarks") if isinstance(reply, Mapping) else None
    return read_remarks(remarks, request.fields) if remarks else {}


def _decode_statement(entry: Any) -> Statement:
    final, oldest, generation = entry
    # A NaN would pass every comparison the wrong way, and be kept as final or never be.
    if math.isnan(final or 0.0) or math.isnan(oldest or 0.0):
        raise ValueError("it states a time that is no number")
    return Statement(
        finalized_until=math.inf if final is None else float(final),
        available_from=-math.inf if oldest is None else float(oldest),
        generation=None if generation is None else str(generation),
    )


def _decode(entry: Any, statements: Sequence[Statement], request: DataRequest) -> Reduction:
    number, dtype, counts, time_bytes, given = entry
    times: Times = np.frombuffer(time_bytes, dtype=TIME_DTYPE)
    values = _decode_values(dtype, given)
    unknown = bool(request.ahead) and counts[-1:] == [UNKNOWN]
    if unknown:
        counts = [*counts[:-1], 0]
    edges = [0, *np.cumsum(np.asarray(counts, dtype=np.int64)).tolist()]
    spare = times.size - edges[-1]
    wanted = len(request.spans or ()) + bool(request.ahead)
    # Checked before they are cut: a slice beyond the end is short without a word.
    if len(values) != times.size or len(counts) != wanted or min(counts, default=0) < 0:
        raise ValueError("its arrays are not as long as it says")
    if spare not in (0, 1):
        raise ValueError("it has more than one newest sample")
    runs: list[Any] = [(times[low:high], values[low:high]) for low, high in pairwise(edges)]
    newest = (times[-1:], values[-1:]) if spare else NO_SAMPLES
    *samples, ahead = runs if request.ahead else (*runs, None)
    return Reduction(tuple(samples), newest, statements[number], None if unknown else ahead)


def _decode_finals(given: Any, count: int) -> tuple[float, ...]:
    if given is None:
        return ()
    finals = tuple(math.inf if final is None else float(final) for final in given)
    if len(finals) != count or any(map(math.isnan, finals)):
        raise ValueError("it does not state of each span until when it is final")
    return finals


def _decode_edge(entry: Any, request: DataRequest) -> Edge | None:
    if entry is None:
        return None
    count, dtype, time_bytes, given = entry
    times: Times = np.frombuffer(time_bytes, dtype=TIME_DTYPE)
    values = _decode_values(dtype, given)
    if len(values) != times.size or not UNKNOWN <= count <= 1 or times.size > MOST_FOLLOWING + 2:
        raise ValueError("an edge is not as long as it says")
    place = max(count, 0)
    before = None if count == UNKNOWN else (times[:place], values[:place])
    edge = Edge(before, (times[place:], values[place:]))
    if not is_edge_of(edge, (request.start, request.end)):
        raise ValueError("an edge is not at the window's start")
    return edge


def is_edge_of(edge: Edge, window: Span) -> bool:
    """Tell whether samples ascend and lie where they are said to: before a window's start, and inside it."""
    (start, end), times = window, edge.following[0]
    if edge.before is not None and edge.before[0].size and not edge.before[0][-1] < start:
        return False
    if times.size and not (start <= times[0] and times[-1] < end):
        return False
    return bool((times[1:] >= times[:-1]).all())


def _decode_values(dtype: Any, given: Any) -> Values:
    if dtype == LISTED:
        return as_values(given, None)
    if dtype not in SPAN_DTYPES:
        raise ValueError(f"the dtype {dtype!r:.20} is unknown")
    return np.frombuffer(given, dtype=dtype)
