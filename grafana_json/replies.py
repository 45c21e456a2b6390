"""What Grafana's datasource plugins draw, made from series; pure.

Large arrays go to JSON as they are, without a Python object for each point: NaN and infinities become null.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import orjson

from grafana_json.points import PointsWriter, apart_ms, pairs
from grafana_json.requests import Target
from grafana_json.units import grafana_unit
from sisock.core.model import Times, Values
from sisock.core.times import format_duration
from sisock.gateway.drawing.series import Series

Entry = dict[str, Any]
TIME = "Time"  # as Grafana calls the times of series, so that all shapes join by it
TEXT_COLUMN = {"number": "number", "bool": "boolean", "string": "string"}


@dataclass(frozen=True)
class Notice:
    """Something that a panel tells its viewer, as a triangle in its corner."""

    severity: str
    text: str


def encode(reply: Any) -> bytes:
    """Return a reply as JSON."""
    try:
        return orjson.dumps(reply, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError:  # a text that is no Unicode: nodes choose their names and values freely
        return orjson.dumps(_readable(reply), option=orjson.OPT_SERIALIZE_NUMPY)


def error_reply(status: int, message: str) -> bytes:
    """Return the body of an error such that Grafana shows the message."""
    return encode({"message": message, "error": {"code": str(status), "message": message}})


def as_pairs(_: Hashable, times: Times, values: Values) -> Any:
    """Return points as an array, which is written with the reply."""
    return pairs(times, values)


def series_entry(
    target: Target,
    series: Series,
    said: Sequence[Notice] = (),
    ending: str = "",
    points: PointsWriter = as_pairs,
) -> Entry:
    """Return what a target's query gets for one series, in the shape that its client draws.

    Parameters
    ----------
    said
        What is to be said besides what the series says.
    ending
        Put behind the legend.
    points
        Writes the points of a line.
    """
    notices = [*said, *(Notice("warning", text) for text in series.notices)]
    if series.bucket_s and (target.options.notices or target.kind == "table"):
        notices.append(Notice("info", _decimation(target, series.bucket_s)))
    if series.problem:
        notices.append(Notice("error", series.problem))
    name = target.options.label(series.wanted, target.options.units_of(series.units) or series.units) + ending
    shape = _shape_of(target, series)
    if shape == "series":
        identity = (series.wanted, target.options.reducer, ending, series.bucket_s)
        return _series(target, series, name, notices, partial(points, identity))
    return _SHAPES[shape](target, series, name, notices)


def notice_entry(target: Target, severity: str, text: str) -> Entry:
    """Return what the query of a target without series gets: a triangle with the text."""
    return notices_entry(target, [Notice(severity, text)])


def notices_entry(target: Target, notices: Sequence[Notice]) -> Entry:
    """Return what the query of a target without series gets: a triangle with all that is to be said."""
    meta = _meta(notices)
    if target.kind == "frame":
        return {"refId": target.ref_id, "fields": [], "meta": meta}
    if target.kind == "table":
        return {"type": "table", "columns": [], "rows": [], "refId": target.ref_id, "meta": meta}
    return {"target": target.text, "datapoints": [], "refId": target.ref_id, "meta": meta}


def with_notices(entry: Entry, notices: Sequence[Notice]) -> Entry:
    """Return an entry with what is to be said, if anything is."""
    return entry | ({"meta": _meta(notices)} if notices else {})


def _decimation(target: Target, bucket_s: float) -> str:
    options = target.options
    peaks = "; max keeps peaks" if options.aligns and not options.chosen and options.drawn_reducer == "mean" else ""
    return f"drawn from {format_duration(bucket_s)} buckets ({options.drawn_reducer}{peaks})"


def _unit(target: Target, series: Series) -> str | None:
    return grafana_unit(target.options.units_of(series.units))


def _shape_of(target: Target, series: Series) -> str:
    if target.kind == "table":
        return "table"
    return "frame" if target.kind == "frame" and series.type != "number" else "series"


def _series(
    target: Target, series: Series, name: str, notices: list[Notice], points: Callable[[Times, Values], Any]
) -> Entry:
    if series.type == "string" and series.times.size:
        text = f"'{series.wanted.target}' is text, which this query cannot draw: set its format to Table"
        return notice_entry(target, "warning", text)
    written = points(series.times, series.values)
    entry = {"target": name, "title": name, "datapoints": written, "refId": target.ref_id}
    return _labelled(entry, _unit(target, series), notices)


def _table(target: Target, series: Series, name: str, notices: list[Notice]) -> Entry:
    column = {"text": name, "type": TEXT_COLUMN[series.type]}
    entry = {
        "type": "table",
        "columns": [{"text": TIME, "type": "time"}, _labelled(column, _unit(target, series), [])],
        "rows": _rows(series),
        "refId": target.ref_id,
    }
    return with_notices(entry, notices)


def _rows(series: Series) -> Any:
    times = apart_ms(series.times)
    if series.type == "number":
        return np.column_stack((times, series.values.astype(np.float64)))
    return list(zip(times.tolist(), series.values.tolist(), strict=True))


def _frame(target: Target, series: Series, name: str, notices: list[Notice]) -> Entry:
    unit = _unit(target, series)
    values: Entry = {
        "name": name,
        "type": TEXT_COLUMN[series.type],
        "values": series.values.tolist(),
        "config": {"displayName": name} | ({"unit": unit} if unit else {}),
    }
    entry = {
        "fields": [{"name": TIME, "type": "time", "values": apart_ms(series.times)}, values],
        "refId": target.ref_id,
        "name": name,
    }
    return with_notices(entry, notices)


_SHAPES: Mapping[str, Callable[[Target, Series, str, list[Notice]], Entry]] = {
    "table": _table,
    "frame": _frame,
}


def _labelled(entry: Entry, unit: str | None, notices: list[Notice]) -> Entry:
    """Add the unit and the notices, where there are any."""
    return with_notices(entry | ({"unit": unit} if unit else {}), notices)


def _meta(notices: Iterable[Notice]) -> Entry:
    """Return one notice a severity, for Grafana shows only the last of each."""
    texts: dict[str, dict[str, None]] = {}
    for notice in notices:
        texts.setdefault(notice.severity, {})[notice.text] = None
    return {"notices": [{"severity": severity, "text": "; ".join(said)} for severity, said in texts.items()]}


def _readable(value: Any) -> Any:
    """Return a reply with what is no Unicode in its texts replaced."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_readable(key): _readable(entry) for key, entry in value.items()}
    return [_readable(entry) for entry in value] if isinstance(value, list | tuple) else value
