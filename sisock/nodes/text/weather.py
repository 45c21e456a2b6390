"""A weather station's text archives, one field a file, in the format of the APEX station.

Each ``*.dat`` file of a folder is a field of the file's name, on a timeline ``<timeline of the header>.<field>``. It
has four comment lines (description, name of the timeline, units, first day), then ``unix_seconds value`` rows. More
comment lines may stand anywhere.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path

from sisock.core.model import Field
from sisock.nodes.archive.file_archive import FileFormat
from sisock.nodes.archive.format import Contents, FieldSamples, in_order
from sisock.nodes.text.rows import COMMENT, complete_lines, problem_of_lines, read_time_and_value

DEFAULT_TIMELINE = "archive"
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def read_apex(path: Path) -> Contents:
    """Read a file: its samples in order of time, and the first of its broken lines if there is any.

    A last line without a line break is still being written and left for the next time. Rows that are not
    ``time value`` with a time after 1970 are left out; the value may be NaN or infinite.
    """
    text = complete_lines(path.read_bytes())
    rows = read_time_and_value(text)
    column = FieldSamples(_header(text).as_field(path.stem), *in_order(rows.times, rows.values))
    return Contents((column,), problem_of_lines(path, rows, "'unix_seconds value'"))


@dataclass(frozen=True)
class _Header:
    """The statements of the comment lines at the top; empty where they say nothing."""

    description: str = ""
    timeline: str = ""
    units: str = ""

    def as_field(self, name: str) -> Field:
        # A timeline of its own: files whose headers name the same one do not have the same gaps. Without dots in the
        # header's part, or else two files' timelines could be the same.
        timeline = f"{self.timeline.replace('.', '_') or DEFAULT_TIMELINE}.{name}"
        description = self.description or name.replace("_", " ")
        return Field(name, timeline, units=self.units or None, description=description)


def _header(text: str) -> _Header:
    """Read the comment lines at the top, up to a date: short headers and lone dates happen."""
    lines = []
    # Where there is no date, what follows the header is a comment on the rows.
    for line in io.StringIO(text):
        if not line.startswith(COMMENT) or DAY.fullmatch(_clean(line)):
            break
        lines.append(_clean(line))
    return _Header(*lines[:3])


def _clean(comment: str) -> str:
    """Return the text of a comment line, on one line and printable."""
    words = comment.lstrip(COMMENT).split()
    return "".join(character for character in " ".join(words) if character.isprintable())


WeatherNode = FileFormat(
    name="weather",
    description="Archive of a weather station",
    patterns=("*.dat",),
    read=read_apex,
    version=2,
    cache_name="apex",
).node_class("WeatherNode")
