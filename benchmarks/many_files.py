"""Whether a field in thousands of files is drawn about as quickly as one in a single file."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from figures import Figure, at_most
from harness import Bench

from sisock.core.model import Field
from sisock.core.window.spans import reduce_spans
from sisock.core.wire.replies import answer_spans
from sisock.core.wire.requests import parse_request
from sisock.gateway.drawing.planner import choose_resolution
from sisock.nodes.archive.file_archive import FileArchive
from sisock.nodes.archive.file_cache import FileCache
from sisock.nodes.archive.format import Contents, FieldSamples

GROUP = "flat"
FILES, FILES_IN_SHORT = 5000, 100
ROWS = 360
HOUR_S = 3600.0
START_S = 1.5e9
PIXELS = 1000
PANELS = 51
MOST_MS = 20.0
FIELD = "value"
WRITTEN_AT = 1e9


def measure(bench: Bench) -> Iterator[Figure]:
    """Write hourly files, and draw panels over one of them and over all."""
    count = FILES_IN_SHORT if bench.short else FILES
    folder = bench.folder / "many"
    folder.mkdir()
    for hour in range(count):
        write(folder, hour)
    archive = FileArchive(folder, "*.hour", read_hour, FileCache(bench.folder / "cache", "hour", 1))
    end = START_S + HOUR_S * count
    draw(archive, START_S, end)
    for name, start in (("1 hour", end - HOUR_S), ("all", START_S)):
        median_ms = 1e3 * statistics.median(draw(archive, start - number, end) for number in range(PANELS))
        yield Figure(GROUP, f"{count:,} hourly files, {name}, median", median_ms, "ms", at_most(MOST_MS))


def write(folder: Path, hour: int) -> None:
    """Write an hour of samples."""
    path = folder / f"{hour:06}.hour"
    np.random.default_rng(hour).standard_normal(ROWS).tofile(path)
    os.utime(path, (WRITTEN_AT, WRITTEN_AT))


def read_hour(path: Path) -> Contents:
    """Read a file: its name tells the hour."""
    times = START_S + HOUR_S * int(path.stem) + HOUR_S / ROWS * np.arange(ROWS)
    return Contents((FieldSamples(Field(FIELD, FIELD), times, np.fromfile(path)),))


def draw(archive: FileArchive, start: float, end: float) -> float:
    """Return the seconds for one panel, from the request to the reply as it goes to the serializer."""
    stride_s = choose_resolution(start, end, PIXELS).stride_s
    began = time.perf_counter()
    extensions = {"reduce": "minmax", "packed": True, "spans": [[start, end]]}
    request = parse_request([FIELD], start, end, stride_s, **extensions)
    answer_spans(reduce_spans(archive.columns(request.fields), request), request)
    return time.perf_counter() - began
