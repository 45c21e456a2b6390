"""Requests as they travel: the arguments of ``get_data``, made by consumers and read by nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sisock.core import times
from sisock.core.errors import BadRequest
from sisock.core.model import DataRequest, Span
from sisock.core.reduce import reducers
from sisock.core.times import check_number, to_unix
from sisock.core.window.spans import check_spans


def request_arguments(request: DataRequest) -> tuple[list[Any], dict[str, Any]]:
    """Return positional and keyword arguments of a call of ``get_data`` without spans; extensions only where used."""
    # This one alone is of the original API, whose nodes refuse all others.
    keywords: dict[str, Any] = {"min_stride": request.min_stride}
    for name in ("reduce", "limit", "after"):
        value = getattr(request, name)
        if value is not None:
            keywords[name] = value
    if request.packed:
        keywords["packed"] = True
    return [list(request.fields), request.start, request.end], keywords


def decode_fields_argument(field: Any) -> tuple[str, ...]:
    """Read the list of fields of a call of ``get_data``; a single name is a list of one, None of none."""
    names = [] if field is None else [field] if isinstance(field, str) else field
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise BadRequest("'field' must be a list of field names")
    return tuple(dict.fromkeys(names))


def parse_spans(spans: Any, start: float, end: float, now: float) -> tuple[Span, ...]:
    """Read the argument ``spans`` of a call; raise BadRequest for what are no spans inside [start, end)."""
    whole = isinstance(spans, list | tuple) and all(isinstance(one, list | tuple) and len(one) == 2 for one in spans)  # noqa: PLR2004 - a pair
    if not whole:
        raise BadRequest("'spans' must be a list of pairs [start, end]")
    return check_spans([(to_unix(low, now), to_unix(high, now)) for low, high in spans], start, end)


def parse_seconds(given: Any, name: str, spans: Any) -> float:
    """Read an argument of a call with spans, seconds; raise BadRequest for what is none, or stands alone."""
    seconds = check_number(0.0 if given is None else given, f"'{name}'")
    if seconds < 0 or (seconds and spans is None):
        raise BadRequest(f"'{name}' must be seconds, zero or more, and goes with 'spans'")
    return seconds


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

    Raises BadRequest, which names the argument and what it must be.
    """
    start, end = times.resolve_span(start, end, now)
    # Zero, too, asks for every sample.
    stride = times.check_stride(min_stride) if min_stride else None
    _check_extensions(stride, reduce, spans, is_paged=limit is not None or after is not None)
    return DataRequest(
        fields=decode_fields_argument(field),
        start=start,
        end=end,
        min_stride=stride,
        reduce=reduce,
        packed=bool(packed),
        limit=parse_limit(limit),
        after=None if after is None else times.to_unix(after, now),
        spans=None if spans is None else parse_spans(spans, start, end, now),
        ahead=parse_seconds(ahead, "ahead", spans),
        edge=parse_seconds(edge, "edge", spans),
        before=bool(before),
    )


def _check_extensions(stride: float | None, reduce: Any, spans: Any, *, is_paged: bool) -> None:
    """Raise BadRequest for arguments that do not go with one another, or for a reducer that does not exist."""
    if reduce is not None:
        reducers.find_reducer(reduce)
        if stride is None:
            raise BadRequest("'reduce' needs a min_stride: the spacing, in seconds, that is fine enough")
    if spans is not None and (reduce is None or is_paged):
        raise BadRequest("'spans' needs a reducer in 'reduce', and cannot be paged")


def parse_limit(limit: Any) -> int | None:
    """Check a page's length: None, or a positive whole number."""
    # True is a whole number to isinstance().
    if limit is None or (isinstance(limit, int) and not isinstance(limit, bool) and limit > 0):
        return limit
    raise BadRequest(f"'limit' is {limit!r}, but must be a positive whole number")
