"""Whether an archive that was read once is read from the cache after a restart, and not rebuilt.

``python restart.py FOLDER`` is one life of a node: it draws a panel over all samples from the archive in the folder,
with its cache beside, and prints how often a file was read, how long the panel took, and what was drawn.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from figures import Figure, at_least, at_most
from harness import HERE, Bench
from samples import read_wave, write_wave

from sisock.core.model import Field
from sisock.gateway.drawing.planner import choose_resolution
from sisock.nodes.archive.file_archive import FileArchive
from sisock.nodes.archive.file_cache import FileCache
from sisock.nodes.archive.format import Contents, FieldSamples

GROUP = "flat"
SAMPLES = 20_000_000
PIXELS = 1000
FIELD = "wave"


def measure(bench: Bench) -> Iterator[Figure]:
    """Let a node live twice."""
    count = bench.samples if bench.short else SAMPLES
    folder = bench.folder / "archive"
    write_wave(folder / "files", count)
    first, second = live(folder), live(folder)
    if first["drawn"] != second["drawn"]:
        raise RuntimeError("another panel was drawn after the restart")
    what = f"archive, {count:,} samples"
    yield Figure(GROUP, f"{what}: files read at the first start", first["reads"], "files", at_least(1))
    yield Figure(GROUP, f"{what}: files read after a restart", second["reads"], "files", at_most(0))
    yield Figure(GROUP, f"{what}: first panel at the first start", 1e3 * first["seconds"], "ms")
    yield Figure(GROUP, f"{what}: first panel after a restart", 1e3 * second["seconds"], "ms")


def live(folder: Path) -> dict[str, Any]:
    """Return what a process of its own tells of a life."""
    command = [sys.executable, str(HERE / "restart.py"), str(folder)]
    outcome: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return outcome


def draw(folder: Path) -> dict[str, Any]:
    """Open the archive and draw a panel."""
    reads = 0

    def read(path: Path) -> Contents:
        nonlocal reads
        reads += 1
        wave = read_wave(path.parent)
        return Contents((FieldSamples(Field(FIELD, FIELD), np.array(wave.times), np.array(wave.values)),))

    began = time.perf_counter()
    archive = FileArchive(folder / "files", "values.npy", read, FileCache(folder / "cache", "bench", 1))
    column = archive.columns([FIELD])[FIELD]
    start, end = (float(one) for one in column.times.take(np.array([0, column.stop - 1])))
    times, values = column.reduced(start, end, "minmax", choose_resolution(start, end, PIXELS).stride_s)
    took_s = time.perf_counter() - began
    drawn = hashlib.sha256(times.tobytes() + values.tobytes()).hexdigest()
    return {"reads": reads, "seconds": took_s, "drawn": drawn}


if __name__ == "__main__":
    print(json.dumps(draw(Path(sys.argv[1]))))
