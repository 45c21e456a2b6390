"""What every node shares that reads whole files.

A format is a *reader*, a function from a path to :class:`Contents`; :class:`FileArchive` does the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sisock.core.column.series import ReducibleSeries
from sisock.core.model import DataBlock, FieldCatalogue
from sisock.nodes.archive.file_cache import FileCache, ServedColumn
from sisock.nodes.archive.folder_index import FolderIndex
from sisock.nodes.archive.format import Contents, FieldSamples, Reader, in_order
from sisock.nodes.archive.segment_loader import SegmentLoader
from sisock.nodes.archive.series_archive import SeriesArchive
from sisock.nodes.archive.served_field import ServedField, timelines_of

__all__ = ["Contents", "FieldSamples", "FileArchive", "Reader", "in_order"]

KEPT_FROM_FILES = 2  # a single file's columns are kept together, by the index


class FileArchive(SeriesArchive):
    """The files of a folder whose names match a pattern, read again whenever they change.

    Parameters
    ----------
    folder
        Where the files are. It must exist at the start.
    pattern
        Shell pattern for the names of files, or several of them; with ``/`` for those in folders of the folder, as in
        ``*/*.txt``. Hidden files and unprintable names are passed over.
    reader
        Reads one file; an OSError leaves the file out until it can be read, a ValueError until it changes.
    cache
        Where columns are kept, so that a file is read once only; without it they are kept in memory.
    clock
        Seconds, from any origin.
    now
        The time, UNIX seconds.

    Notes
    -----
    A file is read again when its modification time, size or inode number changed, which each question checks; of
    more than 100 files, once a second, and of very many every four seconds. A field that is in several files is served
    as one series, as :class:`SeriesArchive` describes. The time of the newest sample is the end
    of what is final, since a growing file may still get samples there; so may the files before it, until they were not
    written to for a minute. ``generation`` is a digest of what the files held when they were first read, so that it
    survives a restart that finds the same data, or, with a cache, the same data with more behind them. When a file was
    rewritten or cut, is gone, or has come late, there is another one, never one that was there before.
    """

    def __init__(
        self,
        folder: Path | str,
        pattern: str | Sequence[str],
        reader: Reader,
        cache: FileCache | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        patterns = [pattern] if isinstance(pattern, str) else list(pattern)
        self._folder_index = FolderIndex(Path(folder), patterns, reader, cache, clock)
        parts = None if cache is None else cache.parts()
        self._setup(
            self._folder_index, SegmentLoader(Path(folder), self._folder_index.columns, parts, KEPT_FROM_FILES), now
        )

    def catalogue(self, start: float, end: float) -> FieldCatalogue:
        """Return the fields that have a sample in [start, end), UNIX seconds."""
        catalogue = super().catalogue(start, end)
        intervals_s = {name: one.interval_s for name, one in catalogue.timelines.items()}
        for name, field in catalogue.fields.items():
            lineup = self._folder_index.lineup(name)
            if lineup is not None and not lineup.is_counted:
                intervals_s[field.timeline] = lineup.interval_of(self.count(name))
        return FieldCatalogue.of(list(catalogue.fields.values()), intervals_s)

    def columns(self, fields: Sequence[str]) -> Mapping[str, ReducibleSeries]:
        """Return the samples of the known ones of the fields, to be asked for spans of them.

        A field that is in one file is a column, which is the same as before if the file was not changed.
        """
        empty = {name: column.open() for name, column in self._empty(fields).items()}
        return {**empty, **super().columns(fields)}

    def read(self, fields: Sequence[str], start: float, end: float) -> DataBlock:
        """Return the samples of the known ones of the fields inside [start, end), as views that are read-only.

        Fields of one timeline that do not have the same times, as where one of them is not in all files, are on
        timelines of their own.
        """
        block = super().read(fields, start, end)
        empty = self._empty(fields)
        if not empty:
            return block
        timelines = {name: column.field.timeline for name, column in empty.items()}
        nothing = timelines_of({name: column.open() for name, column in empty.items()}, timelines, (start, end))
        return DataBlock({**nothing.timelines, **block.timelines})

    def _empty(self, fields: Sequence[str]) -> dict[str, ServedColumn]:
        """Return the fields that are known, but have no samples in any file."""
        found = {name: self._folder_index.empty(name) for name in dict.fromkeys(fields)}
        return {name: column for name, column in found.items() if column is not None}

    def _timeline(self, name: str, state: ServedField) -> str:
        return self._folder_index.timeline(name) or super()._timeline(name, state)

    def _series(self, name: str, state: ServedField, names: tuple[str, ...]) -> ReducibleSeries:
        first, *others = state.lineup.stretches
        column = None if others else self._folder_index.column(first.file, name)
        if column is None or column.dtype != state.lineup.dtype:
            return super()._series(name, state, names)
        stated = state.statement
        # A file that became another a moment ago speaks for itself: it is not what was stated.
        if column.statement == stated or column.generation != first.identity:
            return column
        return column.restated(finalized_until=stated.finalized_until, generation=stated.generation)
