"""The data node that both sides of the benchmark ask: a regular series in memory, so that reading costs nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sisock.core.model import DataBlock, Field, FieldCatalogue, TimelineBlock

START_S = 1.7e9
INTERVAL_S = 0.1
SAMPLES = 2_000_000


class BenchNode:
    """One field, ten samples a second for more than two days."""

    name = "bench"
    description = "a noisy wave at 10 Hz"
    in_memory = True

    def __init__(self) -> None:
        generator = np.random.default_rng(1)
        self._times = START_S + np.arange(SAMPLES) * INTERVAL_S
        self._values = np.sin(self._times / 300) + 0.1 * generator.standard_normal(SAMPLES)

    def catalogue(self, start: float, end: float) -> FieldCatalogue:
        """Return the field."""
        return FieldCatalogue.of([Field("wave", "wave", units="V")], {"wave": INTERVAL_S})

    def read(self, fields: Sequence[str], start: float, end: float) -> DataBlock:
        """Return views of the samples inside [start, end)."""
        if "wave" not in fields:
            return DataBlock()
        return DataBlock({"wave": TimelineBlock(self._times, {"wave": self._values}).within(start, end)})
