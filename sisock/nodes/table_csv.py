"""Reads text tables: CSV with commas, semicolons or tabs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sisock.core.errors import UnusableFile
from sisock.core.model import FieldType, Times
from sisock.nodes.table_cells import CellColumn
from sisock.nodes.table_fields import EMPTY, Label, Table, TableOptions, labels_of
from sisock.nodes.table_text import Block, Head, Rows, blocks_of, head_of, rows_of
from sisock.nodes.table_times import TimeColumns, find_times

LONGEST_SHOWN = 40


class _Building:
    """A table that is made of the rows of one block after the other."""

    def __init__(self, head: Head, rows: Rows, options: TableOptions) -> None:
        self._labels = labels_of(head.names)
        self._times = find_times(self._labels, rows.columns, options.time, options.time_unit)
        self._seconds: list[Times] = []
        self._broken: dict[int, str] = {}
        self._columns = {
            place: CellColumn(label, _declared(label, options), decimal_comma=head.separator == ";")
            for place, label in enumerate(self._labels)
            if place not in self._times.places
        }

    @property
    def times(self) -> TimeColumns:
        return self._times

    def add(self, rows: Rows) -> None:
        if rows.broken:
            self._broken.setdefault(*rows.broken)
        seconds = self._times.seconds(rows.columns)
        self._seconds.append(seconds)
        timeless = np.flatnonzero(np.isnan(seconds))
        if timeless.size:
            self._remark(rows, self._times.places[0], int(timeless[0]), "which is no time")
        for place, column in self._columns.items():
            unfit = column.add(rows.columns[place])
            if unfit:
                self._remark(rows, place, unfit[0], f"which is no {column.type}")

    def finish(self) -> Table:
        columns = tuple(made for column in self._columns.values() if (made := column.finish()) is not None)
        return Table(np.concatenate(self._seconds), columns, self._problem())

    def _remark(self, rows: Rows, place: int, row: int, why: str) -> None:
        cell = ascii(rows.columns[place][row][:LONGEST_SHOWN])
        self._broken.setdefault(rows.lines[row], f"has {cell} in column '{self._labels[place].header}', {why}")

    def _problem(self) -> str | None:
        """Name the first broken line; the number of them is left out, since the same is reported once only."""
        if not self._broken:
            return None
        line = min(self._broken)
        return f"line {line} {self._broken[line]}; it and others like it are left out until corrected"


def read_csv(path: Path, options: TableOptions) -> Table:
    """Read a text table with a header, of which a last line that is not complete is left for the next time.

    Raises
    ------
    UnusableFile
        When it has no header or no times.
    """
    with path.open("rb") as file:
        blocks = blocks_of(file)
        first = next(blocks, None)
        if first is None or not first.text.strip():
            return EMPTY
        return _table(first, blocks, options)


def _table(first: Block, others: Iterator[Block], options: TableOptions) -> Table:
    head = head_of(first)
    building = None
    for block in itertools.chain([first], others):
        rows = rows_of(block, head)
        if building is None and len(rows.lines):
            building = _Building(head, rows, options)
        if building is not None:
            building.add(rows)
        elif rows.broken:
            raise UnusableFile(f"has no rows below its header: line {rows.broken[0]} {rows.broken[1]}")
    return EMPTY if building is None else building.finish()


def _declared(label: Label, options: TableOptions) -> FieldType | None:
    return options.types.get(label.name) or options.types.get(label.header)
