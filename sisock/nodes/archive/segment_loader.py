"""Where the columns of segments come from: the cache, what a stale segment holds, or files, each read once."""

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
MOST_OPEN = 4096

Waiting = Callable[[str], Mapping[str, Segment]]
"""Returns the parts of a file that are asked for as well and were not read yet, by the names of their fields."""

FileColumns = Callable[[FileSpan, Collection[str]], Mapping[str, Column]]
"""Returns columns of fields that are in the file of a stretch; OSError or ValueError when it cannot be read.

What they have more than the stretch tells of has come since; where the file became another, there are none.
"""


class SegmentLoader:
    """Gets the columns of parts. One call at a time.

    Parameters
    ----------
    folder
        The archive's folder.
    read
        Reads fields of a file.
    cache
        Where parts are kept; None to keep them in memory.
    fewest_kept
        Parts of fewer files are not kept: what reads the files keeps them itself.
    """

    def __init__(self, folder: Path, read: FileColumns, cache: SegmentCache | None, fewest_kept: int = 1) -> None:
        self.folder = folder
        self.cache = cache
        self.lock = threading.RLock()
        self._read = read
        self._fewest_kept = fewest_kept
        self._reported: set[tuple[str, str]] = set()
        self._open: OrderedDict[Segment, None] = OrderedDict()

    def column(self, part: Segment, waiting: Waiting) -> Column:
        """Return the column of a part; what has to be read of its files for it, is read of other fields as well."""
        column = part.column
        if column is not None:  # nobody waits for others who read files
            return column
        with self.lock:
            column = part.column or self._opened(part) or self._made(part, waiting)
            self._close_others(part)
            return column

    def merged(self, parts: Sequence[Segment], waiting: Waiting) -> Sequence[Segment]:
        """Return one part in place of several that follow one another; themselves where one of them is loose."""
        with self.lock:
            members = tuple(one for part in parts for one in part.members)
            merged = Segment(members, parts[0].dtype)
            columns = [self.column(part, waiting) for part in parts]
            if any(part.is_loose for part in parts):
                return parts
            self._keep(merged, join_waiting(columns, merged.dtype), whole=True)
            for part in parts:
                self._open.pop(part, None)  # its column goes with who still holds it
            for part in parts[1:]:
                if merged.entry is not None and part.entry is not None and self.cache is not None:
                    self.cache.discard(part.entry)
            return [merged]

    def remnant(self, part: Segment) -> StaleSegment | None:
        """Return what is left of a part of several files that no longer fits; None when it is not at hand."""
        column = part.column or (self._opened(part) if len(part.members) > 1 else None)
        return None if column is None or len(part.members) == 1 else StaleSegment.of(part.members, column)

    def _close_others(self, part: Segment) -> None:
        """Let go of the columns that were opened longest ago: a process may map so many files only."""
        self._open[part] = None
        while len(self._open) > MOST_OPEN:
            self._open.popitem(last=False)[0].column = None

    def _opened(self, part: Segment) -> Column | None:
        """Return a column from the cache; None when it is not there, or not any more."""
        if part.entry is None or self.cache is None:
            return None
        try:
            part.column = self.cache.open(part.entry)
        except DamagedEntry:
            self.cache.discard(part.entry)
            part.entry = None
        return part.column

    def _made(self, part: Segment, waiting: Waiting) -> Column:
        """Make a column of what is in the files, or in another column."""
        if part.source is not None:
            inside = part.source.cut(part.oldest, np.nextafter(part.newest, np.inf))
            part.source = None
            return self._keep(part, join_waiting([inside], part.dtype), whole=True)
        if len(part.members) == 1:
            return self._of_file(part, waiting)
        # Of several files only when what was merged is no longer in the cache.
        singles = [Segment((one,), part.dtype) for one in part.members]
        columns = [self._of_file(one, waiting) for one in singles]
        part.is_lacking = any(one.is_lacking for one in singles)
        return self._keep(part, join_waiting(columns, part.dtype), whole=not any(one.is_loose for one in singles))

    def _of_file(self, part: Segment, waiting: Waiting) -> Column:
        """Make the columns of a part of one file, and of the parts of other fields that wait for that file."""
        (stretch,) = part.members
        name = stretch.field.name
        parts = {**waiting(stretch.file), name: part}
        columns = self._columns_of(stretch, parts)
        for other, one in parts.items():
            found = columns.get(other) or join_waiting([], one.dtype)
            whole, one.is_lacking = _compared(found, one.members[0])
            columns[other] = self._keep(one, self._ordered(found, one.dtype), whole=whole)
        return columns[name]

    def _ordered(self, column: Column, dtype: np.dtype[np.generic]) -> Column:
        """Return a column of a dtype, in which each sample is once; so it is already in what others keep."""
        if column.dtype == dtype and (self._fewest_kept > 1 or (np.diff(column.within(*ALL_TIME)[0]) > 0).all()):
            return column
        return join_waiting([column], dtype)

    def _columns_of(self, stretch: FileSpan, names: Collection[str]) -> dict[str, Column]:
        """Read fields of a file; nothing, and a line in the log, when it cannot be read."""
        try:
            return dict(self._read(stretch, names))
        except (OSError, ValueError) as error:
            file = stretch.file
            reason = str(getattr(error, "strerror", None) or error)
            if (file, reason) not in self._reported:
                self._reported.add((file, reason))
                logger.warning("'%s' cannot be read (%s): what it holds is left out", self.folder / file, reason)
            return {}

    def _keep(self, part: Segment, column: Column, *, whole: bool) -> Column:
        """Keep a column, in the cache if it may be found there again; of files that have changed, not at all."""
        part.is_loose = not whole
        if not whole:
            return column.cut(part.oldest, np.nextafter(part.newest, np.inf))
        part.column = column
        if self.cache is not None and len(part.members) >= self._fewest_kept:
            part.entry = self.cache.store(self.folder, part, column)
            part.column = (None if part.entry is None else self._opened(part)) or column
        return part.column


def join_waiting(columns: Sequence[Column], dtype: np.dtype[np.generic]) -> Column:
    """Return one column of the samples of several, in order of time, each sample once."""
    found: list[Samples] = [column.within(*ALL_TIME) for column in columns]
    times = np.concatenate([np.empty(0), *(one[0] for one in found)])
    values = np.concatenate([np.empty(0, dtype=dtype), *(one[1].astype(dtype, copy=False) for one in found)])
    return _column(*in_order(times, values))


def reading_with(folder: Path, reader: FieldReader) -> FileColumns:
    """Return a function that makes columns of what a reader returns, and tells once what it had to leave out."""
    told: set[str] = set()

    def read(stretch: FileSpan, names: Collection[str]) -> Mapping[str, Column]:
        contents = reader(folder / stretch.file, names)
        if contents.problem is not None and contents.problem not in told:
            told.add(contents.problem)
            logger.warning("%s", contents.problem)
        return {one.field.name: _column(one.times, one.values) for one in contents.columns}

    return read


def _column(times: Times, values: Values) -> Column:
    """Return a column that hands out arrays nobody can write to."""
    times.flags.writeable = False
    values.flags.writeable = False
    return Column.of(times, values)


def _compared(column: Column, stretch: FileSpan) -> tuple[bool, bool]:
    """Tell whether what was read is what the index knows of, and whether it is less than that."""
    times = column.within(*ALL_TIME)[0]
    whole = len(times) == stretch.count and times[[0, -1]].tolist() == [stretch.oldest, stretch.newest]
    low, high = np.searchsorted(times, [stretch.oldest, np.nextafter(stretch.newest, np.inf)])
    return whole, bool(high - low < stretch.count)
