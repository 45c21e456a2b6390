"""How much memory a buffer may take, and how much it takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sisock.core.buffer.chunks import CHUNK_SAMPLES, Chunks
from sisock.core.model import Values
from sisock.core.reduce.indexed_array import BLOCK

_LEAST_SAMPLES, _FEW_SAMPLES = 256, 16
_CHUNKS_KEPT = 24  # so that a chunk which has expired but for a little is no great part of the memory
_COARSE_BYTES = 1  # a value's share of what is known in coarse form, with room to grow


class Budget:
    """Counts the bytes of chunks, and of the texts that they refer to where there is a bound.

    Parameters
    ----------
    dtypes
        The type of each field.
    most_bytes
        The bound, which may be set to another number later; infinite for none.
    """

    def __init__(self, dtypes: Sequence[np.dtype[Any]], most_bytes: float) -> None:
        self.most_bytes = most_bytes
        self._row_bytes = sum(dtype.itemsize + _COARSE_BYTES for dtype in dtypes) + np.dtype(np.float64).itemsize
        self._most_samples = int(min(CHUNK_SAMPLES, max(_FEW_SAMPLES, most_bytes / _CHUNKS_KEPT / self._row_bytes)))
        self._texts = [position for position, dtype in enumerate(dtypes) if dtype.kind == "O"]
        self._text_bytes = 0
        self.weighs_texts = bool(self._texts) and most_bytes < math.inf

    def room_after(self, kept: int, coming: int = 0) -> int:
        """Return the room of a new chunk beside so many samples, for at least so many that are coming."""
        room = min(max(kept // _CHUNKS_KEPT, coming, _LEAST_SAMPLES), self._most_samples)
        return room - room % BLOCK or room  # few blocks lie across two chunks

    def is_exceeded(self, chunks: Chunks) -> bool:
        """Tell whether chunks take too much, and some can be let go of."""
        return len(chunks.chunks) > 1 and self.used(chunks) > self.most_bytes

    def used(self, chunks: Chunks) -> int:
        """Return the bytes that chunks take."""
        return chunks.room * self._row_bytes + self._text_bytes

    def take(self, batch: Sequence[Values]) -> None:
        """Count the texts of a batch, given as an array for each field."""
        if self.weighs_texts:
            self._text_bytes += sum(_text_bytes(batch[position]) for position in self._texts)

    def let_go(self, chunks: Chunks, low: int, high: int) -> None:
        """Count the texts at the absolute indices [low, high) no longer."""
        if self.weighs_texts and low < high:
            self._text_bytes -= sum(_text_bytes(chunks.values(one).slice(low, high)) for one in self._texts)


def _text_bytes(texts: Values) -> int:
    return sum(map(str.__sizeof__, texts))
