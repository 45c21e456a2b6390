"""One file of an archive that was read whole: its columns and its generation, in memory or in the cache."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sisock.core.column.column import Column
from sisock.core.column.mapped import arrays_of, column_of
from sisock.core.model import Field, Statement, Values
from sisock.core.reduce.indexed_array import BLOCK
from sisock.core.times import mean_spacing
from sisock.nodes.archive.array_cache import (
    VERSION_DIGITS,
    ArrayCache,
    Arrays,
    CacheEntry,
    DamagedEntry,
    absolute,
    digest,
)
from sisock.nodes.archive.format import Contents, Signature
from sisock.nodes.archive.segments import AREA, SegmentCache

# So that comparing two large files, which are mapped, takes the memory of a part of them.
COMPARED_AT_ONCE = 2**18


class ServedColumn:
    """A column of a file, opened when it is first asked for, and what a catalogue asks of it, known without that.

    Parameters
    ----------
    oldest, newest
        The times of the first and the last sample, UNIX seconds; None without samples.
    make
        Opens the column; DamagedEntry when it is no longer to be had.
    """

    def __init__(
        self,
        field: Field,
        dtype: np.dtype[Any],
        count: int,
        oldest: float | None,
        newest: float | None,
        make: Callable[[], Column],
    ) -> None:
        self.field = field
        self.dtype = dtype
        self.count = count
        self.oldest = oldest
        self.newest = newest
        self._make = make
        # Without a lock: two threads may open it at once, and either one is right.
        self._column: Column | None = None

    @classmethod
    def of(cls, field: Field, column: Column) -> ServedColumn:
        """Serve a column that is at hand."""
        oldest, newest = column.times.take(np.array([0, column.stop - 1])).tolist() if column.stop else (None, None)
        served = cls(field, column.dtype, column.stop, oldest, newest, lambda: column)
        served.open()
        return served

    @property
    def is_open(self) -> bool:
        """Whether it can be read whatever happens to the cache."""
        return self._column is not None

    @property
    def interval_s(self) -> float | None:
        """The mean spacing in seconds; None for fewer than two samples, or when all are at one time."""
        return mean_spacing(self.oldest, self.newest, self.count)

    def open(self) -> Column:
        """Return the column; it is opened once."""
        if self._column is None:
            self._column = self._make()
        return self._column

    def at_hand(self) -> Column:
        """Return the column; one that is not open yet is opened for the caller only."""
        return self._make() if self._column is None else self._column

    def closed(self) -> ServedColumn:
        """Return the column as one that is not open."""
        return ServedColumn(self.field, self.dtype, self.count, self.oldest, self.newest, self._make)

    def has_samples(self, start: float, end: float) -> bool:
        """Tell whether a sample is inside [start, end), UNIX seconds; only between the ends must one look for it."""
        if self.oldest is None or self.newest is None or self.oldest >= end or self.newest < start:
            return False
        # One of its ends is inside.
        if start <= self.oldest or self.newest < end:
            return True
        # At hand only: catalogues of many files would leave all of them mapped.
        low, high = self.at_hand().index_of(np.array([start, end]))
        return bool(low < high)

    def continues(self, before: ServedColumn) -> bool:
        """Tell whether another column is the beginning of this one: bit for bit if of numbers, with the same dtype."""
        pairs = [(before.open().times, self.open().times), (before.open().values, self.open().values)]
        return before.count <= self.count and all(
            one.dtype == other.dtype and _same(one.slice(low, high), other.slice(low, high))
            for low, high in _spans(before.count)
            for one, other in pairs
        )


@dataclass(frozen=True, eq=False)
class ArchivedFile:
    """The last reading of a file.

    Parameters
    ----------
    generation
        It is kept for as long as the file only grows.
    readings
        How many generations the file has had.
    problem
        In words what had to be left out.
    entry
        Where the columns are kept; None when they are in memory only.
    """

    signature: Signature
    generation: str
    readings: int
    columns: tuple[ServedColumn, ...]
    problem: str | None = None
    entry: CacheEntry | None = None

    @classmethod
    def of(cls, signature: Signature, contents: Contents) -> ArchivedFile:
        """Make columns of what was read; they have no generation yet."""
        columns = []
        for one in contents.columns:
            one.times.flags.writeable = False
            one.values.flags.writeable = False
            stated = Statement(float(one.times[-1]) if len(one.times) else -math.inf)
            # Of fewer samples than a block has, there is nothing to sum up.
            make = Column.of if len(one.times) >= BLOCK else Column.plain
            column = make(one.times, one.values, stated)
            columns.append(ServedColumn.of(one.field, column))
        return cls(signature, "", 0, tuple(columns), contents.problem)

    @property
    def is_open(self) -> bool:
        """Whether all can be read whatever happens to the cache."""
        return all(column.is_open for column in self.columns)

    @property
    def nbytes(self) -> int:
        """About how many bytes the samples take."""
        return sum(16 * column.count for column in self.columns)

    def continues(self, before: ArchivedFile) -> bool:
        """Whether each column before is the beginning of the same column here."""
        columns = {column.field.name: column for column in self.columns}
        # What had no samples is continued by nothing: two files that both began empty are not the same.
        return any(column.count for column in before.columns) and all(
            column.field.name in columns and columns[column.field.name].continues(column) for column in before.columns
        )

    def opened(self) -> ArchivedFile:
        """Return the file with all its columns open; DamagedEntry when the cache no longer has one."""
        for column in self.columns:
            column.open()
        return self

    def closed(self) -> ArchivedFile:
        """Return the file with its columns not open, where they are in the cache: too many cannot be mapped."""
        if self.entry is None:
            return self
        return dataclasses.replace(self, columns=tuple(column.closed() for column in self.columns))

    def under(self, generation: str, readings: int) -> ArchivedFile:
        """Return the file under a generation, with columns that state it."""
        columns = [ServedColumn.of(one.field, one.open().restated(generation=generation)) for one in self.columns]
        return dataclasses.replace(self, generation=generation, readings=readings, columns=tuple(columns))

    def digest(self) -> str:
        """Return a short text that differs for columns that differ."""
        contents = [one for column in self.columns for one in (repr(column.field.name), *_contents(column.open()))]
        return digest(*contents)[:VERSION_DIGITS]


class FileCache:
    """Columns of files on disk, for one reader.

    Parameters
    ----------
    folder
        The cache folder; archives of any number of nodes may share it.
    reader
        A name for the format that is read.
    version
        Raise it whenever the reader makes something else out of the same file.
    """

    def __init__(self, folder: Path | str, reader: str, version: int) -> None:
        self._cache = ArrayCache(folder)
        self._reader = reader
        self._version = version

    def segments(self) -> SegmentCache:
        """Return where segments of fields that are in several files are kept."""
        return SegmentCache(self._cache.beside(AREA), self._reader, self._version)

    def load(self, path: Path, signature: Signature) -> ArchivedFile | None:
        """Return what was stored of a file with this signature; None when there is nothing."""
        entry = self._cache.open(self._key(path), self._entry_version(signature))
        return None if entry is None else _unpack(entry)

    def newest(self, path: Path) -> ArchivedFile | None:
        """Return what was stored of a file last, whatever became of it since; None when there is nothing."""
        entry = self._cache.newest(self._key(path))
        return None if entry is None else _unpack(entry)

    def store(self, path: Path, file: ArchivedFile) -> ArchivedFile:
        """Store a file and return it with columns that are on the disk; as it is where that cannot be done."""
        columns, arrays = _pack(file)
        key, version = self._key(path), self._entry_version(file.signature)
        meta = {
            "source": str(absolute(path)),
            "signature": file.signature,
            "reader": f"{self._reader} {self._version}",
            "generation": file.generation,
            "readings": file.readings,
            "problem": file.problem,
            "columns": columns,
        }
        # Twice at most: an entry that cannot be trusted is in the way once.
        for _ in range(2):
            entry = self._cache.commit(key, version, meta, arrays)
            if entry is None:
                break
            with contextlib.suppress(DamagedEntry):
                stored = _unpack(entry).opened()
                if stored.generation == file.generation:
                    return stored
            # Another was there already, which is damaged, or has another generation.
            self._cache.remove(key)
        return file

    def remove(self, path: Path) -> None:
        """Remove all that is stored of a file."""
        self._cache.remove(self._key(path))

    def sweep(self) -> None:
        """Remove rubbish, and what nobody has used for long; see :meth:`ArrayCache.sweep`."""
        self._cache.sweep()

    def _key(self, path: Path) -> str:
        return digest(self._reader, os.fsencode(absolute(path)))

    def _entry_version(self, signature: Signature) -> str:
        return digest(self._version, *signature)[:VERSION_DIGITS]


def _pack(file: ArchivedFile) -> tuple[list[dict[str, Any]], Arrays]:
    """Return what an entry's meta says of the columns, and their arrays by the names of their files."""
    described, written, places = [], dict[str, NDArray[Any]](), dict[Hashable, str]()
    for number, served in enumerate(file.columns):
        names = {}
        for name, array in arrays_of(served.open()).items():
            # Columns of one timeline share its times, which are written once. Arrays of no size may all have one place
            # in memory, and are told apart by what they are for.
            place = (array.ctypes.data, array.shape, array.dtype.str) if array.size else (number, name)
            names[name] = places.setdefault(place, f"{number}.{name}")
            written[names[name]] = array
        described.append(
            {
                "field": dataclasses.asdict(served.field),
                "dtype": served.dtype.name,
                "samples": served.count,
                "oldest": served.oldest,
                "newest": served.newest,
                "arrays": names,
            }
        )
    return described, written


def _unpack(entry: CacheEntry) -> ArchivedFile:
    """Return the file of an entry; its columns are opened when they are asked for."""
    meta = entry.meta
    columns = [_unpack_column(entry, described, meta["generation"]) for described in meta["columns"]]
    signature: Signature = tuple(meta["signature"])
    return ArchivedFile(signature, meta["generation"], meta["readings"], tuple(columns), meta["problem"], entry)


def _unpack_column(entry: CacheEntry, described: Mapping[str, Any], generation: str) -> ServedColumn:
    newest = described["newest"]

    def make() -> Column:
        arrays = {name: entry.array(file) for name, file in described["arrays"].items()}
        return column_of(arrays, Statement(-math.inf if newest is None else newest, generation=generation))

    dtype = np.dtype(described["dtype"])
    return ServedColumn(Field(**described["field"]), dtype, described["samples"], described["oldest"], newest, make)


def _contents(column: Column) -> list[str | memoryview]:
    """Return what a digest is made of: bytes, or the text of a list of texts."""
    arrays = [samples.slice(0, column.stop) for samples in (column.times, column.values)]
    return [
        ascii(array.tolist()) if array.dtype.hasobject else np.ascontiguousarray(array).view(np.uint8).data
        for array in arrays
    ]


def _spans(count: int) -> list[tuple[int, int]]:
    return [(low, min(low + COMPARED_AT_ONCE, count)) for low in range(0, count, COMPARED_AT_ONCE)]


def _same(array: Values, other: Values) -> bool:
    # Numbers as bytes: NaN counts as equal to itself, and 0.0 not as -0.0.
    return bool(np.array_equal(array, other)) if array.dtype.hasobject else array.tobytes() == other.tobytes()
