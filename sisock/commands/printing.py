"""The output of ``sisock get``: samples as CSV as they come, and what is to be said beside them."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, TextIO

from sisock.client import Consumer, FetchedSeries
from sisock.core.errors import BadRequest
from sisock.core.instants import format_exact, parse_instant
from sisock.core.times import format_iso8601, resolve_span
from sisock.core.window.remarks import kind_of

# Few enough that a reader such as "head" is soon served, many enough that a flush costs little.
ROWS_AT_ONCE = 5000
# A reading that is done sooner is not told of.
QUIET_S = 2.0
PROGRESS_S = 0.5


class Progress:
    """A line on a terminal about how far the reading is, where that takes long and the samples go elsewhere."""

    def __init__(self, errors: TextIO, *, shown: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._errors = errors
        self._shown = shown
        self._clock = clock
        self._due_at = clock() + QUIET_S
        self._length = 0

    def tell(self, rows: int, reached: str) -> None:
        """Say how many rows are written, and up to which time."""
        if self._shown and self._clock() >= self._due_at:
            self._due_at = self._clock() + PROGRESS_S
            self._write(f"{rows} rows, up to {reached}")

    def clear(self) -> None:
        """Leave the line as if nothing had been there."""
        if self._length:
            self._write("")
            self._errors.write("\r")
            self._errors.flush()
            self._length = 0

    def _write(self, text: str) -> None:
        self._errors.write(f"\r{text.ljust(self._length)}")
        self._errors.flush()
        self._length = len(text)


def read_span(start: str, end: str, say: Callable[[str], None], now: float) -> tuple[float, float]:
    """Return both ends of a span as somebody wrote them, in sisock time; BadRequest for what is none."""
    first, last = parse_instant(start, now), parse_instant(end, now)
    if first.zone_assumed or last.zone_assumed:
        say("times without a zone are taken as UTC")
    resolved = resolve_span(first.sisock_time, last.sisock_time, now)
    if not resolved[0] < resolved[1]:
        moments = " to ".join(map(format_iso8601, resolved))
        raise BadRequest(f"the span is empty, {moments}: --start must lie before --end")
    # Not as resolved by this clock: times relative to now are left to the node's.
    return first.sisock_time, last.sisock_time


def print_samples(
    pages: Iterable[FetchedSeries], target: str, output: TextIO, say: Callable[[str], None], progress: Progress
) -> int:
    """Write a line of CSV for each sample as pages come; return how many there were."""
    rows = 0
    kinds: set[str] | None = None
    for page in pages:
        if kinds is None:
            kinds = set()
            # With the first page, so that nothing is written where the target does not exist.
            output.write(_as_csv([("time", target)]))
        # Once for all pages, whatever figures they have in them.
        for remark in page.remarks:
            if kind_of(remark) not in kinds:
                kinds.add(kind_of(remark))
                say(remark)
        lines = zip(map(format_exact, page.times.tolist()), map(_cell, page.values.tolist()), strict=True)
        while some := list(islice(lines, ROWS_AT_ONCE)):
            output.write(_as_csv(some))
            output.flush()
            rows += len(some)
            progress.tell(rows, some[-1][0])
    output.flush()
    progress.clear()
    return rows


def _as_csv(rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def say_empty(consumer: Consumer, target: str, start: float, end: float, say: Callable[[str], None]) -> None:
    """Say that there is nothing in a span, sisock time, and where there is something."""
    moments = " and ".join(map(format_iso8601, resolve_span(start, end, time.time())))
    extent = consumer.extent(target)
    there = "the node does not tell of what time it has some"
    if extent is not None:
        there = f"it has some from {format_exact(extent[0])} to {format_exact(extent[1])}"
    say(f"'{target}' has no sample between {moments}; {there}")


def _cell(value: Any) -> Any:
    return "" if value is None else value
