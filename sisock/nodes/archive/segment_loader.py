"""The sources of the columns of segments: the cache, what a stale segment holds, or files, each read once."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from sisock.core.column.column import Column
from sisock.core.model import Times, Values
from sisock.core.reduce.reducers import Samples
from sisock.nodes.archive.array_cache import DamagedEntry
from sisock.nodes.archive.format import FieldReader, FileSpan, in_order
from sisock.nodes.archive.segments import Segment, SegmentCache, StaleSegment

logger = logging.getLogger(__name__)

ALL_TIME = (-np.inf, np.inf)
# A process may map 65530 files, of which a column takes up to ten.
MOST_OPEN = 4096

Waiting = Callable[[str], Mapping[str, Segment]]
"""Returns the segments of a file that are asked for as well and were not read yet, by the names of their fields."""

FileColumns = Callable[[FileSpan, Collection[str]], Mapping[str, Column]]
"""Returns columns of fields that are in the file of a span; OSError or ValueError when it cannot be read.

What they have more than the span tells of has come since; where the file became another, there are none.
"""


class SegmentLoader:
    """Gets the columns of segments. One call at a time.

    Parameters
    ----------
    folder
        The archive's folder.
    read
        Reads fields of a file.
    cache
        Where segments are kept; None to keep them in memory.
    fewest_kept
        Segments of fewer files are not kept: what reads the files keeps them itself.
    """

    def __init__(self, folder: Path, read: FileColumns, cache: SegmentCache | None, fewest_kept: int = 1) -> None:
        self.folder = folder
        self.cache = cache
        # Held while files are read, so that no two questions read the same one. It is taken before the lock of the
        # archive, never after it. Reentrant: whoever compacts holds it already.
        self.lock = threading.RLock()
        self._read = read
        self._fewest_kept = fewest_kept
        # Both guarded by the lock.
        self._reported: set[tuple[str, str]] = set()
        self._open: OrderedDict[Segment, None] = OrderedDict()

    def column(self, segment: Segment, waiting: Waiting) -> Column:
        """Return the column of a segment; what has to be read of its files, is read of other fields as well."""
        # Nobody waits here for others who read files. It is read once: another thread may let go of it meanwhile.
        column = segment.column
        if column is not None:
            return column
        with self.lock:
            column = segment.column or self._from_cache(segment) or self._make(segment, waiting)
            self._close_others(segment)
            return column

    def compact(self, segments: Sequence[Segment], waiting: Waiting) -> Sequence[Segment]:
        """Return one segment in place of several that follow one another; themselves where one is provisional."""
        with self.lock:
            members = tuple(one for segment in segments for one in segment.members)
            compacted = Segment(members, segments[0].dtype)
            columns = [self.column(segment, waiting) for segment in segments]
            # Only after reading it is known which files are not as the index knows them.
            if any(segment.is_provisional for segment in segments):
                return segments
            self._keep(compacted, join_columns(columns, compacted.dtype), whole=True)
            for segment in segments:
                # Its column goes with who still holds it.
                self._open.pop(segment, None)
            # Not the first: the large one was stored under the same key, as both begin with the same file.
            for segment in segments[1:]:
                if compacted.entry is not None and segment.entry is not None and self.cache is not None:
                    self.cache.discard(segment.entry)
            return [compacted]

    def stale_segment(self, segment: Segment) -> StaleSegment | None:
        """Return what is left of a segment of several files that no longer fits; None when it is not at hand."""
        # What a single file held is no use to anybody: it was that file that changed.
        if len(segment.members) == 1:
            return None
        column = segment.column or self._from_cache(segment)
        return None if column is None else StaleSegment.of(segment.members, column)

    def _close_others(self, segment: Segment) -> None:
        """Let go of the columns that were opened longest ago: a process may map so many files only."""
        self._open[segment] = None
        while len(self._open) > MOST_OPEN:
            self._open.popitem(last=False)[0].column = None

    def _from_cache(self, segment: Segment) -> Column | None:
        """Return a column from the cache; None when it is not there, or not any more."""
        if segment.entry is None or self.cache is None:
            return None
        try:
            segment.column = self.cache.open(segment.entry)
        except DamagedEntry:
            self.cache.discard(segment.entry)
            segment.entry = None
        return segment.column

    def _make(self, segment: Segment, waiting: Waiting) -> Column:
        """Make a column of what is in the files, or in another column."""
        if segment.source is not None:
            inside = segment.source.cut(segment.oldest, np.nextafter(segment.newest, np.inf))
            # Or else the whole old column would stay in memory for as long as the new segment.
            segment.source = None
            return self._keep(segment, join_columns([inside], segment.dtype), whole=True)
        if len(segment.members) == 1:
            return self._of_file(segment, waiting)
        # Of several files only when what was compacted is no longer in the cache.
        singles = [Segment((one,), segment.dtype) for one in segment.members]
        columns = [self._of_file(one, waiting) for one in singles]
        segment.is_incomplete = any(one.is_incomplete for one in singles)
        whole = not any(one.is_provisional for one in singles)
        return self._keep(segment, join_columns(columns, segment.dtype), whole=whole)

    def _of_file(self, segment: Segment, waiting: Waiting) -> Column:
        """Make the columns of a segment of one file, and of the segments of other fields that wait for that file."""
        (span,) = segment.members
        name = span.field.name
        segments = {**waiting(span.file), name: segment}
        columns = self._columns_of(span, segments)
        for other, one in segments.items():
            column = columns.get(other) or join_columns([], one.dtype)
            whole, one.is_incomplete = _compare(column, one.members[0])
            columns[other] = self._keep(one, self._ordered(column, one.dtype), whole=whole)
        return columns[name]

    def _ordered(self, column: Column, dtype: np.dtype[np.generic]) -> Column:
        """Return a column of a dtype, in which each sample is once; so it is already in what others keep."""
        if column.dtype == dtype and (self._fewest_kept > 1 or (np.diff(column.within(*ALL_TIME)[0]) > 0).all()):
            return column
        return join_columns([column], dtype)

    def _columns_of(self, span: FileSpan, names: Collection[str]) -> dict[str, Column]:
        """Read fields of a file; nothing, and a line in the log, when it cannot be read."""
        try:
            return dict(self._read(span, names))
        except (OSError, ValueError) as error:
            file = span.file
            reason = str(getattr(error, "strerror", None) or error)
            if (file, reason) not in self._reported:
                self._reported.add((file, reason))
                logger.warning("'%s' cannot be read (%s): what it holds is left out", self.folder / file, reason)
            return {}

    def _keep(self, segment: Segment, column: Column, *, whole: bool) -> Column:
        """Keep a column, in the cache if it may be found there again; of files that have changed, not at all."""
        segment.is_provisional = not whole
        if not whole:
            # No more than the index knows of: the rest is stated, and served, when the index knows of it too.
            return column.cut(segment.oldest, np.nextafter(segment.newest, np.inf))
        segment.column = column
        if self.cache is not None and len(segment.members) >= self._fewest_kept:
            segment.entry = self.cache.store(self.folder, segment, column)
            # The column of mapped files takes the place of the one in memory.
            segment.column = (None if segment.entry is None else self._from_cache(segment)) or column
        return segment.column


def join_columns(columns: Sequence[Column], dtype: np.dtype[np.generic]) -> Column:
    """Return one column of the samples of several, in order of time, each sample once."""
    samples: list[Samples] = [column.within(*ALL_TIME) for column in columns]
    times = np.concatenate([np.empty(0), *(one[0] for one in samples)])
    values = np.concatenate([np.empty(0, dtype=dtype), *(one[1].astype(dtype, copy=False) for one in samples)])
    return _read_only(*in_order(times, values))


def reading_with(folder: Path, reader: FieldReader) -> FileColumns:
    """Return a function that makes columns of what a reader returns, and logs once what it had to leave out."""
    reported: set[str] = set()

    def read(span: FileSpan, names: Collection[str]) -> Mapping[str, Column]:
        contents = reader(folder / span.file, names)
        if contents.problem is not None and contents.problem not in reported:
            reported.add(contents.problem)
            logger.warning("%s", contents.problem)
        return {one.field.name: _read_only(one.times, one.values) for one in contents.columns}

    return read


def _read_only(times: Times, values: Values) -> Column:
    """Return a column that hands out arrays nobody can write to."""
    times.flags.writeable = False
    values.flags.writeable = False
    return Column.of(times, values)


def _compare(column: Column, span: FileSpan) -> tuple[bool, bool]:
    """Tell whether what was read is what the index knows of, and whether it is less than that."""
    times = column.within(*ALL_TIME)[0]
    whole = len(times) == span.count and times[[0, -1]].tolist() == [span.oldest, span.newest]
    low, high = np.searchsorted(times, [span.oldest, np.nextafter(span.newest, np.inf)])
    return whole, bool(high - low < span.count)
