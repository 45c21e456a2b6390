"""The index of an archive whose files are read whole: which files there are, what was read from each, its identity."""

from __future__ import annotations

import itertools
import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from sisock.core.column.column import Column
from sisock.core.errors import ConfigurationError
from sisock.core.model import FieldCatalogue
from sisock.nodes.archive.array_cache import DamagedEntry
from sisock.nodes.archive.file_cache import ArchivedFile, FileCache, ServedColumn
from sisock.nodes.archive.file_spans import FileSpans
from sisock.nodes.archive.format import Contents, FileSpan, Reader, Signature
from sisock.nodes.archive.listing import Listing, signature_of

logger = logging.getLogger(__name__)

MANY_FILES = 100
MANY_COLUMNS = 2048  # of each, up to ten arrays are mapped, and a process may map 65530 files
LIST_AGAIN_S = 1.0
LIST_LATEST_S = 4.0
LISTING_SHARE = 0.05  # of the time, for listing very many files
CHEAP_BYTES = 4 * 2**20
STORE_AGAIN_S = 600.0

_Result = TypeVar("_Result")


class FolderIndex:
    """The files of a folder whose names match patterns, read again whenever they change.

    Parameters
    ----------
    folder
        Where the files are. It must exist at the start.
    patterns
        As of :class:`sisock.nodes.archive.listing.Listing`.
    reader
        Reads one file.
    cache
        Where columns of files are kept; None to keep them in memory.
    clock
        Seconds, from any origin.
    """

    def __init__(
        self,
        folder: Path,
        patterns: Sequence[str],
        reader: Reader,
        cache: FileCache | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not folder.is_dir():
            named = " or ".join(patterns)
            raise ConfigurationError(f"'{folder}' is not a folder: give one that holds files named {named}")
        self.folder = folder
        self._listing = Listing(folder, patterns)
        self._reader = reader
        self._cache = cache
        self._clock = clock
        self._lock = threading.RLock()
        self._files: dict[str, ArchivedFile] = {}
        self._fields: dict[str, dict[str, ServedColumn]] = {}
        self._lineups: dict[str, FileSpans | None] = {}
        self._stale: dict[str, set[str]] = {}
        self._timelines: dict[str, str] = {}
        self._revision = 0
        self._changed_at: dict[str, int] = {}
        self._list_at = -math.inf
        self._stored_at: dict[str, float] = {}
        self._reported: dict[str, str] = {}
        self._readings: dict[str, int] = {}
        self._distrusted: dict[str, ArchivedFile] = {}
        if cache is not None:
            cache.sweep()

    def revision(self) -> int:
        """Read what changed since the last call, and return a number that has grown if anything did."""
        with self._lock:
            began = self._clock()
            if len(self._files) <= MANY_FILES or began >= self._list_at:
                self._refresh()
                took_s = self._clock() - began
                self._list_at = began + min(max(LIST_AGAIN_S, took_s / LISTING_SHARE), LIST_LATEST_S)
            return self._revision

    def changed(self, since: int) -> Collection[str]:
        """Return the files that were added, changed or removed after a revision."""
        with self._lock:
            latest = itertools.takewhile(lambda one: one[1] > since, reversed(self._changed_at.items()))
            return [file for file, _ in latest]

    def stretches(self, field: str, files: Collection[str] | None = None) -> Sequence[FileSpan]:
        """Return what is known of a field in some files, or in all of them."""
        with self._lock:
            columns = self._fields.get(field, {})
            wanted = columns.keys() if files is None else columns.keys() & set(files)
            return [_stretch(file, self._files[file], columns[file]) for file in wanted if columns[file].count]

    def catalogue(self, start: float, end: float) -> FieldCatalogue:
        """Return the fields that have a sample in [start, end), UNIX seconds."""
        with self._lock:
            found = {name: lineup for name in self._fields if (lineup := self.lineup(name)) is not None}
            inside = {name: lineup for name, lineup in found.items() if self._has_samples(name, lineup, start, end)}
            fields = [lineup.field_on(self.timeline(name) or lineup.field.timeline) for name, lineup in inside.items()]
            intervals_s = {field.timeline: inside[field.name].interval_s for field in fields}
            return FieldCatalogue.of(fields, intervals_s)

    def lineup(self, name: str) -> FileSpans | None:
        """Return the stretches of a field; None when there are none."""
        with self._lock:
            changed = self._stale.pop(name, set())
            before = self._lineups.get(name)
            if before is None:
                self._lineups[name] = FileSpans.of(self.stretches(name))
            elif changed:
                self._lineups[name] = before.with_changes(changed, self.stretches(name, changed), self.stretches)
            return self._lineups[name]

    def timeline(self, name: str) -> str:
        """Return the timeline that a field is on, empty when it has no samples."""
        with self._lock:
            if not self._timelines:
                found = {one: self.lineup(one) for one in self._fields}
                self._timelines = timelines_for({one: lineup for one, lineup in found.items() if lineup is not None})
            return self._timelines.get(name, "")

    def empty(self, field: str) -> ServedColumn | None:
        """Return the column of a field of which no file has samples; None when it is not known, or has some."""
        with self._lock:
            columns = list(self._fields.get(field, {}).values())
            return None if not columns or any(one.count for one in columns) else columns[-1]

    def column(self, file: str, name: str) -> Column | None:
        """Return the column of a field that is in one file, the same as long as that does not change."""

        def question() -> Column | None:
            served = self._fields.get(name, {}).get(file)
            return None if served is None else served.open()

        return self._answer(question)

    def columns(self, stretch: FileSpan, names: Collection[str]) -> Mapping[str, Column]:
        """Return columns of fields that are in a file; none when it is gone, or became another."""

        def question() -> Mapping[str, Column]:
            file = self._files.get(stretch.file)
            found = file.columns if file is not None and file.generation == stretch.identity else ()
            return {one.field.name: one.at_hand() for one in found if one.field.name in names}

        return self._answer(question)

    def _has_samples(self, name: str, lineup: FileSpans, start: float, end: float) -> bool:
        known = lineup.has_samples(start, end)
        if known is not None:
            return known
        return any(self._look_inside(name, one.file, start, end) for one in lineup.around(start, end))

    def _look_inside(self, name: str, file: str, start: float, end: float) -> bool:
        def question() -> bool:
            column = self._fields.get(name, {}).get(file)
            return column is not None and column.has_samples(start, end)

        return self._answer(question)

    def _answer(self, question: Callable[[], _Result]) -> _Result:
        """Answer from what is served; what turns out to be damaged in the cache is read from its file again."""
        with self._lock:
            while True:
                try:
                    return question()
                except DamagedEntry as error:
                    self._distrust(error)
                    self._refresh()

    def _distrust(self, error: DamagedEntry) -> None:
        """Serve a file from the cache no longer, nor any other that is gone there as well and was not opened."""
        for name, file in list(self._files.items()):
            entry = file.entry
            if entry is error.entry or (entry is not None and not file.is_open and not entry.exists()):
                self._distrusted[name] = file
                self._put(name, None)

    def _refresh(self) -> None:
        """Read what changed since the last time."""
        found = self._listing.look()
        self._report("", found.problem)
        self._reported = {name: text for name, text in self._reported.items() if not name or name in found.files}
        changed = {name: one for name, one in found.files.items() if not self._has(name, one)}
        if len(changed) > MANY_FILES:
            logger.info("%d files of '%s' are new or have changed: answers wait for them", len(changed), self.folder)
        for name, signature in changed.items():
            self._put(name, self._read(name, signature, self._files.get(name)))
        gone = self._files.keys() - found.files.keys()
        for name in gone:
            self._put(name, None)
        self._forget(gone, found.files if found.problem is None else ())

    def _has(self, name: str, signature: Signature) -> bool:
        """Tell whether a file is served as it is."""
        file = self._files.get(name)
        return file is not None and file.signature == signature

    def _put(self, name: str, file: ArchivedFile | None) -> None:
        """Serve a file from now on, or no longer."""
        before = self._files.pop(name, None)
        if before is None and file is None:
            return
        for column in before.columns if before is not None else ():
            others = self._fields[column.field.name]
            others.pop(name, None)
            self._stale.setdefault(column.field.name, set()).add(name)
            if not others:
                del self._fields[column.field.name]
        if file is not None:
            self._files[name] = file
        for column in file.columns if file is not None else ():
            self._fields.setdefault(column.field.name, {})[name] = column
            self._stale.setdefault(column.field.name, set()).add(name)
        self._timelines = {}
        self._revision += 1
        self._changed_at.pop(name, None)  # so that the latest changes stand last
        self._changed_at[name] = self._revision

    def _forget(self, gone: Iterable[str], there: Collection[str]) -> None:
        """Remove what is kept of files that are gone; where none is left, a disk may be away and come back."""
        for name in gone:
            self._stored_at.pop(name, None)
            self._distrusted.pop(name, None)
            if self._cache is not None and there:
                self._cache.remove(self.folder / name)

    def _read(self, name: str, signature: Signature, before: ArchivedFile | None) -> ArchivedFile | None:
        """Read one file, from the cache if it is there; None when it cannot be read."""
        file = self._load(name, signature, before)
        if file is None:
            path = self.folder / name
            try:
                contents = self._reader(path)
            except OSError as error:
                self._report(name, f"'{path}' cannot be read ({error.strerror}): check its permissions")
                return None
            except ValueError as error:
                contents = Contents(problem=f"'{path}' is broken and left out: {error}")
            file = self._keep(name, self._identify(name, ArchivedFile.of(signature, contents), before), before)
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
        if signature_of(path) != file.signature:  # it was written to while it was read: it will be read again
            return file
        self._stored_at[name] = now
        stored = self._cache.store(path, file)
        many = len(self._files) >= MANY_FILES or sum(len(one.columns) for one in self._files.values()) >= MANY_COLUMNS
        return stored.closed() if many else stored

    def _report(self, name: str, problem: str | None) -> None:
        """Log a problem of a file once, until it changes or is gone."""
        if problem is None:
            self._reported.pop(name, None)
        elif self._reported.get(name) != problem:
            self._reported[name] = problem
            logger.warning("%s", problem)


def timelines_for(lineups: Mapping[str, FileSpans]) -> dict[str, str]:
    """Return the timeline of each field: those of one timeline share it where they have the same times.

    They do where all are in the same files, and no file overlaps another: there a repeated sample may be one of one
    field, but not of another. The others are on timelines of their own.
    """
    groups: dict[str, dict[object, list[str]]] = {}
    for name, lineup in lineups.items():
        members = lineup.files if lineup.is_counted else name
        groups.setdefault(lineup.field.timeline, {}).setdefault(members, []).append(name)
    timelines: dict[str, str] = {}
    for timeline, sharing in groups.items():
        largest = max(sharing.values(), key=len)
        for names in sharing.values():
            timelines |= {name: timeline if names is largest else f"{timeline}.{name}" for name in names}
    return timelines


def _stretch(name: str, file: ArchivedFile, column: ServedColumn) -> FileSpan:
    assert column.oldest is not None
    assert column.newest is not None
    return FileSpan(
        name,
        file.signature,
        file.generation,
        column.field,
        column.dtype.name,
        column.count,
        column.oldest,
        column.newest,
    )


def _grew(before: ArchivedFile, file: ArchivedFile) -> bool:
    """Whether a file continues what it was before; what is no longer in the cache cannot be compared."""
    try:
        return file.continues(before)
    except DamagedEntry:
        return False
