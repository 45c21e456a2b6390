"""Text files of rows that begin with a time, for all formats of such files: whole lines, rows, and what is wrong."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sisock.core.model import Times, Values

COMMENT = "#"
LATEST = 4_102_444_800.0
"""No sample is later than the year 2099, UNIX seconds: one that claims to be would be the end of what is final."""
QUIET_AFTER_S = 60.0
ROW_COLUMNS = 2

TimedRow = tuple[float, float]


@dataclass(frozen=True)
class TimedRows:
    """The rows of a file, in its order; of complete lines only.

    Parameters
    ----------
    broken
        The numbers of the lines that are no rows.
    """

    times: Times
    values: Values
    broken: tuple[int, ...] = ()

    @classmethod
    def of(cls, rows: Sequence[TimedRow], broken: Sequence[int] = ()) -> TimedRows:
        """Make arrays of rows."""
        table = np.array(rows, dtype=np.float64).reshape(-1, ROW_COLUMNS)
        return cls(np.ascontiguousarray(table[:, 0]), np.ascontiguousarray(table[:, 1]), tuple(broken))


def complete_lines(raw: bytes) -> str:
    """Return the text of a file but for a last line without a line break, which is still being written.

    It is UTF-8, or else Latin-1, which old stations write degree signs in and which cannot fail.
    """
    # Cut before it is decoded: the last byte may be the first half of a character.
    whole = raw[: raw.rfind(b"\n") + 1]
    try:
        text = whole.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = whole.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_time_and_value(text: str) -> TimedRows:
    """Read lines of ``unix_seconds value``; what follows ``#`` is a comment, the value may be NaN or infinite."""
    return _parse_quickly(text) or parse_lines(text, _time_and_value)


def parse_lines(text: str, parse: Callable[[list[str]], TimedRow | None]) -> TimedRows:
    """Read line by line what can be read; blank lines and comments are passed over.

    Parameters
    ----------
    parse
        Makes a row of the words of a line, or None when they are none.
    """
    rows, broken = [], []
    for number, line in enumerate(text.split("\n"), start=1):
        words = line.partition(COMMENT)[0].split()
        if not words:
            continue
        row = parse(words)
        if row is None:
            broken.append(number)
        else:
            rows.append(row)
    return TimedRows.of(rows, broken)


def is_time(seconds: float) -> bool:
    """Tell whether UNIX seconds can be the time of a sample."""
    return 0 < seconds < LATEST


def problem_of_lines(path: Path, rows: TimedRows, row: str) -> str | None:
    """Say which line of a file is no row; None when all are.

    The number of broken lines is left out, since the same is reported once only.

    Parameters
    ----------
    row
        What a row is, in words.
    """
    if not rows.broken:
        return None
    return f"'{path}': line {rows.broken[0]} is not {row}; it and others like it are left out until corrected"


def problem_of(path: Path, raw: bytes, rows: TimedRows, row: str) -> str | None:
    """Say in one line what is wrong with a file of which the samples are kept; None when nothing is.

    Parameters
    ----------
    row
        As of :func:`problem_of_lines`.
    """
    broken = problem_of_lines(path, rows, row)
    if broken is not None:
        return broken
    if (np.diff(rows.times) < 0).any():
        return f"'{path}': its times go back; its samples are served in order of time"
    if _is_quiet(path) and not raw.endswith(b"\n"):
        what = "its last line is not complete and left out" if raw else "it is empty"
        return f"'{path}': {what}, and nobody writes to it any more"
    return None


def _is_quiet(path: Path) -> bool:
    return path.stat().st_mtime < time.time() - QUIET_AFTER_S


def _parse_quickly(text: str) -> TimedRows | None:
    """Parse a file without trouble; None when there is any, or nothing to parse."""
    # NumPy warns of a text without rows.
    if not re.search(r"^\s*[^#\s]", text, re.MULTILINE):
        return None
    try:
        rows = np.loadtxt(io.StringIO(text), comments=COMMENT, ndmin=2)
    except ValueError:
        return None
    # Whatever is wrong, the slow way finds it, and the number of its line.
    if rows.shape[1] != ROW_COLUMNS or not ((rows[:, 0] > 0) & (rows[:, 0] < LATEST)).all():
        return None
    return TimedRows(np.ascontiguousarray(rows[:, 0]), np.ascontiguousarray(rows[:, 1]))


def _time_and_value(words: list[str]) -> TimedRow | None:
    try:
        instant, value = map(float, words)
    except ValueError:
        return None
    return (instant, value) if is_time(instant) else None
