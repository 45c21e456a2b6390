"""The spans of the files that make up a field, in order of time, and when they are final."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from sisock.core.model import Field, FieldType, Times
from sisock.core.times import mean_spacing
from sisock.nodes.archive.format import FileSpan

SEALED_AFTER_S = 60.0
"""A file that is followed by another one and was not written to for so long does not grow any more."""

_TYPES: Mapping[str, FieldType] = {"float64": "number", "int64": "number", "bool": "bool", "object": "string"}


@dataclass(frozen=True, eq=False)
class FileSpans:
    """The spans of a field by the time of their first sample; at least one, and all of one type.

    Parameters
    ----------
    members
        The spans.
    dtype
        What their values are joined to.
    left_out
        Files in which the field is of another type than in the newest one, in order of time.
    """

    members: tuple[FileSpan, ...]
    dtype: np.dtype[Any]
    left_out: tuple[str, ...] = ()

    @classmethod
    def of(cls, spans: Iterable[FileSpan]) -> FileSpans | None:
        """Put spans in order of time; None when there are none."""
        # The name decides between files that begin at one time: the order must be the same after a restart.
        ordered = sorted(spans, key=lambda one: (one.oldest, one.file))
        if not ordered:
            return None
        kind = _TYPES[ordered[-1].dtype]
        kept = tuple(one for one in ordered if _TYPES[one.dtype] == kind)
        left_out = tuple(one.file for one in ordered if _TYPES[one.dtype] != kind)
        dtypes = {one.dtype for one in kept}
        return cls(kept, np.dtype(kept[-1].dtype if len(dtypes) == 1 else "float64"), left_out)

    def with_changes(
        self, changed: Collection[str], spans: Sequence[FileSpan], all_of: Callable[[str], Sequence[FileSpan]]
    ) -> FileSpans | None:
        """Return the spans after some files have changed; the same object where none of its files has.

        Parameters
        ----------
        changed, found
            The files, and the spans that are in them now.
        all_of
            Returns all spans of a field: what was left out may be needed after all.
        """
        if not spans and self.files.isdisjoint(changed):
            return self
        if self.left_out:
            return FileSpans.of(all_of(self.field.name))
        return FileSpans.of([*(one for one in self.members if one.file not in changed), *spans])

    @property
    def field(self) -> Field:
        """The field as the newest file has it."""
        return self.members[-1].field

    @cached_property
    def oldest(self) -> Times:
        """The time of the first sample of each."""
        return np.array([one.oldest for one in self.members])

    @cached_property
    def newest(self) -> Times:
        """The time of the last sample of each."""
        return np.array([one.newest for one in self.members])

    @cached_property
    def is_disjoint(self) -> bool:
        """Whether each begins after the one before has ended."""
        return bool((self.newest[:-1] < self.oldest[1:]).all())

    @cached_property
    def is_counted(self) -> bool:
        """Whether as many samples are served as the files have: none is repeated, nor becomes so as a float."""
        return self.is_disjoint and all(one.dtype == self.dtype.name for one in self.members)

    @cached_property
    def count(self) -> int:
        """The number of samples that they have, those counted several times that are in several files."""
        return sum(one.count for one in self.members)

    @property
    def interval_s(self) -> float | None:
        """The mean spacing in seconds; None for fewer than two samples, or when all are at one time."""
        return self.interval_of(self.count)

    def interval_of(self, count: int) -> float | None:
        """Return the mean spacing in seconds, given how many samples there are."""
        return mean_spacing(self.oldest[0], self.newest.max(), count)

    def field_on(self, timeline: str) -> Field:
        """Return the field as it is served on a timeline."""
        return replace(self.field, timeline=timeline)

    def around(self, start: float, end: float) -> tuple[FileSpan, ...]:
        """Return the members that begin before [start, end) and end after it."""
        return tuple(self.members[number] for number in np.flatnonzero((self.oldest < start) & (self.newest >= end)))

    def has_samples(self, start: float, end: float) -> bool | None:
        """Tell whether a sample is inside [start, end); None when one must look between the ends of a member."""
        ends = [(self.oldest >= start) & (self.oldest < end), (self.newest >= start) & (self.newest < end)]
        if (ends[0] | ends[1]).any():
            return True
        return None if ((self.oldest < start) & (self.newest >= end)).any() and start < end else False

    def growing(self, now: float) -> tuple[FileSpan, ...]:
        """Return what may still get samples at ``now``, UNIX seconds: the last, and what was just written."""
        just = np.flatnonzero(now < self._sealed_at[:-1])
        return (*(self.members[number] for number in just), self.members[-1])

    def sealed(self, now: float) -> int:
        """Return how many members at the beginning get no samples any more at ``now``, UNIX seconds."""
        just = now < self._sealed_at[:-1]
        return int(just.argmax()) if just.any() else len(self.members) - 1

    def next_sealing(self, now: float) -> float:
        """Return when the next of those that may still grow will not any more, UNIX seconds; inf if none will."""
        times = self._sealed_at[:-1]
        return float(times[now < times].min(initial=np.inf))

    @cached_property
    def files(self) -> frozenset[str]:
        """The files that they are in."""
        return frozenset(one.file for one in self.members)

    @cached_property
    def _sealed_at(self) -> Times:
        # By the modification time, which a signature begins with, and not by when we first saw it: the same after a
        # restart.
        return np.array([one.signature[0] for one in self.members]) * 1e-9 + SEALED_AFTER_S


def finalized_until(growing: Collection[FileSpan]) -> float:
    """Return the time before which nothing comes any more, given the spans that may still grow."""
    return min(one.newest for one in growing)
