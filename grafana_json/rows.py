"""Long rows, one a sample, as JSON or CSV: for the Infinity data source, its alert rules, and for people; pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, repeat
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from grafana_json.options import Options, parse_options, parse_switch
from grafana_json.replies import apart_us, encode
from grafana_json.requests import MOST_TARGETS, Query, Target, check_range, parse_max_points
from grafana_json.resolve import ResolvedTarget
from sisock.core import times
from sisock.core.errors import BadRequest
from sisock.core.model import Times, Values
from sisock.gateway.drawing.series import Series

MOST_ROWS = 200_000
# Other threads go on between so many.
_ROWS_AT_ONCE = 10_000
DEFAULT_SPAN_S = 3600.0
LAST = Options(reducer="last", connect=True, before=False)
FORMATS = {"json": "application/json", "csv": "text/csv"}
# Grafana leaves what it cannot fill in, such as $__interval_ms, as it stands.
_LITERAL_SIGN = "$"

Arguments = Mapping[str, Sequence[str]]
_Objects = NDArray[np.object_]
"""Cells, each some bytes."""


@dataclass(frozen=True)
class RowsRequest:
    """A request for rows.

    Parameters
    ----------
    format
        A key of ``FORMATS``.
    align
        Whether all series stand on one grid; None where that was left open, then several do.
    strict
        Whether anything that is missing makes an error.
    """

    query: Query
    format: str
    align: bool | None = None
    strict: bool = False

    def on_grid(self, resolved: Sequence[ResolvedTarget]) -> list[ResolvedTarget]:
        """Return the targets, to be drawn on a grid where that is wanted or where they have several series."""
        several = len({wanted for one in resolved for wanted in one.wanted}) > 1
        if not (several if self.align is None else self.align):
            return list(resolved)
        return [
            replace(one, target=replace(one.target, options=replace(one.target.options, align=True)))
            for one in resolved
        ]


def parse_rows(arguments: Arguments, now: float) -> RowsRequest:
    """Read the arguments of ``GET /rows``.

    Parameters
    ----------
    arguments
        The values of each: ``metric`` (several of them, or a list, or a pattern), ``from`` and ``to`` (milliseconds,
        ISO 8601, seconds before now as a number that isn't positive, or ``now-6h``), ``max_points``, ``reduce``,
        ``align``, ``every``, ``zone``, ``before``,
        ``strict``, ``format``.
    now
        UNIX seconds.
    """
    metrics = [text for text in arguments.get("metric", ()) if text.strip()]
    if not metrics:
        raise BadRequest("say what you want, as in /rows?metric=node::field&from=now-6h&to=now")
    if len(metrics) > MOST_TARGETS:
        raise BadRequest(f"{len(metrics)} metrics are too many: ask for {MOST_TARGETS} at most, or for a pattern")
    end = _instant(arguments, "to", now, now)
    start = _instant(arguments, "from", now, end - DEFAULT_SPAN_S)
    start, end = check_range(start, end)
    options = _options(arguments)
    targets = tuple(Target(text, "", "frame", options) for text in metrics)
    shape = _argument(arguments, "format") or "json"
    if shape not in FORMATS:
        raise BadRequest(f"the format is {shape[:60]!r}, but must be one of {', '.join(FORMATS)}")
    query = Query(start, end, parse_max_points(_argument(arguments, "max_points")), targets)
    align = _switch(arguments, "align") if _argument(arguments, "align") else None
    return RowsRequest(query, shape, align, _switch(arguments, "strict"))


def encode_rows(series: Sequence[Series], shape: str) -> bytes:
    """Return the samples of all series as rows, sorted by time.

    No row is an object of its own: whole columns are written, and then joined.
    """
    style = _STYLES[shape]
    filled = [one for one in series if one.times.size]
    if not filled:
        return style.nothing
    # Whole microseconds, apart within a series: who makes a table of the rows keeps one of equal times of each.
    time_us = np.concatenate([apart_us(np.rint(one.times * 1e3 * 1e3)) for one in filled])
    # Stable, so that series stand in their order wherever their times are equal.
    order = np.argsort(time_us, kind="stable")
    sizes = [one.times.size for one in filled]
    names = np.repeat(_objects([style.metric(one.wanted.target) for one in filled]), sizes)
    values = np.concatenate([_cells(one.values, style) for one in filled])
    some = [order[first : first + _ROWS_AT_ONCE] for first in range(0, order.size, _ROWS_AT_ONCE)]
    cells = ((_milliseconds(time_us[one]), names[one].tolist(), values[one].tolist()) for one in some)
    rows = (_join_columns(*columns, style.between) for columns in cells)
    return b"".join((style.head, style.between.join(rows), style.tail))


def _join_columns(times: list[bytes], names: list[bytes], values: list[bytes], between: bytes) -> bytes:
    cells = chain.from_iterable(zip(repeat(between), times, names, values, strict=False))
    return b"".join(islice(cells, 1, None))


def points_of_each(series_count: int, max_points: int | None) -> int | None:
    """Return how many points each of several series may have."""
    most = MOST_ROWS // max(series_count, 1)
    return most if max_points is not None and max_points > most else max_points


def _options(arguments: Arguments) -> Options:
    given = {name: _argument(arguments, name) for name in ("reduce", "every", "zone", "before")}
    if not any(given.values()):
        return LAST
    options = parse_options({"gaps": "connect"} | given | {"before": given["before"] or False})
    if options.problems:
        raise BadRequest(options.problems[0].replace("the payload's ", ""))
    # Panels draw extremes where no reducer is chosen; rows are the last values of buckets.
    return options if options.chosen else replace(options, reducer=LAST.reducer)


def _switch(arguments: Arguments, name: str) -> bool:
    try:
        return parse_switch(_argument(arguments, name))
    except ValueError as error:
        raise BadRequest(f"'{name}' {error}") from None


def _argument(arguments: Arguments, name: str) -> str:
    """Return the text of an argument; what Grafana left unfilled counts as not given."""
    text = next(iter(arguments.get(name, ())), "").strip()
    return "" if text.startswith(_LITERAL_SIGN) else text


def _instant(arguments: Arguments, name: str, now: float, default: float) -> float:
    text = _argument(arguments, name)
    if not text:
        return default
    if text == "now" or text.startswith("now-"):
        return now - (times.parse_duration(text[4:]) if text != "now" else 0.0)
    try:
        number = float(text)
    except ValueError:
        # A '+' of a zone that was not escaped reaches us as a space.
        return times.parse_iso8601(text.replace(" ", "+"))
    if not math.isfinite(number):
        raise BadRequest(f"'{name}' is {text[:60]!r}, but must be a time such as now-6h or 2026-11-21T23:39:47Z")
    return number / 1e3 if number > 0 else now + number


def _cells(values: Values, style: _Style) -> _Objects:
    """Return values as they stand in rows."""
    if values.dtype.kind in "fiu":
        cells = _objects(_numbers(values))
        cells[~np.isfinite(values)] = style.missing
        return cells
    # States are few texts many times over: each is written once.
    given = values.tolist()
    known = {value: style.missing if value is None else style.state(value) for value in set(given)}
    return _objects(list(map(known.__getitem__, given)))


def _milliseconds(time_us: Times) -> list[bytes]:
    """Return times as they stand in rows: whole milliseconds are whole numbers."""
    time_ms = time_us / 1e3
    if (time_ms == np.floor(time_ms)).all():
        return _numbers(time_ms.astype(np.int64))
    return [cell.removesuffix(b".0") for cell in _numbers(time_ms)]


def _numbers(values: Values) -> list[bytes]:
    return orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")


def _objects(cells: Sequence[bytes]) -> _Objects:
    objects = np.empty(len(cells), dtype=object)
    objects[:] = cells
    return objects


def _csv_cell(value: Any) -> bytes:
    """Return a text or a bool as a cell of CSV, in quotes where it needs them."""
    if isinstance(value, bool):
        return b"true" if value else b"false"
    text = str(value)
    if any(sign in text for sign in ',"\r\n'):
        text = '"' + text.replace('"', '""') + '"'
    return text.encode("utf-8", "replace")


@dataclass(frozen=True)
class _Style:
    """A way to write rows: what stands before, between and behind them, and their cells."""

    head: bytes
    between: bytes
    tail: bytes
    nothing: bytes
    missing: bytes
    metric: Callable[[str], bytes]
    state: Callable[[Any], bytes]


_STYLES: Mapping[str, _Style] = {
    "json": _Style(
        head=b'[{"time":',
        between=b'},{"time":',
        tail=b"}]",
        nothing=b"[]",
        missing=b"null",
        metric=lambda name: b',"metric":' + encode(name) + b',"value":',
        state=encode,
    ),
    "csv": _Style(
        head=b"time,metric,value\n",
        between=b"\n",
        tail=b"\n",
        nothing=b"time,metric,value\n",
        missing=b"",
        metric=lambda name: b"," + _csv_cell(name) + b",",
        state=_csv_cell,
    ),
}
