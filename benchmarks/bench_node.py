"""The data nodes that are measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from samples import INTERVAL_MS, read_wave

from sisock.core.column.column import Column
from sisock.core.model import DataBlock, Field, FieldCatalogue, Statement, TimelineBlock

START_S = 1.7e9
INTERVAL_S = 0.1
SAMPLES = 2_000_000


class BenchNode:
    """One field, ten samples a second for more than two days, and no more than the original API can do."""

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


class WaveNode:
    """The samples of a folder under many names, so that each request can ask for a field that nobody asked for yet.

    Parameters
    ----------
    folder
        Written by :func:`samples.write_wave`.
    fields
        How many names the number field has, ``wave0`` and so on, and the state, ``state0`` and so on.
    """

    name = "wave"
    description = "a noisy wave at 200 Hz with spikes"
    in_memory = True

    def __init__(self, folder: str, fields: int = 1) -> None:
        wave = read_wave(Path(folder))
        self._columns = {
            "wave": Column.of(wave.times, wave.values, Statement(generation="bench")),
            "state": Column.of(wave.times, wave.states, Statement(generation="bench")),
        }
        self._names = {f"{kind}{number}": kind for kind in self._columns for number in range(fields)}

    def catalogue(self, start: float, end: float) -> FieldCatalogue:
        """Return the fields, each on a timeline of its own."""
        kinds = {"wave": "number", "state": "bool"}
        fields = [Field(name, name, kinds[kind]) for name, kind in self._names.items()]  # type: ignore[arg-type]
        return FieldCatalogue.of(fields, dict.fromkeys(self._names, INTERVAL_MS / 1e3))

    def columns(self, fields: Sequence[str]) -> dict[str, Column]:
        """Return the samples with their summaries."""
        return {name: self._columns[self._names[name]] for name in fields if name in self._names}

    def read(self, fields: Sequence[str], start: float, end: float) -> DataBlock:
        """Return the samples inside [start, end)."""
        blocks = {}
        for name, column in self.columns(fields).items():
            times, values = column.within(start, end)
            blocks[name] = TimelineBlock(times, {name: values}, statement=column.statement)
        return DataBlock(blocks)
