"""Entries of replies, as Grafana's datasource plugins draw them; points are written once and then copied."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from grafana_json.options import PANEL_UNITS, Options
from grafana_json.requests import Target
from grafana_json.units import grafana_unit
from sisock.core.model import Times, Values
from sisock.core.times import format_duration
from sisock.gateway.drawing.planner import GRID_REDUCER, SeriesWanted
from sisock.gateway.drawing.series import Series
from sisock.gateway.tile_cache import Lru

PointsWriter = Callable[[Hashable, Times, Values], Any]
"""From the series' identity and its samples to what :func:`grafana_json.replies.encode` takes for its points."""

# Fewer are written as quickly as they are compared.
FEWEST = 64
# Of the points: with less in common, all are written anew, so that what is kept follows the window.
MOSTLY = 0.9
OPENING = ord("[")
Entry = dict[str, Any]
# As Grafana calls the times of series, so that all shapes join by it.
TIME = "Time"
TEXT_COLUMN = {"number": "number", "bool": "boolean", "string": "string"}


@dataclass(frozen=True, eq=False)
class _Written:
    """Points of a series as they were sent."""

    times: Times
    bits: NDArray[np.int64]
    text: bytes

    @cached_property
    def places(self) -> NDArray[np.intp]:
        """The places where the text of each point begins, and after the last of them where the next one would."""
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
        # As bits, so that NaN equals itself, and zero not minus zero.
        bits = values.astype(np.float64).view(np.int64)
        kept: _Written | None = self._kept.get(series)
        low, high, shift = _common(kept, time_ms, bits) if kept is not None else (0, 0, 0)
        if kept is not None and high - low > MOSTLY * time_ms.size:
            # Without the comma, or the closing bracket, behind the last point that is the same.
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
    # With its place taken away from each time, "at least one apart" is "never falling": a running maximum.
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
    # Windows move on at their ends, so what is common is about the middle. Where that time is not kept, few points are
    # found to be the same, and all are written.
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
    """A text for the viewer of a panel, under the triangle in its corner."""

    severity: str
    text: str


def encode(reply: Any) -> bytes:
    """Return a reply as JSON."""
    try:
        return orjson.dumps(reply, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError:
        # A text that is no Unicode: nodes choose their names and values freely.
        return orjson.dumps(_readable(reply), option=orjson.OPT_SERIALIZE_NUMPY)


def error_reply(status: int, message: str) -> bytes:
    """Return the body of an error such that Grafana shows the message."""
    return encode({"message": message, "error": {"code": str(status), "message": message}})


def as_pairs(_: Hashable, times: Times, values: Values) -> Any:
    """Return points as an array, which is written with the reply."""
    return pairs(times, values)


@dataclass(frozen=True)
class _Heading:
    """The legend of a series, Grafana's id of its unit, and the notices that go with it."""

    legend: str
    unit: str | None
    notices: Sequence[Notice]


def series_entry(
    target: Target,
    series: Series,
    notices: Sequence[Notice] = (),
    ending: str = "",
    points: PointsWriter = as_pairs,
) -> Entry:
    """Return the entry of one series, in the shape that the target's client draws.

    Parameters
    ----------
    notices
        Those of the target, which come before the series' own.
    ending
        Of the legend.
    points
        Writes the points of a line.
    """
    options = target.options
    units = shown_units(options, series.units)
    name = legend(options, series.wanted, units or series.units) + ending
    heading = _Heading(name, grafana_unit(units), (*notices, *_notices(target, series)))
    if target.kind == "table":
        return _table(target, series, heading)
    if target.kind == "frame" and series.type != "number":
        return _frame(target, series, heading)
    # Whatever changes all points at once is in the identity; the ends of the window may move.
    identity = (series.wanted, options.reducer, ending, series.bucket_s)
    return _line(target, series, heading, partial(points, identity))


def shown_units(options: Options, own: str | None) -> str | None:
    """Return the units that a series of these units is drawn in; None when that is the panel's choice."""
    return None if options.units == PANEL_UNITS else options.units or own


def legend(options: Options, wanted: SeriesWanted, units: str | None) -> str:
    """Return the legend of a series."""
    if not options.alias:
        return wanted.target
    filled = options.alias.replace("{node}", wanted.node).replace("{field}", wanted.field)
    return filled.replace("{units}", units or "")


def notice_entry(target: Target, severity: str, text: str) -> Entry:
    """Return the entry of a target without series: a triangle with the text."""
    return notices_entry(target, [Notice(severity, text)])


def notices_entry(target: Target, notices: Sequence[Notice]) -> Entry:
    """Return the entry of a target without series: a triangle with all notices."""
    meta = _meta(notices)
    if target.kind == "frame":
        return {"refId": target.ref_id, "fields": [], "meta": meta}
    if target.kind == "table":
        return {"type": "table", "columns": [], "rows": [], "refId": target.ref_id, "meta": meta}
    return {"target": target.text, "datapoints": [], "refId": target.ref_id, "meta": meta}


def with_notices(entry: Entry, notices: Sequence[Notice]) -> Entry:
    """Return an entry with notices, where there are any."""
    return entry | ({"meta": _meta(notices)} if notices else {})


def _notices(target: Target, series: Series) -> Iterator[Notice]:
    yield from (Notice("warning", text) for text in series.notices)
    if series.bucket_s and (target.options.notices or target.kind == "table"):
        yield Notice("info", _decimation(target.options, series.bucket_s))
    if series.problem:
        yield Notice("error", series.problem)


def _decimation(options: Options, bucket_s: float) -> str:
    reducer = options.effective_reducer
    peaks = "; max keeps peaks" if options.aligns and not options.chosen and reducer == GRID_REDUCER else ""
    return f"drawn from {format_duration(bucket_s)} buckets ({reducer}{peaks})"


def _line(target: Target, series: Series, heading: _Heading, points: Callable[[Times, Values], Any]) -> Entry:
    # Only the legacy plugin comes here with texts: it takes numbers, unless its query is a table's.
    if series.type == "string" and series.times.size:
        text = f"'{series.wanted.target}' is text, which this query cannot draw: set its format to Table"
        return notice_entry(target, "warning", text)
    written = points(series.times, series.values)
    entry = {"target": heading.legend, "title": heading.legend, "datapoints": written, "refId": target.ref_id}
    return with_notices(_with_unit(entry, heading), heading.notices)


def _table(target: Target, series: Series, heading: _Heading) -> Entry:
    column = {"text": heading.legend, "type": TEXT_COLUMN[series.type]}
    entry = {
        "type": "table",
        "columns": [{"text": TIME, "type": "time"}, _with_unit(column, heading)],
        "rows": _rows(series),
        "refId": target.ref_id,
    }
    return with_notices(entry, heading.notices)


def _rows(series: Series) -> Any:
    times = apart_ms(series.times)
    if series.type == "number":
        return np.column_stack((times, series.values.astype(np.float64)))
    return list(zip(times.tolist(), series.values.tolist(), strict=True))


def _frame(target: Target, series: Series, heading: _Heading) -> Entry:
    values: Entry = {
        "name": heading.legend,
        "type": TEXT_COLUMN[series.type],
        "values": series.values.tolist(),
        "config": _with_unit({"displayName": heading.legend}, heading),
    }
    entry = {
        "fields": [{"name": TIME, "type": "time", "values": apart_ms(series.times)}, values],
        "refId": target.ref_id,
        "name": heading.legend,
    }
    return with_notices(entry, heading.notices)


def _with_unit(entry: Entry, heading: _Heading) -> Entry:
    return entry | ({"unit": heading.unit} if heading.unit else {})


def _meta(notices: Iterable[Notice]) -> Entry:
    """Return one notice a severity, for Grafana shows only the last of each."""
    texts: dict[str, dict[str, None]] = {}
    # A dict keeps their order, and each text once.
    for notice in notices:
        texts.setdefault(notice.severity, {})[notice.text] = None
    return {"notices": [{"severity": severity, "text": "; ".join(one)} for severity, one in texts.items()]}


def _readable(value: Any) -> Any:
    """Return a reply with what is no Unicode in its texts replaced."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_readable(key): _readable(entry) for key, entry in value.items()}
    return [_readable(entry) for entry in value] if isinstance(value, list | tuple) else value
