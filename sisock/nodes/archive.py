"""What every node that reads files shares: which files are there, what was read from each, and its identity.

A format is a *reader*, a function from a path to :class:`Contents`; :class:`FileArchive` does the rest.
"""

from __future__ import annotations

import fnmatch
import logging
import math
import os
import stat
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from sisock.core.column import Column
from sisock.core.errors import ConfigurationError
from sisock.core.model import DataBlock, Field, FieldCatalogue, TimelineBlock, Times, Values
from sisock.nodes.archived import ArchivedFile, FileCache, ServedColumn
from sisock.nodes.index import Signature
from sisock.nodes.cache import DamagedEntry

logger = logging.getLogger(__name__)

MANY_FILES = 100
LIST_AGAIN_S = 1.0
CHEAP_BYTES = 4 * 2**20
STORE_AGAIN_S = 600.0

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class FieldSamples:
    """The samples of one field of one file, in order of time.

    Parameters
    ----------
    field
        What the samples are; fields of the same file may share a timeline, those of different files may not.
    times
        Shape (n,), float64 UNIX seconds, ascending.
    values
        Shape (n,), of the dtype that :class:`~sisock.core.model.TimelineBlock` wants.
    """

    field: Field
    times: Times
    values: Values


@dataclass(frozen=True)
class Contents:
    """What a reader got out of a file, and in words what it had to leave out."""

    columns: tuple[FieldSamples, ...] = ()
    problem: str | None = None


Reader = Callable[[Path], Contents]


@dataclass(frozen=True)
class _Index:
    """All that is served at one moment; replaced whole, so that readers need no lock."""

    files: Mapping[str, ArchivedFile] = field(default_factory=dict)
    columns: Mapping[str, ServedColumn] = field(default_factory=dict)

    @classmethod
    def of(cls, files: Mapping[str, ArchivedFile]) -> _Index:
        columns = {column.field.name: column for _, file in sorted(files.items()) for column in file.columns}
        return cls(files, columns)

    def known(self, fields: Sequence[str]) -> list[ServedColumn]:
        return [self.columns[name] for name in dict.fromkeys(fields) if name in self.columns]


class FileArchive:
    """The files of a folder whose names match a pattern, read again whenever they change.

    Parameters
    ----------
    folder
        Where the files are; folders in it are not searched. It must exist at the start.
    pattern
        Shell pattern for the names of files. Hidden files and unprintable names are passed over.
    reader
        Reads one file; an OSError leaves the file out until it can be read.
    cache
        Where columns are kept, so that a file is read once only; without it they are kept in memory.
    clock
        Seconds, from any origin.

    Notes
    -----
    A file is read again when its modification time, size or inode number changed, which each question checks; of
    more than 100 files, once a second. The time of its newest sample is the end of what is final, since a growing
    file may still get samples there. ``generation`` is a digest of what the file held when it was first read, so
    that it survives a restart that finds the same data, or, with a cache, the same data with more behind them. A file
    that was rewritten or cut gets another one, never one that it had before.
    """

    def __init__(
        self,
        folder: Path | str,
        pattern: str,
        reader: Reader,
        cache: FileCache | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise ConfigurationError(f"'{folder}' is not a folder: give one that holds files named {pattern}")
        self._pattern = pattern
        self._reader = reader
        self._cache = cache
        self._clock = clock
        self._lock = threading.Lock()
        self._index = _Index()
        self._listed_at = -math.inf
        self._stored_at: dict[str, float] = {}
        self._reported: dict[str, str] = {}
        self._readings: dict[str, int] = {}
        self._distrusted: dict[str, ArchivedFile] = {}
        if cache is not None:
            cache.sweep()

    def catalogue(self, start: float, end: float) -> FieldCatalogue:
        """Return the fields that have a sample in [start, end), UNIX seconds."""

        def question(index: _Index) -> FieldCatalogue:
            columns = [column for column in index.columns.values() if column.has_samples(start, end)]
            intervals_s = {column.field.timeline: column.interval_s for column in columns}
            return FieldCatalogue.of([column.field for column in columns], intervals_s)

        return self._answer(question)

    def columns(self, fields: Sequence[str]) -> Mapping[str, Column]:
        """Return the columns of the known ones of the fields; those that were not changed are the same as before."""
        return self._answer(lambda index: {column.field.name: column.open() for column in index.known(fields)})

    def read(self, fields: Sequence[str], start: float, end: float) -> DataBlock:
        """Return the samples of the known ones of the fields inside [start, end), as views that are read-only."""
        return self._answer(lambda index: _read(index.known(fields), start, end))

    def _answer(self, question: Callable[[_Index], Answer]) -> Answer:
        """Answer from what is served now; what turns out to be damaged in the cache is read from its file again."""
        while True:
            try:
                return question(self._refresh())
            except DamagedEntry as error:
                self._distrust(error)

    def _distrust(self, error: DamagedEntry) -> None:
        """Serve a file from the cache no longer, nor any other that is gone there as well and was not opened."""
        with self._lock:
            files = dict(self._index.files)
            for name, file in self._index.files.items():
                entry = file.entry
                if entry is error.entry or (entry is not None and not file.is_open and not entry.exists()):
                    self._distrusted[name] = files.pop(name)
            self._index = _Index.of(files)
            self._listed_at = -math.inf

    def _refresh(self) -> _Index:
        """Read what changed since the last call and return all that is served now."""
        with self._lock:
            now = self._clock()
            if len(self._index.files) > MANY_FILES and now < self._listed_at + LIST_AGAIN_S:
                return self._index
            self._listed_at = now
            before = self._index.files
            files = {}
            signatures = self._list()
            for name, signature in signatures.items():
                file = before.get(name)
                if file is None or file.signature != signature:
                    file = self._read(name, signature, file)
                if file is not None:
                    files[name] = file
            self._forget(before.keys() - signatures.keys(), signatures)
            if files != before:
                self._index = _Index.of(files)
            return self._index

    def _forget(self, gone: Iterable[str], there: Collection[str]) -> None:
        """Remove what is kept of files that are gone; where none is left, a disk may be away and come back."""
        for name in gone:
            self._stored_at.pop(name, None)
            self._distrusted.pop(name, None)
            if self._cache is not None and there:
                self._cache.remove(self.folder / name)

    def _list(self) -> dict[str, Signature]:
        """Return the signature of each regular file that matches; a file may go away at any moment."""
        try:
            with os.scandir(self.folder) as found:
                signatures = {one.name: _signature(one) for one in found if self._served(one.name)}
        except OSError as error:
            self._report("", f"folder '{self.folder}' cannot be read ({error.strerror}): check its permissions")
            return {}
        self._reported.pop("", None)
        self._reported = {name: text for name, text in self._reported.items() if signatures.get(name)}
        return {name: signature for name, signature in signatures.items() if signature}

    def _served(self, name: str) -> bool:
        return fnmatch.fnmatchcase(name, self._pattern) and name.isprintable() and not name.startswith(".")

    def _read(self, name: str, signature: Signature, before: ArchivedFile | None) -> ArchivedFile | None:
        """Read one file, from the cache if it is there; None when it cannot be read."""
        file = self._load(name, signature, before)
        if file is None:
            try:
                contents = self._reader(self.folder / name)
            except OSError as error:
                self._report(name, f"'{self.folder / name}' cannot be read ({error.strerror}): check its permissions")
                return None
            file = self._keep(name, self._identify(name, _archived(signature, contents), before), before)
        self._report(name, file.problem)
        return file

    def _load(self, name: str, signature: Signature, before: ArchivedFile | None) -> ArchivedFile | None:
        """Return what the cache has of a file, unless another process has given it an identity that is wrong here."""
        if self._cache is None or name in self._distrusted:
            return None
        file = self._cache.load(self.folder / name, signature)
        if file is None or (before and _grew(before, file) != (file.generation == before.generation)):
            return None
        self._readings[name] = max(file.readings, self._readings.get(name, 0))
        return file

    def _identify(self, name: str, file: ArchivedFile, before: ArchivedFile | None) -> ArchivedFile:
        """Give a file the identity of what it continues, served so far or before a restart, or else a new one."""
        distrusted = self._distrusted.pop(name, None)
        if distrusted is not None and distrusted.signature == file.signature:
            return file.identified(distrusted.generation, distrusted.readings)
        if before is None and self._cache is not None and name not in self._readings:
            before = self._cache.newest(self.folder / name)
            self._readings[name] = before.readings if before else 0
        count = self._readings.get(name, 0)
        if before is not None and _grew(before, file):
            return file.identified(before.generation, count)
        self._readings[name] = count + 1
        return file.identified(f"{file.digest()}+{count}" if count else file.digest(), count + 1)

    def _keep(self, name: str, file: ArchivedFile, before: ArchivedFile | None) -> ArchivedFile:
        """Put a file into the cache and return it as it is there; a large one that grows, every ten minutes only."""
        if self._cache is None:
            return file
        path, now = self.folder / name, self._clock()
        grows = before is not None and before.generation == file.generation and file.nbytes > CHEAP_BYTES
        if grows and now < self._stored_at.get(name, -math.inf) + STORE_AGAIN_S:
            return file
        if _signature(path) != file.signature:  # it was written to while it was read: it will be read again
            return file
        self._stored_at[name] = now
        return self._cache.store(path, file)

    def _report(self, name: str, problem: str | None) -> None:
        """Log a problem of a file once, until it changes or is gone."""
        if problem is None:
            self._reported.pop(name, None)
        elif self._reported.get(name) != problem:
            self._reported[name] = problem
            logger.warning("%s", problem)


def in_order(times: Times, values: Values) -> tuple[Times, Values]:
    """Sort samples by time, stably, and keep one of those with the same time and the same value.

    Samples with the same time and different values are all kept, in the order of the file: which one is right
    cannot be told, and a spike must not get lost. NaN counts as equal to NaN.
    """
    steps = np.diff(times)
    if (steps < 0).any():
        order = np.argsort(times, kind="stable")
        times, values, steps = times[order], values[order], np.diff(times[order])
    if (steps == 0).any():
        kept = _first_of_equals(times, values)
        times, values = times[kept], values[kept]
    return times, values


def _first_of_equals(times: Times, values: Values) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return a mask without the samples that repeat an earlier one, time and value."""
    order = np.lexsort((values, times))
    sorted_values = values[order]
    same = sorted_values[1:] == sorted_values[:-1]
    same |= (sorted_values[1:] != sorted_values[1:]) & (sorted_values[:-1] != sorted_values[:-1])
    repeated = same & (np.diff(times[order]) == 0)
    kept = np.ones(len(times), dtype=bool)
    kept[order[1:][repeated]] = False
    return kept


def _read(columns: Sequence[ServedColumn], start: float, end: float) -> DataBlock:
    """Return the samples of columns, those of one timeline together."""
    blocks: dict[str, TimelineBlock] = {}
    for served in columns:
        column = served.open()
        times, values = column.within(start, end)
        timeline = served.field.timeline
        others = blocks[timeline].values if timeline in blocks else {}
        blocks[timeline] = TimelineBlock(
            times,
            {**others, served.field.name: values},
            finalized_until=column.finalized_until,
            generation=column.generation,
        )
    return DataBlock(blocks)


def _archived(signature: Signature, contents: Contents) -> ArchivedFile:
    """Make columns of what was read; they are not identified yet."""
    columns = []
    for one in contents.columns:
        one.times.flags.writeable = False
        one.values.flags.writeable = False
        finalized_until = float(one.times[-1]) if len(one.times) else -math.inf
        column = Column.of(one.times, one.values, finalized_until=finalized_until)
        columns.append(ServedColumn.of(one.field, column))
    return ArchivedFile(signature, "", 0, tuple(columns), contents.problem)


def _grew(before: ArchivedFile, file: ArchivedFile) -> bool:
    """Whether a file continues what it was before; what is no longer in the cache cannot be compared."""
    try:
        return file.continues(before)
    except DamagedEntry:
        return False


def _signature(path: Path | os.DirEntry[str]) -> Signature | None:
    """Return what tells whether a file changed; None for all but regular files: opening a pipe would block."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino) if stat.S_ISREG(status.st_mode) else None
