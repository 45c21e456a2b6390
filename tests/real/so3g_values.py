"""What so3g's own reader makes of housekeeping files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import so3g


class Samples(NamedTuple):
    """The samples of a field, in order of time."""

    times: np.ndarray
    values: np.ndarray


def read_with_so3g(files: Iterable[Path]) -> dict[str, Samples]:
    """Return every value of every field, each file read by itself.

    All at once, so3g would give the type of the first file to all, which cuts fractions and texts.
    """
    times: dict[str, list[np.ndarray]] = defaultdict(list)
    values: dict[str, list[np.ndarray]] = defaultdict(list)
    for path in files:
        scanner = so3g.hk.HKArchiveScanner()
        scanner.process_file(str(path))
        data, timelines = scanner.finalize().get_data()
        for timeline in timelines.values():
            for name in timeline["fields"]:
                times[name].append(timeline["t"])
                values[name].append(data[name])
    return {name: _in_order(np.concatenate(times[name]), _joined(values[name])) for name in times}


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([part.astype(object) if part.dtype.kind == "U" else part for part in parts])


def _in_order(times: np.ndarray, values: np.ndarray) -> Samples:
    order = np.argsort(times, kind="stable")
    return Samples(times[order], values[order])
