"""Time: sisock time, ISO 8601, durations, the ladder of strides, and buckets aligned to the epoch.

Nothing here reads a clock: whoever asks says what time it is.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sisock.core.errors import BadRequest
from sisock.core.model import Times

DAY_S = 86_400
EARLIEST = 1e-3
"""The smallest instant, UNIX seconds, that this system hands on: sisock time cannot name one at or before zero."""

MANTISSAS = ("1", "1.25", "1.6", "2", "2.5", "3.15", "4", "5", "6.3", "8")
"""The R10 series of preferred numbers of ISO 3: ten steps a decade."""

# Decimal texts give the nearest float64 of each step, which a product of mantissa and power would not.
LADDER = tuple(float(f"{mantissa}e{exponent}") for exponent in range(-6, 19) for mantissa in MANTISSAS)
"""Every step of the ladder, seconds, ascending from a microsecond."""

UNIT_SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
    "M": 2592000.0,
    "y": 31536000.0,
}
"""Units of a duration as Grafana writes them; a month is 30 days and a year 365, as there."""

_SHOWN_UNITS = (
    ("y", 31536000.0),
    ("d", 86400.0),
    ("h", 3600.0),
    ("min", 60.0),
    ("s", 1.0),
    ("ms", 1e-3),
    ("µs", 1e-6),
)
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|[smhdwMy])")
_DURATION = re.compile(rf"(?:{_DURATION_PART.pattern})+")
_ISO8601 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:[.,]([0-9]{1,30}))?(Z|[+-][0-9]{2}:?[0-9]{2})"
)
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_BUCKETS = 2.0**53
# So much, as a share, numbers differ by that are a few roundings apart.
_CLOSE = 1e-12


def check_number(value: Any, name: str) -> float:
    """Return a finite real number as float; raise BadRequest, which speaks of ``name``, for anything else."""
    # Python counts truth values among the numbers; whoever sends one means something else.
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise BadRequest(f"{name} is {value!r:.80}, but must be a finite number")


def check_stride(value: Any) -> float:
    """Return a stride in seconds as float; raise BadRequest unless it is a finite number above zero."""
    stride = check_number(value, "the stride")
    if stride <= 0:
        raise BadRequest(f"the stride is {stride:g} s, but must be above zero: leave it out for every sample")
    return stride


def to_unix(t: float, now: float) -> float:
    """Return the UNIX time, seconds, of an instant in sisock time.

    Positive is UNIX time; zero or negative is that many seconds before ``now``. What would lie at or before
    1970-01-01 becomes ``EARLIEST``, so that the result never reads as relative again.

    Raises
    ------
    BadRequest
        For NaN, an infinity, or what is no number.
    """
    instant = check_number(t, "a time")
    return max(EARLIEST, instant if instant > 0 else now + instant)


def resolve_span(start: float, end: float, now: float) -> tuple[float, float]:
    """Return both ends of a half-open span in UNIX seconds; (1, 0) is all time until ``now``."""
    return to_unix(start, now), to_unix(end, now)


def parse_iso8601(text: str) -> float:
    """Return the UNIX seconds of an ISO 8601 date and time with its zone, such as ``2024-05-06T07:08:09.123Z``.

    Raises
    ------
    BadRequest
        For anything else; a text without zone is refused rather than guessed at.
    """
    match = _ISO8601.fullmatch(text.upper()) if isinstance(text, str) else None
    try:
        if match is not None:
            whole, fraction, zone = match.groups()
            seconds = (datetime.fromisoformat(whole + zone) - _UNIX_EPOCH) // timedelta(seconds=1)
            # Added apart and exactly: datetime cuts fractions after six digits.
            digits = fraction or "0"
            unit: int = 10 ** len(digits)
            return (seconds * unit + int(digits)) / unit
    except ValueError:
        # The shape is right but there is no such day or hour: the same advice holds.
        pass
    raise BadRequest(f"{text!r:.80} is no time: write it as 2024-05-06T07:08:09.123Z or with a zone like +02:00")


def format_iso8601(t: float) -> str:
    """Return UNIX seconds as ISO 8601 in UTC, rounded to the millisecond; raise BadRequest outside years 1 to 9999."""
    milliseconds = round(check_number(t, "a time") * 1000)
    try:
        instant = _UNIX_EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        raise BadRequest(f"{t!r} s is outside the years 1 to 9999: give UNIX time in seconds") from None
    return instant.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def parse_duration(text: str) -> float:
    """Return the seconds of a duration such as ``500ms``, ``20s``, ``1h30m`` or ``1y``.

    Units are the keys of ``UNIT_SECONDS``: ``m`` is a minute, ``M`` 30 days, ``y`` 365 days.

    Raises
    ------
    BadRequest
        For anything else, a number without unit included.
    """
    if isinstance(text, str) and _DURATION.fullmatch(text.strip()):
        seconds = sum(float(number) * UNIT_SECONDS[unit] for number, unit in _DURATION_PART.findall(text))
        if math.isfinite(seconds):
            return seconds
    raise BadRequest(
        f"{text!r:.80} is no duration: write a number and a unit, such as 500ms, 20s, 5m, 1h, 1d, 1w or 1y"
    )


def format_duration(seconds: float) -> str:
    """Return a duration for people, to three digits in the largest unit that fits: ``12 s``, ``1.5 min``, ``2 h``."""
    if not math.isfinite(seconds):
        return f"{seconds} s"
    for unit, size in _SHOWN_UNITS:
        # Rounded before it is compared, so that 59.99 s are told as a minute.
        rounded = float(f"{seconds / size:.3g}")
        if abs(rounded) >= 1:
            return f"{rounded:.10g} {unit}"
    return f"{seconds / 1e-6:.3g} µs" if seconds else "0 s"


def ladder_stride(seconds: float) -> float:
    """Return the first step of ``LADDER`` that is at least ``seconds``; raise BadRequest above the last."""
    return _first_step(Fraction(check_number(seconds, "the stride")), 1)


def stride_for_points(
    start: float, end: float, max_points: int, samples_per_bucket: int, strides_per_bucket: int
) -> float:
    """Return the smallest step of the ladder with which a span never takes more than ``max_points`` samples.

    The count is that of the worst phase: buckets of ``strides_per_bucket`` strides that any half-open span as
    long as this one can touch, ``samples_per_bucket`` each, and the newest sample. So the step depends on the
    span's length alone and stands still while the window slides. Nulls that mark gaps replace empty buckets and
    are covered.

    Raises
    ------
    BadRequest
        When ``max_points`` has no room for two buckets and the newest sample: any span may lie across an edge.
    """
    buckets = (max_points - 1) // samples_per_bucket
    if buckets < 2:  # noqa: PLR2004 - the two buckets on the sides of one edge
        raise BadRequest(
            f"{max_points} points are too few to reduce to: ask for at least {2 * samples_per_bucket + 1}"
        )
    start, end = check_number(start, "the start"), check_number(end, "the end")
    widths = _ladder_widths(strides_per_bucket)
    about = (end - start) / (buckets - 1)
    # Where a rounding either way leads to the same step, it is the exact one.
    position = bisect_left(widths, about * (1 - _CLOSE))
    if position == bisect_left(widths, about * (1 + _CLOSE)) < len(LADDER):
        return LADDER[position]
    # Exact arithmetic: a quotient rounded down would promise one bucket too few.
    return _first_step((Fraction(end) - Fraction(start)) / (buckets - 1), strides_per_bucket)


@lru_cache
def _ladder_widths(strides: int) -> tuple[float, ...]:
    """Return the widths of ``strides`` strides, as float64 has them, for each step of the ladder."""
    return tuple(step * strides for step in LADDER)


def _first_step(width: Fraction, strides: int) -> float:
    """Return the first step of the ladder of which ``strides`` strides, as float64, are at least ``width``."""
    position = bisect_left(_ladder_widths(strides), width)
    if position == len(LADDER):
        raise BadRequest(f"a stride of {float(width):g} s is longer than {LADDER[-1]:g} s: ask for a shorter span")
    return LADDER[position]


def mean_spacing(oldest: float | None, newest: float | None, count: int) -> float | None:
    """Return the mean spacing of samples, seconds; None for fewer than two, or when all are at one time."""
    if oldest is None or newest is None or count < 2 or not newest > oldest:  # noqa: PLR2004 - a spacing needs two
        return None
    return float(newest - oldest) / (count - 1)


def bucket_edges(first: int, last: int, width: float) -> Times:
    """Return the starts ``k * width`` of the buckets from ``first`` to ``last``, both included, in float64."""
    return np.arange(first, last + 1, dtype=np.int64).astype(np.float64) * width


def bucket_number(instant: float, width: float) -> int:
    """Return the number of the bucket of one time, by the rule of :func:`bucket_of`, much sooner than that."""
    quotient = instant / width
    if not -_MOST_BUCKETS < quotient < _MOST_BUCKETS:
        raise _too_fine(instant, width)
    # The quotient is rounded, so that it may name a neighbour of the bucket.
    number = math.floor(quotient)
    number -= number * width > instant
    number += (number + 1) * width <= instant
    return number


def bucket_of(times: Times | float, width: float) -> NDArray[np.int64]:
    """Return the number of the epoch-aligned bucket of each time: k with ``k*width <= t < (k+1)*width`` in float64.

    Every path uses this rule. ``floor(t / width)`` alone disagrees with it at one bucket start in twenty, but by
    one at most, so that comparing with both edges puts it right.

    Parameters
    ----------
    times
        UNIX seconds, any shape.
    width
        Seconds.

    Raises
    ------
    BadRequest
        When the width is so small beside a time that float64 cannot number the buckets (from 2**53).
    """
    times = np.asarray(times, dtype=np.float64)
    with np.errstate(over="ignore"):
        quotients = times / width
    # Written so that NaN and infinite quotients are refused as well.
    if times.size and not max(-quotients.min(), quotients.max()) < _MOST_BUCKETS:
        raise _too_fine(times.max(), width)
    numbers = np.floor(quotients)
    numbers -= numbers * width > times
    numbers += (numbers + 1) * width <= times
    return numbers.astype(np.int64)


def _too_fine(instant: float, width: float) -> BadRequest:
    return BadRequest(f"buckets of {width:g} s are too fine for times such as {instant:.17g}: ask for wider ones")
