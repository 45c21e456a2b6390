"""Serves the fields of an archive of many files, each as one series, given an index of the files and a reader."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from sisock.core.column.column import Column
from sisock.core.column.series import ReducibleSeries
from sisock.core.model import DataBlock, FieldCatalogue, Span
from sisock.nodes.archive.compaction import SegmentSlice
from sisock.nodes.archive.file_spans import FileSpans
from sisock.nodes.archive.format import ArchiveIndex, FieldReader
from sisock.nodes.archive.generation import Generations
from sisock.nodes.archive.segment_loader import SegmentLoader, Waiting, join_waiting, reading_with
from sisock.nodes.archive.segments import Segment, SegmentCache, StaleSegments
from sisock.nodes.archive.served_field import FieldSeries, ServedField, timelines_of

logger = logging.getLogger(__name__)

SHOWN_FILES = 3

Find = Callable[[int, Segment | None], Segment | None]


class SeriesArchive:
    """An archive whose index knows what is in its files; only files that lie in the span of a question are read.

    A field of several files is served as one series, in order of time, each sample once: the same as if the samples of
    all files were put behind one another and sorted. Files that follow one another are merged to ever larger parts as
    questions touch them, so that years of files take few parts.

    Parameters
    ----------
    index
        Knows the files.
    folder
        The folder that their names are relative to.
    reader
        Reads chosen fields of a file.
    cache
        Where columns are kept; None to keep them in memory.
    now
        The time, UNIX seconds.
    """

    def __init__(
        self,
        index: ArchiveIndex,
        folder: Path | str,
        reader: FieldReader,
        cache: SegmentCache | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._setup(index, SegmentLoader(Path(folder), reading_with(Path(folder), reader), cache), now)

    def _setup(self, index: ArchiveIndex, supply: SegmentLoader, now: Callable[[], float]) -> None:
        self.folder = supply.folder
        self._index = index
        self._supply = supply
        self._now = now
        self._lock = threading.Lock()
        self._states: dict[str, ServedField] = {}
        self._warned: dict[str, tuple[str, ...]] = {}
        cache = supply.cache
        if cache is None:
            self._identities = Generations({}, lambda _: None)
        else:
            cache.sweep()
            self._identities = Generations(cache.identities(self.folder), partial(cache.remember, self.folder))

    def catalogue(self, start: float, end: float) -> FieldCatalogue:
        """Return the fields that have a sample in [start, end), UNIX seconds."""
        with self._lock:
            self._index.revision()
            return self._index.catalogue(start, end)

    def columns(self, fields: Sequence[str]) -> Mapping[str, ReducibleSeries]:
        """Return the samples of the known ones of the fields, to be asked for spans of them."""
        states = self._states_of(fields)
        return {name: self._series(name, state, tuple(states)) for name, state in states.items()}

    def read(self, fields: Sequence[str], start: float, end: float) -> DataBlock:
        """Return the samples of the known ones of the fields inside [start, end), as views that are read-only.

        Fields of one timeline that do not have the same times, as where one of them is not in all files, are on
        timelines of their own.
        """
        states = self._states_of(fields)
        timelines = {name: self._timeline(name, state) for name, state in states.items()}
        series = {name: self._series(name, state, tuple(states)) for name, state in states.items()}
        return timelines_of(series, timelines, (start, end))

    def count(self, field: str) -> int:
        """Return how many samples a field has, 0 when it is not known; where files overlap, they are read for that."""
        states = self._states_of([field]).values()
        return sum(self._counted(state, piece) for state in states for piece in state.pieces)

    def _series(self, name: str, state: ServedField, names: tuple[str, ...]) -> ReducibleSeries:
        """Return the series of a field that is asked for together with others."""

        def waiting(file: str) -> Mapping[str, Segment]:
            with self._lock:
                states = {one: self._states[one] for one in names if one in self._states}
            parts = {one: state.singles[file] for one, state in states.items() if file in state.singles}
            return {one: part for one, part in parts.items() if not part.is_ready}

        def opened(state: ServedField, pieces: Sequence[SegmentSlice]) -> list[Column]:
            return [self._opened(state, piece, waiting) for piece in pieces]

        return FieldSeries(state, lambda state, span: self._prepared(name, state, span, waiting), opened)

    def _timeline(self, name: str, state: ServedField) -> str:
        """Return the timeline that a field is on."""
        return state.lineup.field.timeline

    def _counted(self, state: ServedField, piece: SegmentSlice) -> int:
        if len(piece.parts) == 1 and piece.is_whole and piece.parts[0].samples is not None:
            return piece.parts[0].samples
        column = self._opened(state, piece, lambda _: {})
        return column.stop - column.first

    def _opened(self, state: ServedField, piece: SegmentSlice, waiting: Waiting) -> Column:
        """Return the column of a piece."""
        if piece.column is not None:
            return piece.column
        columns = [self._supply.column(part, waiting) for part in piece.parts]
        if len(columns) > 1:
            column = join_waiting([column.cut(piece.start, piece.stop) for column in columns], state.lineup.dtype)
            piece.column = None if any(part.is_loose for part in piece.parts) else column
            return column
        return columns[0] if piece.is_whole else columns[0].cut(piece.start, piece.stop)

    def _prepared(self, name: str, state: ServedField, span: Span, waiting: Waiting) -> ServedField:
        """Return the state with parts merged that lie in a span, for others too."""
        if not state.to_merge(span, self._now()):
            return state
        # Two locks: who needs nothing to be read or merged does not wait for those who do.
        with self._supply.lock:
            with self._lock:
                state = self._up_to_date(name, state)
            while groups := state.to_merge(span, self._now()):
                state = state.with_parts(self._replaced(state.parts, groups, waiting))
            with self._lock:
                known = self._states.get(name)
                if known is not None and known.lineup.dtype == state.lineup.dtype:
                    merged = [part for part in state.parts if len(part.members) > 1]
                    parts = _join_catalogue(known.lineup, [*known.parts, *merged], lambda _, __: None)
                    self._states[name] = known.with_parts(parts)
            return state

    def _up_to_date(self, name: str, state: ServedField) -> ServedField:
        """Return what somebody else may have prepared meanwhile of the same samples."""
        known = self._states.get(name)
        return known if known is not None and known.lineup is state.lineup else state

    def _replaced(
        self, parts: Sequence[Segment], groups: Sequence[tuple[int, int]], waiting: Waiting
    ) -> list[Segment]:
        """Return the parts with each group of them merged into one."""
        replaced: list[Segment] = []
        done = 0
        for low, high in groups:
            replaced += [*parts[done:low], *self._supply.merged(parts[low:high], waiting)]
            done = high
        return [*replaced, *parts[done:]]

    def _states_of(self, fields: Sequence[str]) -> dict[str, ServedField]:
        """Return what is served now of the known ones of the fields."""
        with self._lock:
            revision, now = self._index.revision(), self._now()
            found = {name: self._state(name, revision, now) for name in dict.fromkeys(fields)}
            self._identities.keep(now)
            return {name: state for name, state in found.items() if state is not None}

    def _state(self, name: str, revision: int, now: float) -> ServedField | None:
        state = self._states.get(name)
        if state is not None and state.revision == revision and now < state.valid_until:
            return state
        lineup = self._lineup(name, state)
        if lineup is None:
            self._states.pop(name, None)
            return None
        self._warn_of(name, lineup)
        identity = self._identities.of(name, lineup, now)
        # Parts that still fit are the same objects as before, with the columns that were opened.
        if state is None or lineup is not state.lineup:
            parts = self._parts(name, lineup, state.parts if state is not None else ())
            state = (state or ServedField(lineup, (), (), identity, revision, now)).with_parts(parts)
        self._states[name] = dataclasses.replace(
            state, lineup=lineup, identity=identity, revision=revision, valid_until=lineup.next_sealing(now)
        )
        return self._states[name]

    def _lineup(self, name: str, state: ServedField | None) -> FileSpans | None:
        """Return the stretches of a field as they are now; as they were, when they are the same."""
        if state is None:
            return FileSpans.of(self._index.stretches(name))
        changed = set(self._index.changed(state.revision))
        found = self._index.stretches(name, changed) if changed else ()
        return state.lineup.with_changes(changed, found, self._index.stretches)

    def _parts(self, name: str, lineup: FileSpans, known: Iterable[Segment]) -> list[Segment]:
        """Put the stretches of a field together to parts: those at hand, those in the cache, and single files."""
        remnants = StaleSegments(lineup)

        def find(at: int, known: Segment | None) -> Segment | None:
            first, cache = lineup.stretches[at], self._supply.cache
            found = cache.find(self.folder, name, lineup.stretches, at, lineup.dtype) if cache is not None else None
            if found is not None:
                return found
            remnant = self._supply.remnant(known) if known is not None else None
            if remnant is None and cache is not None:
                remnant = cache.remnant(self.folder, name, first)
            if remnant is not None:
                remnants.add(remnant)
            return remnants.find(at)

        return _join_catalogue(lineup, known, find)

    def _warn_of(self, name: str, lineup: FileSpans) -> None:
        """Tell once of files in which a field is of another type than in the newest."""
        left_out = lineup.left_out
        if left_out and left_out != self._warned.get(name):
            shown = ", ".join(f"'{file}'" for file in left_out[:SHOWN_FILES])
            more = f" and {len(left_out) - SHOWN_FILES} more" if len(left_out) > SHOWN_FILES else ""
            logger.warning(
                "field '%s' is a %s in the newest file of '%s', but not in %s%s: it is left out there",
                name,
                lineup.field.type,
                self.folder,
                shown,
                more,
            )
        self._warned[name] = left_out


def _join_catalogue(lineup: FileSpans, known: Iterable[Segment], find: Find) -> list[Segment]:
    """Put stretches together to parts: known ones, the latest where there are several, found ones, and single files.

    Parameters
    ----------
    find
        Returns a part that begins with a stretch, by the number of that, given a known one that does not fit.
    """
    beginning = {part.members[0].file: part for part in known if part.dtype == lineup.dtype}
    parts: list[Segment] = []
    at = 0
    while at < len(lineup.stretches):
        part = beginning.get(lineup.stretches[at].file)
        if part is None or part.members != lineup.stretches[at : at + len(part.members)]:
            part = find(at, part) or Segment((lineup.stretches[at],), lineup.dtype)
        parts.append(part)
        at += len(part.members)
    return parts
