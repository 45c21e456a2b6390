"""The words that all parts of sisock share: fields, timelines, requests, statements and blocks of samples.

Times are UNIX seconds as float64; spans are half-open, [start, end). Dictionaries exist only on the wire,
and only :mod:`sisock.core.wire` knows their keys.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

FieldType = Literal["number", "string", "bool"]
FIELD_TYPES: tuple[FieldType, ...] = ("number", "string", "bool")

Times = NDArray[np.float64]
Values = NDArray[Any]
Span = tuple[float, float]
"""A half-open span [start, end), UNIX seconds."""


@dataclass(frozen=True)
class Field:
    """A named series of one type; it may be asked for by its aliases too, which no list shows."""

    name: str
    timeline: str
    type: FieldType = "number"
    units: str | None = None
    description: str | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Timeline:
    """The timestamps that one or more fields share; ``interval_s`` is their mean spacing, None when aperiodic."""

    name: str
    interval_s: float | None
    fields: tuple[str, ...]


@dataclass(frozen=True)
class FieldCatalogue:
    """The fields that a data node serves, and the timelines they are on."""

    fields: Mapping[str, Field] = field(default_factory=dict)
    timelines: Mapping[str, Timeline] = field(default_factory=dict)

    @classmethod
    def of(cls, fields: list[Field], intervals_s: Mapping[str, float | None]) -> FieldCatalogue:
        """Build a catalogue from its fields and the mean spacing of each of their timelines."""
        members: dict[str, list[str]] = {}
        for one in fields:
            members.setdefault(one.timeline, []).append(one.name)
        timelines = {name: Timeline(name, intervals_s.get(name), tuple(names)) for name, names in members.items()}
        return cls({one.name: one for one in fields}, timelines)

    def find(self, name: str) -> Field | None:
        """Return the field of a name, or of an alias that belongs to one field only and is no other's name."""
        return self.fields.get(name) or self.fields.get(self.aliases.get(name, ""))

    @cached_property
    def aliases(self) -> Mapping[str, str]:
        """The name of the field that each alias means."""
        owners: dict[str, set[str]] = {}
        for one in self.fields.values():
            for alias in one.aliases:
                owners.setdefault(alias, set()).add(one.name)
        # An alias of two fields could mean either, and so means none.
        return {alias: min(names) for alias, names in owners.items() if len(names) == 1 and alias not in self.fields}

    def spacings_s(self, names: Iterable[str]) -> dict[str, float | None]:
        """Return the mean spacing of those of some fields that are known, seconds; None where that is not."""
        fields = {name: self.find(name) for name in names}
        return {name: self.timelines[one.timeline].interval_s for name, one in fields.items() if one is not None}

    def updated(self, other: FieldCatalogue) -> FieldCatalogue:
        """Return this catalogue with the fields of another added, which win."""
        # Of a timeline that both have, the spacing of the later one counts.
        intervals_s = {one.name: one.interval_s for part in (self, other) for one in part.timelines.values()}
        return FieldCatalogue.of([*{**self.fields, **other.fields}.values()], intervals_s)


@dataclass(frozen=True)
class DataRequest:
    """A question for samples of some fields inside [start, end).

    Parameters
    ----------
    fields
        Names of fields, in the asker's order.
    start, end
        UNIX seconds, already resolved: never relative.
    min_stride
        Seconds; None for every sample.
    reduce
        A reducer's name (see :mod:`sisock.core.reduce.reducers`), or None for plain thinning.
    packed
        Whether arrays may travel as bytes.
    limit, after
        Paging: at most so many samples a timeline, later than ``after`` (UNIX seconds).
    spans
        Parts of [start, end) that are wanted, reduced each on its own; None for all of it.
    ahead
        Seconds. With spans: what windows that begin up to so much later need of their first bucket is wanted as well.
    edge
        Seconds. With spans: the first samples of windows that begin up to so much later are wanted as well.
    before
        With an edge: the last sample before the start, too.
    """

    fields: tuple[str, ...]
    start: float
    end: float
    min_stride: float | None = None
    reduce: str | None = None
    packed: bool = False
    limit: int | None = None
    after: float | None = None
    spans: tuple[Span, ...] | None = None
    ahead: float = 0.0
    edge: float = 0.0
    before: bool = False

    @property
    def extended(self) -> bool:
        """Whether the asker uses anything that the original API does not have."""
        return self.packed or self.reduce is not None or self.limit is not None or self.after is not None


@dataclass(frozen=True)
class Statement:
    """A node's statement about the samples of a timeline.

    Parameters
    ----------
    finalized_until
        No sample before this time will change or be added any more; +inf when none ever will, -inf when nothing
        is promised.
    available_from
        Nothing older than this is kept; -inf when all there ever was is kept.
    generation
        Identity of the data: it survives reconnects, and changes when something before ``finalized_until``
        changed after all. None when the source has no such notion.
    """

    finalized_until: float = math.inf
    available_from: float = -math.inf
    generation: str | None = None


ALL_FINAL = Statement()
"""The statement on samples to which nothing will be added, and of which nothing was dropped."""


class Stated:
    """Samples that carry a statement, the parts of which can be read as if they were the samples' own."""

    statement: Statement

    @property
    def finalized_until(self) -> float:
        """The time before which nothing changes any more, UNIX seconds."""
        return self.statement.finalized_until

    @property
    def available_from(self) -> float:
        """The time before which nothing is kept, UNIX seconds."""
        return self.statement.available_from

    @property
    def generation(self) -> str | None:
        """The identity of the data."""
        return self.statement.generation

    def restated(self, **parts: Any) -> Self:
        """Return the same samples with some parts of their statement replaced, each by its name."""
        return replace(self, statement=replace(self.statement, **parts))  # type: ignore[type-var]  # all are dataclasses


# No value that a part could have: None is a generation.
_UNCHANGED: Any = object()


@dataclass(frozen=True, init=False)
class TimelineBlock(Stated):
    """Samples of the fields of one timeline, and the statement on them.

    Parameters
    ----------
    times
        Shape (n,), float64 UNIX seconds, ascending; equal times may follow one another.
    values
        One array of shape (n,) for each field: float64 or int64 for numbers, bool, or object holding str.
    finalized_until, available_from, generation
        As in :class:`Statement`; what is given wins over the same part of ``statement``.
    statement
        What is stated about the samples.
    """

    times: Times
    values: Mapping[str, Values]
    statement: Statement

    def __init__(
        self,
        times: Times,
        values: Mapping[str, Values],
        finalized_until: float = _UNCHANGED,
        available_from: float = _UNCHANGED,
        generation: str | None = _UNCHANGED,
        *,
        statement: Statement = ALL_FINAL,
    ) -> None:
        # Nodes of other people give the parts one by one, here and to dataclasses.replace(), which hands over the
        # statement of before as well.
        parts = (("finalized_until", finalized_until), ("available_from", available_from), ("generation", generation))
        given: dict[str, Any] = {name: part for name, part in parts if part is not _UNCHANGED}
        object.__setattr__(self, "times", times)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "statement", replace(statement, **given) if given else statement)

    def take(self, selection: slice | NDArray[np.intp] | NDArray[np.bool_]) -> TimelineBlock:
        """Return the block with only the selected samples; a slice copies nothing."""
        return replace(
            self,
            times=self.times[selection],
            values={name: array[selection] for name, array in self.values.items()},
        )

    def within(self, start: float, end: float) -> TimelineBlock:
        """Return the samples inside [start, end), as views."""
        # Half-open: a sample at the end belongs to the span that begins there.
        low, high = np.searchsorted(self.times, [start, end], side="left")
        return self.take(slice(int(low), int(max(low, high))))

    def of_field(self, name: str) -> TimelineBlock:
        """Return the block with the values of one field only."""
        return replace(self, values={name: self.values[name]})


@dataclass(frozen=True)
class DataBlock:
    """Samples of some fields, by timeline.

    Parameters
    ----------
    stated
        What is stated of fields without samples here, whose timelines are not here; by field.
    """

    timelines: Mapping[str, TimelineBlock] = field(default_factory=dict)
    stated: Mapping[str, Statement] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        """The number of values, over all fields."""
        return sum(block.times.size * len(block.values) for block in self.timelines.values())

    def find(self, field_name: str) -> TimelineBlock | None:
        """Return the block of the timeline that has the field, or None."""
        return next((block for block in self.timelines.values() if field_name in block.values), None)

    def map(self, change: Callable[[TimelineBlock], TimelineBlock]) -> DataBlock:
        """Return the block with each of its timelines changed."""
        return replace(self, timelines={name: change(one) for name, one in self.timelines.items()})

    def within(self, start: float, end: float) -> DataBlock:
        """Return the samples inside [start, end), as views."""
        return self.map(lambda one: one.within(start, end))

    def stated_of(self, field_name: str) -> Statement | None:
        """Return what is stated of a field; None when nothing is."""
        timeline = self.find(field_name)
        return timeline.statement if timeline is not None else self.stated.get(field_name)
