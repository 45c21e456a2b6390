"""Times as people write them, and as they are written for people without loss."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from sisock.core.errors import BadRequest
from sisock.core.times import check_number, format_iso8601, parse_duration, parse_iso8601

FORMS = "2013-01-01, '2013-01-01 12:30', 2013-01-01T12:30:00Z, -1h, now-1h, now, or UNIX seconds"
# Read as seconds this is the year 5138, which nobody means.
MILLISECONDS_FROM = 1e11
_RELATIVE = re.compile(r"(?:now)?\s*([+-])\s*([0-9].*)")
_DATE = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}(?:-[0-9]{2})?)"
    r"(?:[T ]\s*(?P<time>[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?))?"
    r"\s*(?P<zone>Z|UTC|[+-][0-9]{2}(?::?[0-9]{2})?)?",
    re.IGNORECASE,
)
_DIGITS_OF_A_DATE = re.compile(r"(?:19|20)[0-9]{2}(?:[01][0-9][0-3][0-9])?")


@dataclass(frozen=True)
class Instant:
    """A time that somebody wrote: in sisock time, and whether it had no zone and so is taken as one of UTC."""

    sisock_time: float
    zone_assumed: bool = False


def parse_instant(text: str, now: float) -> Instant:
    """Read a time: a date with or without time of day and zone, ``-1h``, ``now``, ``now-1h``, or a number.

    A number is sisock time: UNIX seconds, or, at or below zero, seconds before now. What has no zone is UTC.

    Parameters
    ----------
    now
        UNIX seconds; what is before it stays relative, for the clock of whoever is asked.

    Raises
    ------
    BadRequest
        For anything else, and for numbers that look like a date or like milliseconds.
    """
    stripped = text.strip()
    if stripped.lower() == "now":
        return Instant(0.0)
    number = _number(stripped)
    if number is not None:
        return Instant(number)
    relative = _RELATIVE.fullmatch(stripped)
    if relative:
        seconds = _duration(relative[2], text)
        return Instant(now + seconds if relative[1] == "+" else -seconds)
    return _date(stripped, text)


def format_exact(t: float) -> str:
    """Return UNIX seconds as ISO 8601 in UTC with all their digits, three at least: it reads as the same float64.

    That holds where no more than 27 digits are needed, from a nanosecond beside 1970.

    Raises
    ------
    BadRequest
        Outside of the years 1 to 9999.
    """
    whole = math.floor(check_number(t, "a time"))
    # By way of the decimal text: a float's fraction alone would lose its last digits.
    fraction = f"{Decimal(repr(float(t))) - whole:f}"[2:]
    return f"{_second(whole)}{fraction.ljust(3, '0')}Z"


@lru_cache(maxsize=16)
def _second(whole: int) -> str:
    """Return the beginning of a time of some second, which several samples in a row may have, up to the point."""
    return format_iso8601(whole)[:-4]


def _number(text: str) -> float | None:
    if _DIGITS_OF_A_DATE.fullmatch(text):
        day = "-".join(filter(None, (text[:4], text[4:6] or "01", text[6:] or "01")))
        raise BadRequest(f"{text!r} looks like a date: write {day}, or {text}.0 for UNIX seconds")
    try:
        number = float(text)
    except ValueError:
        return None
    # Texts such as "nan" and "inf" are numbers to Python.
    if not math.isfinite(number):
        raise _wrong(text)
    if number >= MILLISECONDS_FROM:
        raise BadRequest(f"{text!r:.80} looks like milliseconds: UNIX seconds are expected, divide by 1000")
    return number


def _duration(duration: str, text: str) -> float:
    try:
        return parse_duration(duration)
    except BadRequest:
        raise _wrong(text) from None


def _date(stripped: str, text: str) -> Instant:
    match = _DATE.fullmatch(stripped)
    if match is None:
        raise _wrong(text)
    day, time, zone = match["day"], match["time"] or "00:00", match["zone"]
    day = day if day.count("-") > 1 else f"{day}-01"
    time = time if time.index(":") > 1 else f"0{time}"
    offset = {"Z": "Z", "UTC": "Z"}.get((zone or "Z").upper(), zone)
    offset = offset if offset == "Z" or len(offset) > len("+01") else f"{offset}:00"
    try:
        return Instant(parse_iso8601(f"{day}T{time}{offset}"), zone is None)
    except BadRequest:
        raise _wrong(text) from None


def _wrong(text: str) -> BadRequest:
    return BadRequest(f"{text!r:.80} is no time: write {FORMS}")
