"""A weather station's text archives, one field a file, in the format of the APEX station.

Each file has four comment lines (description, name of the timeline, units, first day), then ``unix_seconds value``
rows. More comment lines may stand anywhere.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sisock.core.model import Field
from sisock.nodes.archive.file_archive import FileArchive
from sisock.nodes.archive.file_cache import FileCache
from sisock.nodes.archive.format import Contents, FieldSamples, in_order
from sisock.nodes.text.rows import COMMENT, complete_lines, read_time_and_value

PATTERN = "*.dat"
READER_VERSION = 2  # to be raised when read_apex makes something else out of a file
DEFAULT_TIMELINE = "archive"
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


class WeatherNode(FileArchive):
    """Serves each ``*.dat`` file of a folder as a field of the file's name.

    The files may appear, grow, be rewritten and go away meanwhile. Each is on a timeline of its own, named
    ``<timeline of the header>.<field>``: files that name the same timeline do not have the same gaps.

    Parameters
    ----------
    folder
        Where the files are.
    name, description
        What the hub lists.
    cache
        Folder where what was read of the files is kept; None to keep it in memory only.
    """

    def __init__(
        self,
        folder: Path | str,
        name: str = "weather",
        description: str = "Archive of a weather station",
        cache: Path | str | None = None,
    ) -> None:
        self.name = name
        self.description = description
        super().__init__(folder, PATTERN, read_apex, FileCache(cache, "apex", READER_VERSION) if cache else None)


def read_apex(path: Path) -> Contents:
    """Read a file: its samples in order of time, and the first of its broken lines if there is any.

    A last line without a line break is still being written and left for the next time. Rows that are not
    ``time value`` with a time after 1970 are left out; the value may be NaN or infinite.
    """
    text = complete_lines(path.read_bytes())
    rows = read_time_and_value(text)
    column = FieldSamples(_header(text).as_field(path.stem), *in_order(rows.times, rows.values))
    return Contents((column,), _problem(path, rows.broken))


@dataclass(frozen=True)
class _Header:
    """What the comment lines at the top say; empty where they say nothing."""

    description: str = ""
    timeline: str = ""
    units: str = ""

    def as_field(self, name: str) -> Field:
        # A dot in the header's part could make two files' timelines the same.
        timeline = f"{self.timeline.replace('.', '_') or DEFAULT_TIMELINE}.{name}"
        description = self.description or name.replace("_", " ")
        return Field(name, timeline, units=self.units or None, description=description)


def _header(text: str) -> _Header:
    """Read the comment lines at the top, up to a date: short headers and lone dates happen."""
    lines = []
    for line in io.StringIO(text):
        if not line.startswith(COMMENT) or DAY.fullmatch(_clean(line)):
            break
        lines.append(_clean(line))
    return _Header(*lines[:3])


def _clean(comment: str) -> str:
    """Return the text of a comment line, on one line and printable."""
    words = comment.lstrip(COMMENT).split()
    return "".join(character for character in " ".join(words) if character.isprintable())


def _problem(path: Path, broken: Sequence[int]) -> str | None:
    """Say which line is broken; the number of them is left out, since the same is reported once only."""
    if not broken:
        return None
    return (
        f"'{path}': line {broken[0]} is not 'unix_seconds value'; it and others like it are left out until corrected"
    )
