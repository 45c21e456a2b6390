"""The index of an archive whose files are read whole: which files there are, and what is in them."""

from __future__ import annotations

import itertools
import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from sisock.core.column.column import Column
from sisock.core.errors import ConfigurationError
from sisock.core.model import FieldCatalogue
from sisock.nodes.archive.array_cache import DamagedEntry
from sisock.nodes.archive.file_cache import ArchivedFile, FileCache, ServedColumn
from sisock.nodes.archive.file_reader import FileReader
from sisock.nodes.archive.file_spans import FileSpans
from sisock.nodes.archive.format import FileSpan, Reader, Signature
from sisock.nodes.archive.listing import Listing

logger = logging.getLogger(__name__)

MANY_FILES = 100
# Of each, up to ten arrays are mapped, and a process may map 65530 files.
MANY_COLUMNS = 2048
LIST_AGAIN_S = 1.0
LIST_LATEST_S = 4.0
# Of the time, for listing very many files.
LISTING_SHARE = 0.05

_Result = TypeVar("_Result")


@dataclass
class _Pace:
    """When the folder is to be listed again."""

    # Guarded by the index's lock.
    list_at: float = -math.inf

    def is_due(self, now: float, files: int) -> bool:
        """Tell whether to list, given how many files there are: few are listed at each question."""
        return files <= MANY_FILES or now >= self.list_at

    def listed(self, began: float, ended: float) -> None:
        """Take note of how long a listing took: the next one comes after a rest that is longer."""
        self.list_at = began + min(max(LIST_AGAIN_S, (ended - began) / LISTING_SHARE), LIST_LATEST_S)


@dataclass
class _ServedFiles:
    """The files that are served, by name, with their columns.

    Parameters
    ----------
    columns
        By field, and then by file.
    revision
        It grows with each change.
    changed_at
        The revision at which a file has changed last; the latest changes stand last.
    """

    # Guarded by the index's lock, and changed by `put` only: files, columns and revision are of one moment.
    files: dict[str, ArchivedFile] = field(default_factory=dict)
    columns: dict[str, dict[str, ServedColumn]] = field(default_factory=dict)
    revision: int = 0
    changed_at: dict[str, int] = field(default_factory=dict)

    @property
    def are_many(self) -> bool:
        """Whether there are too many columns for all of them to stay mapped."""
        return len(self.files) >= MANY_FILES or sum(len(one.columns) for one in self.files.values()) >= MANY_COLUMNS

    def has(self, name: str, signature: Signature) -> bool:
        """Tell whether a file is served as it is."""
        file = self.files.get(name)
        return file is not None and file.signature == signature

    def changed(self, since: int) -> list[str]:
        """Return the files that were added, changed or removed after a revision."""
        latest = itertools.takewhile(lambda one: one[1] > since, reversed(self.changed_at.items()))
        return [file for file, _ in latest]

    def put(self, name: str, file: ArchivedFile | None) -> set[str]:
        """Serve a file from now on, or no longer; return the fields that this is a change of."""
        before = self.files.pop(name, None)
        if before is None and file is None:
            return set()
        old = [column.field.name for column in before.columns] if before is not None else []
        for one in old:
            others = self.columns[one]
            others.pop(name, None)
            if not others:
                del self.columns[one]
        new = {column.field.name: column for column in file.columns} if file is not None else {}
        if file is not None:
            self.files[name] = file
        for one, column in new.items():
            self.columns.setdefault(one, {})[name] = column
        self.revision += 1
        self.changed_at.pop(name, None)
        self.changed_at[name] = self.revision
        return {*old, *new}


@dataclass
class _Derived:
    """The views that follow from the files that are served; they are made when they are asked for.

    Parameters
    ----------
    spans
        Of each field.
    stale
        By field, the files that have changed since its spans were made.
    timelines
        By field; none when they are to be made anew.
    """

    # Guarded by the index's lock.
    spans: dict[str, FileSpans | None] = field(default_factory=dict)
    stale: dict[str, set[str]] = field(default_factory=dict)
    timelines: dict[str, str] = field(default_factory=dict)

    def drop(self, fields: Collection[str], file: str) -> None:
        """Take note that a file has changed, in which these fields are or were."""
        for name in fields:
            self.stale.setdefault(name, set()).add(file)
        # Of all fields: which of them share a timeline depends on the files of the others.
        if fields:
            self.timelines = {}


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
        self._reader = FileReader(folder, reader, cache, clock)
        self._clock = clock
        # Held by each question, while files are read too: until then nobody knows what is served. It is the last that
        # is taken, after those of the archive and its loader. Reentrant: an answer may find an entry damaged, and goes
        # through all files again before it goes on.
        self._lock = threading.RLock()
        self._pace = _Pace()
        self._served = _ServedFiles()
        self._derived = _Derived()
        if cache is not None:
            cache.sweep()

    def revision(self) -> int:
        """Read what changed since the last call, and return a number that has grown if anything did."""
        with self._lock:
            began = self._clock()
            if self._pace.is_due(began, len(self._served.files)):
                self._refresh()
                self._pace.listed(began, self._clock())
            return self._served.revision

    def changed(self, since: int) -> Collection[str]:
        """Return the files that were added, changed or removed after a revision."""
        with self._lock:
            return self._served.changed(since)

    def spans_of(self, field: str, files: Collection[str] | None = None) -> Sequence[FileSpan]:
        """Return the spans of a field in some files, or in all of them."""
        with self._lock:
            columns = self._served.columns.get(field, {})
            wanted = columns.keys() if files is None else columns.keys() & set(files)
            return [_span(file, self._served.files[file], columns[file]) for file in wanted if columns[file].count]

    def catalogue(self, start: float, end: float) -> FieldCatalogue:
        """Return the fields that have a sample in [start, end), UNIX seconds."""
        with self._lock:
            by_name = {name: spans for name in self._served.columns if (spans := self.file_spans(name)) is not None}
            inside = {name: spans for name, spans in by_name.items() if self._has_samples(name, spans, start, end)}
            fields = [spans.field_on(self.timeline(name) or spans.field.timeline) for name, spans in inside.items()]
            intervals_s = {field.timeline: inside[field.name].interval_s for field in fields}
            return FieldCatalogue.of(fields, intervals_s)

    def file_spans(self, name: str) -> FileSpans | None:
        """Return the spans of a field in order; None when there are none. The same object as long as none changes."""
        with self._lock:
            changed = self._derived.stale.pop(name, set())
            spans = self._derived.spans.get(name)
            if spans is None:
                spans = FileSpans.of(self.spans_of(name))
            elif changed:
                spans = spans.with_changes(changed, self.spans_of(name, changed), self.spans_of)
            self._derived.spans[name] = spans
            return spans

    def timeline(self, name: str) -> str:
        """Return the timeline that a field is on, empty when it has no samples."""
        with self._lock:
            if not self._derived.timelines:
                by_name = {one: self.file_spans(one) for one in self._served.columns}
                self._derived.timelines = timelines_for(
                    {one: spans for one, spans in by_name.items() if spans is not None}
                )
            return self._derived.timelines.get(name, "")

    def empty(self, field: str) -> ServedColumn | None:
        """Return the column of a field of which no file has samples; None when it is not known, or has some."""
        with self._lock:
            columns = list(self._served.columns.get(field, {}).values())
            return None if not columns or any(one.count for one in columns) else columns[-1]

    def column(self, file: str, name: str) -> Column | None:
        """Return the column of a field that is in one file, the same as long as that does not change."""

        def find() -> Column | None:
            column = self._served.columns.get(name, {}).get(file)
            return None if column is None else column.open()

        return self._answer(find)

    def columns(self, span: FileSpan, names: Collection[str]) -> Mapping[str, Column]:
        """Return columns of fields that are in a file; none when it is gone, or became another."""

        def find() -> Mapping[str, Column]:
            file = self._served.files.get(span.file)
            columns = file.columns if file is not None and file.generation == span.generation else ()
            return {one.field.name: one.at_hand() for one in columns if one.field.name in names}

        return self._answer(find)

    def _has_samples(self, name: str, spans: FileSpans, start: float, end: float) -> bool:
        known = spans.has_samples(start, end)
        if known is not None:
            return known
        return any(self._look_inside(name, one.file, start, end) for one in spans.around(start, end))

    def _look_inside(self, name: str, file: str, start: float, end: float) -> bool:
        def look() -> bool:
            column = self._served.columns.get(name, {}).get(file)
            return column is not None and column.has_samples(start, end)

        return self._answer(look)

    def _answer(self, look: Callable[[], _Result]) -> _Result:
        """Answer from what is served; what turns out to be damaged in the cache is read from its file again."""
        with self._lock:
            # It comes to an end: what was distrusted once is read from its file, and not from the cache.
            while True:
                try:
                    return look()
                except DamagedEntry as error:
                    self._distrust(error)
                    self._refresh()

    def _distrust(self, error: DamagedEntry) -> None:
        """Serve a file from the cache no longer, nor any other that is gone there as well and was not opened."""
        # All at once: when the cache was removed, the folder is gone through once, and not for each file.
        for name, file in list(self._served.files.items()):
            entry = file.entry
            if entry is error.entry or (entry is not None and not file.is_open and not entry.exists()):
                self._reader.distrust(name, file)
                self._put(name, None)

    def _refresh(self) -> None:
        """Read what changed since the last time."""
        listed = self._listing.look()
        self._reader.problems.report("", listed.problem)
        self._reader.problems.keep(listed.files)
        changed = {name: one for name, one in listed.files.items() if not self._served.has(name, one)}
        if len(changed) > MANY_FILES:
            logger.info("%d files of '%s' are new or have changed: answers wait for them", len(changed), self.folder)
        for name, signature in changed.items():
            before, stays_open = self._served.files.get(name), not self._served.are_many
            self._put(name, self._reader.read(name, signature, before, stays_open=stays_open))
        gone = self._served.files.keys() - listed.files.keys()
        for name in gone:
            self._put(name, None)
        # Where none is left, a disk may be away and come back: then what the cache has of it is worth keeping.
        self._reader.forget(gone, for_good=listed.problem is None and bool(listed.files))

    def _put(self, name: str, file: ArchivedFile | None) -> None:
        """Serve a file from now on, or no longer."""
        self._derived.drop(self._served.put(name, file), name)


def timelines_for(spans: Mapping[str, FileSpans]) -> dict[str, str]:
    """Return the timeline of each field: those of one timeline share it where they have the same times.

    They do where all are in the same files, and no file overlaps another: there a repeated sample may be one of one
    field, but not of another. The others are on timelines of their own.
    """
    groups: dict[str, dict[object, list[str]]] = {}
    for name, one in spans.items():
        members = one.files if one.is_counted else name
        groups.setdefault(one.field.timeline, {}).setdefault(members, []).append(name)
    timelines: dict[str, str] = {}
    for timeline, sharing in groups.items():
        # The largest group keeps the name that the files give: most fields are found under it.
        largest = max(sharing.values(), key=len)
        for names in sharing.values():
            timelines |= {name: timeline if names is largest else f"{timeline}.{name}" for name in names}
    return timelines


def _span(name: str, file: ArchivedFile, column: ServedColumn) -> FileSpan:
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
