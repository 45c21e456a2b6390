"""The samples that are measured with: a noisy wave at 200 Hz with planted spikes, made alike at every run.

They are written to files as they are made, so that the programs that serve them, and those that check what was
served, map the same files and need no memory of their own for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

START_S = 1_600_000_000
INTERVAL_MS = 5
SPIKES = 1000
NAN_SHARE = 0.01
_CHUNK = 1_000_000
_SEED = 20


@dataclass(frozen=True)
class Wave:
    """Samples of a number field and of a state, which share their times.

    Parameters
    ----------
    times
        Shape (n,), UNIX seconds on whole milliseconds.
    values
        Shape (n,), four decimals, some NaN; the planted spikes stand far out of the rest.
    states
        Shape (n,), False but for one-sample excursions.
    """

    times: NDArray[np.float64]
    values: NDArray[np.float64]
    states: NDArray[np.bool_]

    @property
    def start(self) -> float:
        """The time of the first sample."""
        return float(self.times[0])

    @property
    def end(self) -> float:
        """The end of the span of all samples."""
        return float(self.times[-1]) + INTERVAL_MS / 1e3


def make_wave(folder: Path, count: int) -> Wave:
    """Return the samples of a folder; write them first when they are not there."""
    return read_wave(folder) if folder.exists() else write_wave(folder, count)


def write_wave(folder: Path, count: int, *, nan_share: float = NAN_SHARE, spikes: int = SPIKES) -> Wave:
    """Make ``count`` samples in a folder, and return them as they are read from there."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds = {"times": "<f8", "values": "<f8", "states": "?"}
    times, values, states = (
        open_memmap(folder / f"{name}.npy", "w+", dtype=kind, shape=(count,)) for name, kind in kinds.items()
    )
    generator = np.random.default_rng(_SEED)
    for low, high in _chunks(count):
        times[low:high] = (START_S * 1000 + np.arange(low, high) * INTERVAL_MS) / 1e3
        noisy = np.sin(np.arange(low, high) / 60_000) + 0.1 * generator.standard_normal(high - low)
        values[low:high] = np.where(generator.random(high - low) < nan_share, np.nan, np.round(noisy, 4))
    spikes = min(spikes, count // 10)
    if spikes:
        values[planted(count, spikes, 0)] = _heights(spikes)
        states[planted(count, spikes, 1)] = True
    for one in (times, values, states):
        one.flush()
    return read_wave(folder)


def read_wave(folder: Path) -> Wave:
    """Map what was written."""
    return Wave(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("times", "values", "states")))


def planted(count: int, spikes: int = SPIKES, seed: int = 0) -> NDArray[np.intp]:
    """Return the indices of the planted samples: all over the series, no two closer than a fifth of the mean."""
    spacing = count / spikes
    jitter = np.random.default_rng(seed).uniform(0.0, 0.8, spikes)
    return ((np.arange(spikes) + jitter) * spacing).astype(np.intp)


def _heights(spikes: int) -> NDArray[np.float64]:
    """Return heights that all differ, half of them up and half of them down, in random order."""
    heights = 10 + np.arange(spikes) / 4
    heights[1::2] *= -1
    np.random.default_rng(_SEED).shuffle(heights)
    return heights


def _chunks(count: int) -> Iterator[tuple[int, int]]:
    for low in range(0, count, _CHUNK):
        yield low, min(low + _CHUNK, count)
