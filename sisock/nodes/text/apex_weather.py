"""The weather archive of the APEX site: one quantity a file, many files, each named by the span that it covers.

Files are ``targets/targets_<field>_<first ctime>_<last ctime>.dat``; rows are ``unix_seconds value``, with no header.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from sisock.core.model import Field
from sisock.nodes.archive.file_archive import FileArchive
from sisock.nodes.archive.file_cache import FileCache
from sisock.nodes.archive.format import Contents, FieldSamples, in_order
from sisock.nodes.text.rows import complete_lines, problem_of, read_time_and_value

PATTERNS = ("targets/targets_*.dat", "targets_*.dat")
READER_VERSION = 1  # to be raised when read_targets makes something else out of a file
NAME = re.compile(r"targets_(\w+?)_(\d+)_(\d+)")

UNITS: Mapping[str, str] = {
    "humidity": "%",
    "pressure": "mBar",
    "radiometer": "mm",
    "dewpoint": "C",
    "temperature": "C",
    "windspeed": "km/h",
    "winddirection": "deg",
}
DESCRIPTIONS: Mapping[str, str] = {
    "humidity": "Relative humidity",
    "pressure": "Air pressure",
    "radiometer": "Precipitable water vapour",
    "dewpoint": "Dew point",
    "temperature": "Air temperature",
    "windspeed": "Wind speed",
    "winddirection": "Wind direction",
}


class ApexWeatherNode(FileArchive):
    """Serves each quantity of the archive as a field, on a timeline of its own.

    Parameters
    ----------
    folder
        The folder that has ``targets`` in it, or that folder itself.
    name, description
        What the hub lists.
    cache
        Folder where what was read of the files is kept; None to keep it in memory only.
    """

    def __init__(
        self,
        folder: Path | str,
        name: str = "apex_weather",
        description: str = "Weather at the APEX site",
        cache: Path | str | None = None,
    ) -> None:
        self.name = name
        self.description = description
        super().__init__(
            folder, PATTERNS, read_targets, FileCache(cache, "apex_weather", READER_VERSION) if cache else None
        )


def read_targets(path: Path) -> Contents:
    """Read a file: its samples in order of time, and in words what is wrong with it."""
    named = NAME.fullmatch(path.stem)
    if named is None:
        return Contents(problem=f"'{path}' is left out: its name is not targets_<field>_<ctime>_<ctime>.dat")
    raw = path.read_bytes()
    rows = read_time_and_value(complete_lines(raw))
    name = named[1]
    field = Field(name, name, units=UNITS.get(name), description=DESCRIPTIONS.get(name))
    column = FieldSamples(field, *in_order(rows.times, rows.values))
    return Contents((column,), problem_of(path, raw, rows, "'unix_seconds value'"))
