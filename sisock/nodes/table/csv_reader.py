"""Reads text tables: CSV with commas, semicolons or tabs."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sisock.core.errors import UnusableFile
from sisock.core.model import FieldType, Times
from sisock.nodes.table.cells import CellColumn
from sisock.nodes.table.fields import EMPTY, Label, Table, TableOptions, labels_of
from sisock.nodes.table.rows import (
    START,
    BlockMark,
    CellRows,
    ChangedFile,
    Head,
    TextBlock,
    blocks_of,
    head_of,
    lines_of,
    rows_of,
)
from sisock.nodes.table.times import TimeColumns, find_times, seconds_of_numbers

OTHER_SIGNS = ('"', "#", "\0", "_")
LONGEST_SHOWN_CELL = 40
# Shorter ones are read again in a fraction of a second.
LONG_BYTES = 4 * 2**20
MOST_CONTINUED = 8
MOST_MISSES = 8


def numbers_of(block: TextBlock, head: Head) -> NDArray[np.float64] | None:
    """Return the rows of a block as an array, shape (rows, columns); None when a cell is no number, or a line no row.

    The numbers are those that Python makes of the cells.
    """
    lines = lines_of(block, head)
    if not lines or any(sign in block.text for sign in OTHER_SIGNS):
        return None
    try:
        table = np.loadtxt(lines, delimiter=head.separator, comments=None, ndmin=2)
    except ValueError:
        return None
    # It passes over lines that are empty.
    return table if table.shape == (len(lines), len(head.names)) else None


@dataclass
class _TableBuilder:
    """A table as its rows come, block by block; columns by their place in the file."""

    head: Head
    labels: list[Label]
    times: TimeColumns
    columns: dict[int, CellColumn]
    seconds: list[Times] = field(default_factory=list)
    broken: dict[int, str] = field(default_factory=dict)
    misses: int = 0

    @classmethod
    def of(cls, head: Head, rows: CellRows, options: TableOptions) -> Self:
        """Return a table for a file that begins with some rows, still without them."""
        labels = labels_of(head.names)
        times = find_times(labels, rows.columns, options.time, options.time_unit)
        columns = {
            place: CellColumn(label, _declared(label, options), decimal_comma=head.separator == ";")
            for place, label in enumerate(labels)
            if place not in times.places
        }
        return cls(head, labels, times, columns)

    @property
    def count(self) -> int:
        """The number of rows."""
        return sum(map(len, self.seconds))

    @property
    def is_numbers(self) -> bool:
        """Whether all columns are numbers."""
        return all(column.type == "number" for column in self.columns.values())

    @property
    def types(self) -> list[FieldType | None]:
        """The type of each column, None for those in which nothing was yet."""
        return [column.type for column in self.columns.values()]

    def add(self, rows: CellRows) -> None:
        if rows.broken:
            self.broken.setdefault(*rows.broken)
        seconds = self.times.seconds(rows.columns)
        self.seconds.append(seconds)
        timeless = np.flatnonzero(np.isnan(seconds))
        if timeless.size:
            self._remark(rows, self.times.places[0], int(timeless[0]), "which is no time")
        for place, column in self.columns.items():
            unfit = column.add(rows.columns[place])
            if unfit:
                self._remark(rows, place, unfit[0], f"which is no {column.type}")

    def add_numbers(self, block: TextBlock) -> bool:
        """Take a block in which all is numbers, as before; False when it must be looked at closely."""
        if self.misses == MOST_MISSES or not (self.is_numbers and self.times.is_exact_in_float):
            return False
        table = numbers_of(block, self.head)
        seconds = None if table is None else seconds_of_numbers(table[:, self.times.places[0]], self.times.unit)
        if table is None or seconds is None or np.isnan(seconds).any():
            # After some misses it is not tried any more: each costs the time of parsing the block.
            self.misses += 1
            return False
        self.seconds.append(seconds)
        for place, column in self.columns.items():
            column.add_numbers(np.ascontiguousarray(table[:, place]))
        return True

    def finish(self) -> Table:
        finished = [column.finish() for column in self.columns.values()]
        columns = tuple(one for one in finished if one is not None)
        # In place of the blocks, so that the rows that the next reading keeps need not be joined again.
        self.seconds = [np.concatenate(self.seconds)]
        return Table(self.seconds[0], columns, self._problem())

    def until(self, mark: BlockMark, count: int) -> Self:
        """Return the table of the first rows, those before a mark, which takes others in place of the rest."""
        return dataclasses.replace(
            self,
            seconds=[np.concatenate(self.seconds)[:count]],
            columns={place: column.until(count) for place, column in self.columns.items()},
            broken={line: why for line, why in self.broken.items() if line < mark.line},
        )

    def _remark(self, rows: CellRows, place: int, row: int, why: str) -> None:
        cell = ascii(rows.columns[place][row][:LONGEST_SHOWN_CELL])
        self.broken.setdefault(rows.lines[row], f"has {cell} in column '{self.labels[place].header}', {why}")

    def _problem(self) -> str | None:
        """Name the first broken line; the number of them is left out, since the same is reported once only."""
        if not self.broken:
            return None
        line = min(self.broken)
        return f"line {line} {self.broken[line]}; it and others like it are left out until corrected"


@dataclass(frozen=True)
class _Checkpoint:
    """The table of a file up to a mark, which the next reading goes on from."""

    mark: BlockMark
    builder: _TableBuilder


class CsvReader:
    """Reads text tables with a header; a last line that is not complete is left for the next time.

    Long files that grow are read on from where the last reading was, if all before is what it was.
    """

    def __init__(self, options: TableOptions) -> None:
        self._options = options
        # Guards the checkpoints; it is not held while a file is read.
        self._lock = threading.Lock()
        self._checkpoints: dict[Path, _Checkpoint | None] = {}

    def __call__(self, path: Path) -> Table:
        """Return the table of a file; UnusableFile when it has no header or no times."""
        with self._lock:
            # Taken out: a table goes on growing in place, and must not be given to two readings at once.
            is_known, checkpoint = path in self._checkpoints, self._checkpoints.pop(path, None)
        with path.open("rb") as file:
            try:
                table, checkpoint = _read_csv(
                    blocks_of(file, checkpoint.mark if checkpoint else START), self._options, checkpoint
                )
            except ChangedFile:
                # Rewritten, and not only continued.
                file.seek(0)
                table, checkpoint = _read_csv(blocks_of(file), self._options)
        # What is read once only, at the start, takes no memory here.
        self._keep(path, checkpoint if is_known else None)
        return table

    def _keep(self, path: Path, checkpoint: _Checkpoint | None) -> None:
        with self._lock:
            self._checkpoints[path] = checkpoint
            # Of the others only that they are known: the latest stand last, and each has a whole table in memory.
            kept = [one for one, what in self._checkpoints.items() if what is not None]
            for one in kept[:-MOST_CONTINUED]:
                self._checkpoints[one] = None


def _read_csv(
    blocks: Iterator[TextBlock], options: TableOptions, checkpoint: _Checkpoint | None = None
) -> tuple[Table, _Checkpoint | None]:
    """Return the table of blocks, behind a checkpoint, and the checkpoint for the next reading of a long file."""
    builder = checkpoint.builder if checkpoint else None
    head = builder.head if builder else None
    last = None
    for block in blocks:
        head = head or _head_of(block)
        if head is None:
            continue
        if builder is not None:
            # Rows may be added to the last block, so it is read again.
            last = (block.mark, builder.count, builder.types)
            if builder.add_numbers(block):
                continue
        rows = rows_of(block, head)
        if builder is None and len(rows.lines):
            builder = _TableBuilder.of(head, rows, options)
        if builder is not None:
            builder.add(rows)
        elif rows.broken:
            raise UnusableFile(f"has no rows below its header: line {rows.broken[0]} {rows.broken[1]}")
    if builder is None:
        return EMPTY, None
    table = builder.finish()
    # A type that the last block decided could be decided otherwise by more of it.
    if last is None or last[0].offset < LONG_BYTES or last[2] != builder.types:
        return table, None
    return table, _Checkpoint(last[0], builder.until(*last[:2]))


def _head_of(block: TextBlock) -> Head | None:
    return head_of(block) if block.text.strip() else None


def _declared(label: Label, options: TableOptions) -> FieldType | None:
    return options.types.get(label.name) or options.types.get(label.header)
