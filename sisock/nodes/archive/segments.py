"""Segments of a field: the samples of files that follow one another as one column, and where they are kept."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sisock.core.column.column import Column
from sisock.core.column.mapped import arrays_of, column_of
from sisock.core.model import Statement, Times
from sisock.nodes.archive.array_cache import VERSION_DIGITS, ArrayCache, CacheEntry, DamagedEntry, absolute, digest
from sisock.nodes.archive.file_spans import FileSpans
from sisock.nodes.archive.format import FileSpan
from sisock.nodes.archive.generation import Generation

COMPACTED_AT_ONCE = 8
_KEY_DIGITS = 15  # that fit into an int64

Keys = NDArray[np.int64]
AREA = "joined"
MEMBERS = ("member_keys", "member_oldest", "member_newest")


class Segment:
    """Stretches of a field that follow one another, as one column.

    Parameters
    ----------
    members
        The stretches, by the time of their first sample.
    dtype
        What their values are joined to.
    entry
        Where the column is kept; None when it is not.
    source
        A column that has the samples among others; None when they are read from the files.

    Attributes
    ----------
    is_loose
        Whether a file was not as the index knows it when it was read last, so that the column could not be kept.
    is_lacking
        Whether there were fewer samples than the index knows of.
    """

    def __init__(
        self,
        members: tuple[FileSpan, ...],
        dtype: np.dtype[Any],
        entry: CacheEntry | None = None,
        source: Column | None = None,
    ) -> None:
        self.members = members
        self.dtype = dtype
        self.entry = entry
        self.source = source
        self.column: Column | None = None
        self.is_loose = self.is_lacking = False
        self.oldest = members[0].oldest
        self.newest = max(one.newest for one in members)
        self.count = sum(one.count for one in members)

    @property
    def level(self) -> int:
        """How many times its files were merged, eight to one."""
        return int(math.log(len(self.members) + 0.5, COMPACTED_AT_ONCE))

    @property
    def samples(self) -> int | None:
        """How many samples the column has; None while that is not known."""
        if self.entry is not None:
            return int(self.entry.meta["samples"])
        if self.column is not None:
            return self.column.stop
        return self.count if len(self.members) == 1 and self.members[0].dtype == self.dtype.name else None

    @property
    def is_ready(self) -> bool:
        """Whether its files need not be read."""
        return any(one is not None for one in (self.column, self.entry, self.source))


@dataclass(frozen=True, eq=False)
class StaleSegment:
    """The column of a part, and which files it was made of.

    Parameters
    ----------
    keys
        Shape (n,): what tells each file as it was from any other.
    oldest, newest
        Shape (n,): times of the first and the last sample of each, UNIX seconds.
    """

    keys: Keys
    oldest: Times
    newest: Times
    column: Column

    @classmethod
    def of(cls, members: Sequence[FileSpan], column: Column) -> StaleSegment:
        """Return what is left of a part with these members."""
        oldest, newest = (np.array([getattr(one, name) for one in members]) for name in ("oldest", "newest"))
        return cls(keys_of(members), oldest, newest, column)

    def common(self, first: int, stretches: Sequence[FileSpan]) -> int:
        """Return how many of the stretches are its files from one on, such that time parts them from its others."""
        if first and self.newest[:first].max() >= self.oldest[first]:
            return 0
        count = min(len(stretches), len(self.keys) - first)
        same = self.keys[first : first + count] == keys_of(stretches[:count])
        count = count if same.all() else int(same.argmin())
        reach = np.maximum.accumulate(self.newest[first : first + count])
        following = self.oldest[first + 1 : first + count + 1]
        parted = np.append(reach[: len(following)] < following, [True] * (count - len(following)))
        return int(np.flatnonzero(parted)[-1]) + 1 if parted.any() else 0


class StaleSegments:
    """Finds what is left of parts in a new lineup of a field."""

    def __init__(self, lineup: FileSpans) -> None:
        self._lineup = lineup
        self._places: dict[int, tuple[StaleSegment, int]] = {}

    def add(self, remnant: StaleSegment) -> None:
        """Take the remnant of one more part."""
        self._places |= {key: (remnant, number) for number, key in enumerate(remnant.keys.tolist())}

    def find(self, at: int) -> Segment | None:
        """Return a part that begins with a stretch, by the number of that, and need not be made of files."""
        if not self._places:
            return None
        (key,) = keys_of(self._lineup.stretches[at : at + 1]).tolist()
        remnant, first = self._places.get(key, (None, 0))
        count = remnant.common(first, self._lineup.stretches[at:]) if remnant is not None else 0
        if remnant is None or not count or remnant.column.dtype != self._lineup.dtype:
            return None
        return Segment(self._lineup.stretches[at : at + count], self._lineup.dtype, source=remnant.column)


def keys_of(stretches: Sequence[FileSpan]) -> Keys:
    """Return a number for each stretch that is another one when its file has changed."""
    texts = (f"{one.file} {one.signature} {one.count}" for one in stretches)
    return np.array([int(digest(text)[:_KEY_DIGITS], 16) for text in texts], dtype=np.int64)


class SegmentCache:
    """Parts of fields on disk, for one reader.

    Parameters
    ----------
    folder
        The cache folder; archives of any number of nodes may share it.
    reader
        A name for the format that is read.
    version
        Raise it whenever the reader makes something else out of the same file.
    """

    def __init__(self, folder: Path | str | ArrayCache, reader: str, version: int) -> None:
        self._cache = folder if isinstance(folder, ArrayCache) else ArrayCache(folder, AREA)
        self._reader = reader
        self._version = version

    def find(
        self, folder: Path, name: str, stretches: Sequence[FileSpan], at: int, dtype: np.dtype[Any]
    ) -> Segment | None:
        """Return the part that was stored of a field from a stretch on; None when there is none that holds still."""
        key = self._key(folder, name, stretches[at])
        entry = self._cache.newest(key) if self._cache.has(key) else None
        if entry is None:
            return None
        members = tuple(stretches[at : at + entry.meta["members"]])
        if entry.folder.name != self._entry_version(members, dtype):
            return None
        with contextlib.suppress(OSError):
            os.utime(entry.folder)  # it counts as used today
        return Segment(members, dtype, entry)

    def remnant(self, folder: Path, name: str, first: FileSpan) -> StaleSegment | None:
        """Return what was stored of a field from a file on, though not all of it still holds; None without that."""
        key = self._key(folder, name, first)
        entry = self._cache.newest(key) if self._cache.has(key) else None
        if entry is None or entry.meta["reader"] != self._told_reader:
            return None
        try:
            keys, oldest, newest = (entry.array(name) for name in MEMBERS)
            return StaleSegment(keys, oldest, newest, self.open(entry))
        except DamagedEntry:
            return None

    def open(self, entry: CacheEntry) -> Column:
        """Return the column of a part; DamagedEntry when it is no longer to be had."""
        arrays = {name: entry.array(file) for name, file in entry.meta["arrays"].items()}
        return column_of(arrays, Statement(-math.inf, generation=""))

    def store(self, folder: Path, part: Segment, column: Column) -> CacheEntry | None:
        """Store the column of a part; None where that cannot be done."""
        name, first = part.members[-1].field.name, part.members[0]
        arrays = arrays_of(column)
        remnant = StaleSegment.of(part.members, column)
        meta = {
            "source": str(absolute(folder / first.file)),
            "reader": self._told_reader,
            "name": name,
            "members": len(part.members),
            "last": part.members[-1].file,
            "samples": column.stop,
            "arrays": {array: array for array in arrays},
        }
        told = dict(zip(MEMBERS, (remnant.keys, remnant.oldest, remnant.newest), strict=True))
        version = self._entry_version(part.members, part.dtype)
        return self._cache.commit(self._key(folder, name, first), version, meta, {**arrays, **told})

    def discard(self, entry: CacheEntry) -> None:
        """Remove what is stored of a part; what was stored of its first file since then stays."""
        self._cache.discard(entry)

    def identities(self, folder: Path) -> dict[str, Generation]:
        """Return under which generations the fields of an archive were served last, by their names."""
        entry = self._cache.newest(self._identity_key(folder))
        return (
            {} if entry is None else {name: Generation.from_json(told) for name, told in entry.meta["fields"].items()}
        )

    def remember(self, folder: Path, identities: Mapping[str, Generation]) -> None:
        """Keep under which generations fields of an archive are served, beside those of its other fields."""
        told = {name: one.to_json() for name, one in {**self.identities(folder), **identities}.items()}
        version = digest(repr(told))[:VERSION_DIGITS]
        self._cache.commit(
            self._identity_key(folder),
            version,
            {"source": str(folder.resolve()), "reader": self._told_reader, "fields": told},
            {},
        )

    def sweep(self) -> None:
        """Remove rubbish, and what nobody has used for long; see :meth:`ArrayCache.sweep`."""
        self._cache.sweep()

    @property
    def _told_reader(self) -> str:
        return f"{self._reader} {self._version}"

    def _key(self, folder: Path, name: str, first: FileSpan) -> str:
        return digest(self._reader, name, _place(folder), first.file)

    def _identity_key(self, folder: Path) -> str:
        return digest(self._reader, _place(folder))

    def _entry_version(self, members: Sequence[FileSpan], dtype: np.dtype[Any]) -> str:
        return digest(self._version, dtype.name, keys_of(members).tobytes())[:VERSION_DIGITS]


@lru_cache
def _place(folder: Path) -> bytes:
    return os.fsencode(folder.resolve())
