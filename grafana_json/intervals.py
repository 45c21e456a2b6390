"""The minimum interval that a panel's author set, found in the interval that Grafana sends; pure.

Grafana sends the larger of that minimum and of its own rounding of range / maxDataPoints. So what is larger than the
rounding was set. It rounds to the nearest of some lengths that people like; from a day on it has few of them, each
with a limit of its own.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

_SECOND_MS, _MINUTE_MS, _HOUR_MS, _DAY_MS = 1e3, 6e4, 3.6e6, 8.64e7
_NEAREST_MS = (
    *(10.0, 20.0, 50.0, 100.0, 200.0, 500.0),
    *(number * _SECOND_MS for number in (1, 2, 5, 10, 15, 20, 30)),
    *(number * _MINUTE_MS for number in (1, 2, 5, 10, 15, 20, 30)),
    *(number * _HOUR_MS for number in (1, 2, 3, 6, 12)),
)
"""The shortest is 1 ms, or 10 ms in older versions: below that nobody can tell what was set."""
_FROM_MS = {1.0: 1.0, 7.0: 7.0, 21.0: 30.0, 42.0: 365.0}
_ABOVE = [(low + high) / 2 for low, high in pairwise(_NEAREST_MS)] + [days * _DAY_MS for days in _FROM_MS]
_ROUNDED_MS = (*_NEAREST_MS, *(days * _DAY_MS for days in _FROM_MS.values()))


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
    range_ms = round((end - start) * 1e3, 3)  # Grafana's times are whole milliseconds
    return interval_ms / 1e3 if interval_ms > rounded_ms(range_ms / max_points) else 0.0


def is_grafanas(request: Mapping[str, Any]) -> bool:
    """Tell whether the interval is told a second time, as Grafana does; other clients may send any."""
    scope = request.get("scopedVars")
    told = scope.get("__interval_ms") if isinstance(scope, Mapping) else None
    value = finite_number(told.get("value")) if isinstance(told, Mapping) else None
    return value is not None and value == finite_number(request.get("intervalMs"))


def finite_number(value: Any) -> float | None:
    """Return a finite number, of a text as well; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
