"""Requests of Grafana's datasource plugins as dataclasses; pure."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal

import orjson

from grafana_json.filters import NONE, Filters, parse_filters
from grafana_json.options import NO_OPTIONS, Options, parse_options, parse_zone
from sisock.core import times
from sisock.core.errors import BadRequest

_SECOND_MS, _MINUTE_MS, _HOUR_MS, _DAY_MS = 1e3, 6e4, 3.6e6, 8.64e7
_NEAREST_MS = (
    *(10.0, 20.0, 50.0, 100.0, 200.0, 500.0),
    *(number * _SECOND_MS for number in (1, 2, 5, 10, 15, 20, 30)),
    *(number * _MINUTE_MS for number in (1, 2, 5, 10, 15, 20, 30)),
    *(number * _HOUR_MS for number in (1, 2, 3, 6, 12)),
)
"""The shortest is 1 ms, or 10 ms in older versions: below that nobody can tell what was set."""
# In days: from which interval on Grafana takes which. These limits are no half ways between the steps.
_FROM_MS = {1.0: 1.0, 7.0: 7.0, 21.0: 30.0, 42.0: 365.0}
_ABOVE = [(low + high) / 2 for low, high in pairwise(_NEAREST_MS)] + [days * _DAY_MS for days in _FROM_MS]
_ROUNDED_MS = (*_NEAREST_MS, *(days * _DAY_MS for days in _FROM_MS.values()))
TargetKind = Literal["timeserie", "table", "frame"]
MOST_TARGETS = 200
# The last day of JavaScript, whose dates end there.
FARTHEST_S = 8.64e12


def rounded_ms(interval_ms: float) -> float:
    """Return what Grafana makes of range / maxDataPoints where no minimum is set, milliseconds; at least 10."""
    return _ROUNDED_MS[bisect_right(_ABOVE, interval_ms)]


def least_interval_s(request: Mapping[str, Any], start: float, end: float, max_points: int | None) -> float:
    """Return the minimum interval that was set for a panel, seconds; 0 where none was, or nobody can tell.

    Parameters
    ----------
    request
        The body of a query.
    start, end
        Its range, UNIX seconds.
    max_points
        The panel's width; without one the interval means nothing.
    """
    interval_ms = finite_number(request.get("intervalMs"))
    if max_points is None or max_points < 1 or interval_ms is None:
        return 0.0
    # Grafana's times are whole milliseconds. Without rounding, an interval that it calculated itself could seem to be
    # a little longer than its range allows, and so to be set by somebody.
    range_ms = round((end - start) * 1e3, 3)
    return interval_ms / 1e3 if interval_ms > rounded_ms(range_ms / max_points) else 0.0


def is_grafanas(request: Mapping[str, Any]) -> bool:
    """Tell whether the interval is stated a second time, as Grafana does; other clients may send any."""
    scope = request.get("scopedVars")
    variable = scope.get("__interval_ms") if isinstance(scope, Mapping) else None
    value = finite_number(variable.get("value")) if isinstance(variable, Mapping) else None
    return value is not None and value == finite_number(request.get("intervalMs"))


def finite_number(value: Any) -> float | None:
    """Return a finite number, of a text as well; None for anything else."""
    # For Python, True is 1; for whoever sends it, it is no number of points.
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


@dataclass(frozen=True)
class Target:
    """One query of a panel.

    Parameters
    ----------
    text
        In the grammar of :mod:`grafana_json.targets`; empty when nothing was chosen.
    ref_id
        Identifies the query in the panel.
    kind
        ``timeserie`` or ``table`` as the legacy plugin says; ``frame`` for the JSON plugin, which takes typed frames.
    options
        The author's own settings.

    Attributes
    ----------
    texts
        What is matched with the names of series: the list in the options, or the text.
    """

    text: str
    ref_id: str
    kind: TargetKind
    options: Options = NO_OPTIONS
    texts: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Choose the texts."""
        object.__setattr__(self, "texts", self.options.metrics or (self.text,))


@dataclass(frozen=True)
class Query:
    """A request for data inside [start, end), UNIX seconds.

    Parameters
    ----------
    max_points
        None when the panel did not say.
    annotation
        Whether the targets are queries of annotations.
    least_s
        The shortest stride that the panel's author wants, seconds; 0 where none was set.
    is_sure
        Whether that is certain, so that samples may be passed over because of it.
    """

    start: float
    end: float
    max_points: int | None
    targets: tuple[Target, ...]
    filters: Filters = NONE
    annotation: bool = False
    least_s: float = 0.0
    is_sure: bool = False


def parse_json(body: bytes) -> Any:
    """Return what a request's body says; an empty body is an empty object."""
    if not body.strip():
        return {}
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None


def parse_search(request: Any) -> str:
    """Return the text that was typed, to filter the list of targets; empty for all."""
    return _text(request.get("target")) if isinstance(request, Mapping) else ""


def parse_query(request: Any) -> Query:
    """Read the body of ``POST /query``.

    Raises
    ------
    BadRequest
        Naming the part that cannot be understood.
    """
    if not isinstance(request, Mapping):
        raise BadRequest("the body must be an object with 'range' and 'targets'")
    start, end = parse_range(request.get("range"))
    targets = request.get("targets")
    if not isinstance(targets, list):
        raise BadRequest("'targets' must be a list")
    if len(targets) > MOST_TARGETS:
        raise BadRequest(f"{len(targets)} targets are too many: ask for {MOST_TARGETS} at most in one request")
    zone = request.get("timezone")
    parsed = tuple(_parse_target(target, zone) for target in targets if _is_wanted(target))
    given = request.get("filters") or request.get("adhocFilters")
    filters = parse_filters(given) if given else NONE
    max_points = parse_max_points(request.get("maxDataPoints"))
    least_s = least_interval_s(request, start, end, max_points)
    return Query(
        start, end, max_points, parsed, filters, _is_annotation(request), least_s, is_sure=is_grafanas(request)
    )


def parse_annotations(request: Any) -> tuple[Query, Any]:
    """Read the body of ``POST /annotations``: the query, without targets when it is empty, and the annotation."""
    annotation = request.get("annotation") if isinstance(request, Mapping) else None
    if not isinstance(annotation, Mapping):
        raise BadRequest("the body must be an object with 'range' and 'annotation'")
    start, end = parse_range(request.get("range"))
    text = _text(annotation.get("query"))
    targets = (Target(text, "", "timeserie"),) if text.strip() else ()
    return Query(start, end, None, targets), annotation


def parse_max_points(value: Any) -> int | None:
    """Return the width of the panel in points; None when there is none or it is nonsense."""
    points = finite_number(value)
    return None if points is None else int(points)


def _is_annotation(request: Mapping[str, Any]) -> bool:
    """Tell whether the JSON plugin asks on behalf of an annotation; it draws tables of ours as such only then."""
    scope = request.get("scopedVars")
    marked = isinstance(scope, Mapping) and "__annotation" in scope
    return marked or any(isinstance(one, Mapping) and one.get("refId") == "Anno" for one in request["targets"])


def _is_wanted(target: Any) -> bool:
    # Nothing but true hides: a target must not disappear because of an odd value.
    return not (isinstance(target, Mapping) and target.get("hide") is True)


def _parse_zone(value: Any) -> str:
    """Return the dashboard's time zone; empty where the browser's is meant, which no request names."""
    try:
        return parse_zone(value)
    except (ValueError, BadRequest):
        return ""


def _parse_target(target: Any, zone: Any) -> Target:
    if not isinstance(target, Mapping):
        raise BadRequest("each of 'targets' must be an object with 'target' and 'refId'")
    # Only the legacy plugin has a type in its targets, and takes no frames.
    kind: TargetKind = "frame"
    if "type" in target:
        kind = "table" if target["type"] == "table" else "timeserie"
    payload = target.get("payload")
    options = parse_options(payload) if payload else NO_OPTIONS
    # The payload's own zone comes first, for the dashboard's may be the browser's, which no request names.
    if options.every and not options.zone:
        options = replace(options, zone=_parse_zone(zone))
    return Target(_text(target.get("target")), _text(target.get("refId")), kind, options)


def _text(value: Any) -> str:
    """Return a text as it stands and a number as it is written; anything else names nothing."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def parse_range(given: Any) -> tuple[float, float]:
    """Return the span of a request, UNIX seconds; BadRequest for anything else."""
    if not isinstance(given, Mapping):
        raise BadRequest("'range' must be an object with 'from' and 'to'")
    return check_range(_parse_instant(given, "from"), _parse_instant(given, "to"))


def check_range(start: float, end: float) -> tuple[float, float]:
    """Return a span that can be asked for, UNIX seconds; BadRequest where start and end are exchanged or absurd."""
    if end < start:
        raise BadRequest("the range ends before it starts: exchange 'from' and 'to'")
    if max(-start, end) > FARTHEST_S:
        raise BadRequest("the range is farther from 1970 than Grafana's own calendar: check its unit, milliseconds")
    # sisock time cannot name 1970-01-01 or anything before.
    return max(start, times.EARLIEST), max(end, times.EARLIEST)


def _parse_instant(given: Mapping[str, Any], key: str) -> float:
    value = given.get(key)
    if isinstance(value, str):
        try:
            return times.parse_iso8601(value)
        except BadRequest as error:
            raise BadRequest(f"'range.{key}': {error}") from None
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value) / 1e3
    raise BadRequest(f"'range.{key}' must be a time such as 2026-11-21T23:39:47.030Z")
