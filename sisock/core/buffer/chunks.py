"""Chunks of live samples: a full one is never copied again, and expired samples go chunk by chunk."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from sisock.core.model import Times, Values
from sisock.core.reduce.indexed_array import BLOCK
from sisock.core.reduce.selectors import Indices

CHUNK_SAMPLES = 262144
"""The room of a chunk; only late samples make one longer, up to twice as long."""

# Of the last chunk only so many samples at its end are copied when one comes late, as those of some feeds often do.
_LEAST_COPIED = 16384
_LEAST_SAMPLES, _FEW_SAMPLES = 256, 16
# So that a chunk which has expired but for a little is no great part of the memory.
_CHUNKS_KEPT = 24
# A value's share of the summaries, with room to grow.
_SUMMARY_BYTES = 1


class Chunk(NamedTuple):
    """Arrays, perhaps with room to spare, that hold the samples from the absolute index ``start`` on."""

    start: int
    times: Times
    values: tuple[Values, ...]

    @classmethod
    def with_room(cls, start: int, samples: int, dtypes: Sequence[np.dtype[Any]]) -> Chunk:
        """Return an empty chunk with room for so many samples of fields of these types."""
        return cls(start, np.empty(samples), tuple(np.empty(samples, dtype=dtype) for dtype in dtypes))

    @property
    def room(self) -> int:
        """The number of samples that it holds when it is full."""
        return len(self.times)

    @property
    def dtypes(self) -> list[np.dtype[Any]]:
        """The type of each field."""
        return [array.dtype for array in self.values]

    def put(self, index: int, times: Times, values: Sequence[Values]) -> None:
        """Write samples from an absolute index on, where nobody reads yet."""
        window = slice(index - self.start, index - self.start + len(times))
        self.times[window] = times
        for array, given in zip(self.values, values, strict=True):
            array[window] = given

    def cut(self, samples: int) -> tuple[Chunk, Chunk]:
        """Return its first samples, so many, as one chunk, and the rest with what room it has as another."""
        head = Chunk(self.start, self.times[:samples], tuple(array[:samples] for array in self.values))
        rest = Chunk(self.start + samples, self.times[samples:], tuple(array[samples:] for array in self.values))
        return head, rest

    def copied(self, stop: int, room: int) -> Chunk:
        """Return its samples before the absolute index ``stop`` in a chunk of its own with so much room."""
        copy = Chunk.with_room(self.start, room, self.dtypes)
        count = stop - self.start
        copy.put(self.start, self.times[:count], [array[:count] for array in self.values])
        return copy


class ChunkedArray:
    """The samples of one array of each chunk, by absolute index; nothing in it changes.

    Parameters
    ----------
    starts
        The absolute index of each chunk's first sample.
    arrays
        Each chunk's array, all of one dtype.
    """

    def __init__(self, starts: Indices, arrays: Sequence[Values]) -> None:
        self._starts = starts
        # A list is searched more quickly than an array, where a single index is.
        self._firsts = starts.tolist()
        self._arrays = arrays
        self.dtype: np.dtype[Any] = arrays[0].dtype

    def __len__(self) -> int:
        """Return the index after the last one that there is room for."""
        return int(self._starts[-1]) + len(self._arrays[-1])

    def take(self, indices: Indices) -> Values:
        """Return the samples at ascending absolute indices."""
        first, last = (self._chunk_of(int(indices[end])) for end in (0, -1)) if len(indices) else (0, 0)
        if first == last:
            inside: Values = self._arrays[first][indices - self._starts[first]]
            return inside
        taken = np.empty(len(indices), dtype=self.dtype)
        inner = np.searchsorted(indices, self._starts[first + 1 : last + 1])
        for chunk, (low, high) in enumerate(pairwise([0, *inner.tolist(), len(indices)]), first):
            if low < high:
                taken[low:high] = self._arrays[chunk][indices[low:high] - self._starts[chunk]]
        return taken

    def rows(self, blocks: Indices) -> Values:
        """Return the samples of ascending blocks of 64, a row each."""
        lows, ends = blocks * BLOCK, np.append(self._starts[1:], len(self))
        begins, stops = lows.searchsorted(self._starts), lows.searchsorted(ends - BLOCK, side="right")
        taken = np.empty((len(blocks), BLOCK), dtype=self.dtype)
        across = np.ones(len(blocks), dtype=bool)
        for chunk in np.flatnonzero(begins < stops).tolist():
            window = slice(begins[chunk], stops[chunk])
            taken[window] = self._rows_of(chunk, blocks[window])
            across[window] = False
        for number in np.flatnonzero(across).tolist():
            taken[number] = self.slice(lows[number], lows[number] + BLOCK)
        return taken

    def slice(self, low: int, high: int) -> Values:
        """Return the samples [low, high), read-only: a view where one chunk has them all."""
        first, last = self._chunk_of(low), self._chunk_of(max(low, high - 1))
        if first == last:
            whole = self._part(first, low, high)
        else:
            whole = np.concatenate([self._part(chunk, low, high) for chunk in range(first, last + 1)])
        whole.flags.writeable = False
        return whole

    def _rows_of(self, chunk: int, blocks: Indices) -> Values:
        """Return blocks that one chunk has to itself."""
        array, first = self._arrays[chunk], -(-int(self._starts[chunk]) // BLOCK)
        skipped = first * BLOCK - int(self._starts[chunk])
        whole = array[skipped : skipped + (len(array) - skipped) // BLOCK * BLOCK].reshape(-1, BLOCK)
        # Rows are copied quicker than samples.
        rows: Values = whole.take(blocks - first, axis=0)
        return rows

    def _chunk_of(self, index: int) -> int:
        return max(0, bisect_right(self._firsts, index) - 1)

    def _part(self, chunk: int, low: int, high: int) -> Values:
        start = self._firsts[chunk]
        stop = high if chunk + 1 == len(self._firsts) else min(high, self._firsts[chunk + 1])
        return self._arrays[chunk][max(low, start) - start : max(stop, low) - start]


@dataclass(frozen=True)
class Chunks:
    """Chunks that follow one another, at least one; the last may have room to spare."""

    chunks: tuple[Chunk, ...]

    @property
    def tail(self) -> Chunk:
        """The last one, which is written to."""
        return self.chunks[-1]

    @cached_property
    def room(self) -> int:
        """The number of samples that there is room for."""
        return sum(chunk.room for chunk in self.chunks)

    @cached_property
    def times(self) -> ChunkedArray:
        """The times of the samples, UNIX seconds."""
        return ChunkedArray(self._starts, [chunk.times for chunk in self.chunks])

    def values(self, number: int) -> ChunkedArray:
        """Return the values of one field, by its number in the order of the fields."""
        return ChunkedArray(self._starts, [chunk.values[number] for chunk in self.chunks])

    def index_of(self, instant: float, first: int, stop: int, *, after_equal: bool = False) -> int:
        """Return the absolute index in [first, stop] of the first sample not before ``instant``, or later than it."""
        search = bisect_right if after_equal else bisect_left
        number = search(self.chunks, instant, hi=self._used(stop), key=_first_time) - 1
        if number < 0:
            return first
        chunk = self.chunks[number]
        end = min(stop, self.chunks[number + 1].start) if number + 1 < len(self.chunks) else stop
        side = "right" if after_equal else "left"
        within = chunk.times[: end - chunk.start].searchsorted(instant, side=side)  # type: ignore[call-overload]
        return max(first, chunk.start + int(within))

    def time_at(self, index: int) -> float:
        """Return the time of the sample at an absolute index, UNIX seconds."""
        number = 0 if len(self.chunks) == 1 else int(self._starts.searchsorted(index, side="right")) - 1
        chunk = self.chunks[number]
        return float(chunk.times[index - chunk.start])

    def followed_by(self, chunk: Chunk) -> Chunks:
        """Return these with another behind them."""
        return Chunks((*self.chunks, chunk))

    def from_index(self, index: int) -> Chunks:
        """Return these without the chunks, other than the last, that end at or before an absolute index."""
        if len(self.chunks) == 1 or self.chunks[1].start > index:
            return self
        return Chunks(self.chunks[int(self._starts.searchsorted(index, side="right")) - 1 :])

    def until(self, stop: int) -> Chunks:
        """Return these with the samples before an absolute index only, and with a last chunk to write to."""
        # The last is copied, as readers of what was there before may still look at its arrays.
        kept = self.chunks[: self._used(stop)] or self.chunks[:1]
        return Chunks((*kept[:-1], kept[-1].copied(stop, kept[-1].room)))

    def with_late(self, stop: int, times: Times, values: Sequence[Values]) -> Chunks:
        """Return these with late samples in their places, behind those of the same time.

        Only the chunks concerned are made anew.

        Parameters
        ----------
        stop
            The absolute index behind the newest sample.
        times
            Ascending, UNIX seconds, before that of the newest sample.
        values
            As many for each field.
        """
        used = self._cut_tail(stop, float(times[0]))
        ends = [*(chunk.start for chunk in used[1:]), stop]
        first_times = [_first_time(chunk) for chunk in used[1:]]
        bounds = [0, *np.searchsorted(times, first_times).tolist(), len(times)]
        renewed: list[Chunk] = []
        for number, (chunk, end, (low, high)) in enumerate(zip(used, ends, pairwise(bounds), strict=True)):
            moved = chunk._replace(start=chunk.start + low)
            if low < high:
                added = times[low:high], [array[low:high] for array in values]
                renewed += _with_inserted(moved, end + low, *added, is_last=number + 1 == len(used))
            else:
                renewed.append(moved)
        return Chunks(tuple(renewed))

    def _cut_tail(self, stop: int, time: float) -> list[Chunk]:
        """Return the chunks that hold samples, the last cut not far before a late one where that spares copying."""
        *others, tail = self.chunks[: self._used(stop)]
        place = int(tail.times[: stop - tail.start].searchsorted(time, side="right"))
        kept = max(0, place - 1) // _LEAST_COPIED * _LEAST_COPIED
        return [*others, *(tail.cut(kept) if kept else [tail])]

    @cached_property
    def _starts(self) -> Indices:
        return np.array([chunk.start for chunk in self.chunks], dtype=np.intp)

    def _used(self, stop: int) -> int:
        """Return how many chunks hold a sample before the absolute index ``stop``."""
        return int(self._starts.searchsorted(stop))


def _first_time(chunk: Chunk) -> float:
    return float(chunk.times[0])


def _with_inserted(
    chunk: Chunk, stop: int, times: Times, values: Sequence[Values], *, is_last: bool
) -> Iterator[Chunk]:
    """Yield a chunk that ends at ``stop`` with some samples put in their places, or two when that is too long."""
    count = stop - chunk.start
    places = chunk.times[:count].searchsorted(times, side="right")
    whole = Chunk(
        chunk.start,
        np.insert(chunk.times[:count], places, times),
        tuple(np.insert(old[:count], places, new) for old, new in zip(chunk.values, values, strict=True)),
    )
    # The last chunk keeps the room that it has, so that what comes next is written behind it.
    if is_last and whole.room < chunk.room:
        yield whole.copied(stop + len(times), chunk.room)
    elif whole.room <= 2 * CHUNK_SAMPLES:
        yield whole
    else:
        for low in range(0, whole.room, CHUNK_SAMPLES):
            window = slice(low, low + CHUNK_SAMPLES)
            yield Chunk(chunk.start + low, whole.times[window], tuple(array[window] for array in whole.values))


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
        self._row_bytes = sum(dtype.itemsize + _SUMMARY_BYTES for dtype in dtypes) + np.dtype(np.float64).itemsize
        self._most_samples = int(min(CHUNK_SAMPLES, max(_FEW_SAMPLES, most_bytes / _CHUNKS_KEPT / self._row_bytes)))
        self._texts = [number for number, dtype in enumerate(dtypes) if dtype.kind == "O"]
        self._text_bytes = 0
        self.weighs_texts = bool(self._texts) and most_bytes < math.inf

    def room_after(self, kept: int, coming: int = 0) -> int:
        """Return the room of a new chunk beside so many samples, for at least so many that are coming."""
        room = min(max(kept // _CHUNKS_KEPT, coming, _LEAST_SAMPLES), self._most_samples)
        # Whole blocks, so that few of them lie across two chunks: those are copied one at a time.
        return room - room % BLOCK or room

    def is_exceeded(self, chunks: Chunks) -> bool:
        """Tell whether chunks take too much, and some can be let go of."""
        # The last chunk is written to, and stays however small the bound is.
        return len(chunks.chunks) > 1 and self.used(chunks) > self.most_bytes

    def used(self, chunks: Chunks) -> int:
        """Return the bytes that chunks take."""
        return chunks.room * self._row_bytes + self._text_bytes

    def take(self, batch: Sequence[Values]) -> None:
        """Count the texts of a batch, given as an array for each field."""
        if self.weighs_texts:
            self._text_bytes += sum(_text_bytes(batch[number]) for number in self._texts)

    def let_go(self, chunks: Chunks, low: int, high: int) -> None:
        """Count the texts at the absolute indices [low, high) no longer."""
        if self.weighs_texts and low < high:
            self._text_bytes -= sum(_text_bytes(chunks.values(number).slice(low, high)) for number in self._texts)


def _text_bytes(texts: Values) -> int:
    return sum(map(str.__sizeof__, texts))
