"""From the columns of a table to fields: names and units out of headers, rows in order of time, missing values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sisock.core.errors import UnusableFile
from sisock.core.model import Field, FieldType, Times, Values
from sisock.nodes.archive.format import FieldSamples

Mask = NDArray[np.bool_]
# Longer ones are text that was taken for a header.
LONGEST_FIELD_NAME = 200
WITH_UNITS = re.compile(r"(.*?\S)\s*(?:\[([^\[\]]*)\]|(?<=\s)\(([^()]*)\))")


@dataclass(frozen=True)
class Label:
    """The header of a column: all of it, and the name and the units that are in it."""

    header: str
    name: str
    units: str | None = None


@dataclass(frozen=True)
class TableColumn:
    """A column of a table.

    Parameters
    ----------
    values
        Shape (n,), of the dtype that :class:`~sisock.core.model.TimelineBlock` wants.
    present
        Shape (n,), which of them are there; None when all are.
    """

    label: Label
    type: FieldType
    values: Values
    present: Mask | None = None


@dataclass(frozen=True)
class TableOptions:
    """The options that a user gives for tables; what is not given is found.

    Parameters
    ----------
    time
        The name of the column of times, or those of date and time of day.
    time_unit
        ``s``, ``ms``, ``us`` or ``ns``.
    types
        The types of columns, by their names.
    prefix
        Whether the names of fields begin with that of the file.
    """

    time: tuple[str, ...] = ()
    time_unit: str | None = None
    types: Mapping[str, FieldType] = field(default_factory=dict)
    prefix: bool = False


@dataclass(frozen=True)
class Table:
    """The rows of a file, as they are in it.

    Parameters
    ----------
    times
        Shape (n,), UNIX seconds, NaN where there is none.
    problem
        What was left out, in words that go on from the name of the file.
    """

    times: Times
    columns: tuple[TableColumn, ...]
    problem: str | None = None


EMPTY = Table(np.empty(0), ())


def labels_of(headers: Sequence[str]) -> list[Label]:
    """Return names, all different, and units for the columns of a table.

    ``temperature [degC]`` and ``temperature (degC)`` are named ``temperature``, unless another column would be too. A
    name that comes again gets a number, ``temperature_2``; a column without one is ``column_`` and its number.

    Raises
    ------
    UnusableFile
        For a name that nobody could ask for.
    """
    cleaned = [on_one_line(header) for header in headers]
    longest = max(cleaned, key=len)
    if len(longest) > LONGEST_FIELD_NAME:
        raise UnusableFile(f"has a name of {len(longest)} characters in its header: {LONGEST_FIELD_NAME} are allowed")
    split = [_name_and_units(header) for header in cleaned]
    counts = Counter(name for name, _ in split)
    labels: list[Label] = []
    # Names that stand in the header are taken from the start: a number must not make one of another column's name.
    taken = set(cleaned) | counts.keys()
    seen = set[str]()
    tried = Counter[str]()
    for number, (header, (name, units)) in enumerate(zip(cleaned, split, strict=True), start=1):
        wanted = (name if counts[name] == 1 else header) or f"column_{number}"
        own = wanted if wanted not in seen else _next_free(wanted, taken, tried)
        seen.add(own)
        taken.add(own)
        labels.append(Label(header, own, units))
    return labels


def samples_of(times: Times, columns: Sequence[TableColumn], file_name: str, prefix: str) -> tuple[FieldSamples, ...]:
    """Return the fields of a table, its rows in order of time.

    Parameters
    ----------
    times
        Shape (n,), UNIX seconds; rows whose time is NaN are left out, and so are rows that repeat an earlier one.
    file_name
        Of the timeline; a column that lacks values has one of its own, or one with those that lack the same.
    prefix
        What comes before the name of each field.
    """
    order = _order(times, columns)
    sorted_times = times if order is None else times[order]
    timelines: dict[bytes, tuple[str, Times]] = {b"": (file_name, sorted_times)}
    samples = []
    for column in columns:
        values = column.values if order is None else column.values[order]
        present = column.present if column.present is None or order is None else column.present[order]
        # Numbers have NaN in place of gaps and stay on one timeline; states with the same gaps do as well.
        if present is None or present.all():
            key = b""
        else:
            values, key = values[present], np.packbits(present).tobytes()
            timelines.setdefault(key, (f"{file_name}/{column.label.name}", sorted_times[present]))
        timeline, own_times = timelines[key]
        described = Field(prefix + column.label.name, timeline, column.type, column.label.units)
        samples.append(FieldSamples(described, own_times, values))
    return tuple(samples)


def on_one_line(text: str) -> str:
    """Return a text on one line, without what cannot be shown."""
    return "".join(filter(str.isprintable, " ".join(text.split())))


def _name_and_units(header: str) -> tuple[str, str | None]:
    match = WITH_UNITS.fullmatch(header)
    if match is None:
        return header, None
    name, *units = match.groups()
    return name.rstrip(), next((text.strip() for text in units if text and text.strip()), None)


def _next_free(name: str, taken: set[str], tried: Counter[str]) -> str:
    """Return a name with a number that is not taken; those that were tried before are."""
    number = max(2, tried[name])
    while f"{name}_{number}" in taken:
        number += 1
    tried[name] = number
    return f"{name}_{number}"


def _order(times: Times, columns: Sequence[TableColumn]) -> NDArray[np.intp] | None:
    """Return the rows that are served, in order; None when these are all of them as they are."""
    # Comparisons with NaN are false: a row without a time is in no order.
    steps = np.diff(times)
    if (steps > 0).all() and not np.isnan(times[:1]).any():
        return None
    rows = np.flatnonzero(~np.isnan(times))
    rows = rows[np.argsort(times[rows], kind="stable")]
    # Only neighbours of one time can repeat one another: of all other rows no cell is looked at.
    equal = np.diff(times[rows]) == 0
    beside = np.flatnonzero(np.append(equal, False) | np.append(False, equal))
    repeated = _repeated(times, columns, rows[beside])
    return np.delete(rows, beside[repeated])


def _repeated(times: Times, columns: Sequence[TableColumn], rows: NDArray[np.intp]) -> list[int]:
    """Return which of some rows repeat an earlier one of them; NaN counts as equal to NaN."""
    cells = [times[rows].tolist()]
    for column in columns:
        values = column.values[rows]
        # As bits, NaN is equal to itself.
        cells.append((values.view(np.int64) if values.dtype.kind == "f" else values).tolist())
        if column.present is not None:
            cells.append(column.present[rows].tolist())
    seen = set()
    repeated = []
    for number, row in enumerate(zip(*cells, strict=True)):
        if row in seen:
            repeated.append(number)
        seen.add(row)
    return repeated
