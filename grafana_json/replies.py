"""What Grafana's datasource plugins draw, made from series; points that were written before are not written again."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from grafana_json.requests import Target
from grafana_json.units import grafana_unit
from sisock.core.model import Times, Values
from sisock.core.times import format_duration
from sisock.gateway.drawing.series import Series
from sisock.gateway.tile_cache import Lru

PointsWriter = Callable[[Hashable, Times, Values], Any]
"""From the series' identity and its samples to what :func:`grafana_json.replies.encode` takes for its points."""

FEWEST = 64  # fewer are written as quickly as they are compared
MOSTLY = 0.9
OPENING = ord("[")
Entry = dict[str, Any]
TIME = "Time"  # as Grafana calls the times of series, so that all shapes join by it
TEXT_COLUMN = {"number": "number", "bool": "boolean", "string": "string"}


@dataclass(frozen=True, eq=False)
class _Written:
    """Points that were sent."""

    times: Times
    bits: NDArray[np.int64]
    text: bytes

    @cached_property
    def places(self) -> NDArray[np.intp]:
        """Where the text of each point begins, and after the last of them where the next one would."""
        return np.append(np.flatnonzero(np.frombuffer(self.text, np.uint8) == OPENING)[1:], len(self.text))

    @property
    def size_bytes(self) -> int:
        """The memory that it takes, places included."""
        return 3 * self.times.nbytes + len(self.text)


class PointCache:
    """Writes points and keeps those of each series that were written whole; not for use by several threads.

    Parameters
    ----------
    capacity_bytes
        The most that is kept.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self._kept = Lru(capacity_bytes)

    def write(self, series: Hashable, times: Times, values: Values) -> orjson.Fragment:
        """Return the points of a series, UNIX seconds and numbers, as a part of a document."""
        time_ms = apart_ms(times)
        if time_ms.size < FEWEST:
            return orjson.Fragment(_write(time_ms, values))
        bits = values.astype(np.float64).view(np.int64)  # so that NaN equals itself, and zero not minus zero
        kept: _Written | None = self._kept.get(series)
        low, high, shift = _common(kept, time_ms, bits) if kept is not None else (0, 0, 0)
        if kept is not None and high - low > MOSTLY * time_ms.size:
            same = memoryview(kept.text)[kept.places[low + shift] : kept.places[high + shift] - 1]
            before, behind = _write(time_ms[:low], values[:low]), _write(time_ms[high:], values[high:])
            opening = b"%b," % before[:-1] if low else b"["
            closing = b",%b" % behind[1:] if high < time_ms.size else b"]"
            return orjson.Fragment(b"".join((opening, same, closing)))
        written = _Written(time_ms, bits, _write(time_ms, values))
        self._kept.put(series, written, written.size_bytes)
        return orjson.Fragment(written.text)


def pairs(times: Times, values: Values) -> NDArray[np.float64]:
    """Return points as Grafana wants them, shape (n, 2): value and milliseconds."""
    return _pairs(apart_ms(times), values)


def milliseconds(times: Times) -> Times:
    """Return Grafana's times; rounded to microseconds, below which float64 can't tell times of today apart."""
    return np.rint(times * 1e3 * 1e3) / 1e3


def apart_ms(times: Times) -> Times:
    """Return Grafana's times of the samples of one series, ascending UNIX seconds, no two of them equal.

    Whoever joins series by time keeps one sample of equal times. So each is a microsecond after the one before at
    least.
    """
    return apart_us(np.rint(times * 1e3 * 1e3)) / 1e3


def apart_us(time_us: Times) -> Times:
    """Return whole microseconds, of which those that don't ascend are moved to one after the one before."""
    if time_us.size < 2 or (time_us[1:] > time_us[:-1]).all():  # noqa: PLR2004 - one sample is apart
        return time_us
    places = np.arange(time_us.size)
    apart: Times = np.maximum.accumulate(time_us - places) + places
    return apart


def _pairs(time_ms: Times, values: Values) -> NDArray[np.float64]:
    points = np.empty((time_ms.size, 2))
    points[:, 0] = values
    points[:, 1] = time_ms
    return points


def _write(time_ms: Times, values: Values) -> bytes:
    return orjson.dumps(_pairs(time_ms, values), option=orjson.OPT_SERIALIZE_NUMPY) if time_ms.size else b"[]"


def _common(kept: _Written, times: Times, bits: NDArray[np.int64]) -> tuple[int, int, int]:
    """Return the first and the end of the run of points about the middle one that is kept too, and how far away."""
    middle = times.size // 2
    shift = int(kept.times.searchsorted(times[middle])) - middle
    low, high = max(0, -shift), min(times.size, kept.times.size - shift)
    if not low <= middle < high:
        return 0, 0, 0
    there = slice(low + shift, high + shift)
    others = np.flatnonzero((times[low:high] != kept.times[there]) | (bits[low:high] != kept.bits[there])) + low
    position = int(others.searchsorted(middle))
    before = int(others[position - 1]) + 1 if position else low
    after = int(others[position]) if position < others.size else high
    return before, max(after, before), shift


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
