"""Serves the fields of an archive of many files, each as one series, given an index of the files and a reader."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from sisock.core.column.column import Column
from sisock.core.column.series import ReducibleSeries
from sisock.core.model import DataBlock, FieldCatalogue, Span
from sisock.nodes.archive.compaction import SegmentSlice
from sisock.nodes.archive.file_spans import FileSpans
from sisock.nodes.archive.format import ArchiveIndex
from sisock.nodes.archive.generation import Generations
from sisock.nodes.archive.segment_loader import SegmentLoader, Waiting, join_columns
from sisock.nodes.archive.segments import Segment, StaleSegments
from sisock.nodes.archive.served_field import FieldSeries, ServedField, join_timelines

logger = logging.getLogger(__name__)

SHOWN_FILES = 3

Find = Callable[[int, Segment | None], Segment | None]


class SeriesArchive:
    """An archive whose index knows what is in its files; only files that lie in the span of a question are read.

    A field of several files is served as one series, in order of time, each sample once: the same as if the samples of
    all files were put behind one another and sorted. Files that follow one another are compacted to ever larger
    segments as questions touch them, so that years of files take few segments.

    Parameters
    ----------
    index
        Knows the files.
    loader
        Reads them, and keeps what was read: for a reader of chosen fields, a :class:`SegmentLoader` with
        :func:`~sisock.nodes.archive.segment_loader.reading_with`.
    now
        The time, UNIX seconds.
    """

    def __init__(self, index: ArchiveIndex, loader: SegmentLoader, now: Callable[[], float] = time.time) -> None:
        self.folder = loader.folder
        self._index = index
        self._loader = loader
        self._now = now
        # Guards the three below, and the index, which wants one call at a time. Every question takes it, so it is
        # never held while files are read. Whoever needs the loader's lock as well takes that one first.
        self._lock = threading.Lock()
        self._served: dict[str, ServedField] = {}
        self._warned: dict[str, tuple[str, ...]] = {}
        self._generations = _open_generations(loader)

    def catalogue(self, start: float, end: float) -> FieldCatalogue:
        """Return the fields that have a sample in [start, end), UNIX seconds."""
        with self._lock:
            self._index.revision()
            return self._index.catalogue(start, end)

    def columns(self, fields: Sequence[str]) -> Mapping[str, ReducibleSeries]:
        """Return the samples of the known ones of the fields, to be asked for spans of them."""
        served = self._serve(fields)
        return {name: self._series(name, one, tuple(served)) for name, one in served.items()}

    def read(self, fields: Sequence[str], start: float, end: float) -> DataBlock:
        """Return the samples of the known ones of the fields inside [start, end), as views that are read-only.

        Fields of one timeline that do not have the same times, as where one of them is not in all files, are on
        timelines of their own.
        """
        served = self._serve(fields)
        timelines = {name: self._timeline(name, one) for name, one in served.items()}
        series = {name: self._series(name, one, tuple(served)) for name, one in served.items()}
        return join_timelines(series, timelines, (start, end))

    def count(self, field: str) -> int:
        """Return how many samples a field has, 0 when it is not known; where files overlap, they are read for that."""
        return sum(self._count(one, part) for one in self._serve([field]).values() for part in one.slices)

    def _series(self, name: str, served: ServedField, names: tuple[str, ...]) -> ReducibleSeries:
        """Return the series of a field, given the names of all that one question asks for."""

        def waiting(file: str) -> Mapping[str, Segment]:
            # As they are now, and not when the question came: what was compacted meanwhile is not read again.
            with self._lock:
                others = {one: self._served[one] for one in names if one in self._served}
            segments = {one: other.singles[file] for one, other in others.items() if file in other.singles}
            return {one: segment for one, segment in segments.items() if not segment.is_ready}

        def opened(served: ServedField, slices: Sequence[SegmentSlice]) -> list[Column]:
            return [self._open(served, one, waiting) for one in slices]

        return FieldSeries(served, lambda served, span: self._compact(name, served, span, waiting), opened)

    def _timeline(self, name: str, served: ServedField) -> str:
        """Return the timeline that a field is on."""
        return served.spans.field.timeline

    def _count(self, served: ServedField, segment_slice: SegmentSlice) -> int:
        """Return how many samples are in a slice."""
        first, *others = segment_slice.segments
        if not others and segment_slice.is_whole and first.samples is not None:
            return first.samples
        column = self._open(served, segment_slice, lambda _: {})
        return column.stop - column.first

    def _open(self, served: ServedField, segment_slice: SegmentSlice, waiting: Waiting) -> Column:
        """Return the column of a slice."""
        if segment_slice.column is not None:
            return segment_slice.column
        columns = [self._loader.column(segment, waiting) for segment in segment_slice.segments]
        if len(columns) > 1:
            column = join_columns(
                [one.cut(segment_slice.start, segment_slice.stop) for one in columns], served.spans.dtype
            )
            # A file that could not be read is tried again at the next question.
            segment_slice.column = (
                None if any(segment.is_provisional for segment in segment_slice.segments) else column
            )
            return column
        return columns[0] if segment_slice.is_whole else columns[0].cut(segment_slice.start, segment_slice.stop)

    def _compact(self, name: str, served: ServedField, span: Span, waiting: Waiting) -> ServedField:
        """Return a field with few segments inside a span; what is compacted for that, later questions find as well."""
        # Without any lock first: whoever needs nothing to be read does not wait for those who read.
        if not served.to_compact(span, self._now()):
            return served
        # The loader's lock is held to the end, so that two questions never compact the same files. Ours is taken for
        # moments only: in between files are read, while other questions go on.
        with self._loader.lock:
            served = self._latest(name, served)
            while groups := served.to_compact(span, self._now()):
                served = served.with_segments(self._replace(served.segments, groups, waiting))
            self._hand_over(name, served)
            return served

    def _latest(self, name: str, served: ServedField) -> ServedField:
        """Return a field with the segments that others may have compacted since it was asked for."""
        with self._lock:
            latest = self._served.get(name)
        # Only of the same files: the question is answered as of the moment when it came.
        return latest if latest is not None and latest.spans is served.spans else served

    def _replace(
        self, segments: Sequence[Segment], groups: Sequence[tuple[int, int]], waiting: Waiting
    ) -> list[Segment]:
        """Return the segments with each group of them compacted into one."""
        replaced: list[Segment] = []
        done = 0
        for low, high in groups:
            replaced += [*segments[done:low], *self._loader.compact(segments[low:high], waiting)]
            done = high
        return [*replaced, *segments[done:]]

    def _hand_over(self, name: str, served: ServedField) -> None:
        """Let later questions have the compacted segments of a field, as far as they fit the files of now."""
        with self._lock:
            latest = self._served.get(name)
            if latest is None or latest.spans.dtype != served.spans.dtype:
                return
            # Files may have come or changed while others were read. So what is served now is kept, and not replaced
            # by what this question saw; only the large segments are put into it.
            compacted = [segment for segment in served.segments if len(segment.members) > 1]
            segments = _cover(latest.spans, [*latest.segments, *compacted], lambda _, __: None)
            self._served[name] = latest.with_segments(segments)

    def _serve(self, fields: Sequence[str]) -> dict[str, ServedField]:
        """Return the known ones of the fields as they are served now."""
        with self._lock:
            revision, now = self._index.revision(), self._now()
            served = {name: self._refresh(name, revision, now) for name in dict.fromkeys(fields)}
            self._generations.keep(now)
            return {name: one for name, one in served.items() if one is not None}

    def _refresh(self, name: str, revision: int, now: float) -> ServedField | None:
        """Bring a field up to date; None when it is not known."""
        served = self._served.get(name)
        if served is not None and served.revision == revision and now < served.valid_until:
            return served
        spans = self._spans(name, served)
        if spans is None:
            self._served.pop(name, None)
            return None
        self._warn_of(name, spans)
        generation = self._generations.of(name, spans, now)
        # Segments that still fit are the same objects as before, with the columns that were opened.
        if served is None or spans is not served.spans:
            segments = self._segments(name, spans, served.segments if served is not None else ())
            served = (served or ServedField(spans, (), (), generation, revision, now)).with_segments(segments)
        self._served[name] = dataclasses.replace(
            served, spans=spans, generation=generation, revision=revision, valid_until=spans.next_sealing(now)
        )
        return self._served[name]

    def _spans(self, name: str, served: ServedField | None) -> FileSpans | None:
        """Return the spans of a field as they are now; the same object where they are the same."""
        if served is None:
            return FileSpans.of(self._index.spans_of(name))
        changed = set(self._index.changed(served.revision))
        spans = self._index.spans_of(name, changed) if changed else ()
        return served.spans.with_changes(changed, spans, self._index.spans_of)

    def _segments(self, name: str, spans: FileSpans, known: Iterable[Segment]) -> list[Segment]:
        """Return the segments of a field: those at hand, those in the cache, and single files."""
        stale = StaleSegments(spans)

        def find(at: int, unfit: Segment | None) -> Segment | None:
            cache = self._loader.cache
            segment = cache.find(self.folder, name, spans.members, at, spans.dtype) if cache is not None else None
            if segment is not None:
                return segment
            left = self._loader.stale_segment(unfit) if unfit is not None else None
            if left is None and cache is not None:
                left = cache.find_stale(self.folder, name, spans.members[at])
            if left is not None:
                stale.add(left)
            return stale.find(at)

        return _cover(spans, known, find)

    def _warn_of(self, name: str, spans: FileSpans) -> None:
        """Tell once of files in which a field is of another type than in the newest."""
        left_out = spans.left_out
        if left_out and left_out != self._warned.get(name):
            shown = ", ".join(f"'{file}'" for file in left_out[:SHOWN_FILES])
            more = f" and {len(left_out) - SHOWN_FILES} more" if len(left_out) > SHOWN_FILES else ""
            logger.warning(
                "field '%s' is a %s in the newest file of '%s', but not in %s%s: it is left out there",
                name,
                spans.field.type,
                self.folder,
                shown,
                more,
            )
        self._warned[name] = left_out


def _open_generations(loader: SegmentLoader) -> Generations:
    """Return the generations that are kept beside the segments; without a cache, none of a former process."""
    cache = loader.cache
    if cache is None:
        return Generations({}, lambda _: None)
    cache.sweep()
    return Generations(cache.generations(loader.folder), partial(cache.keep_generations, loader.folder))


def _cover(spans: FileSpans, known: Iterable[Segment], find: Find) -> list[Segment]:
    """Return segments of all files: known ones, the latest where there are several, found ones, and single files.

    Parameters
    ----------
    find
        Returns a segment that begins with a file, by the number of that, given a known one that does not fit.
    """
    beginning = {segment.members[0].file: segment for segment in known if segment.dtype == spans.dtype}
    segments: list[Segment] = []
    at = 0
    while at < len(spans.members):
        segment = beginning.get(spans.members[at].file)
        # Signatures are among what is compared: a file that was only touched counts as changed.
        if segment is None or segment.members != spans.members[at : at + len(segment.members)]:
            segment = find(at, segment) or Segment((spans.members[at],), spans.dtype)
        segments.append(segment)
        at += len(segment.members)
    return segments
