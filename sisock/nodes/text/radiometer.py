"""The archive of a water vapour radiometer: a text file a day, whose rows count the days of the year.

Files are ``PWV/PWV_UCSC_<year>-<day of the year>.txt``; up to day 201 of 2018 the two stand the other way round. They
have one header line; rows are ``day value ...``, where day 1.0 is 1 January, 00:00 UTC. The water vapour is the field
``pwv``, with a sample each 60.48 seconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sisock.core.model import Field
from sisock.core.times import DAY_S
from sisock.nodes.archive.file_archive import FileFormat
from sisock.nodes.archive.format import Contents, FieldSamples, in_order
from sisock.nodes.text.rows import TimedRow, complete_lines, is_time, parse_lines, problem_of

DAY_FILE = re.compile(r"PWV_UCSC_(?:(?P<year>\d{4})-(?P<day>\d{1,3})|(?P<old_day>\d{1,3})-(?P<old_year>\d{4}))")
PWV = Field("pwv", "pwv", units="mm", description="Precipitable water vapour")
YEARS = range(1970, 2100)
DAYS = range(1, 367)
# The last day of a leap year, and a little of the next.
MOST_DAYS = 368.0
HALF_A_YEAR_DAYS = 183.0


def read_pwv(path: Path) -> Contents:
    """Read a file: its samples in order of time, and in words what is wrong with it."""
    day = _Day.named(path.stem)
    if day is None:
        return Contents(problem=f"'{path}' is left out: its name is not PWV_UCSC_<year>-<day of the year>.txt")
    raw = path.read_bytes()
    header, _, body = complete_lines(raw).partition("\n")
    # A file that has lost its header begins with a row. The line stays, so that lines are counted from the top.
    text = "\n" + body if day.row(header.split()) is None else f"{header}\n{body}"
    rows = parse_lines(text, day.row)
    return Contents(
        (FieldSamples(PWV, *in_order(rows.times, rows.values)),), problem_of(path, raw, rows, "'day value'")
    )


@dataclass(frozen=True)
class _Day:
    """The day that a file is of."""

    year: int
    day: int

    @classmethod
    def named(cls, stem: str) -> _Day | None:
        """Read the name of a file; None when it names no day."""
        match = DAY_FILE.fullmatch(stem)
        if match is None:
            return None
        year, day = int(match["year"] or match["old_year"]), int(match["day"] or match["old_day"])
        return cls(year, day) if year in YEARS and day in DAYS else None

    def row(self, words: list[str]) -> TimedRow | None:
        """Make a row of a line's words; None when they are none."""
        try:
            day, value = map(float, words[:2])
        except ValueError:
            return None
        instant = self._instant(day)
        return (instant, value) if is_time(instant) else None

    def _instant(self, day: float) -> float:
        """Return the time of a fraction of a day, UNIX seconds, in the year that brings it nearest to the file's day.

        At the end of December the count may go on, or begin anew.
        """
        if not 1 <= day < MOST_DAYS:
            return 0.0
        year = self.year
        if day - self.day > HALF_A_YEAR_DAYS:
            year -= 1
        elif self.day - day > HALF_A_YEAR_DAYS:
            year += 1
        # Rounded before it is added: the same instant counted from two years must be one number.
        return datetime(year, 1, 1, tzinfo=UTC).timestamp() + round((day - 1) * DAY_S, 6)


# Either the folder that has ``PWV`` in it is given, or that folder itself.
RadiometerNode = FileFormat(
    name="radiometer",
    description="Water vapour radiometer",
    patterns=("PWV/PWV_UCSC_*.txt", "PWV_UCSC_*.txt"),
    read=read_pwv,
    version=1,
).node_class("RadiometerNode")
