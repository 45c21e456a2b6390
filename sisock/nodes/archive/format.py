"""The contract of formats: the samples and spans that readers and indexes hand over, and the order of samples."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sisock.core.model import Field, FieldCatalogue, Times, Values

Signature = tuple[int, int, int]
"""Modification time in ns, size in bytes, inode number."""


def ascending(times: Times, values: Values) -> tuple[Times, Values]:
    """Sort samples by time, stably."""
    if (np.diff(times) < 0).any():
        order = np.argsort(times, kind="stable")
        return times[order], values[order]
    return times, values


def in_order(times: Times, values: Values) -> tuple[Times, Values]:
    """Sort samples by time, stably, and keep one of those with the same time and the same value.

    Samples with the same time and different values are all kept, in the order of the file: which one is right
    cannot be told, and a spike must not get lost. NaN counts as equal to NaN.
    """
    times, values = ascending(times, values)
    if (np.diff(times) == 0).any():
        kept = _first_of_equals(times, values)
        times, values = times[kept], values[kept]
    return times, values


def _first_of_equals(times: Times, values: Values) -> NDArray[np.bool_]:
    """Return a mask without the samples that repeat an earlier one, time and value."""
    # By value among those of one time, so that equal ones are neighbours; stable, so that the first comes first.
    order = np.lexsort((values, times))
    sorted_values = values[order]
    same = sorted_values[1:] == sorted_values[:-1]
    # NaN is the one value that differs from itself.
    same |= (sorted_values[1:] != sorted_values[1:]) & (sorted_values[:-1] != sorted_values[:-1])
    repeated = same & (np.diff(times[order]) == 0)
    kept = np.ones(len(times), dtype=bool)
    kept[order[1:][repeated]] = False
    return kept


@dataclass(frozen=True)
class FieldSamples:
    """The samples of one field of one file, in order of time.

    Parameters
    ----------
    field
        What the samples are. Fields of one file may share a timeline.
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
    """The columns of a file, and in words what its reader had to leave out."""

    columns: tuple[FieldSamples, ...] = ()
    problem: str | None = None


Reader = Callable[[Path], Contents]
"""Reads a whole file. An OSError leaves the file out until it can be read."""

FieldReader = Callable[[Path, Collection[str]], Contents]
"""Reads the fields of these names out of a file; others may come along. Errors as of a reader.

There may be samples that repeat, if :class:`FileSpan` counts them as well.
"""


@dataclass(frozen=True, slots=True)
class FileSpan:
    """The samples of one field in one file, as an index describes them. Where a file has none there is no span.

    Parameters
    ----------
    file
        Path relative to the archive's folder, with ``/``.
    signature
        What tells whether the file is as it was when it was indexed. Its first number is the modification time:
        what was not written to for a minute, and is followed by another file, does not grow any more.
    generation
        A text that stays the same for as long as the file only grows at its end, and is another one when samples
        that were there are others or are gone. Two files may have the same.
    field
        As the file has it; the newest file decides on timeline, type, units and description of the field.
    dtype
        Name of the values' dtype: ``float64``, ``int64``, ``bool``, or ``object`` for texts. Files of whole numbers
        and of others are joined to float64.
    count
        Number of samples that the reader returns, which is above zero.
    oldest, newest
        Times of the first and the last sample, UNIX seconds.
    """

    # Slots: an archive of many years has hundreds of thousands of these.
    file: str
    signature: Signature
    generation: str
    field: Field
    dtype: str
    count: int
    oldest: float
    newest: float


class ArchiveIndex(Protocol):
    """The files of an archive and what is in them. It is called from several threads, one at a time.

    A file that is broken, or that is gone, has no spans.
    """

    def revision(self) -> int:
        """Look for changes where that is due, and return a number that has grown if anything changed.

        Every question to the archive begins with it, so it must be quick: a look at a number, or a listing that is not
        done again for some seconds. It must be at least so recent that what is new is served within 5 s.
        """
        ...

    def changed(self, since: int) -> Collection[str]:
        """Return the files that were added, changed or removed after that revision; ``FileSpan.file`` names them."""
        ...

    def catalogue(self, start: float, end: float) -> FieldCatalogue:
        """Return the fields that have a sample in [start, end), UNIX seconds."""
        ...

    def spans_of(self, field: str, files: Collection[str] | None = None) -> Sequence[FileSpan]:
        """Return the spans of a field in some files, or in all of them, in any order; none if it is unknown."""
        ...
