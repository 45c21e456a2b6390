"""The base of every node that reads whole files.

A format is a *reader*, a function from a path to :class:`Contents`, and a :class:`FileFormat` that has it;
:class:`FileArchive` does the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sisock.core.column.series import ReducibleSeries
from sisock.core.model import DataBlock, FieldCatalogue
from sisock.nodes.archive.file_cache import FileCache, ServedColumn
from sisock.nodes.archive.folder_index import FolderIndex
from sisock.nodes.archive.format import Reader
from sisock.nodes.archive.segment_loader import SegmentLoader
from sisock.nodes.archive.series_archive import SeriesArchive
from sisock.nodes.archive.served_field import ServedField, join_timelines

# The columns of a single file are kept by the index, all in one entry.
KEPT_FROM_FILES = 2


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
        segments = None if cache is None else cache.segments()
        loader = SegmentLoader(Path(folder), self._folder_index.columns, segments, KEPT_FROM_FILES)
        super().__init__(self._folder_index, loader, now)

    def catalogue(self, start: float, end: float) -> FieldCatalogue:
        """Return the fields that have a sample in [start, end), UNIX seconds."""
        catalogue = super().catalogue(start, end)
        intervals_s = {name: one.interval_s for name, one in catalogue.timelines.items()}
        for name, field in catalogue.fields.items():
            spans = self._folder_index.file_spans(name)
            # Where files overlap, the index does not know how many samples are served.
            if spans is not None and not spans.is_counted:
                intervals_s[field.timeline] = spans.interval_of(self.count(name))
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
        nothing = join_timelines({name: column.open() for name, column in empty.items()}, timelines, (start, end))
        return DataBlock({**nothing.timelines, **block.timelines})

    def _empty(self, fields: Sequence[str]) -> dict[str, ServedColumn]:
        """Return the fields that are known, but have no samples in any file."""
        columns = {name: self._folder_index.empty(name) for name in dict.fromkeys(fields)}
        return {name: column for name, column in columns.items() if column is not None}

    def _timeline(self, name: str, served: ServedField) -> str:
        return self._folder_index.timeline(name) or super()._timeline(name, served)

    def _series(self, name: str, served: ServedField, names: tuple[str, ...]) -> ReducibleSeries:
        first, *others = served.spans.members
        column = None if others else self._folder_index.column(first.file, name)
        if column is None or column.dtype != served.spans.dtype:
            return super()._series(name, served, names)
        stated = served.statement
        # A file that became another a moment ago speaks for itself: it is not what was stated.
        if column.statement == stated or column.generation != first.generation:
            return column
        return replace(column, statement=stated)


@dataclass(frozen=True)
class FileFormat:
    """A format of files that are read whole: what reads them, and what a node is called that serves them.

    Parameters
    ----------
    name, description
        What the hub lists, unless a node is given others.
    patterns
        Shell patterns for the names of files, as of :class:`FileArchive`.
    read
        Reads one file.
    version
        Raise it whenever ``read`` makes something else out of the same file.
    cache_name
        What the cache calls the format; ``name`` if it is empty.
    """

    name: str
    description: str
    patterns: tuple[str, ...]
    read: Reader
    version: int
    cache_name: str = ""

    def node_class(self, class_name: str) -> type[FileArchive]:
        """Return the class of the nodes that serve such files; its arguments are the options of a node.

        These are ``folder``, where the files are; ``name`` and ``description``; and ``cache``, a folder where what was
        read of the files is kept, or None to keep it in memory only.
        """
        file_format = self

        class FormatNode(FileArchive):
            """Serves the files of a folder that are of one format."""

            def __init__(
                self,
                folder: Path | str,
                name: str = file_format.name,
                description: str = file_format.description,
                cache: Path | str | None = None,
            ) -> None:
                self.name = name
                self.description = description
                super().__init__(folder, file_format.patterns, file_format.read, file_format.cache_in(cache))

        # What an error about an option calls it, and where `sisock node FILE.py` looks for the nodes of the file.
        FormatNode.__init__.__qualname__ = f"{class_name}.__init__"
        FormatNode.__name__ = FormatNode.__qualname__ = class_name
        FormatNode.__module__ = self.read.__module__
        return FormatNode

    def cache_in(self, folder: Path | str | None) -> FileCache | None:
        """Return where columns are kept, given a folder; None without one."""
        return FileCache(folder, self.cache_name or self.name, self.version) if folder else None
