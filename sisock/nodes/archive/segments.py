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
# Hexadecimal digits of a digest, as many as fit into an int64.
_KEY_DIGITS = 15

Keys = NDArray[np.int64]
AREA = "joined"
MEMBERS = ("member_keys", "member_oldest", "member_newest")


class Segment:
    """Files of a field that follow one another, as one column.

    Parameters
    ----------
    members
        The spans of the files, by the time of their first sample.
    dtype
        What their values are joined to.
    entry
        Where the column is kept; None when it is not.
    source
        A column that has the samples among others; None when they are read from the files.

    Attributes
    ----------
    is_provisional
        Whether a file was not as the index knows it when it was read last, so that the column could not be kept.
    is_incomplete
        Whether there were fewer samples than the index knows of.
    """

    # `column` may be read without a lock, once: it comes when it was made, and goes again when too many are open. Who
    # finds None asks the loader, which makes it under its lock.
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
        self.is_provisional = self.is_incomplete = False
        self.oldest = members[0].oldest
        self.newest = max(one.newest for one in members)
        self.count = sum(one.count for one in members)

    @property
    def level(self) -> int:
        """The number of times that its files were compacted, eight to one."""
        # The half keeps the logarithm of an exact power of eight from being rounded below it.
        return int(math.log(len(self.members) + 0.5, COMPACTED_AT_ONCE))

    @property
    def samples(self) -> int | None:
        """The number of samples of the column; None while that is not known."""
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
    """A segment some of whose files are no longer as they were: its column, and which files that was made of.

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
        """Return what is left of a segment with these members."""
        oldest, newest = (np.array([getattr(one, name) for one in members]) for name in ("oldest", "newest"))
        return cls(keys_of(members), oldest, newest, column)

    def common(self, first: int, spans: Sequence[FileSpan]) -> int:
        """Return how many of the spans are its files from one on, such that time parts them from its others."""
        if first and self.newest[:first].max() >= self.oldest[first]:
            return 0
        count = min(len(spans), len(self.keys) - first)
        same = self.keys[first : first + count] == keys_of(spans[:count])
        count = count if same.all() else int(same.argmin())
        # Their samples are cut out of the column by time, which only works where no other file has samples between.
        reach = np.maximum.accumulate(self.newest[first : first + count])
        following = self.oldest[first + 1 : first + count + 1]
        parted = np.append(reach[: len(following)] < following, [True] * (count - len(following)))
        return int(np.flatnonzero(parted)[-1]) + 1 if parted.any() else 0


class StaleSegments:
    """The stale segments of a field, to be searched for files that are as they were."""

    def __init__(self, spans: FileSpans) -> None:
        self._spans = spans
        self._places: dict[int, tuple[StaleSegment, int]] = {}

    def add(self, stale: StaleSegment) -> None:
        """Take one more."""
        self._places |= {key: (stale, number) for number, key in enumerate(stale.keys.tolist())}

    def find(self, at: int) -> Segment | None:
        """Return a segment that begins with a file, by its number, and need not be made of files."""
        if not self._places:
            return None
        (key,) = keys_of(self._spans.members[at : at + 1]).tolist()
        stale, first = self._places.get(key, (None, 0))
        count = stale.common(first, self._spans.members[at:]) if stale is not None else 0
        if stale is None or not count or stale.column.dtype != self._spans.dtype:
            return None
        return Segment(self._spans.members[at : at + count], self._spans.dtype, source=stale.column)


def keys_of(spans: Sequence[FileSpan]) -> Keys:
    """Return a number for each file's span that is another one when the file has changed."""
    # This very text: caches keep digests of it.
    texts = (f"{one.file} {one.signature} {one.count}" for one in spans)
    return np.array([int(digest(text)[:_KEY_DIGITS], 16) for text in texts], dtype=np.int64)


class SegmentCache:
    """Segments of fields on disk, for one reader.

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
        self, folder: Path, name: str, spans: Sequence[FileSpan], at: int, dtype: np.dtype[Any]
    ) -> Segment | None:
        """Return the segment that was stored of a field from a file on; None when there is none that holds still."""
        key = self._key(folder, name, spans[at])
        # Most files begin no segment: that there is no folder is known much sooner than that it holds nothing.
        entry = self._cache.newest(key) if self._cache.has(key) else None
        if entry is None:
            return None
        members = tuple(spans[at : at + entry.meta["members"]])
        if entry.folder.name != self._entry_version(members, dtype):
            return None
        # It counts as used today: what nobody uses for a month is removed.
        with contextlib.suppress(OSError):
            os.utime(entry.folder)
        return Segment(members, dtype, entry)

    def find_stale(self, folder: Path, name: str, first: FileSpan) -> StaleSegment | None:
        """Return what was stored of a field from a file on, though not all of it still holds; None without that."""
        key = self._key(folder, name, first)
        entry = self._cache.newest(key) if self._cache.has(key) else None
        if entry is None or entry.meta["reader"] != self._reader_and_version:
            return None
        try:
            keys, oldest, newest = (entry.array(name) for name in MEMBERS)
            return StaleSegment(keys, oldest, newest, self.open(entry))
        except DamagedEntry:
            return None

    def open(self, entry: CacheEntry) -> Column:
        """Return the column of a segment; DamagedEntry when it is no longer to be had."""
        # Nothing is stated of a segment's column: that is for the whole field to do.
        arrays = {name: entry.array(file) for name, file in entry.meta["arrays"].items()}
        return column_of(arrays, Statement(-math.inf, generation=""))

    def store(self, folder: Path, segment: Segment, column: Column) -> CacheEntry | None:
        """Store the column of a segment; None where that cannot be done."""
        name, first = segment.members[-1].field.name, segment.members[0]
        arrays = arrays_of(column)
        # As it will look when one of its files has changed: what tells then which of the others still hold.
        stale = StaleSegment.of(segment.members, column)
        meta = {
            "source": str(absolute(folder / first.file)),
            "reader": self._reader_and_version,
            "name": name,
            "members": len(segment.members),
            "last": segment.members[-1].file,
            "samples": column.stop,
            "arrays": {array: array for array in arrays},
        }
        members = dict(zip(MEMBERS, (stale.keys, stale.oldest, stale.newest), strict=True))
        version = self._entry_version(segment.members, segment.dtype)
        return self._cache.commit(self._key(folder, name, first), version, meta, {**arrays, **members})

    def discard(self, entry: CacheEntry) -> None:
        """Remove what is stored of a segment; what was stored of its first file since then stays."""
        self._cache.discard(entry)

    def generations(self, folder: Path) -> dict[str, Generation]:
        """Return the generations that the fields of an archive were served under last, by their names."""
        entry = self._cache.newest(self._generations_key(folder))
        if entry is None:
            return {}
        return {name: Generation.from_json(kept) for name, kept in entry.meta["fields"].items()}

    def keep_generations(self, folder: Path, generations: Mapping[str, Generation]) -> None:
        """Keep the generations that fields of an archive are served under, beside those of its other fields."""
        fields = {name: one.to_json() for name, one in {**self.generations(folder), **generations}.items()}
        version = digest(repr(fields))[:VERSION_DIGITS]
        self._cache.commit(
            self._generations_key(folder),
            version,
            {"source": str(folder.resolve()), "reader": self._reader_and_version, "fields": fields},
            {},
        )

    def sweep(self) -> None:
        """Remove rubbish, and what nobody has used for long; see :meth:`ArrayCache.sweep`."""
        self._cache.sweep()

    @property
    def _reader_and_version(self) -> str:
        return f"{self._reader} {self._version}"

    def _key(self, folder: Path, name: str, first: FileSpan) -> str:
        return digest(self._reader, name, _place(folder), first.file)

    def _generations_key(self, folder: Path) -> str:
        return digest(self._reader, _place(folder))

    def _entry_version(self, members: Sequence[FileSpan], dtype: np.dtype[Any]) -> str:
        return digest(self._version, dtype.name, keys_of(members).tobytes())[:VERSION_DIGITS]


# Cached: a folder's links are followed once, and not for each of its files.
@lru_cache
def _place(folder: Path) -> bytes:
    return os.fsencode(folder.resolve())
