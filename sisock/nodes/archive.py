"""What every node that reads files shares: which files are there, what was read from each, and its identity.

A format is a *reader*, a function from a path to :class:`Contents`; :class:`FileArchive` does the rest.
"""

from __future__ import annotations

import fnmatch
import hashlib
import logging
import math
import stat
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sisock.core.errors import ConfigurationError
from sisock.core.model import DataBlock, Field, FieldCatalogue, TimelineBlock, Times, Values

logger = logging.getLogger(__name__)

DIGEST_BYTES = 8


@dataclass(frozen=True)
class Column:
    """The samples of one field of one file, in order of time.

    Parameters
    ----------
    field
        What the samples are; columns of the same file may share a timeline, those of different files may not.
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

    columns: tuple[Column, ...] = ()
    problem: str | None = None


Reader = Callable[[Path], Contents]
Signature = tuple[int, int, int]


@dataclass(frozen=True)
class ArchivedFile:
    """The last reading of a file; ``generation`` is kept for as long as the file only grows."""

    signature: Signature
    generation: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class _Index:
    """All that is served at one moment; replaced whole, so that readers need no lock."""

    files: Mapping[str, ArchivedFile] = field(default_factory=dict)
    columns: Mapping[str, tuple[Column, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, files: Mapping[str, ArchivedFile]) -> _Index:
        columns = {
            column.field.name: (column, file.generation)
            for _, file in sorted(files.items())
            for column in file.columns
        }
        return cls(files, columns)


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

    Notes
    -----
    A file is read again when its modification time, size or inode number changed, which each question checks.
    The time of its newest sample is the end of what is final, since a growing file may still get samples there.
    ``generation`` is a digest of what the file held when it was first read, so that it survives a restart that
    finds the same data; a file that was rewritten or cut gets another one, never one that it had before.
    """

    def __init__(self, folder: Path | str, pattern: str, reader: Reader) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise ConfigurationError(f"'{folder}' is not a folder: give one that holds files named {pattern}")
        self._pattern = pattern
        self._reader = reader
        self._lock = threading.Lock()
        self._index = _Index()
        self._reported: dict[str, str] = {}
        self._readings: dict[str, int] = {}

    def catalogue(self, start: float, end: float) -> FieldCatalogue:
        """Return the fields that have a sample in [start, end), UNIX seconds."""
        columns = [column for column, _ in self._refresh().columns.values() if _count_within(column.times, start, end)]
        intervals_s = {column.field.timeline: mean_interval_s(column.times) for column in columns}
        return FieldCatalogue.of([column.field for column in columns], intervals_s)

    def read(self, fields: Sequence[str], start: float, end: float) -> DataBlock:
        """Return the samples of the known ones of the fields inside [start, end), as views that are read-only."""
        columns = self._refresh().columns
        found = [columns[name] for name in dict.fromkeys(fields) if name in columns]
        blocks: dict[str, TimelineBlock] = {}
        for column, generation in found:
            values = {column.field.name: column.values}
            if column.field.timeline in blocks:
                values = {**blocks[column.field.timeline].values, **values}
            finalized_until = float(column.times[-1]) if len(column.times) else -math.inf
            blocks[column.field.timeline] = TimelineBlock(
                column.times, values, finalized_until=finalized_until, generation=generation
            )
        return DataBlock({name: block.within(start, end) for name, block in blocks.items()})

    def _refresh(self) -> _Index:
        """Read what changed since the last call and return all that is served now."""
        with self._lock:
            before = self._index.files
            files = {}
            for name, signature in self._list().items():
                file = before.get(name)
                if file is None or file.signature != signature:
                    file = self._read(name, signature, file)
                if file is not None:
                    files[name] = file
            if files != before:
                self._index = _Index.of(files)
            return self._index

    def _list(self) -> dict[str, Signature]:
        """Return the signature of each regular file that matches; a file may go away at any moment."""
        try:
            names = [path.name for path in self.folder.iterdir() if self._served(path.name)]
        except OSError as error:
            self._report("", f"folder '{self.folder}' cannot be read ({error.strerror}): check its permissions")
            return {}
        self._reported.pop("", None)
        signatures = {name: _signature(self.folder / name) for name in names}
        self._reported = {name: text for name, text in self._reported.items() if signatures.get(name)}
        return {name: signature for name, signature in signatures.items() if signature}

    def _served(self, name: str) -> bool:
        return fnmatch.fnmatchcase(name, self._pattern) and name.isprintable() and not name.startswith(".")

    def _read(self, name: str, signature: Signature, before: ArchivedFile | None) -> ArchivedFile | None:
        """Read one file; None when it cannot be read."""
        try:
            contents = self._reader(self.folder / name)
        except OSError as error:
            self._report(name, f"'{self.folder / name}' cannot be read ({error.strerror}): check its permissions")
            return None
        self._report(name, contents.problem)
        for column in contents.columns:
            column.times.flags.writeable = False
            column.values.flags.writeable = False
        if before is not None and _grew(before.columns, contents.columns):
            return ArchivedFile(signature, before.generation, contents.columns)
        return ArchivedFile(signature, self._new_generation(name, contents.columns), contents.columns)

    def _new_generation(self, name: str, columns: Sequence[Column]) -> str:
        """Return an identity for data that do not continue what was served under this name before."""
        count = self._readings.get(name, 0)
        self._readings[name] = count + 1
        return f"{_digest(columns)}+{count}" if count else _digest(columns)

    def _report(self, name: str, problem: str | None) -> None:
        """Log a problem of a file once, until it changes or is gone."""
        if problem is None:
            self._reported.pop(name, None)
        elif self._reported.get(name) != problem:
            self._reported[name] = problem
            logger.warning("%s", problem)


def mean_interval_s(times: Times) -> float | None:
    """Return the mean spacing in seconds; None for fewer than two samples, or when all are at one time."""
    if len(times) < 2:  # noqa: PLR2004 - a spacing needs two
        return None
    duration_s = float(times[-1] - times[0])
    return duration_s / (len(times) - 1) if duration_s > 0 else None


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


def _count_within(times: Times, start: float, end: float) -> int:
    low, high = np.searchsorted(times, [start, end])
    return max(0, int(high - low))


def _signature(path: Path) -> Signature | None:
    """Return what tells whether a file changed; None for all but regular files: opening a pipe would block."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def _grew(before: Sequence[Column], after: Sequence[Column]) -> bool:
    """Whether each column before is the beginning of the same column after; what had no samples had no identity."""
    columns = {column.field.name: column for column in after}
    return any(len(column.times) for column in before) and all(
        column.field.name in columns
        and _starts_with(columns[column.field.name].times, column.times)
        and _starts_with(columns[column.field.name].values, column.values)
        for column in before
    )


def _starts_with(array: Values, beginning: Values) -> bool:
    """Whether an array has the same dtype and begins with the same values, bit for bit if they are numbers."""
    head = array[: len(beginning)]
    if array.dtype != beginning.dtype or len(head) != len(beginning):
        return False
    return bool(np.array_equal(head, beginning)) if array.dtype.hasobject else head.tobytes() == beginning.tobytes()


def _digest(columns: Sequence[Column]) -> str:
    """Return a short text that differs for columns that differ."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for column in columns:
        values = column.values
        parts = (repr(column.field.name).encode(), column.times.tobytes())
        for part in (*parts, repr(values.tolist()).encode() if values.dtype.hasobject else values.tobytes()):
            digest.update(len(part).to_bytes(8))
            digest.update(part)
    return digest.hexdigest()
