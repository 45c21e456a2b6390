"""The weather archive of the APEX site: one quantity a file, many files, each named by the span that it covers.

Files are ``targets/targets_<field>_<first ctime>_<last ctime>.dat``; rows are ``unix_seconds value``, with no header.
Each quantity is a field on a timeline of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from sisock.core.model import Field
from sisock.nodes.archive.file_archive import FileFormat
from sisock.nodes.archive.format import Contents, FieldSamples, in_order
from sisock.nodes.text.rows import complete_lines, problem_of, read_time_and_value

TARGETS_FILE = re.compile(r"targets_(\w+?)_(\d+)_(\d+)")
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


def read_targets(path: Path) -> Contents:
    """Read a file: its samples in order of time, and in words what is wrong with it."""
    named = TARGETS_FILE.fullmatch(path.stem)
    if named is None:
        return Contents(problem=f"'{path}' is left out: its name is not targets_<field>_<ctime>_<ctime>.dat")
    raw = path.read_bytes()
    rows = read_time_and_value(complete_lines(raw))
    name = named[1]
    field = Field(name, name, units=UNITS.get(name), description=DESCRIPTIONS.get(name))
    column = FieldSamples(field, *in_order(rows.times, rows.values))
    return Contents((column,), problem_of(path, raw, rows, "'unix_seconds value'"))


# Either the folder that has ``targets`` in it is given, or that folder itself.
ApexWeatherNode = FileFormat(
    name="apex_weather",
    description="Weather at the APEX site",
    patterns=("targets/targets_*.dat", "targets_*.dat"),
    read=read_targets,
    version=1,
).node_class("ApexWeatherNode")
